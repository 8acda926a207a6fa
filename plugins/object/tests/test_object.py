"""What only the object backend has; the contract is tested by the conformance suite."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest

import modelkeep
import modelkeep_object
from modelkeep import (
    ConflictError,
    Directory,
    InvalidError,
    Manifest,
    Package,
    Release,
    StorageError,
    Tag,
    UnsupportedError,
)
from modelkeep_object import _engine, _fork, _probe, _stamp, _store
from modelkeep_object._engine import Engine
from modelkeep_object.testing import Proxy, Server
from modelkeep_object.testing.proxy import Fault, Request
from modelkeep_object.testing.seaweed import SeaweedFS

GOLDEN = Path(modelkeep_object.__file__).with_name("golden-1.tar.gz")

# the children made here do nothing that other threads could disturb
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def registry_of(release: Release) -> Any:
    """The registry as users have it: it takes plain strings."""
    return release.registry


def release_at(url: str, options: dict[str, Any], package: Package | None = None, **others: Any) -> Release:
    registry = modelkeep.registry(provider="object", url=url, options=options, **others)
    project = Directory(registry).get("digits")
    return project.put(package) if package else project.get("1.0")


@pytest.fixture
def release(url: str, at: Server, package: Package) -> Release:
    return release_at(url, at.options(), package)


@pytest.fixture
def engine(url: str, at: Server) -> Engine:
    return Engine(url, options=at.options())


def distinct(requests: list[Request]) -> list[str]:
    """The methods, sorted; a part that the server refused and got again counts once: it does, when it is busy."""
    return sorted(method for method, _ in {(request.method, request.path) for request in requests})


def in_child(work: Callable[[], object], *, exits: Callable[[int], Any] = os._exit) -> int:
    """Run in a child made by fork; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            import signal

            signal.alarm(60)
            work()
            code = 0
        finally:
            exits(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# values of all sizes


@pytest.mark.parametrize("size", [0, 1, _store.PART - 1, _store.PART, _store.PART + 1, 2 * _store.PART + 1, 40_000_001])
def test_blobs_of_any_size(engine: Engine, size: int) -> None:
    content = os.urandom(size)
    engine.put("blob/x", memoryview(content))
    assert engine.get("blob/x") == content
    with engine.view("blob/x") as view:
        assert view is not None
        assert bytes(view) == content
        assert view.readonly


def test_a_value_that_is_too_large_for_memory_is_mapped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(2 * _store.PART + 5)
    engine.put("blob/x", memoryview(content))
    monkeypatch.setattr(_store, "_IN_MEMORY", _store.PART)
    with engine.view("blob/x") as view:
        assert view is not None
        assert view == content
        assert view.readonly
    assert engine.get("blob/x") == content


def test_no_room_for_a_temporary_file_is_a_clear_error(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.put("blob/x", memoryview(os.urandom(2 * _store.PART)))
    monkeypatch.setattr(_store, "_IN_MEMORY", _store.PART)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="TMPDIR"):
        engine.get("blob/x")


def test_a_large_value_is_moved_by_several_requests_at_once(url: str, at: Server, proxy: Proxy) -> None:
    engine = Engine(url, options=at.options(endpoint=proxy.endpoint), concurrency=4)
    content = os.urandom(5 * _store.PART)
    moving, most, lock = 0, 0, threading.Lock()

    def plan(request: Request) -> Fault:
        nonlocal moving, most
        with lock:
            moving += 1
            most = max(most, moving)
        time.sleep(0.2)
        with lock:
            moving -= 1
        return Fault()

    engine._writable()
    with proxy.doing(plan) as requests:
        engine.put("blob/x", memoryview(content))
        # begin, five parts, end
        assert distinct(requests) == ["POST"] * 2 + ["PUT"] * 5
    assert 2 <= most <= 4
    most = 0
    with proxy.doing(plan) as requests:
        assert engine.get("blob/x") == content
        # and those that the server refused and got again
        assert len(requests) >= 5
    assert 2 <= most <= 4


def test_memory_for_a_large_upload_is_bounded(url: str, at: Server) -> None:
    code = (
        "import mmap, os, resource, sys, tempfile\n"
        "from modelkeep_object._engine import Engine\n"
        "engine = Engine(sys.argv[1], options=eval(sys.argv[2]), concurrency=4)\n"
        "engine.put('blob/small', memoryview(b'x' * 20_000_000))\n"
        "with tempfile.TemporaryFile() as file:\n"
        "    for _ in range(32):\n"
        "        file.write(os.urandom(8 << 20))\n"
        "    file.flush()\n"
        "    content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
        "    def anonymous():\n"
        "        return int(next(l for l in open('/proc/self/status') if l.startswith('RssAnon')).split()[1]) << 10\n"
        "    import threading\n"
        "    most, stop, before = 0, threading.Event(), anonymous()\n"
        "    def watch():\n"
        "        global most\n"
        "        while not stop.wait(0.005):\n"
        "            most = max(most, anonymous())\n"
        "    thread = threading.Thread(target=watch); thread.start()\n"
        "    engine.put('blob/large', memoryview(content))\n"
        "    stop.set(); thread.join()\n"
        "    print(most - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url, repr(at.options())], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    # 256 MiB go up by 4 parts of 8 MiB at a time
    assert int(done.stdout) < 100 << 20


# the layout


def test_the_layout_is_what_the_readme_says(url: str, at: Server, package: Package) -> None:
    _probe._good.clear()
    release = release_at(url, at.options(), package)
    sid = release.dump(b"state")
    release.put(Tag(states=(sid,)))
    store = Engine(url, options=at.options()).collectable()
    names = sorted(each.key for page in store.pages("") for each in page)
    blobs = [name for name in names if name.startswith("blob/")]
    assert len(blobs) == 2
    assert [name for name in names if name not in blobs] == [
        "format",
        "generation/digits/1/9999999999999999998-1",
        "probe",
        "release/digits/1",
        f"state/digits/1/{sid}",
    ]
    assert b"state" in [store.get(name) for name in blobs]


@pytest.mark.parametrize("number", [1, 9, 10, 999, 10**18, 2**63 - 1])
def test_a_generation_is_named_so_that_the_newest_is_first(number: int) -> None:
    key = f"generation/p/1/{number:019d}"
    assert _engine._key(_engine._name(key)) == key
    assert _engine._name(f"generation/p/1/{number - 1:019d}") > _engine._name(key)


@pytest.mark.parametrize(
    "name",
    [
        "generation/p/1/0000000000000000042",
        "generation/p/1/9999999999999999957-43",
        "generation/p/1/9999999999999999957-042",
        "generation/p/1/x/9999999999999999957-42",
        "generation/p/9999999999999999957-42",
        "generation/p/1/.bak",
        "generation/p/1/9999999999999999957-",
        "generation/p/1/٩-٩",
        f"generation/p/1/-{10**19}",
    ],
)
def test_names_of_somebody_else_are_no_generations(name: str) -> None:
    assert _engine._key(name) is None


def test_the_latest_of_many_generations_is_one_request(url: str, at: Server, proxy: Proxy) -> None:
    engine = Engine(url, options=at.options())
    store = engine.collectable()
    numbers = [*range(1, 2101), 5000, 4000]
    store.together(lambda number: store.put(_engine._name(f"generation/p/1/{number:019d}"), b"x"), numbers)
    store.put("generation/p/1/.DS_Store", b"x")
    counted = Engine(url, options=at.options(endpoint=proxy.endpoint))
    with proxy.doing(lambda _: None) as requests:
        assert counted.last("generation/p/1/") == "generation/p/1/0000000000000005000"
        assert len(distinct(requests)) == 1
    with proxy.doing(lambda _: None) as requests:
        assert len(counted.keys("generation/p/1/")) == 2102
        assert len(distinct(requests)) == 3
    assert counted.last("generation/p/2/") is None


def test_a_store_that_lists_in_another_order_tells_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [_engine._name(f"generation/p/1/{number:019d}") for number in range(1, 2501)]
    names.reverse()
    names[0], names[2400] = names[2400], names[0]
    listed = [_store.Listed(name, 0, datetime.now(UTC)) for name in names]
    pages = [listed[start : start + 1000] for start in range(0, 2500, 1000)]
    monkeypatch.setattr(engine._store, "pages", lambda prefix: iter(pages))
    assert engine.last("generation/p/1/") == "generation/p/1/0000000000000002500"


def test_a_commit_costs_the_requests_that_the_readme_says(url: str, at: Server, package: Package, proxy: Proxy) -> None:
    release = release_at(url, at.options(endpoint=proxy.endpoint), package)
    release.put(Tag())
    with proxy.doing(lambda _: None) as requests:
        sids = [release.dump(os.urandom(1000)) for _ in range(10)]
        assert len(distinct(requests)) == 40
    with proxy.doing(lambda _: None) as requests:
        generation = release.put(Tag(states=sids))
        assert len(distinct(requests)) == 2
    with proxy.doing(lambda _: None) as requests:
        generation.get(sids[0])
        assert len(distinct(requests)) == 2
    with proxy.doing(lambda _: None) as requests:
        release.list()
        assert len(distinct(requests)) == 1
    again = os.urandom(1000)
    release.dump(again)
    with proxy.doing(lambda _: None) as requests:
        release.dump(again)
        assert distinct(requests) == ["GET", "GET", "PUT"]
    with proxy.doing(lambda _: None) as requests:
        release.dump(os.urandom(3 * _store.PART))
        assert distinct(requests) == ["GET", "GET", "POST", "POST", *["PUT"] * 4]


def test_a_push_and_a_first_commit_cost_the_requests_that_the_readme_says(
    url: str, at: Server, package: Package, proxy: Proxy, tmp_path: Path
) -> None:
    options = at.options(endpoint=proxy.endpoint)
    first = release_at(url, options, package)
    second = Package.create(package.path.parent / "source", tmp_path / "2.4ml", Manifest("digits", "2.0", "digits"))
    with proxy.doing(lambda _: None) as requests:
        registry_of(first).push(second)
        assert distinct(requests) == ["GET", "GET", "PUT", "PUT"]
    sids = [first.dump(b"1"), first.dump(b"2")]
    other = release_at(url, options)
    with proxy.doing(lambda _: None) as requests:
        other.put(Tag(states=sids))
        methods = distinct(requests)
        # the format, the release, the latest, the records of the states; their blobs; the commit
        assert sorted(methods) == [*["GET"] * 5, *["HEAD"] * 2, "PUT"]


# stamps


def test_a_stamp_is_taken_off() -> None:
    assert _stamp.unstamp(_stamp.stamp(b"record")) == b"record"
    assert _stamp.stamp(b"record") != _stamp.stamp(b"record")


def test_what_has_no_sound_stamp_is_left_as_it_is() -> None:
    stored = _stamp.stamp(b"record")
    for place in range(stored.index(b"\n") + 1):
        for bit in (1, 32, 128):
            flipped = bytearray(stored)
            flipped[place] ^= bit
            assert _stamp.unstamp(bytes(flipped)) == flipped
    assert _stamp.unstamp(b"") == b""


def test_of_honest_writers_of_equal_records_one_is_told_that_it_won(url: str, at: Server) -> None:
    engines = [Engine(url, options=at.options()) for _ in range(8)]
    barrier = threading.Barrier(len(engines))
    told: list[bool] = []

    def create(engine: Engine) -> None:
        barrier.wait()
        told.append(engine.create("release/p/1", b"equal"))

    threads = [threading.Thread(target=create, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False] * 7 + [True]


# the probe


class Careless(BaseHTTPRequestHandler):
    """A server that speaks as much of S3 as is needed, and ignores the condition: every racer wins."""

    objects: ClassVar[dict[str, bytes]] = {}
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", '"e"')
        self.send_header("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["content-length"]))
        self.answer(200)

    def do_GET(self) -> None:
        if "list-type" in self.path:
            self.answer(200, b"<ListBucketResult></ListBucketResult>")
        else:
            self.answer(200 if self.path in self.objects else 404, self.objects.get(self.path, b""))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        for key in re.findall("<Key>(.*?)</Key>", body):
            self.objects.pop(f"/models/{key}", None)
        self.answer(200, b"<DeleteResult></DeleteResult>")


def test_a_store_that_ignores_the_condition_is_refused(at: Server, package: Package) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    options = at.options(endpoint=f"http://127.0.0.1:{server.server_port}")
    try:
        registry = modelkeep.registry(provider="object", url="s3://models/a", options=options)
        for _ in range(2):
            with pytest.raises(UnsupportedError, match="ignores the condition"):
                registry.push(package)
            assert registry.projects() == ()
        assert Careless.objects == {}
    finally:
        server.shutdown()
        server.server_close()


def test_a_real_store_whose_condition_gets_lost_is_refused(
    weed: SeaweedFS, proxy: Proxy, package: Package, at: Server
) -> None:
    if at != weed.user:
        pytest.skip("needs the bucket of SeaweedFS that takes requests without a signature, which covers the condition")
    # a bucket that is written to is made
    weed.admin.store("open").put("ready", b"")
    options = {"endpoint": proxy.endpoint, "skip_signature": "true", "region": "us-east-1"}
    registry = modelkeep.registry(provider="object", url=f"s3://open/{uuid4().hex}", options=options)

    def plan(request: Request) -> Fault | None:
        return Fault(unconditional=True) if request.conditional else None

    with proxy.doing(plan), pytest.raises(UnsupportedError, match="ignores the condition"):
        registry.push(package)
    assert registry.projects() == ()
    # where the condition arrives, all is well
    registry.push(package)
    assert registry.projects() == ("digits",)


def test_a_store_that_lets_racers_win_is_refused(url: str, at: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(url, options=at.options())
    _probe._good.clear()
    refuses = _probe._refuses
    monkeypatch.setattr(
        _probe, "_refuses", lambda store, key, content: key == _probe.KEY and refuses(store, key, content)
    )
    with pytest.raises(UnsupportedError, match="4 of 4"):
        engine.create("format", b"x")


def test_probing_is_done_once_for_a_bucket_and_leaves_one_object(url: str, at: Server, proxy: Proxy) -> None:
    options = at.options(endpoint=proxy.endpoint)
    engine = Engine(url, options=options)
    with proxy.doing(lambda _: None) as requests:
        engine.create("state/p/1/a", b"x")
        probes = [request for request in requests if "/probe" in request.path]
        engine.create("state/p/1/b", b"x")
        Engine(url, options=options).create("state/p/1/c", b"x")
        Engine(f"{url}-other", options=options).create("state/p/1/c", b"x")
        assert probes
        assert [request for request in requests if "/probe" in request.path] == probes
    _probe._good.clear()
    with proxy.doing(lambda _: None) as requests:
        engine.create("state/p/1/d", b"x")
        assert list(dict.fromkeys(request.path.rpartition("/")[2] for request in requests)) == ["probe", "d"]
    assert engine.keys("probe") == []
    assert engine.get("probe") is not None


def test_readers_do_not_probe(url: str, at: Server, proxy: Proxy, release: Release) -> None:
    release.put(Tag(states=[release.dump(b"state")]))
    with proxy.doing(lambda _: None) as requests:
        reading = release_at(url, at.options(endpoint=proxy.endpoint))
        assert reading.get().get(0) == b"state"
        assert {request.method for request in requests} == {"GET"}


# handles, processes, secrets


def test_a_child_made_by_fork_works_and_so_does_its_parent(release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(os.urandom(20_000_000))]))
    content = generation.get(0)

    def work() -> None:
        assert generation.get(0) == content
        release.put(Tag(states=[release.dump(b"child"), release.dump(content)]))
        # a grandchild, too
        assert in_child(lambda: release.put(Tag())) == 0

    assert in_child(work) == 0
    assert release.list() == (1, 2, 3)
    assert release.get(2).get(1) == content
    assert release.put(Tag()).key == 4


def test_a_child_may_leave_as_programs_do(release: Release) -> None:
    code = (
        "import os, sys, modelkeep\n"
        "registry = modelkeep.registry(provider='object', url=sys.argv[1], options=eval(sys.argv[2]))\n"
        "registry.projects()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    print(registry.projects(), flush=True)\n"
        "    sys.exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "print(registry.projects())\n"
    )
    engine = registry_of(release).inner._engine
    url = engine.place.partition(" at ")[0]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, url, repr(engine._store._options)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "('digits',)\n" * 2, "")


def test_a_fork_while_other_threads_read(release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(os.urandom(100_000))]))
    stop = threading.Event()

    def reading() -> None:
        while not stop.is_set():
            generation.get(0)

    threads = [threading.Thread(target=reading) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(lambda: generation.get(0)) for _ in range(10)] == [0] * 10
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_child_keeps_the_obstore_that_was_imported(release: Release) -> None:
    import obstore.store

    before = obstore.store.S3Store

    def work() -> None:
        release.list()
        assert sys.modules["obstore"] is obstore
        assert sys.modules["obstore.store"].S3Store is before
        assert _fork.load()[0] is not obstore

    assert in_child(work) == 0
    assert _fork.load()[0] is obstore


def _commit(release: Release, number: int, results: Any) -> None:
    keys = []
    for each in range(number):
        content = b"%d %d" % (os.getpid(), each)
        generation = release.put(Tag(states=[release.dump(content)]))
        assert generation.get(0) == content
        keys.append(int(generation.key))
    results.put(keys)


@pytest.mark.parametrize(("method", "number"), [("fork", 100), ("spawn", 25)])
def test_processes_that_commit_get_generations_of_their_own(release: Release, method: str, number: int) -> None:
    context: Any = multiprocessing.get_context(method)
    results: Any = context.Queue()
    processes = [context.Process(target=_commit, args=(release, number, results)) for _ in range(4)]
    for process in processes:
        process.start()
    keys = [key for _ in processes for key in results.get(timeout=300)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(keys) == list(range(1, 4 * number + 1))
    assert release.list() == tuple(range(1, 4 * number + 1))
    assert len({release.get(key).get(0) for key in keys}) == len(keys)


def test_a_pickle_works_and_has_nothing_from_the_environment(
    url: str, at: Server, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", at.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", at.secret)
    registry: Any = modelkeep.registry(
        provider="object", url=url, options={"endpoint": at.endpoint, "region": "us-east-1"}
    )
    assert registry.projects() == ("digits",)
    content = pickle.dumps(registry)
    assert at.secret.encode() not in content
    assert at.key.encode() not in content
    back = pickle.loads(content)
    assert back == registry
    assert hash(back) == hash(registry)
    assert back.projects() == ("digits",)
    assert at.secret not in repr(registry) + repr(vars(registry.inner)) + repr(vars(registry.inner._engine))


def test_all_may_come_from_the_environment(
    url: str, at: Server, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", at.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", at.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", at.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert modelkeep.registry(provider="object", url=url).projects() == ("digits",)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "models.example.com")
    with pytest.raises(InvalidError, match="AWS_ENDPOINT_URL"):
        modelkeep.registry(provider="object", url=url)


def test_stores_are_equal_by_place(at: Server) -> None:
    def registry(url: str, **options: Any) -> modelkeep.Registry:
        return modelkeep.registry(provider="object", url=url, options={**at.options(), **options})

    assert registry("s3://models/a") == registry("s3://models//a/", access_key_id="other")
    assert registry("s3://models/a") != registry("s3://models/b")
    assert registry("s3://models/a") != registry("s3://models/a", endpoint="http://127.0.0.1:1")
    assert "s3://models/a" in repr(registry("s3://models/a"))


def test_registry_and_inventory_share_a_prefix(url: str, at: Server, release: Release, tmp_path: Any) -> None:
    (tmp_path / "app.py").write_text("x = 1\n")
    inventory = modelkeep.inventory(provider="object", url=url, options=at.options())
    inventory.put(modelkeep.Descriptor.Handle(tmp_path / "app.py"))
    assert inventory.list() == ("app",)
    assert registry_of(release).projects() == ("digits",)


def test_a_prefix_does_not_see_its_neighbours(at: Server, url: str, package: Package) -> None:
    release_at(url, at.options(), package)
    for other in (url[:-1], f"{url}x", f"{url}/digits", url.rpartition("/")[0]):
        if other.count("/") > 2:
            assert modelkeep.registry(provider="object", url=other, options=at.options()).projects() == ()


@pytest.mark.parametrize("kind", ["gs", "az"])
def test_google_and_azure_open(kind: str) -> None:
    options = {"az": {"account_name": "a", "account_key": "c2VjcmV0"}, "gs": {}}[kind]
    registry = modelkeep.registry(provider="object", url=f"{kind}://bucket/prefix", options=options)
    assert f"{kind}://bucket/prefix" in repr(registry)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "s3://"},
        {"url": "models"},
        {"url": 5},
        {"url": "s3://key:topsecret@models/a"},
        {"url": "s3://models/a?token=topsecret"},
        {"url": "s3://models/a/../b"},
        {"url": "file:///tmp/x"},
        {"url": "memory:///"},
        {"url": "https://models.example.com"},
        {"url": "s3://models/a", "options": {"region": "r", "secret_access_kez": "topsecret"}},
        {"url": "s3://models/a", "options": {"endpoint": "http://user:topsecret@host"}},
        {"url": "s3://models/a", "options": {"endpoint": "topsecret.example.com"}},
        {"url": "s3://models/a", "options": {"endpoint": "https://host/?topsecret"}},
        {"url": "s3://models/a", "options": {"endpoint": "https://"}},
        {"url": "s3://models/a", "options": {"region": 5}},
        {"url": "s3://models/a", "options": "region"},
        {"url": "s3://models/a", "client": {"tiemout": "5s"}},
        {"url": "s3://models/a", "timeout": 0},
        {"url": "s3://models/a", "timeout": "5"},
        {"url": "s3://models/a", "retries": -1},
        {"url": "s3://models/a", "retries": 1.5},
        {"url": "s3://models/a", "concurrency": 0},
        {"url": "s3://models/a", "cache": 5},
        {"url": "s3://models/a", "cache": "x", "cache_limit": "1G"},
        {"url": "az://container/a"},
    ],
)
def test_wrong_options_are_invalid(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidError) as caught:
        modelkeep.registry(provider="object", **options)
    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None or "topsecret" not in str(caught.value.__cause__)


def test_a_store_is_packed_and_unpacked_with_the_same_objects(tmp_path: Path) -> None:
    from modelkeep_conformance import golden
    from modelkeep_object.harness import Harness, pack

    harness, first = Harness(), tmp_path / uuid4().hex
    golden.fill(harness, first)
    pack(harness, first, tmp_path / "golden.tar.gz")
    with tarfile.open(tmp_path / "golden.tar.gz") as new, tarfile.open(GOLDEN) as kept:
        # blobs are named by their bytes, and so are these the same; what differs is stamped
        assert {name for name in new.getnames() if name != "probe"} == {
            name for name in kept.getnames() if name != "probe"
        }


# states that were there before


def test_equal_states_take_their_space_once(url: str, at: Server, release: Release) -> None:
    content = os.urandom(100_000)
    for _ in range(3):
        release.put(Tag(states=[release.dump(content), release.dump(content)]))
    assert len(Engine(url, options=at.options()).keys("blob/")) == 2


def test_a_blob_that_was_lost_is_noticed_before_the_commit(url: str, at: Server, release: Release) -> None:
    sid = uuid4()
    registry_of(release).write("digits", "1.0", sid, b"lost")
    store = Engine(url, options=at.options()).collectable()
    other = release_at(url, at.options())
    for key in Engine(url, options=at.options()).keys("blob/"):
        store.delete(key)
    with pytest.raises(modelkeep.CorruptedError, match="Write the state again"):
        other.put(Tag(states=(sid,)))
    assert other.list() == ()
    registry_of(other).write("digits", "1.0", sid, b"lost")
    assert other.put(Tag(states=(sid,))).get(0) == b"lost"


def test_a_state_id_is_written_once(release: Release) -> None:
    sid = UUID(int=5)
    registry_of(release).write("digits", "1.0", sid, b"one")
    registry_of(release).write("digits", "1.0", sid, b"one")
    with pytest.raises(ConflictError):
        registry_of(release).write("digits", "1.0", sid, b"two")


def test_removing_is_refused_and_said_so(url: str, at: Server, package: Package) -> None:
    release = release_at(url, at.options(), package)
    with pytest.raises(UnsupportedError, match="can not remove digits"):
        release.registry.remove(release.project, release.key)
    assert release.registry.releases(release.project) == (release.key,)

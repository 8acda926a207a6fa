"""What goes wrong between here and the store, by a proxy that cuts, delays, loses and refuses."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import modelkeep
from modelkeep import ConflictError, Directory, Manifest, Package, Release, StorageError, Tag
from modelkeep_object import _store
from modelkeep_object._engine import Engine
from modelkeep_object.testing import Proxy, Server
from modelkeep_object.testing.proxy import Fault, Plan, Request
from modelkeep_object.testing.seaweed import SeaweedFS
from modelkeep_object.testing.servers import VARIABLE

SECRET = "topsecretkey"


def registry_of(release: Release) -> Any:
    """The registry as users have it: it takes plain strings."""
    return release.registry


def open_at(url: str, options: dict[str, Any], **others: Any) -> Any:
    return modelkeep.registry(provider="object", url=url, options=options, **others)


def probed(url: str, at: Server, proxy: Proxy) -> None:
    """Let the store be probed by who has patience: SeaweedFS takes a second or two for a race, sometimes."""
    Engine(url, options=at.options(endpoint=proxy.endpoint))._writable()


@pytest.fixture
def direct(url: str, at: Server, package: Package) -> Release:
    """The store, reached without the proxy."""
    return Directory(open_at(url, at.options())).get("digits").put(package)


@pytest.fixture
def release(url: str, at: Server, direct: Release, proxy: Proxy) -> Iterator[Release]:
    """The store, reached through the proxy, with little patience."""
    probed(url, at, proxy)
    registry = open_at(url, at.options(endpoint=proxy.endpoint), timeout=1, retries=3)
    release = Directory(registry).get("digits").get("1.0")
    release.put(Tag())
    yield release
    # whatever happened, what is there is whole
    for number in direct.list():
        generation = direct.get(number)
        for sid in generation.list():
            generation.get(sid)


def once(fault: Fault, wanted: Callable[[Request], bool]) -> Plan:
    """Let something happen to the first request of a kind."""
    left = [fault]
    return lambda request: left.pop() if wanted(request) and left else None


def commits(request: Request) -> bool:
    return request.conditional and "/generation/" in request.path


def puts(request: Request) -> bool:
    return request.method == "PUT" and "/blob/" in request.path


def reads(request: Request) -> bool:
    return request.method == "GET" and "/blob/" in request.path


# commits whose answer is lost are found to have happened


@pytest.mark.parametrize(
    "fault",
    [
        Fault(lose="cut"),
        Fault(lose="hang"),
        Fault(status=500),
        Fault(status=503),
        Fault(answer=503),
        Fault(answer=500),
        Fault(answer=409, code="ConditionalRequestConflict"),
        Fault(cut=0),
        Fault(cut=10),
        Fault(delay=1.5),
    ],
    ids=repr,
)
def test_a_commit_whose_answer_is_lost_is_no_conflict(
    release: Release, direct: Release, proxy: Proxy, fault: Fault
) -> None:
    sid = release.dump(b"state")
    with proxy.doing(once(fault, commits)):
        registry_of(release).close("digits", "1.0", 2, Tag(states=(sid,)))
    assert direct.list() == (1, 2)
    assert direct.get(2).get(0) == b"state"


def test_a_commit_that_was_lost_to_somebody_else_is_a_conflict(release: Release, direct: Release, proxy: Proxy) -> None:
    theirs, ours = release.dump(b"theirs"), release.dump(b"ours")

    left = [Fault(answer=500)]

    def plan(request: Request) -> Fault | None:
        if not commits(request) or not left:
            return None
        # our first attempt gets nowhere; before the second, somebody else commits that number
        registry_of(direct).close("digits", "1.0", 2, Tag(states=(theirs,)))
        return left.pop()

    with proxy.doing(plan), pytest.raises(ConflictError):
        registry_of(release).close("digits", "1.0", 2, Tag(states=(ours,)))
    assert direct.get(2).get(0) == b"theirs"
    assert release.put(Tag(states=(ours,))).key == 3


def test_an_equal_commit_of_somebody_else_is_a_conflict(release: Release, direct: Release, proxy: Proxy) -> None:
    tag = Tag(states=(release.dump(b"state"),))
    registry_of(direct).close("digits", "1.0", 2, tag)
    with proxy.doing(once(Fault(lose="cut"), commits)), pytest.raises(ConflictError):
        registry_of(release).close("digits", "1.0", 2, tag)


def test_a_commit_whose_fate_nobody_can_tell_says_so(release: Release, direct: Release, proxy: Proxy) -> None:
    tag = Tag(states=(release.dump(b"state"),))
    gone: list[Request] = []

    def plan(request: Request) -> Fault | None:
        if commits(request):
            gone.append(request)
            return Fault(lose="cut")
        return Fault(cut=0) if gone else None

    with proxy.doing(plan), pytest.raises(StorageError, match="may have been created all the same"):
        registry_of(release).close("digits", "1.0", 2, tag)
    assert direct.list() == (1, 2)


def test_a_push_whose_answer_is_lost_is_no_conflict(url: str, at: Server, proxy: Proxy, package: Package) -> None:
    probed(url, at, proxy)
    registry = open_at(url, at.options(endpoint=proxy.endpoint), timeout=1)
    with proxy.doing(once(Fault(lose="cut"), lambda request: request.conditional and "/release/" in request.path)):
        registry.push(package)
    assert registry.projects() == ("digits",)
    with pytest.raises(ConflictError):
        registry.push(package)


# uploads and downloads


@pytest.mark.parametrize(
    "fault",
    [Fault(cut=1000), Fault(cut=3_000_000), Fault(lose="cut"), Fault(answer=503), Fault(lose="hang")],
    ids=repr,
)
@pytest.mark.parametrize("size", [100_000, 2 * _store.PART + 5_000_000])
def test_an_upload_that_breaks_is_taken_up_again(
    release: Release, direct: Release, proxy: Proxy, fault: Fault, size: int
) -> None:
    content = os.urandom(size)
    with proxy.doing(once(fault, puts)):
        release.put(Tag(states=[release.dump(content)]))
    assert direct.get(2).get(0) == content


def test_a_lost_answer_to_the_end_of_an_upload(release: Release, direct: Release, proxy: Proxy) -> None:
    content = os.urandom(3 * _store.PART)
    ends = once(Fault(lose="cut"), lambda request: request.method == "POST" and "uploadId" in request.path)
    with proxy.doing(ends):
        release.put(Tag(states=[release.dump(content)]))
    assert direct.get(2).get(0) == content


def test_an_upload_that_breaks_for_good_leaves_nothing_visible(
    url: str, at: Server, release: Release, direct: Release, proxy: Proxy
) -> None:
    content = os.urandom(3 * _store.PART)
    blobs = Engine(url, options=at.options()).keys("blob/")
    with proxy.doing(lambda request: Fault(cut=100_000) if puts(request) else None):
        with pytest.raises(StorageError, match="storing blob/"):
            release.dump(content)
    assert Engine(url, options=at.options()).keys("blob/") == blobs
    assert direct.list() == (1,)
    assert release.put(Tag(states=[release.dump(content)])).get(0) == content


@pytest.mark.parametrize(
    "fault", [Fault(truncate=1000), Fault(lose="cut"), Fault(answer=503), Fault(lose="hang")], ids=repr
)
@pytest.mark.parametrize("size", [100_000, 3 * _store.PART])
def test_a_download_that_breaks_is_taken_up_again(release: Release, proxy: Proxy, fault: Fault, size: int) -> None:
    content = os.urandom(size)
    generation = release.put(Tag(states=[release.dump(content)]))
    with proxy.doing(once(fault, reads)):
        assert generation.get(0) == content


# for good: a clear error, soon, and nothing of a secret


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(answer=503), "slow down"),
        (Fault(answer=429, code="TooManyRequests"), "slow down"),
        (Fault(answer=500, code="InternalError"), "refused or failed"),
        (Fault(answer=403, code="AccessDenied"), "access was denied"),
        (Fault(answer=507, code="InsufficientStorage"), "no room left"),
        (Fault(cut=0), "connection"),
        (Fault(delay=5), "no answer came in time"),
    ],
    ids=repr,
)
def test_what_goes_wrong_for_good_is_a_clear_error(  # noqa: PLR0917  # fixtures
    url: str, at: Server, direct: Release, proxy: Proxy, fault: Fault, text: str
) -> None:
    generation = direct.put(Tag(states=[direct.dump(b"state")]))
    probed(url, at, proxy)
    registry = open_at(url, at.options(endpoint=proxy.endpoint), timeout=0.3, retries=1)
    calls: dict[str, Callable[[], Any]] = {
        "projects": registry.projects,
        "generations": lambda: registry.generations("digits", "1.0"),
        "read": lambda: registry.read("digits", "1.0", 1, generation.list()[0]),
        "pull": lambda: registry.pull("digits", "1.0"),
        "write": lambda: registry.write("digits", "1.0", uuid4(), b"x"),
        "close": lambda: registry.close("digits", "1.0", 2, Tag()),
    }
    for call in calls.values():
        begin = time.monotonic()
        with proxy.doing(lambda _: fault), pytest.raises(StorageError, match=text) as caught:
            call()
        assert time.monotonic() - begin < 10
        assert at.secret not in str(caught.value)
    # each kind of request
    engine = Engine(url, options=at.options(endpoint=proxy.endpoint), timeout=0.3, retries=1)
    engine._store.patience = 0.5
    engine._writable()
    requests: list[Callable[[], Any]] = [
        lambda: engine.get("release/digits/1"),
        lambda: engine.get("blob/x"),
        lambda: engine.put("blob/x", memoryview(b"x")),
        lambda: engine.create("state/p/1/x", b"x"),
        lambda: engine.create("generation/p/1/1", b"x", needs=["blob/x"]),
        lambda: engine.replace("application/x", b"x"),
        lambda: engine.keys("release/"),
        lambda: engine.last("generation/p/1/"),
    ]
    for request in requests:
        with proxy.doing(lambda _: fault), pytest.raises(StorageError, match=text) as caught:
            request()
        assert caught.value.__cause__ is None
        assert at.secret not in str(caught.value)


def test_a_quota_is_told_from_a_right(url: str, at: Server, proxy: Proxy) -> None:
    engine = Engine(url, options=at.options(endpoint=proxy.endpoint))
    engine._writable()
    calls: list[Callable[[], Any]] = [
        lambda: engine.put("blob/x", memoryview(b"x")),
        lambda: engine.create("state/p/1/x", b"x"),
        lambda: engine.replace("application/x", b"x"),
    ]
    for call in calls:
        with proxy.doing(lambda _: Fault(answer=403, code="QuotaExceeded")):
            with pytest.raises(StorageError, match="no room left"):
                call()


def test_a_server_that_is_not_there(at: Server) -> None:
    registry = open_at("s3://models/a", at.options(endpoint="http://127.0.0.1:9"), retries=2)
    with pytest.raises(StorageError, match="no connection could be made"):
        registry.projects()


@pytest.mark.parametrize("wrong", [{}, {"access_key_id": "nobody"}])
def test_wrong_credentials(  # noqa: PLR0917  # fixtures
    url: str, at: Server, direct: Release, package: Package, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    registry = open_at(url, at.options(secret_access_key=SECRET, **wrong))
    for call in (registry.projects, lambda: registry.push(package), lambda: registry.generations("digits", "1.0")):
        with pytest.raises(StorageError, match="access was denied") as caught:
            call()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in caplog.text


@pytest.fixture
def own(request: pytest.FixtureRequest) -> SeaweedFS:
    if VARIABLE in os.environ:
        pytest.skip("needs users that the SeaweedFS of the tests was given")
    weed: SeaweedFS = request.getfixturevalue("weed")
    return weed


def test_a_missing_bucket(own: SeaweedFS, package: Package) -> None:
    # who may do everything gets the bucket made by SeaweedFS when he writes; reading tells that it is not there
    registry = open_at("s3://nowhere/a", own.admin.options())
    for call in (registry.projects, lambda: registry.pull("digits", "1.0"), lambda: registry.push(package)):
        with pytest.raises(StorageError, match="there is no bucket 'nowhere'"):
            call()


def test_no_permission_to_write(own: SeaweedFS, url: str, direct: Release, package: Package, tmp_path: Path) -> None:
    generation = direct.put(Tag(states=[direct.dump(b"state")]))
    registry = open_at(url, own.reader.options())
    assert registry.read("digits", "1.0", 1, generation.list()[0]) == b"state"
    assert registry.latest("digits", "1.0") == 1
    # the version is new, the right to write it is what lacks
    other = Package.create(package.path.parent / "source", tmp_path / "new.4ml", Manifest("digits", "2.0", "digits"))
    calls: list[Callable[[], Any]] = [
        lambda: registry.push(other),
        lambda: registry.write("digits", "1.0", uuid4(), b"x"),
        lambda: registry.close("digits", "1.0", 2, Tag()),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="access was denied"):
            call()
    assert direct.list() == (1,)


def test_no_permission_at_all(own: SeaweedFS) -> None:
    with pytest.raises(StorageError, match="access was denied"):
        open_at("s3://other/a", own.user.options()).projects()

"""What only the LMDB backend has; the contract is tested by test_conformance.py."""

import datetime as dt
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

import modelkeep
from modelkeep import Manifest, Package, StorageError, Tag
from modelkeep.backend import PREFIX, digest
from modelkeep_lmdb import __main__, _engine, _environment, _stage

PROJECT = "digits"


@pytest.fixture
def package(tmp_path: Path) -> Package:
    source = tmp_path / "source"
    (source / "digits").mkdir(parents=True)
    (source / "digits" / "__init__.py").write_text("")
    return Package.create(source, tmp_path / "digits.4ml", Manifest(PROJECT, "1.0", "digits"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def release_of(root: Path, package: Package | None = None, **options: object) -> modelkeep.Release:
    project = modelkeep.Directory(modelkeep.registry(provider="lmdb", path=str(root), **options)).get(PROJECT)
    return project.put(package) if package else project.get("1.0")


def address(view: memoryview) -> int:
    """Where in memory a view begins."""
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])


def files(root: Path) -> list[Path]:
    """What waits as files."""
    return [path for path in (root / "stage").rglob("*") if path.is_file() and not path.name.endswith(".mdb")]


def waiting(root: Path) -> int:
    """How many values wait in the stage of this boot."""
    stage = _environment._open[str(root.resolve())].stage(str(root.resolve()))
    assert stage is not None
    with stage.begin() as txn:
        return len(list(_stage.waiting(txn)))


@pytest.fixture
def as_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that is staged wait as files."""
    monkeypatch.setattr(_environment, "boot", str)


def in_child(work: Callable[[], object]) -> int:
    """Run in a child made by fork; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_listing_makes_no_folder(root: Path) -> None:
    assert modelkeep.registry(provider="lmdb", path=str(root)).projects() == ()
    assert not root.exists()


def test_a_view_is_memory_of_the_map(root: Path, package: Package) -> None:
    release = release_of(root, package)
    generation = release.put(Tag(states=[release.dump(b"x" * 5000)]))
    with generation.view(0) as first, generation.view(0) as second:
        assert first.readonly
        assert address(first) == address(second)


def test_registry_and_inventory_share_one_environment(root: Path, package: Package, tmp_path: Path) -> None:
    release_of(root, package)
    module = tmp_path / "app.py"
    module.write_text("pass\n")
    inventory = modelkeep.inventory(provider="lmdb", path=str(root))
    inventory.put(modelkeep.Descriptor.Handle(module))
    assert inventory.list() == ("app",)
    assert list(_environment._open).count(str(root.resolve())) == 1


def test_a_staged_state_is_no_commit_and_leaves_the_stage_with_it(root: Path, package: Package) -> None:
    release = release_of(root, package)
    before = (root / "data.mdb").read_bytes()
    sids = [release.dump(os.urandom(1000)) for _ in range(10)]
    assert (root / "data.mdb").read_bytes() == before
    assert waiting(root) == 20
    release.put(Tag(states=sids))
    # what was taken is forgotten by the next one
    release.dump(b"another")
    assert waiting(root) == 2
    assert files(root) == []


def test_ten_states_are_one_transaction(root: Path, package: Package) -> None:
    release = release_of(root, package)
    sids = [release.dump(os.urandom(1000)) for _ in range(10)]
    environment = _environment._open[str(root.resolve())].lmdb
    before = environment.info()["last_txnid"]
    release.put(Tag(states=sids))
    assert environment.info()["last_txnid"] == before + 1


@pytest.mark.usefixtures("as_files")
def test_a_staged_state_that_power_loss_tore_is_noticed_and_can_be_written_again(root: Path, package: Package) -> None:
    release = release_of(root, package)
    sid, state = uuid4(), os.urandom(5000)
    release.registry.write(release.project, release.key, sid, state)
    (blob,) = (root / "stage" / "blob").iterdir()
    blob.write_bytes(state[:4096])
    with pytest.raises(modelkeep.CorruptedError, match="Write it again"):
        release.put(Tag(states=(sid,)))
    assert release.list() == ()
    release.registry.write(release.project, release.key, sid, state)
    assert release.put(Tag(states=(sid,))).get(0) == state


def test_a_state_id_stays_taken_while_it_moves_from_stage_to_environment(root: Path, package: Package) -> None:
    release = release_of(root, package)
    registry, sid = release.registry, uuid4()
    registry.write(release.project, release.key, sid, b"first")
    release.put(Tag(states=(sid,)))
    with pytest.raises(modelkeep.ConflictError):
        registry.write(release.project, release.key, sid, b"second")


@pytest.mark.usefixtures("as_files")
def test_without_the_id_of_a_boot_all_is_staged_as_files(root: Path, package: Package) -> None:
    release = release_of(root, package)
    sids = [release.dump(os.urandom(1000)) for _ in range(3)]
    assert len(files(root)) == 6
    assert len(release.put(Tag(states=sids)).get(0)) == 1000
    assert files(root) == []


def boot_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be another boot, for who opens the store next."""
    monkeypatch.setattr(_environment, "boot", lambda: "another")
    _environment._open.pop(str(root.resolve())).close()


def test_what_was_staged_in_another_boot_has_to_be_written_again(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(root, package)
    sid = release.dump(b"staged")
    (torn,) = (root / "stage").glob("*/data.mdb")
    torn.write_bytes(torn.read_bytes()[:5000])
    boot_again(root, monkeypatch)
    with pytest.raises(modelkeep.MissingError, match="write it, then close"):
        release.put(Tag(states=[sid]))
    release.registry.write(release.project, release.key, sid, b"other")
    assert release.put(Tag(states=[sid])).get(0) == b"other"


@pytest.mark.parametrize("torn", [False, True])
def test_what_was_staged_as_a_file_in_another_boot_is_verified(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    release = release_of(root, package)
    with monkeypatch.context() as patch:
        patch.setattr(_stage, "LIMIT", 0)
        sid = release.dump(b"staged " * 1000)
    (blob,) = (root / "stage" / "blob").iterdir()
    boot_again(root, monkeypatch)
    if not torn:
        assert release.put(Tag(states=[sid])).get(0) == b"staged " * 1000
        return
    blob.write_bytes(b"staged " * 500 + b"\0" * 3500)
    with pytest.raises(modelkeep.CorruptedError, match="Write it again"):
        release.put(Tag(states=[sid]))
    assert release.list() == ()


def test_a_copy_of_a_store_does_not_trust_the_stage_that_was_copied_with_it(
    root: Path, package: Package, tmp_path: Path
) -> None:
    release = release_of(root, package)
    sid = release.dump(b"staged")
    shutil.copytree(root, tmp_path / "copy")
    with pytest.raises(modelkeep.MissingError):
        release_of(tmp_path / "copy").put(Tag(states=[sid]))
    root.rename(tmp_path / "moved")
    assert release_of(tmp_path / "moved").put(Tag(states=[sid])).get(0) == b"staged"


def test_a_full_stage_is_cleared_of_what_was_taken_and_then_files_are_made(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stage, "_ROOM", 300_000)
    monkeypatch.setattr(_stage, "_PAUSE", 0.0)
    release = release_of(root, package)
    taken = uuid4()

    def kill() -> None:
        release.registry.write(release.project, release.key, taken, os.urandom(200_000))
        release.put(Tag(states=[taken]))
        os._exit(0)

    assert in_child(kill) == 0
    sids, states = [], [os.urandom(200_000) for _ in range(3)]
    sids.append(release.dump(states[0]))
    assert files(root) == []
    sids += [release.dump(states[1]), release.dump(states[2])]
    assert len(files(root)) == 4
    for sid in sids:
        with pytest.raises(modelkeep.ConflictError):
            release.registry.write(release.project, release.key, sid, b"other")
    generation = release.put(Tag(states=sids))
    assert [generation.get(index) for index in range(3)] == states
    assert files(root) == []


def test_an_id_that_waits_as_a_file_is_taken_when_there_is_room_again(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(root, package)
    with monkeypatch.context() as patch:
        patch.setattr(_stage, "_ROOM", 0)
        sid = release.dump(b"first")
    with pytest.raises(modelkeep.ConflictError):
        release.registry.write(release.project, release.key, sid, b"second")
    assert release.put(Tag(states=[sid])).get(0) == b"first"


def test_a_stage_that_somebody_removed_is_made_again(root: Path, package: Package) -> None:
    release = release_of(root, package)
    lost = release.dump(b"lost")
    shutil.rmtree(root / "stage")
    with pytest.raises(modelkeep.MissingError):
        release.put(Tag(states=[lost]))
    assert release.put(Tag(states=[release.dump(b"kept")])).get(0) == b"kept"


def test_what_was_taken_is_not_forgotten_in_place_of_what_was_written_since(root: Path, package: Package) -> None:
    release = release_of(root, package)
    sid = release.dump(b"state")
    generation = release.put(Tag(states=[sid]))
    generation.remove()
    again = (
        "import datetime, sys, modelkeep, uuid; r = modelkeep.registry(provider='lmdb', path=sys.argv[1]); "
        "print(len(r.collect(datetime.timedelta(0)).items)); "
        "r.write('digits', '1.0', uuid.UUID(sys.argv[2]), b'state')"
    )
    command = [sys.executable, "-c", again, str(root), str(sid)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "2\n"
    # this process forgets what its commit took
    other = release.dump(b"other")
    generation = release.put(Tag(states=[sid, other]))
    assert [generation.get(0), generation.get(1)] == [b"state", b"other"]


def test_what_is_staged_is_collected_when_it_is_old(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(root, package)
    sid = release.dump(b"staged")
    hour = dt.timedelta(hours=1)
    assert release.registry.collect(hour).items == ()
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + 7200)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + 7200 * 10**9)
    kept = release.dump(b"kept")
    assert f"state/digits/1/{sid}" in release.registry.collect(hour).items
    with pytest.raises(modelkeep.MissingError):
        release.put(Tag(states=[sid]))
    assert release.put(Tag(states=[kept])).get(0) == b"kept"


@pytest.mark.usefixtures("small_cut")
def test_what_is_staged_is_not_collected_while_it_is_young(root: Path, package: Package) -> None:
    release = release_of(root, package)
    states = [os.urandom(size) for size in (100, 9_000, 50_000)]
    sids = [release.dump(state) for state in states]
    for _ in range(2):
        assert release.registry.collect(dt.timedelta(hours=1)).items == ()
    generation = release.put(Tag(states=sids))
    assert [generation.get(index) for index in range(3)] == states


def test_a_process_with_a_lower_limit_finds_what_others_committed_since_it_looked(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(root, package, limit=2 << 20)
    sid = release.dump(b"state")
    take = (
        "import sys, os, modelkeep, uuid; r = modelkeep.Directory(modelkeep.registry(provider='lmdb', "
        "path=sys.argv[1])).get('digits').get('1.0'); "
        "r.put(modelkeep.Tag(states=[uuid.UUID(sys.argv[2]), r.dump(os.urandom(3 << 20))])); r.dump(b'forgets')"
    )
    find = _engine._Moment.find
    taken: list[str] = []

    def slowly(moment: _engine._Moment, key: str) -> memoryview | None:
        if key == f"state/digits/1/{sid}" and not taken:
            taken.append(key)
            subprocess.run([sys.executable, "-c", take, str(root), str(sid)], check=True)
        return find(moment, key)

    monkeypatch.setattr(_engine._Moment, "find", slowly)
    assert release.put(Tag(states=[sid])).get(0) == b"state"
    assert taken


def test_the_stage_of_another_boot_is_collected_when_it_is_old(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_of(root, package)
    release.dump(b"staged")
    (stage,) = (root / "stage").iterdir()
    boot_again(root, monkeypatch)
    sid = release.dump(b"kept")
    registry = release.registry
    assert registry.collect(dt.timedelta(hours=1)).items == ()
    old = time.time() - 7200
    os.utime(stage / "data.mdb", (old, old))
    os.utime(stage / "lock.mdb", (old, old))
    found = registry.collect(dt.timedelta(hours=1), dry_run=True)
    assert found.items == (f"stage/{stage.name}",)
    assert found.size > 0
    assert stage.exists()
    assert registry.collect(dt.timedelta(hours=1)) == found
    assert not stage.exists()
    assert release.put(Tag(states=[sid])).get(0) == b"kept"


def test_a_state_that_was_staged_before_a_fork_is_committed_by_either_side(root: Path, package: Package) -> None:
    release = release_of(root, package)
    sids = [release.dump(b"one"), release.dump(b"two")]
    assert in_child(lambda: release.put(Tag(states=sids[:1]))) == 0
    assert release.put(Tag(states=sids)).get(1) == b"two"
    assert release.get(1).get(0) == b"one"


DUMPS = """
import os, sys, modelkeep
release = modelkeep.Directory(modelkeep.registry(provider="lmdb", path=sys.argv[1])).get("digits").get("1.0")
while True:
    print(release.dump(os.urandom(int(sys.argv[2]))), flush=True)
"""


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_kill_at_a_random_time_loses_nothing_that_was_staged(root: Path, package: Package, size: int) -> None:
    release = release_of(root, package)
    chance = random.Random(size)
    for number in range(6):
        command = [sys.executable, "-c", DUMPS, str(root), str(size)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        sids = [UUID(child.stdout.readline().strip()) for _ in range(chance.randrange(1, 20))]
        child.kill()
        sids += [UUID(line) for line in child.stdout.read().splitlines() if len(line) == 36]
        child.wait()
        child.stdout.close()
        generation = release.put(Tag(states=sids))
        assert generation.key == number + 1
        assert {len(generation.get(index)) for index in range(len(sids))} == {size}


@pytest.fixture
def small_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine, "CUT", 10_000)
    monkeypatch.setattr(_engine, "_PART", 3000)


@pytest.mark.usefixtures("small_cut")
@pytest.mark.parametrize("size", [10_000, 10_001, 12_000, 12_001, 50_000])
def test_large_values_are_cut_and_joined(root: Path, package: Package, size: int) -> None:
    release = release_of(root, package)
    state = os.urandom(size)
    generation = release.put(Tag(states=[release.dump(state)]))
    assert generation.get(0) == state
    with generation.view(0) as view:
        assert view == state


@pytest.mark.usefixtures("small_cut")
def test_a_lost_part_of_a_large_value_is_noticed(root: Path, package: Package) -> None:
    release = release_of(root, package)
    generation = release.put(Tag(states=[release.dump(os.urandom(50_000))]))
    environment = _environment._open[str(root.resolve())].lmdb
    with environment.begin(write=True) as txn:
        cursor = txn.cursor()
        assert cursor.set_range(b"part/")
        cursor.delete()
    with pytest.raises(modelkeep.CorruptedError):
        generation.get(0)


def test_names_of_any_legal_length(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "p").mkdir(parents=True)
    (source / "p" / "__init__.py").write_text("")
    name, version = "n" * 200, "1." + "1" * 198
    package = Package.create(source, tmp_path / "p.4ml", Manifest(name, version, "p"))
    registry = modelkeep.registry(provider="lmdb", path=str(root))
    release = modelkeep.Directory(registry).get(name).put(package)
    assert release.put(Tag(states=[release.dump(b"x")])).get(0) == b"x"


def test_a_limit_is_an_error_that_loses_nothing(root: Path, package: Package) -> None:
    release = release_of(root, package, limit=4 << 20)
    kept = release.put(Tag(states=[release.dump(b"kept")]))
    sid = release.dump(os.urandom(6 << 20))
    with pytest.raises(StorageError, match="Raise its limit"):
        release.put(Tag(states=(sid,)))
    assert kept.get(0) == b"kept"
    assert release.list() == (1,)
    again = (
        "import sys, modelkeep, uuid; r = modelkeep.registry(provider='lmdb', path=sys.argv[1]); "
        "r.close('digits', '1.0', 2, modelkeep.Tag(states=[uuid.UUID(sys.argv[2])]))"
    )
    subprocess.run([sys.executable, "-c", again, str(root), str(sid)], check=True)


def test_a_process_with_a_lower_limit_follows_the_others(root: Path, package: Package) -> None:
    release = release_of(root, package, limit=2 << 20)
    grow = (
        "import sys, os, modelkeep; r = modelkeep.Directory(modelkeep.registry(provider='lmdb', path=sys.argv[1]))"
        ".get('digits').get('1.0'); r.put(modelkeep.Tag(states=[r.dump(os.urandom(8 << 20))]))"
    )
    subprocess.run([sys.executable, "-c", grow, str(root)], check=True)
    assert len(release.get().get(0)) == 8 << 20


def test_options_of_one_environment_must_agree(root: Path, package: Package) -> None:
    release_of(root, package)
    with pytest.raises(modelkeep.InvalidError, match="same options"):
        modelkeep.registry(provider="lmdb", path=str(root), sync=False).projects()


@pytest.mark.parametrize("options", [{"limit": "1G"}, {"limit": True}, {"limit": 0}, {"sync": "yes"}, {"path": 3}])
def test_wrong_options_are_invalid(root: Path, options: dict[str, object]) -> None:
    with pytest.raises(modelkeep.InvalidError):
        modelkeep.registry(**{"provider": "lmdb", "path": str(root), **options})


def test_a_child_made_by_fork_commits_and_so_does_its_parent(root: Path, package: Package) -> None:
    release = release_of(root, package)
    release.put(Tag())
    assert in_child(lambda: release.put(Tag(states=[release.dump(b"child")]))) == 0
    assert release.get(2).get(0) == b"child"
    assert release.put(Tag()).key == 3


def test_a_fork_waits_for_the_calls_of_other_threads(root: Path, package: Package) -> None:
    release = release_of(root, package)
    generation = release.put(Tag(states=[release.dump(os.urandom(100_000))]))
    stop = threading.Event()

    def reading() -> None:
        while not stop.is_set():
            generation.get(0)

    threads = [threading.Thread(target=reading) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(lambda: generation.get(0)) for _ in range(20)] == [0] * 20
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_child_of_a_fork_inside_a_view_is_refused_and_the_view_stays_valid(root: Path, package: Package) -> None:
    release = release_of(root, package)
    state = os.urandom(100_000)
    generation = release.put(Tag(states=[release.dump(state)]))

    def child() -> None:
        assert bytes(view) == state
        with pytest.raises(StorageError, match="leave the view before forking"):
            release.list()

    with generation.view(0) as view:
        assert in_child(child) == 0
        assert bytes(view) == state
    assert release.put(Tag()).key == 2


def test_memory_kept_beyond_its_view_stays_valid_over_a_fork(root: Path, package: Package) -> None:
    release = release_of(root, package)
    state = os.urandom(100_000)
    generation = release.put(Tag(states=[release.dump(state)]))
    with generation.view(0) as view:
        kept = view[10:]
    in_child(lambda: None)
    assert bytes(kept) == state[10:]


def test_a_handle_pickles_before_and_after_its_use(root: Path, package: Package) -> None:
    release = release_of(root, package)
    release.put(Tag())
    copy = pickle.loads(pickle.dumps(release.registry))
    assert copy == release.registry
    assert copy.generations(PROJECT, "1.0") == (1,)


def test_a_store_that_was_removed_and_made_anew_is_noticed(root: Path, package: Package) -> None:
    release = release_of(root, package)
    release.put(Tag())
    shutil.rmtree(root)
    assert release.registry.projects() == ()
    release.registry.push(package)
    assert release.list() == ()


def test_slots_of_killed_readers_are_cleared(root: Path, package: Package) -> None:
    release_of(root, package)
    code = (
        "import lmdb, os, signal, sys; e = lmdb.open(sys.argv[1], max_readers=2048); t = e.begin(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], check=False)
    assert done.returncode == -signal.SIGKILL
    in_child(lambda: None)  # closes the environment, so that the next use opens it
    release = release_of(root)
    release.list()
    assert _environment._open[str(root.resolve())].lmdb.reader_check() == 0


COMMITS = """
import os, sys, modelkeep
release = modelkeep.Directory(modelkeep.registry(provider="lmdb", path=sys.argv[1])).get("digits").get("1.0")
print("ready", flush=True)
while True:
    state = os.urandom(20_000)
    generation = release.put(modelkeep.Tag(states=[release.dump(state), release.dump(state[:10])]))
    print(int(generation.key), flush=True)
"""


def test_kills_at_random_times_lose_nothing_acknowledged(root: Path, package: Package) -> None:
    release = release_of(root, package)
    acknowledged: set[int] = set()
    chance = random.Random(7)
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", COMMITS, str(root)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for _ in range(chance.randrange(1, 12)):
            acknowledged.add(int(child.stdout.readline()))
        child.kill()
        acknowledged.update(int(line) for line in child.stdout.read().splitlines() if line)
        child.wait()
        child.stdout.close()
        numbers = release.list()
        assert acknowledged <= set(numbers)
        for number in numbers:
            generation = release.get(number)
            assert [len(generation.get(index)) for index in (0, 1)] == [20_000, 10]


def test_a_network_file_system_is_warned_about(root: Path, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_environment, "_file_system", lambda path: "nfs4")
    with pytest.warns(UserWarning, match="network file system"):
        release_of(root, package)


def test_the_file_system_of_a_folder_is_found() -> None:
    assert _environment._file_system(Path("/proc/self")) == "proc"


def test_the_deepest_mount_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = "a / ext4 rw 0 0\nb /mnt/my\\040share nfs4 rw 0 0\nc /mnt ext4 rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda *_: mounts)
    assert _environment._file_system(Path("/mnt/my share/models")) == "nfs4"
    assert _environment._file_system(Path("/mnt/other")) == "ext4"


def test_stat_and_compact(root: Path, package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = release_of(root, package)
    for _ in range(20):
        release.put(Tag(states=[release.dump(os.urandom(5000))]))
    assert __main__.main(["stat", str(root)]) == 0
    told = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert int(told["bytes"]) == (root / "data.mdb").stat().st_size
    assert int(told["free_pages"]) > 0
    target = tmp_path / "compact"
    assert __main__.main(["compact", str(root), str(target)]) == 0
    assert (target / "data.mdb").stat().st_size < (root / "data.mdb").stat().st_size
    assert len(release_of(target).list()) == 20


def test_looking_after_nothing_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["stat", str(root)]) == 1
    assert "There is no LMDB store" in capsys.readouterr().err


def test_other_tools_of_lmdb_read_the_file(root: Path, package: Package) -> None:
    release = release_of(root, package)
    release.put(Tag(states=[release.dump(b"state")]))
    dump = subprocess.run(
        [sys.executable, "-m", "lmdb", "-e", str(root), "stat"], capture_output=True, text=True, check=True
    )
    assert "overflow_pages" in dump.stdout


def test_equal_states_take_their_space_once(root: Path, package: Package) -> None:
    release = release_of(root, package)
    state = os.urandom(1 << 20)
    for _ in range(5):
        release.put(Tag(states=[release.dump(state), release.dump(state)]))
    assert (root / "data.mdb").stat().st_size < 1.2 * (1 << 20)


def test_a_group_may_share_a_store_where_the_umask_lets_it(root: Path, package: Package) -> None:
    before = os.umask(0o002)
    try:
        release = release_of(root, package)
        release.put(modelkeep.Tag(states=[release.dump(b"shared")]))
    finally:
        os.umask(before)
    assert {path.name for path in root.rglob("*") if not path.stat().st_mode & 0o020} == set()


def aged(path: Path, seconds: float) -> None:
    """Let a file look older than it is."""
    os.utime(path, (time.time() - seconds,) * 2)


def keys_of(root: Path) -> list[str]:
    """What the environment has."""
    with _engine.Engine(root, limit=None, sync=True)._now() as moment:
        assert moment.txn is not None
        return _engine._range(moment.txn, "")


def staged_of(root: Path) -> list[Path]:
    """What waits as files."""
    return [path for path in (root / "stage").rglob("*") if path.is_file() and path.suffix != ".mdb"]


@pytest.mark.usefixtures("small_cut")
def test_large_values_are_collected_with_all_their_parts(root: Path, package: Package) -> None:
    release = release_of(root, package)
    kept = release.put(Tag(states=[release.dump(os.urandom(50_000))]))
    before = sorted(keys_of(root))
    removed = release.put(Tag(states=[release.dump(os.urandom(40_000))]))
    removed.remove()
    release.dump(os.urandom(30_000))
    assert release.registry.collect(timedelta(hours=1)).size >= 40_000
    found = release.registry.collect(timedelta(0))
    assert 30_000 <= found.size < 31_000
    assert len(found.items) == 2
    left = [key for key in keys_of(root) if "/digits/1/" not in key or not key.endswith("2")]
    assert sorted(left) == before
    assert staged_of(root) == []
    assert len(kept.get(0)) == 50_000


@pytest.mark.usefixtures("small_cut")
@pytest.mark.parametrize("commits", [1, 2, 4])
def test_what_a_killed_writer_of_a_large_value_left_is_collected(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    release = release_of(root, package)
    writing, left = _engine.Engine._writing, [commits]

    def killed(engine: _engine.Engine) -> AbstractContextManager[object]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return writing(engine)

    state = os.urandom(12_000)
    monkeypatch.setattr(_engine.Engine, "_writing", killed)
    with pytest.raises(KeyboardInterrupt):
        release.dump(state)
    monkeypatch.setattr(_engine.Engine, "_writing", writing)
    assert release.registry.collect(timedelta(hours=1)).items == ()
    told = release.registry.collect(timedelta(0), dry_run=True)
    assert told.size == commits * 3000
    assert release.registry.collect(timedelta(0)) == told
    assert not [key for key in keys_of(root) if key.startswith("part/")]
    assert staged_of(root) == []
    assert release.put(Tag(states=[release.dump(state)])).get(0) == state


@pytest.mark.usefixtures("small_cut")
def test_a_large_value_that_is_being_written_is_left_alone(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another writer of the same bytes was killed long ago."""
    release, other = release_of(root, package), release_of(root)
    state = os.urandom(50_000)
    engine = _engine.Engine(root, limit=None, sync=True)
    key = f"blob/{digest(state).removeprefix(PREFIX)}"
    engine._put_file(f"cut/{key}", memoryview(b""))
    with engine._writing() as (_, txn):
        txn.put(_engine._part(key, 0).encode(), state[:3000])
    aged(root / "stage" / "cut" / key, 9999)
    assert other.registry.collect(timedelta(hours=1), dry_run=True).items == (key,)
    put, found = _engine.Engine._put_file, []

    def beside(engine: _engine.Engine, key: str, value: memoryview) -> None:
        put(engine, key, value)
        found.append(other.registry.collect(timedelta(hours=1)).items)

    with monkeypatch.context() as patched:
        patched.setattr(_engine.Engine, "_put_file", beside)
        sid = release.dump(state)
    assert found == [(), ()]
    assert release.put(Tag(states=[sid])).get(0) == state


def test_pages_of_what_is_collected_are_free_for_others(root: Path, package: Package) -> None:
    release = release_of(root, package)
    generations = [release.put(Tag(states=[release.dump(os.urandom(200_000))])) for _ in range(5)]
    for each in generations[1:]:
        each.remove()
    engine = _engine.Engine(root, limit=None, sync=True)
    before = engine.stat()
    found = release.registry.collect(timedelta(hours=1))
    after = engine.stat()
    assert found.size >= 800_000
    assert after["free_pages"] - before["free_pages"] >= 800_000 // 4096
    for _ in range(4):
        release.put(Tag(states=[release.dump(os.urandom(150_000))]))
    # four times 37, if they were not used again
    assert engine.stat()["pages"] <= after["pages"] + 60
    assert len(generations[0].get(0)) == 200_000


def test_a_file_that_is_half_written_is_left_alone_for_an_hour(root: Path, package: Package) -> None:
    release = release_of(root, package)
    release.dump(b"waits")
    half = root / "stage" / "blob" / f".{uuid4().hex}"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    aged(half, 3500)
    release.registry.collect(timedelta(0))
    assert staged_of(root) == [half]
    aged(half, 3700)
    assert release.registry.collect(timedelta(hours=1)).items == ()
    assert release.registry.collect(timedelta(0)).size == 4
    assert staged_of(root) == []


def test_a_stage_that_can_not_be_listed_stops_a_collection(
    root: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what waits there would lose the bytes that it names."""
    monkeypatch.setattr(_stage, "LIMIT", 0)
    release = release_of(root, package)
    release.put(Tag(states=[release.dump(b"same")])).remove()
    sid = release.dump(b"same")
    scandir = os.scandir

    def failing(path: str) -> object:
        if "state" in str(path):
            raise OSError(5, "input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(StorageError, match="input/output"):
        release.registry.collect(timedelta(hours=1))
    monkeypatch.undo()
    assert release.put(Tag(states=[sid])).get(0) == b"same"

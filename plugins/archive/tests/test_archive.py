"""What only the archive has; the contract is tested by test_conformance.py."""

import contextlib
import datetime as dt
import functools
import hashlib
import io
import itertools
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modelkeep
import modelkeep_archive
from modelkeep import (
    CorruptedError,
    Descriptor,
    Error,
    Manifest,
    Package,
    Release,
    StorageError,
    Tag,
    Training,
    UnsupportedError,
)
from modelkeep.backend import digest
from modelkeep_archive import __main__, _blobs, _commit, _format, _index, _stage, _tree
from modelkeep_archive._engine import Engine
from modelkeep_archive._frames import Frames, compress

PROJECT = "digits"


@pytest.fixture
def package(tmp_path: Path) -> Package:
    source = tmp_path / "source"
    (source / "digits").mkdir(parents=True)
    (source / "digits" / "__init__.py").write_text("")
    return Package.create(source, tmp_path / "digits.4ml", Manifest(PROJECT, "1.0.0", "digits"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models.tar.zst"


@pytest.fixture
def engine(path: Path) -> Engine:
    return Engine(path, sync=False)


@pytest.fixture
def release(path: Path, package: Package) -> Release:
    return opened(path).put(package)


def opened(path: Path, **options: object) -> modelkeep.Project:
    return modelkeep.Directory(modelkeep.registry(provider="archive", path=str(path), **options)).get(PROJECT)


def unpack(path: Path) -> dict[str, bytes]:
    """What Python's tarfile finds in an archive, links followed; the tools of the system have to agree."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
        content = reader.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        names = tar.getnames()
    if shutil.which("zstd"):
        run("zstd", "-qt", str(path))
        if shutil.which("tar"):
            assert run("tar", "--zstd", "-tf", str(path)).decode().split() == names
    return found


def run(*command: str) -> bytes:
    done = subprocess.run(command, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b""), f"{command}: {done.stderr!r}"
    return done.stdout


# An archive is a .tar.zst to the rest of the world.


def test_each_commit_leaves_a_tar_with_readable_names(path: Path, release: Release, package: Package) -> None:
    expected = {"digits/1.0.0/package.4ml": package.path.read_bytes()}
    for number in range(1, 40):
        content = b"%d" % (number // 2) * 999
        sid = release.dump(content)
        generation = release.put(Tag(training=Training.now(number), states=[sid]))
        expected[f"digits/1.0.0/{number}/{sid}.bin"] = content
        expected[f"digits/1.0.0/{number}/tag.toml"] = generation.tag.dumps().encode()
        found = unpack(path)
        assert found.pop(".modelkeep.txt").startswith(b"modelkeep archive, format 1\n")
        assert found == expected


def test_applications_are_in_the_tar_and_later_ones_come_later(path: Path, tmp_path: Path) -> None:
    inventory = modelkeep.inventory(provider="archive", path=str(path))
    for source in ("x = 1\n", "x = 2\n"):
        (tmp_path / "shop.py").write_text(source)
        inventory.put(Descriptor.Handle(tmp_path / "shop.py"))
    assert unpack(path)["applications/shop.py"] == b"x = 2\n"


def test_equal_states_are_one_member_and_links(path: Path, release: Release) -> None:
    content = os.urandom(100_000)
    for _ in range(3):
        release.put(Tag(states=[release.dump(content), release.dump(content)]))
    assert path.stat().st_size < 110_000
    assert [len(member) for name, member in unpack(path).items() if name.endswith(".bin")] == [100_000] * 6


@pytest.mark.skipif(not shutil.which("tar") or not shutil.which("zstd"), reason="needs tar and zstd; see unpack()")
def test_the_tools_of_the_system_unpack_it(path: Path, release: Release, tmp_path: Path) -> None:
    sids = [release.dump(b"one"), release.dump(b""), release.dump(b"one")]
    release.put(Tag(states=sids))
    (tmp_path / "out").mkdir()
    run("tar", "-C", str(tmp_path / "out"), "-xf", str(path))
    files = [tmp_path / "out" / "digits" / "1.0.0" / "1" / f"{sid}.bin" for sid in sids]
    assert [file.read_bytes() for file in files] == [b"one", b"", b"one"]
    assert files[0].samefile(files[2])


def test_long_names_and_no_names(path: Path, engine: Engine, tmp_path: Path) -> None:
    name = "p" * 200
    source = tmp_path / "source"
    (source / "x").mkdir(parents=True)
    manifest = modelkeep.Manifest(name, "1+" + "v" * 198, "x")
    release = modelkeep.Directory(modelkeep.registry(provider="archive", path=str(path))).get(name)
    sid = (got := release.put(Package.create(source, tmp_path / "x.4ml", manifest))).dump(b"state")
    got.put(Tag(states=[sid]))
    blob = f"blob/{digest(b'other').removeprefix('blake3:')}"
    engine.put(blob, memoryview(b"other"))
    engine.create("what/nobody/knows", b"record", needs=[blob])
    found = unpack(path)
    assert found[f"{name}/1+{'v' * 198}/1/{sid}.bin"] == b"state"
    assert found[blob.replace("blob/", ".blobs/")] == b"other"
    assert engine.get("what/nobody/knows") == b"record"


@pytest.mark.parametrize("hidden", [0xFFFFFFFF, 1000, 70])
def test_the_tar_is_valid_while_a_commit_is_written(
    path: Path, release: Release, monkeypatch: pytest.MonkeyPatch, hidden: int
) -> None:
    """Between any two writes of a commit, but for the two moments that FORMAT.md tells of."""
    monkeypatch.setattr(_commit, "_HIDDEN", hidden)
    states = [os.urandom(3000), bytes(5000)]
    sids = [release.dump(state) for state in states]
    before, seen = unpack(path), 0
    write, finish = _commit._write, _commit._Hidden.finish
    valid = False

    def finished(hidden: _commit._Hidden) -> bool:
        nonlocal valid
        valid = False
        return finish(hidden)

    def traced(fd: int, part: bytes, at: int) -> int:
        nonlocal seen, valid
        done = write(fd, part, at)
        valid = valid or part.startswith(_format.ZEROS) or part[8:9] == _format.ANNOUNCE
        if valid:
            found = unpack(path)
            assert found == before or len(found) == len(before) + 3
            seen += 1
            if not part.startswith(b"\x5d"):
                assert list(opened(path).get("1.0").list()) in ([], [1])
        return done

    monkeypatch.setattr(_commit, "_write", traced)
    monkeypatch.setattr(_commit._Hidden, "finish", finished)
    generation = release.put(Tag(states=sids))
    assert seen > 5
    assert [generation.get(sid) for sid in sids] == states


def test_every_frame_of_a_value_has_a_checksum(path: Path, release: Release) -> None:
    release.put(Tag(states=[release.dump(os.urandom(5 << 20))]))
    engine = Engine(path)
    at, length = engine.locate(next(key for key in blobs_of(engine) if engine.locate(key)[1] > 5 << 20))
    frame = path.read_bytes()[at : at + length]
    assert zstandard.get_frame_parameters(frame).has_checksum
    assert zstandard.get_frame_parameters(frame).content_size == 4 << 20


def blobs_of(engine: Engine) -> list[str]:
    index = engine._now()
    assert index is not None
    return [key for key in index._recent if key.startswith("blob/")]


def test_the_first_bytes_never_change() -> None:
    """They are in FORMAT.md; other versions of Python or zstd must not make other ones."""
    assert len(_format.HEAD) == 1088
    assert (
        hashlib.sha256(_format.HEAD).hexdigest() == "4fb771c1bfd30db82d9f57c22d4e7ca23de91fbcceb4e4c42d7584c066f9aded"
    )


def test_what_does_not_compress_is_stored_with_little_loss(path: Path, release: Release) -> None:
    state = os.urandom(9 << 20)
    before = path.stat().st_size
    release.put(Tag(states=[release.dump(state)]))
    assert path.stat().st_size - before < len(state) * 1.0005 + 2000


def test_level_and_threads(tmp_path: Path, package: Package) -> None:
    state = b"".join(b"%d," % number for number in range(2_000_000))
    sizes = {}
    for level in (1, 9):
        path = tmp_path / f"{level}.tar.zst"
        for threads in (1, 3):
            path.unlink(missing_ok=True)
            generation = (release := opened(path, level=level, threads=threads).put(package)).put(
                Tag(states=[release.dump(state)])
            )
            assert generation.get(0) == state
            sizes[level, threads] = path.stat().st_size
    assert sizes[1, 1] == pytest.approx(sizes[1, 3], abs=100)
    assert sizes[9, 1] < sizes[1, 1]


@pytest.mark.parametrize(
    "options",
    [{"level": 30}, {"level": True}, {"threads": 0}, {"threads": "2"}, {"sync": 1}, {"delta": 1}, {"path": 5}],
)
def test_bad_options_are_refused(path: Path, options: dict[str, object]) -> None:
    with pytest.raises(modelkeep.InvalidError):
        modelkeep.registry(**{"provider": "archive", "path": str(path), **options})


def test_a_part_is_read_without_the_rest(path: Path, release: Release) -> None:
    state = os.urandom(9 << 20)
    release.put(Tag(states=[release.dump(state)]))
    engine, blob = Engine(path), f"blob/{digest(state).removeprefix('blake3:')}"
    at, _ = engine.locate(blob)
    with path.open("r+b") as file:
        file.seek(at + 100)
        file.write(b"damaged")
    for start, stop in (
        (4 << 20, 4 << 20),
        (5 << 20, (5 << 20) + 7),
        ((8 << 20) - 3, (8 << 20) + 3),
        (8 << 20, 1 << 30),
    ):
        assert engine.part(blob, start, stop) == state[start:stop]
    with pytest.raises(modelkeep.CorruptedError):
        engine.part(blob, 0, 5)
    assert engine.part("blob/none", 0, 1) is None


def test_a_large_state_is_written_and_read_with_bounded_memory(path: Path, package: Package, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    code = f"""
import mmap, resource
import modelkeep
from modelkeep import Package, Tag
release = modelkeep.Directory(modelkeep.registry(provider="archive", path={str(path)!r}, threads=2)).get("digits").put(
    Package({str(package.path)!r}))
with open({str(large)!r}, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as state:
    resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))
    release.put(Tag(states=[release.dump(state)]))
"""
    run(sys.executable, "-c", code)
    assert path.stat().st_size < 1 << 20
    with opened(path).get("1.0").get().view(0) as view:
        assert len(view) == 1 << 30


@pytest.mark.parametrize("size", [0, 1, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 4 << 20, (4 << 20) + 1, 9_000_001])
def test_states_around_the_sizes_of_pages_and_frames_come_back(release: Release, size: int) -> None:
    for state in (os.urandom(size), bytes(size), (b"model" * (size // 5 + 1))[:size]):
        generation = release.put(Tag(states=[release.dump(state)]))
        assert generation.get(0) == state
        with generation.view(0) as view:
            assert view == state
            assert view.readonly


def test_a_view_is_kept_by_what_is_made_of_it(release: Release) -> None:
    state = os.urandom(5 << 20)
    with release.put(Tag(states=[release.dump(state)])).view(0) as view:
        part = view[4 << 20 :]
    assert part == state[4 << 20 :]


def test_a_state_is_hashed_once_when_it_is_read(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    state = os.urandom(5 << 20)
    generation = release.put(Tag(states=[release.dump(state)]))
    hashed: list[int] = []

    def counted(content: bytes) -> str:
        hashed.append(len(content))
        return digest(content)

    monkeypatch.setattr("modelkeep.keyvalue.digest", counted)
    monkeypatch.setattr(_blobs, "digest", counted)
    assert generation.get(0) == state
    with generation.view(0) as view:
        assert view == state
    assert hashed == []


def test_sound_frames_of_another_state_are_damage(
    path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of what was decompressed counts, not only those of the frames."""
    states = [os.urandom(5 << 20), os.urandom(5 << 20), b"one", b"two"]
    generation = release.put(Tag(states=[release.dump(state) for state in states]))
    record = _blobs.record
    other: dict[str, str] = dict(
        zip(map(blob_of, states), map(blob_of, [states[1], states[0], states[3], states[2]]), strict=True)
    )

    def exchanged(index: _index.Index, key: str) -> Any:
        return record(index, other.get(key, key))

    with monkeypatch.context() as patch:
        patch.setattr(_blobs, "record", exchanged)
        for position in range(4):
            with pytest.raises(CorruptedError, match="do not match their digest"):
                generation.get(position)
            with pytest.raises(CorruptedError, match="do not match their digest"), generation.view(position):
                pass
    # in the stage, too
    sid = release.dump(b"three")
    stage = _stage.Stage(f"{path}.stage")
    stage.put(blob_of(b"four"), memoryview(b"four"), 3, 1)
    stage._file(blob_of(b"four")).replace(stage._file(blob_of(b"three")))
    with pytest.raises(CorruptedError, match="Write it again"):
        release.put(Tag(states=[sid]))


def test_threads_read_and_write_at_once(release: Release) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            content = b"%d %d" % (number, turn) * 1000
            generation = release.put(Tag(states=[release.dump(content)]))
            if generation.get(0) != content:
                wrong.append(number)

    wrong: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert list(release.list()) == list(range(1, 61))


def test_nothing_is_left_in_the_stage(path: Path, release: Release) -> None:
    release.put(Tag(states=[release.dump(b"x"), release.dump(b"y" * 9_000_000)]))
    assert list(Path(f"{path}.stage").iterdir()) == []


def test_no_room_leaves_the_archive_as_it_was(path: Path, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    sid = release.dump(b"state" * 1000)
    before = path.read_bytes()
    write, writes = _commit._write, 0

    def full(fd: int, part: bytes, at: int) -> int:
        nonlocal writes
        writes += 1
        if writes == limit:
            raise OSError(28, "No space left on device")
        return write(fd, part, at)

    monkeypatch.setattr(_commit, "_write", full)
    for limit in range(1, 9):  # noqa: B007  # read by full()
        writes = 0
        with pytest.raises(StorageError):
            release.put(Tag(states=[sid]))
        assert path.read_bytes() == before
    writes, limit = 0, -1
    assert release.put(Tag(states=[sid])).get(0) == b"state" * 1000


# Torn, flipped and hostile archives: what is whole is read, the rest is told, nothing hangs.

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)


def state(number: int) -> bytes:
    return b"%d;" % number * 300


def grow(release: Release, number: int) -> None:
    generation = release.put(Tag(states=[release.dump(state(number))]))
    assert generation.key == number


def check(path: Path, count: int) -> None:
    release = opened(path).get("1.0")
    assert list(release.list()) == list(range(1, count + 1))
    for number in range(1, count + 1):
        assert release.get(number).get(0) == state(number)


def end_of(path: Path) -> int:
    index = Engine(path)._now()
    assert index is not None
    return index.end


@pytest.mark.parametrize(("commits", "run"), [(2, False), (13, True)])
def test_a_tail_torn_at_any_byte_loses_nothing_before_it(
    path: Path, package: Package, tmp_path: Path, commits: int, run: bool
) -> None:
    """With and without a run in the last commit (the first two commits are the format and the release)."""
    release = opened(path, sync=False).put(package)
    for number in range(1, commits + 1):
        grow(release, number)
    start = end_of(path)
    grow(release, commits + 1)
    end, whole = end_of(path), path.read_bytes()
    assert bool(Engine(path)._now()._runs) == run  # type: ignore[union-attr]
    torn = tmp_path / "torn.tar.zst"
    for cut in range(start, len(whole)):
        torn.write_bytes(whole[:cut])
        kept = commits + (cut >= end)
        check(torn, kept)
        if run and cut % 5:
            continue
        grow(opened(torn, sync=False).get("1.0"), kept + 1)
        check(torn, kept + 1)
        if cut % 97 == 0:
            assert len([name for name in unpack(torn) if name.endswith(".bin")]) == kept + 1


def test_what_was_put_behind_the_end_is_cut(path: Path, release: Release) -> None:
    grow(release, 1)
    for garbage in (b"\0", bytes(5000), os.urandom(5000), path.read_bytes()):
        with path.open("ab") as file:
            file.write(garbage)
        check(path, 1)
    grow(opened(path).get("1.0"), 2)
    check(path, 2)
    unpack(path)


def test_a_commit_is_there_when_its_announcement_is(path: Path, release: Release) -> None:
    """Power may go while the last two writes reach the disk, in any order; both are one flush."""
    grow(release, 1)
    index = Engine(path)._now()
    assert index is not None
    before = path.read_bytes()
    grow(release, 2)
    end, whole = end_of(path), path.read_bytes()
    hidden = len(whole) - index.end - _format.TAIL - 8
    head = before[index.end : index.end + _format.TAIL] + _format.hole(hidden)
    tail = _format.tail(end, index.start, index.commit, index.end)
    for first in (True, False):
        for last in (True, False):
            content = bytearray(whole)
            if not first:
                content[index.end : index.end + _format.ANNOUNCEMENT] = head
            if not last:
                content[end:] = tail
            path.write_bytes(content)
            unpack(path)
            check(path, 1 + first)
            grow(opened(path).get("1.0"), 2 + first)
            check(path, 2 + first)
            assert len([name for name in unpack(path) if name.endswith(".bin")]) == 2 + first


@pytest.mark.parametrize("delta", [False, True])
def test_a_flip_of_any_byte_is_told_or_harmless(
    path: Path, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delta: bool
) -> None:
    monkeypatch.setattr(_blobs, "worth", lambda *_: True)
    release = opened(path, sync=False, delta=delta).put(package)
    for number in range(1, 4):
        grow(release, number)
    assert len(differences(path)) == 2 * delta
    (tmp_path / "shop.py").write_text("x = 1\n")
    modelkeep.inventory(provider="archive", path=str(path), sync=False).put(Descriptor.Handle(tmp_path / "shop.py"))
    whole = path.read_bytes()
    noticed = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.Random(place).randrange(8)
        path.write_bytes(damaged)
        noticed += _read_all(path, 3) > 0
    assert noticed > len(whole) // 3


def _read_all(path: Path, count: int) -> int:
    """How many reads find damage; none is wrong, and none fails in another way."""
    registry = modelkeep.registry(provider="archive", path=str(path))
    inventory = modelkeep.inventory(provider="archive", path=str(path))
    reads: list[tuple[Any, Any]] = [
        (lambda: list(registry.generations(PROJECT, "1.0")), list(range(1, count + 1))),
        (lambda: registry.latest(PROJECT, "1.0"), count),
        (lambda: inventory.get("shop").source, b"x = 1\n"),
        (lambda: [str(each) for each in registry.releases(PROJECT)], ["1.0.0"]),
    ]
    reads += [(functools.partial(_only_state, registry, number), state(number)) for number in range(1, count + 1)]
    found = 0
    for read, expected in reads:
        try:
            got = read()
        except (CorruptedError, UnsupportedError):
            found += 1
        else:
            # a release whose record is damaged is listed as it is spelled canonically
            assert got in (expected, ["1"])
    return found


def _only_state(registry: modelkeep.Registry, number: int) -> bytes:
    names = modelkeep.Project.Key(PROJECT), Release.Key("1.0"), modelkeep.Generation.Key(number)
    (sid,) = registry.open(*names).states
    with registry.view(*names, sid) as view:
        assert view == registry.read(*names, sid)
        return bytes(view)


def _damage(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_run_is_made_again_from_the_commits(path: Path, package: Package, number: int) -> None:
    release = opened(path, sync=False).put(package)
    for count in range(1, 40):
        grow(release, count)
    engine = Engine(path)
    index = engine._now()
    assert index is not None
    for run in index._runs:
        _damage(path, run[number] + 40)
    check(path, 39)
    assert opened(path).get("1.0").get().key == 39
    # the next commits write a sound one
    for count in range(40, 60):
        grow(opened(path, sync=False).get("1.0"), count)
    check(path, 59)
    unpack(path)


def test_a_damaged_commit_is_told_and_what_is_found_is_read(path: Path, package: Package) -> None:
    release = opened(path, sync=False).put(package)
    for count in range(1, 6):
        grow(release, count)
    index = Engine(path)._now()
    assert index is not None
    _damage(path, list(index._lists)[-2] + 40)
    release = opened(path).get("1.0")
    assert release.get(5).get(0) == state(5)
    assert release.get(3).get(0) == state(3)
    size = path.stat().st_size
    for call in (lambda: release.get(4).tag, release.list, lambda: release.dump(b"new"), lambda: Engine(path).pack()):
        with pytest.raises(CorruptedError, match="damaged"):
            call()
    assert path.stat().st_size == size


def test_damaged_bytes_are_healed_by_writing_them_again(path: Path, release: Release) -> None:
    content = os.urandom(5000)
    generation = release.put(Tag(states=[release.dump(content)]))
    for what in ("frames", "record"):
        engine = Engine(path)
        index = engine._now()
        assert index is not None
        (blob,) = [key for key in index._recent if key.startswith("blob/") and engine.get(key) == content]
        _damage(path, 30 + (engine.locate(blob)[0] if what == "frames" else index._recent[blob]))
        with pytest.raises(CorruptedError):
            generation.get(0)
        again = release.put(Tag(states=[release.dump(content)]))
        assert again.get(0) == generation.get(0) == content
    # the damaged frame is in the tar as long as the archive is not packed
    Engine(path).pack()
    unpack(path)
    assert generation.get(0) == content


def test_a_newer_format_is_refused_by_name(path: Path, release: Release) -> None:
    head = bytearray(path.read_bytes())
    head[: len(_format.HEAD)] = _format._head(3)
    path.write_bytes(head)
    with pytest.raises(UnsupportedError, match="format 3"):
        opened(path).get("1.0").list()


@pytest.mark.parametrize("content", [b"", b"x", bytes(2000), b"\x28\xb5\x2f\xfd" * 1000])
def test_what_is_no_archive_is_refused(path: Path, package: Package, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptedError):
        opened(path).list()
    with pytest.raises(CorruptedError):
        opened(path).put(package)
    assert path.read_bytes() == content


@pytest.fixture(scope="module", params=[False, True])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sample")
    (folder / "source" / "digits").mkdir(parents=True)
    package = Package.create(folder / "source", folder / "x.4ml", modelkeep.Manifest(PROJECT, "1.0.0", "digits"))
    release = opened(folder / "a.tar.zst", sync=False, delta=request.param).put(package)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blobs, "worth", lambda *_: True)
        for number in range(1, 20):
            grow(release, number)
    return (folder / "a.tar.zst").read_bytes()


def use(path: Path) -> None:
    """Read and write; whatever the archive is, only errors of ours may come out."""
    for work in (
        lambda: [release.list() for project in [opened(path)] for release in [project.get("1.0")]],
        lambda: [_only_state(modelkeep.registry(provider="archive", path=str(path)), number) for number in (1, 10, 19)],
        lambda: modelkeep.inventory(provider="archive", path=str(path)).list(),
        lambda: opened(path, sync=False).get("1.0").put(Tag()),
        lambda: opened(path).get("1.0").get().tag,
        Engine(path, sync=False).pack,
        lambda: modelkeep.registry(provider="archive", path=str(path)).projects(),
    ):
        with contextlib.suppress(Error, OSError):
            work()


places = st.integers(0, 1 << 16)


@SLOW
@given(
    edits=st.lists(st.tuples(st.sampled_from(["flip", "cut", "drop", "copy", "fill"]), places, places, places)),
)
def test_damaged_archives(edits: list[tuple[str, int, int, int]], sample: bytes, tmp_path_factory: Any) -> None:
    content = bytearray(sample)
    for kind, one, two, three in edits:
        size = len(content) or 1
        start, length, place = one % size, two % 300, three % size
        if kind == "flip" and content:
            content[start] ^= 1 << two % 8
        elif kind == "cut":
            del content[start:]
        elif kind == "drop":
            del content[start : start + length]
        elif kind == "copy":
            content[place : place + length] = content[start : start + length]
        elif kind == "fill":
            content[start : start + length] = bytes([three % 256]) * length
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "a.tar.zst").write_bytes(content)
    use(folder / "a.tar.zst")
    shutil.rmtree(folder)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5000)
    | st.sampled_from([2**31, 2**63, 2**64, -(2**70), 1088, 1152])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["format", f"release/{PROJECT}/1", f"generation/{PROJECT}/1/{1:019}"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
fields = ("start", "recent", "runs", "items")


@SLOW
@given(record=st.fixed_dictionaries({}, optional=dict.fromkeys(fields, junk)) | junk, known=st.booleans())
def test_hostile_commits(record: Any, known: bool, tmp_path_factory: Any) -> None:
    if known and isinstance(record, dict):
        record = {"start": 1088, "recent": [], "runs": [], "items": []} | record
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "a.tar.zst").write_bytes(archive(json.dumps(record).encode()))
    use(folder / "a.tar.zst")
    shutil.rmtree(folder)


def archive(*contents: bytes, kinds: bytes = b"C") -> bytes:
    """An archive of one commit whose record, the last content, says what we like."""
    start = len(_format.HEAD)
    body = b""
    at = start + _format.ANNOUNCEMENT
    for kind, content in zip(kinds, contents, strict=True):
        at = start + _format.ANNOUNCEMENT + len(body)
        body += _format.pack(bytes([kind]), at, content)
    body += _format.blank(-(start + _format.ANNOUNCEMENT + len(body)) % _format.ALIGNMENT)
    end = start + _format.ANNOUNCEMENT + len(body)
    return _format.HEAD + _format.announcement(start, at, end) + body + _format.tail(end, start, at, end)


@SLOW
@given(
    record=st.fixed_dictionaries(
        {},
        optional={
            "name": junk,
            "size": st.sampled_from([0, 1, 1000, 1 << 40, 1 << 62, -1, True, "1"]),
            "at": junk,
            "frames": st.lists(st.integers(-1, 1 << 62), max_size=4) | junk,
            "digests": st.sampled_from(["", "0" * 16, "0" * 32]) | junk,
            "chunk": st.sampled_from([0, 1, 4 << 20, 64 << 20, 1 << 40]) | junk,
            "base": st.sampled_from(["x", "y", "z"]) | junk,
        },
    )
)
def test_hostile_blobs(record: dict[str, Any], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    sound = {"name": "x", "at": 1152, "frames": [100], "digests": "0" * 16, "chunk": 4 << 20, "size": 1000}
    blob = json.dumps({**sound, **record}).encode()
    commit = {"start": 1088, "recent": [], "runs": [], "items": [["blob/x", 1152], ["blob/y", 1152]]}
    path = folder / "a.tar.zst"
    path.write_bytes(archive(blob, json.dumps(commit).encode(), kinds=b"RC"))
    engine = Engine(path)
    assert engine.get("blob/x") in (b"", None) or record.get("size") == 0
    with engine.view("blob/x") as view:
        assert not view
    shutil.rmtree(folder)


def test_a_bomb_is_not_unpacked(path: Path) -> None:
    bomb = zstandard.ZstdCompressor(level=1).compressobj()
    body = b"".join([bomb.compress(bytes(1 << 20)) for _ in range(1100)]) + bomb.flush()
    box = _format.seal(_format.RECORD, 2000, body)
    assert _format.unpack(_format.RECORD, 2000, box) is None
    frames = compress(memoryview(bytes(100)), lambda _: None, 3, 1)
    assert Frames.of(frames.asdict(), 1000) == frames
    with pytest.raises(_format.DamagedError):
        Frames.of({**frames.asdict(), "frames": [70 << 20]}, 1 << 30)
    with pytest.raises(_format.DamagedError):
        Frames.of({**frames.asdict(), "size": 3 * (4 << 20), "frames": [1] * 3, "digests": "0" * 48}, 1000)


def test_many_references_to_one_commit_are_no_index(path: Path) -> None:
    record = {"start": 1088, "recent": [1152] * 1_000_000, "runs": [], "items": []}
    path.write_bytes(archive(json.dumps(record).encode()))
    assert _index.Index(_index.Source(str(path)), 1152, path.stat().st_size)._lost == 1152
    with pytest.raises(CorruptedError):
        opened(path).list()


# States that are stored as their differences from those of the generation before.


def differences(path: Path) -> dict[str, str]:
    """The blobs that are differences -> what they are from, by their keys."""
    engine = Engine(path)
    index = engine._now()
    assert index is not None
    digests = {key for each in index.keys("generation/") for key in _tree.blobs(each, index.get(each) or b"")}
    bases = {key: _blobs.member(_blobs.record(index, key))[1] for key in digests}
    return {key: base for key, base in bases.items() if base}


def blob_of(state: bytes) -> str:
    return f"blob/{digest(state).removeprefix('blake3:')}"


def trained(seed: int, size: int, edits: int) -> bytes:
    """Bytes that do not compress; further edits change a few more of them."""
    content = bytearray(random.Random(seed).randbytes(size))
    for edit in range(edits if size else 0):
        at = edit * 7919 % size
        content[at : at + 5] = b"%d" % edit
    return bytes(content)


@pytest.fixture
def smaller(path: Path, package: Package) -> Release:
    return opened(path, sync=False, delta=True).put(package)


def put(release: Release, *states: bytes) -> modelkeep.Generation:
    return release.put(Tag(states=[release.dump(state) for state in states]))


def test_states_of_all_sizes_come_back(path: Path, smaller: Release) -> None:
    sizes = (0, 1, 520, 5000, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9_000_000)
    expected = [[trained(size, size, edits) for size in sizes] for edits in range(3)]
    for number, states in enumerate(expected, 1):
        before = path.stat().st_size
        generation = put(smaller, *states)
        assert number == 1 or path.stat().st_size - before < 20_000
        for release in (smaller, opened(path).get("1.0")):
            for position, state in enumerate(states):
                assert release.get(number).get(position) == state
                with release.get(number).view(position) as view:
                    assert view == state
        assert generation.key == number
    assert len(differences(path)) == 2 * 5
    engine, state = Engine(path), expected[2][-1]
    assert engine.part(blob_of(state), 5_000_000, 5_000_009) == state[5_000_000:5_000_009]
    assert set(differences(path).values()) == {blob_of(state) for state in expected[0][-5:]}


def test_what_saves_too_little_or_is_too_large_is_stored_whole(
    path: Path, smaller: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(smaller, b"a" * 100_000, os.urandom(5000), trained(1, 100_000, 1))
    put(smaller, b"b" * 100_000, os.urandom(5000))
    assert differences(path) == {}
    monkeypatch.setattr(_blobs, "MOST", 99_999)
    put(smaller, trained(1, 100_000, 2))
    assert differences(path) == {}


def test_a_base_is_stored_whole_and_a_new_one_is_taken_in_time(path: Path, smaller: Release) -> None:
    states = [trained(3, 100_000, edits) for edits in range(0, 60_000, 4000)]
    generations = [put(smaller, state) for state in states]
    bases = differences(path)
    assert 5 < len(bases) < len(states) - 1
    assert not bases.keys() & set(bases.values())
    assert [generation.get(0) for generation in generations] == states


def test_equal_states_are_stored_once_though_they_are_differences(path: Path, smaller: Release) -> None:
    one, two = (trained(1, 100_000, edits) for edits in (0, 1))
    put(smaller, one)
    put(smaller, two, two)
    put(smaller, one, two)
    put(opened(path).get("1.0"), two)
    assert path.stat().st_size < 110_000
    names = [name.partition(".bin")[2] for name in unpack(path) if ".bin" in name]
    assert names == ["", ".base", ".delta", ".base", ".delta", "", ".base", ".delta", ".base", ".delta"]
    assert smaller.get(4).get(0) == smaller.get(3).get(1) == smaller.get(2).get(1) == two


@pytest.mark.skipif(not shutil.which("tar") or not shutil.which("zstd"), reason="needs tar and zstd; see unpack()")
@pytest.mark.parametrize("size", [5000, 100 << 20])
def test_the_tools_of_the_system_restore_it(path: Path, smaller: Release, tmp_path: Path, size: int) -> None:
    """By the command that FORMAT.md gives; the larger states need a larger window than zstd allows by default."""
    states = [trained(1, size, edits) for edits in range(3)]
    sids = [put(smaller, state).tag.states[0] for state in states]
    assert [smaller.get(number).get(0) for number in (1, 2, 3)] == states
    (tmp_path / "out").mkdir()
    run("tar", "-C", str(tmp_path / "out"), "-xf", str(path))
    text = Path(__file__).parents[1].joinpath("FORMAT.md").read_text()
    (command,) = [line for line in text.splitlines() if "--patch-from" in line and line.startswith("    ")]
    run("sh", "-c", f"cd {tmp_path / 'out'} && {command}")
    for number, (sid, state) in enumerate(zip(sids, states, strict=True), 1):
        assert (tmp_path / f"out/digits/1.0.0/{number}/{sid}.bin").read_bytes() == state


def test_damage_of_a_base_is_told_of_what_needs_it_and_healed_for_both(path: Path, smaller: Release) -> None:
    one, two, other = trained(1, 50_000, 0), trained(1, 50_000, 1), os.urandom(5000)
    generations = [put(smaller, one), put(smaller, two), put(smaller, other)]
    engine = Engine(path)
    index = engine._now()
    assert index is not None
    name = f"digits/1.0.0/1/{generations[0].tag.states[0]}.bin"
    for told in (name, blob_of(one)):
        _damage(path, 30 + (engine.locate(blob_of(one))[0] if told == name else index._recent[blob_of(one)]))
        with pytest.raises(CorruptedError, match=rf"1.0.0/2.*kept as the difference from {told}"):
            generations[1].get(0)
        with pytest.raises(CorruptedError, match="kept as the difference from"), generations[1].view(0):
            pass
        with pytest.raises(CorruptedError) as raised:
            generations[0].get(0)
        assert "kept as the difference" not in str(raised.value)
        assert generations[2].get(0) == other
        put(smaller, one)
        assert [each.get(0) for each in generations] == [one, two, other]
        engine = Engine(path)
        index = engine._now()
        assert index is not None
        assert differences(path) == {blob_of(two): blob_of(one)}


def test_damage_of_a_difference_harms_nothing_else_and_is_healed(path: Path, smaller: Release) -> None:
    one, two, three = (trained(1, 50_000, edits) for edits in range(3))
    generations = [put(smaller, state) for state in (one, two, three)]
    _damage(path, Engine(path).locate(blob_of(two))[0] + 20)
    with pytest.raises(CorruptedError) as raised:
        generations[1].get(0)
    assert "kept as the difference" not in str(raised.value)
    assert (generations[0].get(0), generations[2].get(0)) == (one, three)
    put(smaller, two)
    assert [each.get(0) for each in generations] == [one, two, three]
    assert blob_of(two) not in differences(path)


def test_what_needs_a_damaged_base_may_be_healed_alone(path: Path, smaller: Release) -> None:
    one, two, three = (trained(1, 50_000, edits) for edits in range(3))
    generations = [put(smaller, state) for state in (one, two, three)]
    _damage(path, Engine(path).locate(blob_of(one))[0] + 20)
    sid = smaller.dump(two)
    # it takes a commit
    with pytest.raises(CorruptedError):
        generations[1].get(0)
    smaller.put(Tag(states=[sid]))
    assert generations[1].get(0) == two
    for number in (0, 2):
        with pytest.raises(CorruptedError):
            generations[number].get(0)
    assert differences(path) == {blob_of(three): blob_of(one)}


def test_no_difference_is_made_from_what_is_damaged(path: Path, smaller: Release) -> None:
    put(smaller, trained(1, 50_000, 0))
    _damage(path, Engine(path).locate(blob_of(trained(1, 50_000, 0)))[0] + 20)
    assert put(smaller, trained(1, 50_000, 1)).get(0) == trained(1, 50_000, 1)
    assert differences(path) == {}


def test_a_packed_archive_keeps_differences_and_their_bases(path: Path, smaller: Release) -> None:
    registry, key = smaller.registry, modelkeep.Project.Key(PROJECT)
    states = {5: trained(1, 50_000, 0), 3: trained(1, 50_000, 1), 7: trained(1, 50_000, 2)}
    for number, content in states.items():
        sid = smaller.dump(content)
        registry.close(key, Release.Key("1.0"), modelkeep.Generation.Key(number), Tag(states=[sid]))
    before = differences(path)
    assert len(before) == 2
    for _ in range(2):
        Engine(path).pack()
        assert {number: smaller.get(number).get(0) for number in states} == states
        assert differences(path) == before
        assert path.stat().st_size < 60_000
        assert {content for name, content in unpack(path).items() if name.endswith(".base")} == {states[5]}
        assert path.read_bytes().startswith(_format.HEADS[2])


def test_a_difference_outlives_a_pack_before_its_commit(
    path: Path, smaller: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Engine._differences

    def packed(engine: Engine, key: str, value: bytes) -> dict[str, _blobs.Blob]:
        made = make(engine, key, value)
        Engine(path).pack()
        return made

    monkeypatch.setattr(Engine, "_differences", packed)
    states = [trained(1, 50_000, edits) for edits in range(3)]
    generations = [put(smaller, state) for state in states]
    assert [each.get(0) for each in generations] == states
    assert len(differences(path)) == 2


def test_a_difference_is_not_committed_when_its_base_became_one(
    path: Path, smaller: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(smaller, trained(1, 50_000, 0))
    find = _blobs.find

    def found(index: _index.Index, key: str) -> _blobs.Blob | None:
        blob = find(index, key)
        # as it is under the lock
        return blob._replace(base=blob) if blob is not None and _commit._held else blob

    monkeypatch.setattr(_blobs, "find", found)
    generation = put(smaller, trained(1, 50_000, 1))
    monkeypatch.undo()
    assert generation.get(0) == trained(1, 50_000, 1)
    assert differences(path) == {}


def test_only_an_archive_with_differences_is_of_format_2(
    path: Path, smaller: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(smaller, trained(1, 50_000, 0))
    Engine(path).pack()
    assert path.read_bytes().startswith(_format.HEADS[1])
    put(smaller, trained(1, 50_000, 1))
    assert path.read_bytes().startswith(_format.HEADS[2])
    unpack(path)
    # what a version that knows format 1 says
    monkeypatch.setattr(_format, "VERSION", 1)
    monkeypatch.setattr(_format, "HEADS", {1: _format.HEADS[1]})
    with pytest.raises(UnsupportedError, match=r"has format 2.*up to 1: upgrade"):
        opened(path).get("1.0").list()


def test_what_version_0_1_wrote_with_differences_is_read(path: Path) -> None:
    shutil.copy(Path(__file__).with_name("golden-2.tar.zst"), path)
    states = [trained(1, 5000, edits) for edits in range(3)]
    assert [opened(path).get("1.0").get(number).get(0) for number in (1, 2, 3)] == states
    assert len(differences(path)) == 2


@SLOW
@given(edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=5), cut=st.integers(0, 200))
def test_hostile_differences(edits: list[tuple[int, int]], cut: int) -> None:
    value, base = trained(1, 5000, 1), trained(1, 5000, 0)
    content = bytearray(_blobs.difference(value, base, 3))
    for place, byte in edits:
        content[place % len(content)] = byte
    with contextlib.suppress(_format.DamagedError):
        restored = _blobs.restore(bytes(content[: len(content) - cut]), base)
        assert len(restored) <= _blobs.MOST
        # the bytes of the header that are no part of it may say anything
        assert restored == value or edits


@pytest.mark.parametrize("size", [_blobs.MOST + 1, 1 << 40, (1 << 64) - 3])
def test_a_difference_that_claims_too_much_is_damaged(size: int) -> None:
    header = b"\x28\xb5\x2f\xfd\xc0\xa8" + size.to_bytes(8, "little")
    for content in (
        header,
        header + b"\x03\x00\x00",
        header.replace(b"\xc0", b"\xe0"),
        b"",
        b"\x28\xb5\x2f\xfd\x00\xa8",
    ):
        with pytest.raises(_format.DamagedError):
            _blobs.restore(content + bytes(50), b"base" * 100)


@pytest.mark.parametrize("base", [b"", b"short"])
def test_a_difference_from_hardly_anything_is_damaged_or_right(base: bytes) -> None:
    with contextlib.suppress(_format.DamagedError):
        assert _blobs.restore(zstandard.ZstdCompressor().compress(b"whole"), base) == b"whole"


# Many processes and handles, and what they may find.

_COMMITS = """
import os, sys
import modelkeep
from modelkeep import Tag
release = modelkeep.Directory(modelkeep.registry(provider="archive", path=sys.argv[1])).get("digits").get("1.0")
if sys.argv[2] == "fork":
    release.list()
    for _ in range(2):
        os.fork()
for turn in range(50):
    content = b"%d %d" % (os.getpid(), turn) * 500
    generation = release.put(Tag(states=[release.dump(content), release.dump(b"shared")]))
    assert (generation.get(0), generation.get(1)) == (content, b"shared")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_commit_at_once(path: Path, release: Release, method: str) -> None:
    command = [sys.executable, "-c", _COMMITS, str(path), method]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(1 if method == "fork" else 4)]
    while len(release.list()) < 200 and not any(process.poll() for process in processes):
        before = [release.get(key).tag for key in release.list()]
        assert [release.get(key).tag for key in release.list()][: len(before)] == before
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    assert list(release.list()) == list(range(1, 201))
    found = unpack(path)
    assert len([name for name in found if name.endswith(".bin")]) == 400


_ENDLESS = """
import os, random, sys
import modelkeep
from modelkeep import Tag
registry = modelkeep.registry(provider="archive", path=sys.argv[1], delta=sys.argv[2] == "True")
release = modelkeep.Directory(registry).get("digits").get("1.0")
while True:
    content = os.urandom(8) + random.Random(5).randbytes(400_000)
    generation = release.put(Tag(states=[release.dump(content), release.dump(content[:9])]))
    print(int(generation.key), content[:8].hex(), flush=True)
"""


@pytest.mark.parametrize("delta", [False, True])
def test_killed_at_any_time(path: Path, release: Release, delta: bool) -> None:
    acknowledged: dict[int, bytes] = {}
    rest = random.Random(5).randbytes(400_000)
    for _ in range(25):
        process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(path), str(delta)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(random.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        process.wait()
        process.stdout.close()
        for line in lines:
            if line.count(b" ") == 1 and len(line.strip().partition(b" ")[2]) == 16:
                number, content = line.split()
                acknowledged[int(number)] = bytes.fromhex(content.decode()) + rest
        # but in the one moment of FORMAT.md: the head of a hiding frame is there, and the file is not longer yet
        if path.stat().st_size != end_of(path) + _format.ANNOUNCEMENT:
            unpack(path)
        keys = list(release.list())
        assert set(acknowledged) <= set(keys)
        for key in keys[-5:]:
            content = release.get(key).get(0)
            assert content[8:] == rest
            assert release.get(key).get(1) == content[:9]
            assert acknowledged.get(int(key), content) == content
    assert len(acknowledged) >= 25
    # each kill may leave a number that no difference is from, or one that is none
    assert bool(differences(path)) == delta


def test_readers_of_the_old_file_go_on_while_it_is_packed(path: Path, release: Release) -> None:
    contents = [os.urandom(1000) * 5 for _ in range(40)]
    for content in contents:
        release.put(Tag(states=[release.dump(content)]))
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            for number in range(1, 41):
                with release.get(number).view(0) as view:
                    time.sleep(0.0001)
                    if view != contents[number - 1]:
                        wrong.append(number)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            Engine(path).pack()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_writers_notice_that_it_was_packed(path: Path, release: Release) -> None:
    other = opened(path).get("1.0")
    for number in range(1, 31):
        one = (release, other)[number % 2]
        assert one.put(Tag(states=[one.dump(b"%d" % number * 100)])).key == number
        if number % 5 == 0:
            Engine(path).pack()
    assert [release.get(number).get(0) for number in range(1, 31)] == [b"%d" % n * 100 for n in range(1, 31)]
    unpack(path)


def test_a_packed_archive_has_all_that_is_named_and_nothing_else(path: Path, package: Package, tmp_path: Path) -> None:
    release = opened(path).put(package)
    for number in range(1, 50):
        release.put(Tag(states=[release.dump(b"%d" % number * 1000)]))
    for source in (b"x = 1", b"x = 2"):
        (tmp_path / "shop.py").write_bytes(source)
        modelkeep.inventory(provider="archive", path=str(path)).put(modelkeep.Descriptor.Handle(tmp_path / "shop.py"))
    sid = release.dump(b"later" * 100)
    tags = [release.get(number).tag for number in release.list()]
    before, size = unpack(path), path.stat().st_size
    path.chmod(0o640)
    Engine(path).pack()
    assert path.stat().st_size < size * 0.8
    assert path.stat().st_mode & 0o777 == 0o640
    assert unpack(path) == before
    release = opened(path).get("1.0")
    assert [release.get(number).tag for number in release.list()] == tags
    assert release.package().path.read_bytes() == package.path.read_bytes()
    assert modelkeep.inventory(provider="archive", path=str(path)).get("shop").source == b"x = 2"
    # what waited in the stage is still there
    assert release.put(Tag(states=[sid])).get(0) == b"later" * 100
    # ids stay taken
    with pytest.raises(modelkeep.ConflictError):
        release.registry.write(modelkeep.Project.Key(PROJECT), Release.Key("1"), tags[0].states[0], b"other")
    size = path.stat().st_size
    Engine(path).pack()
    assert path.stat().st_size <= size


def test_pack_leaves_what_waits(path: Path, release: Release) -> None:
    sids = [release.dump(b"old"), release.dump(b"new")]
    for file in Path(f"{path}.stage").iterdir():
        os.utime(file, (0, 0))
    Engine(path).pack()
    assert release.put(Tag(states=sids)).get(0) == b"old"


def test_pack_forgets_what_waits_for_a_week(path: Path, release: Release) -> None:
    old, new = release.dump(b"old"), release.dump(b"new")
    for file in Path(f"{path}.stage").iterdir():
        if b"old" in file.read_bytes() or str(old).encode() in file.read_bytes():
            os.utime(file, (0, 0))
    modelkeep_archive.Registry(path).pack()
    assert release.put(Tag(states=[new])).get(0) == b"new"
    with pytest.raises(modelkeep.Error):
        release.put(Tag(states=[old]))


# What nothing names is collected, and nothing else.

DAY = dt.timedelta(days=1)


def identity(path: Path) -> tuple[int, int]:
    return path.stat().st_dev, path.stat().st_ino


def age(path: Path) -> None:
    """Let all that is in the stage be an old thing."""
    for file in Path(f"{path}.stage").iterdir():
        os.utime(file, (0, 0), follow_symlinks=False)


def test_an_archive_is_written_anew_only_if_something_in_it_goes(path: Path, release: Release) -> None:
    put(release, b"one" * 1000)
    release.dump(b"waits")
    age(path)
    before = identity(path)
    assert len(release.registry.collect(DAY).items) == 2
    assert identity(path) == before
    content = os.urandom(100_000)
    put(release, content).remove()
    assert blob_of(content) in release.registry.collect(DAY, dry_run=True).items
    assert identity(path) == before
    collected = release.registry.collect(DAY)
    assert blob_of(content) in collected.items
    assert collected.size > 100_000 > path.stat().st_size
    assert release.registry.collect(DAY).items == ()
    assert release.get(1).get(0) == b"one" * 1000
    unpack(path)


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_that_wait_again_are_kept_though_nothing_names_them(path: Path, release: Release, packed: bool) -> None:
    content, other = os.urandom(5000), os.urandom(5000)
    put(release, content, other).remove()
    # it is in the archive, so only its record waits
    sid = release.dump(content)
    assert len(list(Path(f"{path}.stage").iterdir())) == 1
    if packed:
        modelkeep_archive.Registry(path).pack()
    else:
        assert blob_of(other) in release.registry.collect(DAY).items
    assert Engine(path).get(blob_of(other)) is None
    assert release.put(Tag(states=[sid])).get(0) == content


@pytest.mark.parametrize("waits", [False, True])
def test_a_base_goes_with_the_last_difference_from_it(path: Path, smaller: Release, waits: bool) -> None:
    states = [trained(1, 50_000, edits) for edits in range(4)]
    generations = [put(smaller, state) for state in states]
    assert set(differences(path).values()) == {blob_of(states[0])}
    for generation in generations[:3]:
        generation.remove()
    assert blob_of(states[0]) not in smaller.registry.collect(DAY).items
    assert generations[3].get(0) == states[3]
    assert path.read_bytes().startswith(_format.HEADS[2])
    unpack(path)
    sid = smaller.dump(states[0]) if waits else None
    generations[3].remove()
    assert (blob_of(states[0]) in smaller.registry.collect(DAY).items) != waits
    assert Engine(path).get(blob_of(states[3])) is None
    assert path.read_bytes().startswith(_format.HEADS[1])
    unpack(path)
    if sid is None:
        assert path.stat().st_size < 10_000
    else:
        assert smaller.put(Tag(states=[sid])).get(0) == states[0]


def test_what_is_written_while_the_archive_is_swept_is_kept(
    path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that were in the archive, and in the stage, when `write` looked."""
    content, other = os.urandom(5000), os.urandom(5000)
    put(release, content).remove()
    again = release.dump(other)
    age(path)
    sids: list[UUID] = []
    rewrite = Engine._rewrite

    def rewritten(engine: Engine, index: _index.Index, unlisted: set[str]) -> None:
        sids.extend(release.dump(state) for state in (content, other))
        # under the id whose record was deleted just now
        release.registry.write(PROJECT, "1.0", again, b"another")  # type: ignore[arg-type]
        rewrite(engine, index, unlisted)

    monkeypatch.setattr(Engine, "_rewrite", rewritten)
    release.registry.collect(DAY)
    assert len(sids) == 2
    generation = release.put(Tag(states=[*sids, again]))
    assert [generation.get(position) for position in range(3)] == [content, other, b"another"]


@pytest.mark.parametrize("known", [True, False])
def test_a_state_whose_bytes_went_before_its_record_came_gets_them_again(
    path: Path, release: Release, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    content = os.urandom(5000)
    if known:
        put(release, content).remove()
    create, calls = _stage.Stage.create, 0

    def late(stage: _stage.Stage, key: str, value: bytes) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            age(path)
            release.registry.collect(DAY)
        return create(stage, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(_stage.Stage, "create", late)
        sid = release.dump(content)
    assert calls == 1 + known
    assert release.put(Tag(states=[sid])).get(0) == content


def test_hostile_files_in_the_stage(path: Path, release: Release, tmp_path: Path) -> None:
    put(release, b"sound")
    kept = release.dump(b"waits")
    stage, outside = Path(f"{path}.stage"), tmp_path / "outside"
    outside.write_bytes(b"precious")
    (stage / "link").symlink_to(outside)
    (stage / "dangling").symlink_to(tmp_path / "nothing")
    (stage / "to-a-folder").symlink_to(tmp_path)
    os.mkfifo(stage / "pipe")
    (stage / "folder").mkdir()
    (stage / "folder" / "file").write_bytes(b"not ours")
    (stage / "long").write_bytes(b"x" * 5_000_000)
    (stage / "path").write_bytes(f"{outside}\nbody".encode())
    (stage / "empty").write_bytes(b"")
    for number, trailer in enumerate((b"", b"null", b"[" * 100_000, b'{"key": "%s"}' % str(outside).encode())):
        for length in (len(trailer), len(trailer) + 1, 0xFFFFFFFF):
            (stage / f"trailer-{number}-{length}").write_bytes(trailer + length.to_bytes(4, "little"))
    # a name of ours, with what is none of the two
    forged = _stage.Stage(str(stage))._file(f"generation/{PROJECT}/1/{1:019}")
    forged.rename(stage / forged.name) if forged.exists() else (stage / forged.name).write_bytes(
        f"generation/{PROJECT}/1/{1:019}\nbody".encode()
    )
    for file in stage.iterdir():
        if file.name in ("link", "dangling", "to-a-folder", "pipe", "long", "path", "empty", forged.name) or (
            file.name.startswith("trailer")
        ):
            os.utime(file, (0, 0), follow_symlinks=False)
    found = release.registry.collect(DAY, dry_run=True)
    assert release.registry.collect(DAY) == found
    assert len(found.items) == 8 + 12
    assert outside.read_bytes() == b"precious"
    assert (stage / "folder" / "file").read_bytes() == b"not ours"
    assert len(list(stage.iterdir())) == 3
    assert release.get(1).get(0) == b"sound"
    assert release.put(Tag(states=[kept])).get(0) == b"waits"


def test_a_sweep_that_is_killed_at_any_step_loses_nothing(path: Path, smaller: Release, tmp_path: Path) -> None:
    """At each event that Python sees, in a child."""
    states = [trained(1, 20_000, edits) for edits in range(3)]
    gone, waits = os.urandom(20_000), os.urandom(20_000)
    for state in states:
        put(smaller, state)
    put(smaller, gone).remove()
    put(smaller, waits).remove()
    sid, old = smaller.dump(waits), smaller.dump(b"old")
    for file in Path(f"{path}.stage").iterdir():
        if b"old" in file.read_bytes() or str(old).encode() in file.read_bytes():
            os.utime(file, (0, 0))
    saved = tmp_path / "saved"
    saved.mkdir()
    shutil.copy2(path, saved / path.name)
    shutil.copytree(f"{path}.stage", saved / "stage")
    outcomes = set()
    for step in itertools.count(1):
        path.unlink(missing_ok=True)
        shutil.rmtree(f"{path}.stage", ignore_errors=True)
        shutil.copy2(saved / path.name, path)
        shutil.copytree(saved / "stage", f"{path}.stage")
        child = os.fork()
        if not child:
            _die_at(step)
            with contextlib.suppress(BaseException):
                opened(path).registry.collect(DAY)
                os._exit(0)
            os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9)
        outcomes.add(Engine(path).get(blob_of(gone)) is None)
        unpack(path)
        release = opened(path).get("1.0")
        assert [release.get(number).get(0) for number in (1, 2, 3)] == states
        # again, to the end
        release.registry.collect(DAY)
        assert Engine(path).get(blob_of(gone)) is None
        assert release.put(Tag(states=[sid])).get(0) == waits
        with pytest.raises(Error):
            release.put(Tag(states=[old]))
        if code == 0:
            break
    assert step > 20
    assert outcomes == {False, True}


def _die_at(step: int) -> None:
    count = 0

    def hook(event: str, _: object) -> None:
        nonlocal count
        if event.startswith(("open", "os.", "fcntl.", "mmap.")):
            count += 1
            if count == step:
                os._exit(9)

    sys.addaudithook(hook)


def test_who_reads_goes_on_while_the_archive_is_swept(path: Path, release: Release) -> None:
    contents = [os.urandom(100_000) for _ in range(3)]
    generations = [put(release, content) for content in contents]
    other = opened(path).get("1.0").get(2)
    with other.view(0) as view:
        generations[1].remove()
        release.registry.collect(DAY)
        assert view == contents[1]
    with pytest.raises(modelkeep.MissingError):
        other.get(0)
    assert [generations[number].get(0) for number in (0, 2)] == [contents[0], contents[2]]


def test_applications_and_aliases_outlive_a_sweep(path: Path, release: Release, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("x = 1\n")
    inventory = modelkeep.inventory(provider="archive", path=str(path))
    inventory.put(Descriptor.Handle(tmp_path / "shop.py"))
    generation = put(release, b"one")
    alias = opened(path).alias("live")
    alias.put(generation)
    put(release, os.urandom(1000)).remove()
    before = identity(path)
    release.registry.collect(DAY)
    assert identity(path) != before
    assert inventory.get("shop").source == b"x = 1\n"
    assert unpack(path)["applications/shop.py"] == b"x = 1\n"
    assert alias.get().get(0) == b"one"
    with pytest.raises(modelkeep.MissingError):
        release.get(2).tag  # noqa: B018  # a property that raises
    # its number is never given out again
    assert put(release, b"three").key == 3


def test_what_is_damaged_stops_a_sweep_only_if_it_may_be_needed(path: Path, release: Release) -> None:
    contents = [os.urandom(5000) for _ in range(3)]
    for content in contents:
        put(release, content)
    release.get(1).remove()
    engine = Engine(path)
    index = engine._now()
    assert index is not None
    _damage(path, index._recent[blob_of(contents[0])] + 30)
    sid = release.dump(b"waits")
    # nothing names it; a state that waits can have it from nowhere
    engine.pack()
    assert release.get(2).get(0) == contents[1]
    release.registry.collect(DAY)
    assert release.put(Tag(states=[sid])).get(0) == b"waits"
    index = Engine(path)._now()
    assert index is not None
    _damage(path, index._recent[blob_of(contents[1])] + 30)
    release.get(3).remove()
    before = path.read_bytes()
    with pytest.raises(CorruptedError, match="has lost blob"):
        release.registry.collect(DAY)
    assert path.read_bytes() == before
    assert put(release, contents[1]).get(0) == contents[1]
    release.registry.collect(DAY)
    assert release.get(2).get(0) == contents[1]
    _damage(path, next(iter(Engine(path)._now()._lists)) + 40)  # type: ignore[union-attr]
    with pytest.raises(CorruptedError, match="damaged"):
        opened(path).registry.collect(DAY)


def test_an_archive_stays_with_its_owner(path: Path, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = []

    def chown(_: Path, user: int, group: int) -> None:
        owners.append((user, group))
        raise PermissionError

    monkeypatch.setattr(os, "chown", chown)
    put(release, b"one")
    Engine(path).pack()
    assert owners == [(path.stat().st_uid, path.stat().st_gid)]


def test_packing_from_the_command_line(path: Path, release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(20):
        put(release, b"%d" % number * 100)
    put(release, gone := os.urandom(100_000)).remove()
    before = path.stat().st_size
    assert __main__.main(["pack", str(path)]) == 0
    told = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert told == {"before": str(before), "bytes": str(path.stat().st_size)}
    assert path.stat().st_size < before - 100_000
    assert len(release.list()) == 20
    assert Engine(path).get(blob_of(gone)) is None
    # what is loaded by name has the backend, and so `pack`, within
    release.registry.inner.pack()  # type: ignore[attr-defined]
    assert release.get(20).get(0) == b"19" * 100


def test_packing_nothing_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["pack", str(path)]) == 1
    assert "There is no archive" in capsys.readouterr().err
    path.write_bytes(b"no archive")
    assert __main__.main(["pack", str(path)]) == 1
    assert "is no archive of modelkeep" in capsys.readouterr().err
    assert path.read_bytes() == b"no archive"


def test_there_is_nothing_to_pack(path: Path) -> None:
    with pytest.raises(StorageError, match="no archive"):
        Engine(path).pack()
    assert not path.exists()


def test_a_handle_finds_a_new_file(path: Path, release: Release, package: Package, tmp_path: Path) -> None:
    release.put(Tag(states=[release.dump(b"first")]))
    copy = tmp_path / "copy.tar.zst"
    shutil.copy(path, copy)
    release.put(Tag())
    copy.replace(path)
    assert list(release.list()) == [1]
    path.unlink()
    assert opened(path).registry.projects() == ()
    opened(path).put(package).put(Tag())
    assert release.get().tag == Tag()


def test_pickles_are_small_and_work(release: Release) -> None:
    for number in range(30):
        release.put(Tag(states=[release.dump(b"%d" % number)]))
    data = pickle.dumps(release)
    assert len(data) < 1500
    assert pickle.loads(data).get(30).get(0) == b"29"


def test_a_child_that_lives_on_does_not_keep_the_lock(path: Path, release: Release) -> None:
    """Forked while another thread held it."""
    with _commit.locked(str(path)):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
    try:
        done = threading.Thread(target=release.put, args=(Tag(),))
        done.start()
        done.join(10)
        assert not done.is_alive()
        assert _commit._held == set()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_staged_blob_of_an_earlier_boot_is_verified(
    path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    for damaged in (False, True):
        sid = release.dump(os.urandom(5000))
        largest = max(Path(f"{path}.stage").iterdir(), key=lambda file: file.stat().st_size)
        if damaged:
            content = largest.read_bytes()
            largest.write_bytes(content[:1000] + bytes(1000) + content[2000:])
        with monkeypatch.context() as patch:
            patch.setattr(_stage, "boot", lambda: "another")
            if not damaged:
                assert len(release.put(Tag(states=[sid])).get(0)) == 5000
                continue
            with pytest.raises(modelkeep.CorruptedError, match="Write it again"):
                release.put(Tag(states=[sid]))


def test_a_lookup_is_quick_in_a_large_archive(path: Path, engine: Engine) -> None:
    """Commits and reads go through no more than some boxes, however many commits there are."""
    for number in range(1, 1000):
        engine.replace(f"generation/p/1/{number:019}", b"%d" % number)
    reads = 0
    read = _index.Source.read

    def counted(source: _index.Source, start: int, length: int) -> bytes:
        nonlocal reads
        reads += 1
        return read(source, start, length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_index.Source, "read", counted)
        fresh = Engine(path)
        assert fresh.last("generation/p/1/") == f"generation/p/1/{999:019}"
        assert fresh.get(f"generation/p/1/{1:019}") == b"1"
        assert fresh.get("generation/p/1/none") is None
        assert reads < 100
        reads = 0
        assert fresh.get(f"generation/p/1/{500:019}") == b"500"
        assert reads < 5
    assert len(fresh.keys("generation/p/1/")) == 999
    assert fresh.keys("generation/q/") == []
    assert fresh.last("generation/q/") is None


def test_a_replaced_record_is_the_newest_through_all_levels(engine: Engine) -> None:
    for number in range(600):
        engine.replace("application/a", b"%d" % number)
        if number % 7 == 0:
            assert engine.get("application/a") == b"%d" % number
    assert engine.keys("application/") == ["application/a"]
    engine.pack()
    assert engine.get("application/a") == b"599"


def test_read_only_use_needs_no_other_file(path: Path, release: Release) -> None:
    release.put(Tag(states=[release.dump(b"x" * 100)]))
    shutil.rmtree(f"{path}.stage")
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert opened(path).get("1.0").get().get(0) == b"x" * 100
        assert not Path(f"{path}.stage").exists()
    finally:
        path.parent.chmod(0o755)


# What is collected.

NOW = timedelta(0)


def unlisted(path: Path) -> set[str]:
    """The states and blobs of an archive."""
    index = Engine(path)._now()
    assert index is not None
    return index.unlisted()


def test_the_archive_gets_smaller_by_what_is_told(path: Path, release: Release, package: Package) -> None:
    kept = put(release, random.Random(1).randbytes(100_000))
    put(release, random.Random(2).randbytes(100_000)).remove()
    put(release, random.Random(3).randbytes(50_000), random.Random(1).randbytes(100_000)).remove()
    waits = release.dump(random.Random(4).randbytes(30_000))
    size, stage = path.stat().st_size, sum(file.stat().st_size for file in Path(f"{path}.stage").iterdir())
    told = release.registry.collect(NOW, dry_run=True)
    assert path.stat().st_size == size
    assert release.registry.collect(NOW) == told
    assert 180_000 <= told.size <= size + stage - path.stat().st_size
    assert told.size >= size + stage - path.stat().st_size - 10_000
    assert not Path(f"{path}.stage").exists()
    assert kept.get(0) == random.Random(1).randbytes(100_000)
    assert release.package().path.read_bytes() == package.path.read_bytes()
    with pytest.raises(modelkeep.MissingError):
        release.put(Tag(states=[waits]))
    names = unpack(path)
    assert sum(name.endswith(".bin") for name in names) == 1
    size = path.stat().st_size
    assert release.registry.collect(NOW).items == ()
    assert path.stat().st_size == size


def test_bytes_of_the_archive_that_wait_to_be_named_again_stay(path: Path, release: Release) -> None:
    """The stage has the record of such a state only: its bytes were there when it was written."""
    put(release, b"again" * 5000).remove()
    put(release, random.Random(2).randbytes(50_000)).remove()
    sid = release.dump(b"again" * 5000)
    found = release.registry.collect(timedelta(hours=1))
    assert 50_000 <= found.size < 52_000
    assert blob_of(b"again" * 5000) in unlisted(path)
    unpack(path)
    assert release.put(Tag(states=[sid])).get(0) == b"again" * 5000
    assert release.registry.collect(timedelta(hours=1)).items == ()


def test_what_others_are_differences_from_stays_as_long_as_they_do(path: Path, smaller: Release) -> None:
    states = [trained(1, 50_000, edits) for edits in range(3)]
    base, middle, last = (put(smaller, state) for state in states)
    assert len(differences(path)) == 2
    base.remove()
    middle.remove()
    told = smaller.registry.collect(NOW, dry_run=True)
    assert smaller.registry.collect(NOW) == told
    assert blob_of(states[0]) not in told.items
    assert blob_of(states[1]) in told.items
    assert set(differences(path).values()) == {blob_of(states[0])}
    assert last.get(0) == states[2]
    assert smaller.registry.collect(NOW).items == ()
    last.remove()
    smaller.registry.collect(NOW)
    assert path.stat().st_size < 10_000
    assert not {blob_of(state) for state in states} & unlisted(path)


def test_a_base_that_waits_to_be_named_again_outlives_its_differences(path: Path, smaller: Release) -> None:
    states = [trained(1, 50_000, edits) for edits in range(3)]
    for each in [put(smaller, state) for state in states]:
        each.remove()
    sid = smaller.dump(states[0])
    smaller.registry.collect(timedelta(hours=1))
    assert smaller.put(Tag(states=[sid])).get(0) == states[0]
    assert blob_of(states[1]) not in unlisted(path)


def test_what_is_half_written_is_left_alone_for_an_hour(path: Path, release: Release) -> None:
    release.dump(b"waits")
    half = Path(f"{path}.stage") / f".{'0' * 32}"
    half.write_bytes(b"half")
    for age, there in ((3500, True), (3700, False)):
        os.utime(half, (time.time() - age,) * 2)
        release.registry.collect(NOW)
        assert half.exists() == there


@pytest.mark.parametrize("name", ["replace", "chmod"])
def test_a_collection_that_fails_leaves_the_archive_as_it_was(
    path: Path, release: Release, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kept = put(release, b"kept" * 1000)
    put(release, random.Random(2).randbytes(50_000)).remove()
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(Path, name, fail)
        with pytest.raises(StorageError, match="no room"):
            release.registry.collect(NOW)
    assert path.read_bytes() == before
    assert release.registry.collect(NOW).size >= 50_000
    assert kept.get(0) == b"kept" * 1000


def test_an_archive_with_a_damaged_commit_is_not_collected(path: Path, release: Release) -> None:
    """Its list of keys is lost, so nobody knows what it named."""
    kept = [put(release, random.Random(number).randbytes(2000)) for number in range(3)]
    kept.pop().remove()
    index = Engine(path)._now()
    assert index is not None
    commits = [commit for commit, _ in _index.follow(index.source, len(_format.HEAD), index.end)]
    content = bytearray(path.read_bytes())
    content[commits[2] + 40] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptedError):
        opened(path).get("1.0").registry.collect(NOW)
    assert path.read_bytes() == content

"""Torn, flipped and hostile archives: what is whole is read, the rest is told, nothing hangs."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modelkeep
from modelkeep import CorruptedError, Descriptor, Error, Package, Release, Tag, UnsupportedError
from modelkeep_archive import _format, _index
from modelkeep_archive._engine import Engine
from modelkeep_archive._frames import Frames, compress

from .conftest import PROJECT, opened, unpack

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


def test_a_commit_whose_announcement_was_lost_is_finished(path: Path, release: Release) -> None:
    """Power may go while the last two writes reach the disk, in any order; both are one flush."""
    grow(release, 1)
    index = Engine(path)._now()
    assert index is not None
    before = path.read_bytes()
    grow(release, 2)
    end, whole = end_of(path), path.read_bytes()
    hidden = len(whole) - index.end - _format.TAIL - 8
    head = before[index.end : index.end + _format.TAIL] + _format.hole(hidden)
    tail = _format.tail(end, index.commit, index.end)
    for first in (True, False):
        for last in (True, False):
            content = bytearray(whole)
            if not first:
                content[index.end : index.end + _format.ANNOUNCEMENT] = head
            if not last:
                content[end:] = tail
            path.write_bytes(content)
            unpack(path)
            check(path, 1 + (first or last))
            grow(opened(path).get("1.0"), 2 + (first or last))
            check(path, 2 + (first or last))
            assert len([name for name in unpack(path) if name.endswith(".bin")]) == 2 + (first or last)


def test_a_flip_of_any_byte_is_told_or_harmless(path: Path, package: Package, tmp_path: Path) -> None:
    release = opened(path, sync=False).put(package)
    for number in range(1, 4):
        grow(release, number)
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
    for number in range(1, count + 1):
        reads.append((lambda n=number: _only_state(registry, n), state(number)))
    found = 0
    for read, expected in reads:
        try:
            got = read()
        except (CorruptedError, UnsupportedError):
            found += 1
        else:
            # a release whose record is damaged is listed as it is spelled canonically
            assert got == expected or got == ["1"]
    return found


def _only_state(registry: modelkeep.Registry, number: int) -> bytes:
    (sid,) = registry.open(PROJECT, "1.0", number).states
    with registry.view(PROJECT, "1.0", number, sid) as view:
        assert view == registry.read(PROJECT, "1.0", number, sid)
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
    engine = Engine(path)
    index = engine._now()
    assert index is not None
    (blob,) = [key for key in index._recent if key.startswith("blob/") and engine.get(key) == content]
    for place in (engine.locate(blob)[0] + 1000, index.place(blob) or 0):
        _damage(path, place + 30)
        with pytest.raises(CorruptedError):
            generation.get(0)
        again = release.put(Tag(states=[release.dump(content)]))
        assert again.get(0) == generation.get(0) == content
        engine = Engine(path)
        index = engine._now()
        assert index is not None
    unpack(path)


def test_a_newer_format_is_refused_by_name(path: Path, release: Release) -> None:
    head = bytearray(path.read_bytes())
    head[: len(_format.HEAD)] = _format._head(2)
    path.write_bytes(head)
    with pytest.raises(UnsupportedError, match="format 2"):
        release.list()


@pytest.mark.parametrize("content", [b"", b"x", bytes(2000), b"\x28\xb5\x2f\xfd" * 1000])
def test_what_is_no_archive_is_refused(path: Path, package: Package, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptedError):
        opened(path).list()
    with pytest.raises(CorruptedError):
        opened(path).put(package)
    assert path.read_bytes() == content


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sample")
    (folder / "source" / "digits").mkdir(parents=True)
    package = Package.create(folder / "source", folder / "x.4ml", modelkeep.Manifest(PROJECT, "1.0.0", "digits"))
    release = opened(folder / "a.tar.zst", sync=False).put(package)
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
        try:
            work()
        except (Error, OSError):
            pass


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
@given(record=st.fixed_dictionaries({}, optional={name: junk for name in fields}) | junk, known=st.booleans())
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
    return _format.HEAD + _format.announcement(start, at, end) + body + _format.tail(end, at, end)


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
        },
    )
)
def test_hostile_blobs(record: dict[str, Any], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    sound = {"name": "x", "at": 1152, "frames": [100], "digests": "0" * 16, "chunk": 4 << 20, "size": 1000}
    blob = json.dumps({**sound, **record}).encode()
    commit = {"start": 1088, "recent": [], "runs": [], "items": [["blob/x", 1152]]}
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

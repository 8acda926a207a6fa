"""An archive is a .tar.zst to the rest of the world."""

import hashlib
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest
import zstandard

import modelkeep
from modelkeep import Descriptor, Package, Release, StorageError, Tag, Training
from modelkeep.backend import digest
from modelkeep_archive import _commit, _format
from modelkeep_archive._engine import Engine

from .conftest import opened, run, unpack


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
    at, length = engine.locate(next(key for key in _blobs(engine) if engine.locate(key)[1] > 5 << 20))
    frame = path.read_bytes()[at : at + length]
    assert zstandard.get_frame_parameters(frame).has_checksum
    assert zstandard.get_frame_parameters(frame).content_size == 4 << 20


def _blobs(engine: Engine) -> list[str]:
    index = engine._now()
    assert index is not None
    return [key for key in index._recent if key.startswith("blob/")]


def test_the_first_bytes_never_change() -> None:
    """They are in FORMAT.md; other versions of Python or zstd must not make other ones."""
    assert len(_format.HEAD) == 1088
    assert hashlib.sha256(_format.HEAD).hexdigest() == "4fb771c1bfd30db82d9f57c22d4e7ca23de91fbcceb4e4c42d7584c066f9aded"


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
    "options", [{"level": 30}, {"level": True}, {"threads": 0}, {"threads": "2"}, {"sync": 1}, {"path": 5}]
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
    for start, stop in ((4 << 20, 4 << 20), (5 << 20, (5 << 20) + 7), ((8 << 20) - 3, (8 << 20) + 3), (8 << 20, 1 << 30)):
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


def test_no_room_leaves_the_archive_as_it_was(
    path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    for limit in range(1, 9):
        writes = 0
        with pytest.raises(StorageError):
            release.put(Tag(states=[sid]))
        assert path.read_bytes() == before
    writes, limit = 0, -1
    assert release.put(Tag(states=[sid])).get(0) == b"state" * 1000

"""One folder, ForML's own `posix` provider and modelkeep's `local` by turns."""
# ruff: noqa: DTZ001  # the timestamps of ForML are naive

from __future__ import annotations

import datetime as dt
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forml import project as prj
from forml.io import asset
from forml.provider.registry.filesystem import posix

import modelkeep
from modelkeep_forml import Registry
from modelkeep_forml._tag import from_forml

PROJECT, RELEASE = asset.Project.Key("toy"), asset.Release.Key("1.0")
UTC, EAST = dt.UTC, dt.timezone(dt.timedelta(hours=2))
WHEN = dt.datetime(2023, 6, 2, 8, 30)
TAGS = [
    asset.Tag(asset.Tag.Training(training, ordinal), asset.Tag.Tuning(tuning, score), states)
    for training, ordinal, tuning, score, states in [
        (WHEN, None, None, None, []),
        (WHEN.replace(microsecond=120000), 17.25, WHEN, -1.5, [uuid.UUID(int=1), uuid.UUID(int=2)]),
        (WHEN.replace(tzinfo=UTC), 1e-07, WHEN.replace(tzinfo=EAST, microsecond=5), 1e22, [uuid.UUID(int=3)]),
        (WHEN, 'a "quoted" \\ back\tslash\nand é', None, None, []),
        (WHEN, True, WHEN, 0.0, []),
        (WHEN, -5, None, None, []),
        (WHEN, dt.date(2023, 7, 31), None, None, []),
        (WHEN, dt.time(3, 4, 5), None, None, []),
        (WHEN, dt.datetime(2023, 7, 31, 1, 2, 3, 4, UTC), None, None, []),
    ]
]


@pytest.fixture
def ours(tmp_path: Path) -> Registry:
    return Registry(backend="local", path=tmp_path / "tree", staging=tmp_path / "staging")


@pytest.fixture
def theirs(tmp_path: Path) -> posix.Registry:
    return posix.Registry(tmp_path / "tree")


def train(registry: asset.Registry, content: bytes, tag: asset.Tag = TAGS[0]) -> asset.Generation:
    release = asset.Directory(registry).get("toy").get("1.0")
    sids = [release.dump(content), release.dump(content * 2), release.dump(b"")]
    return release.put(tag.replace(states=sids))


@pytest.mark.parametrize("tag", TAGS)
def test_tags_are_written_as_forml_writes_them(tag: asset.Tag) -> None:
    assert from_forml(tag).dumps().encode() == tag.dumps()


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_by_turns(
    first: str, ours: Registry, theirs: posix.Registry, make_package: Callable[..., prj.Package], tmp_path: Path
) -> None:
    package = make_package()
    turns = [ours, theirs] if first == "ours" else [theirs, ours]
    asset.Directory(turns[0]).get("toy").put(package)
    kept: dict[int, tuple[asset.Tag, bytes]] = {}
    for number in range(1, 9):
        writer = turns[number // 2 % 2]
        generation = train(writer, f"state {number}".encode(), TAGS[number % 3])
        assert generation.key == number
        kept[number] = (generation.tag, f"state {number}".encode())
        for reader in turns:
            # read anew, not from ForML's caches
            assert sorted(reader.generations(PROJECT, RELEASE)) == sorted(kept)
            for key, (tag, content) in kept.items():
                assert reader.open(PROJECT, RELEASE, key) == tag
                states = [reader.read(PROJECT, RELEASE, key, sid) for sid in tag.states]
                assert states == [content, content * 2, b""]
    asset.Directory(turns[1]).get("toy").put(make_package("1.1"))
    for reader in turns:
        assert sorted(reader.releases(PROJECT)) == [RELEASE, asset.Release.Key("1.1")]
        assert reader.pull(PROJECT, RELEASE).path.read_bytes() == package.path.read_bytes()
        assert reader.mount(PROJECT, RELEASE).package == "toy"


def test_folder_package(
    ours: Registry, theirs: posix.Registry, make_package: Callable[..., prj.Package], tmp_path: Path
) -> None:
    make_package().install(tmp_path / "folder")
    theirs.push(prj.Package(tmp_path / "folder"))
    make_package("2.0").install(tmp_path / "folder2")
    ours.push(prj.Package(tmp_path / "folder2"))
    for reader in (ours, theirs):
        for release in ("1.0", "2.0"):
            pulled = reader.pull(PROJECT, asset.Release.Key(release))
            assert pulled.path.is_dir()
            assert str(pulled.manifest.version) == release


def test_reading_rewrites_nothing(
    ours: Registry,
    theirs: posix.Registry,
    make_package: Callable[..., prj.Package],
    tmp_path: Path,
    snapshot: Callable[[Path], dict[str, object]],
) -> None:
    theirs.push(make_package())
    for number in range(3):
        train(theirs, bytes([number]))
    before = snapshot(tmp_path / "tree")
    for generation in ours.generations(PROJECT, RELEASE):
        for sid in ours.open(PROJECT, RELEASE, generation).states:
            ours.read(PROJECT, RELEASE, generation, sid)
            with ours._inner.view(PROJECT, "1.0", generation, sid):
                pass
    ours.pull(PROJECT, RELEASE)
    ours.mount(PROJECT, RELEASE)
    ours.projects()
    ours.releases(PROJECT)
    assert snapshot(tmp_path / "tree") == before
    files = [str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*") if path.is_file()]
    # and writing beside it leaves what is there as it is
    train(ours, b"new")
    after = snapshot(tmp_path / "tree")
    assert files
    assert {name: after[name] for name in files} == {name: before[name] for name in files}


def test_our_digests_are_ignored_by_forml(
    ours: Registry, theirs: posix.Registry, make_package: Callable[..., prj.Package], tmp_path: Path
) -> None:
    ours.push(make_package())
    tag = train(ours, b"state", TAGS[2]).tag
    raw = (tmp_path / "tree" / "toy" / "1.0" / "1" / "tag.toml").read_bytes()
    assert b"blake3:" in raw
    assert asset.Tag.loads(raw) == tag
    assert tomllib.loads(raw.decode())["training"]["timestamp"] == tag.training.timestamp
    # the part that ForML knows is what its own writer would have written
    assert tag.dumps() in raw


def test_what_only_we_can_write_does_not_break_the_others(
    ours: Registry, theirs: posix.Registry, make_package: Callable[..., prj.Package]
) -> None:
    ours.push(make_package())
    ours.close(PROJECT, RELEASE, 1, asset.Tag())
    ours.close(PROJECT, RELEASE, 2, TAGS[0])
    # ForML itself can't read a tag without a training; it still lists it, and reads the next
    with pytest.raises(KeyError):
        theirs.open(PROJECT, RELEASE, 1)
    assert theirs.open(PROJECT, RELEASE, 2) == TAGS[0]


def test_a_state_that_forml_moved_out_of_the_stage(
    ours: Registry, theirs: posix.Registry, make_package: Callable[..., prj.Package]
) -> None:
    ours.push(make_package())
    sid = uuid.uuid4()
    ours.write(PROJECT, RELEASE, sid, b"state")
    theirs.close(PROJECT, RELEASE, 1, TAGS[0].replace(states=[sid]))
    ours.close(PROJECT, RELEASE, 2, TAGS[0].replace(states=[sid]))
    for reader in (ours, theirs):
        assert [reader.read(PROJECT, RELEASE, number, sid) for number in (1, 2)] == [b"state"] * 2


def test_modelkeep_reads_a_package_of_forml_as_data(make_package: Callable[..., prj.Package]) -> None:
    package: Any = make_package()
    manifest = modelkeep.Package(package.path).manifest
    assert (manifest.name, str(manifest.version), manifest.package) == ("toy", "1.0", "toy")
    assert dict(manifest.modules) == {"pipeline": "toy.flow"}

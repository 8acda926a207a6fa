"""What only the local backend has; the contract is tested by test_conformance.py."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import modelkeep
import modelkeep_local
from modelkeep import (
    ConflictError,
    CorruptedError,
    Descriptor,
    Directory,
    Generation,
    InvalidError,
    Manifest,
    MissingError,
    Package,
    Project,
    Release,
    StorageError,
    Tag,
    Training,
    UnsupportedError,
)
from modelkeep.backend import digest_content, discard, seal
from modelkeep_local import _backend, _collect

SIDS = [UUID("c6dc021f-858a-4fb7-b789-b670072757b1"), UUID("18b2719d-4881-4148-a8bc-2b5490727cbf")]
#: As ForML 0.93 wrote it.
TAG = f"""\
states = [ "{SIDS[0]}", "{SIDS[1]}",]

[training]
timestamp = 2023-06-02T08:30:00Z
ordinal = 17.25

[tuning]
timestamp = 2023-06-02T09:30:00.120000+02:00
score = -1.5
"""
FORML = 'NAME = "toy"\nVERSION = "1.0"\nPACKAGE = "pkg"\nMODULES = {"flow": "pkg.flow"}'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Package]:
    """Make a package."""

    def pack(version: str = "1.0", name: str = "digits", *, folder: bool = False) -> Package:
        source = tmp_path / "sources" / uuid4().hex
        (source / "pkg").mkdir(parents=True)
        manifest = Manifest(name, version, "pkg")
        (source / "__modelkeep__.toml").write_text(manifest.dumps(), "utf-8")
        (source / "pkg" / "__init__.py").write_text("VALUE = 1\n", "utf-8")
        return Package(source) if folder else Package.create(source, source.with_suffix(".4ml"))

    return pack


@pytest.fixture
def open_store(root: Path) -> Callable[..., Any]:
    """Open the registry by name."""

    def open_store(**options: Any) -> Any:
        return modelkeep.registry(provider="local", **{"path": root, "sync": False, **options})

    return open_store


@pytest.fixture
def release(open_store: Callable[..., Any], pack: Callable[..., Package]) -> Release:
    return Directory(open_store()).get("digits").put(pack())


@pytest.fixture
def forml(root: Path) -> Path:
    """A tree of ForML: one project, one release, one generation of two states. Returns the folder of the release."""
    folder = root / "toy" / "1.0"
    (folder / "1").mkdir(parents=True)
    (folder / ".stage").mkdir()
    with zipfile.ZipFile(folder / "package.4ml", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__4ml__.py", FORML)
        archive.writestr("pkg/__init__.py", "")
        archive.writestr("pkg/flow.py", "VALUE = 1\n")
    (folder / "1" / "tag.toml").write_text(TAG, "utf-8")
    (folder / "1" / f"{SIDS[0]}.bin").write_bytes(b"first")
    (folder / "1" / f"{SIDS[1]}.bin").write_bytes(b"")
    return folder


def stats(root: Path) -> dict[str, tuple[int, ...]]:
    """All that changes when a file or folder changes."""
    found = {str(path): path.lstat() for path in [root, *root.rglob("*")]}
    return {
        name: (status.st_ino, status.st_mode, status.st_nlink, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for name, status in found.items()
    }


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


# the layout


def test_the_layout_is_that_of_the_documentation(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    release.put(Tag(states=[sid]))
    assert names(root) == {
        ".modelkeep.toml",
        "digits",
        "digits/.stage",
        "digits/1.0",
        "digits/1.0/package.4ml",
        "digits/1.0/release.toml",
        "digits/1.0/.stage",
        "digits/1.0/.stage/.complete",
        f"digits/1.0/.stage/{sid}.bin",
        f"digits/1.0/.stage/{sid}.toml",
        "digits/1.0/1",
        "digits/1.0/1/tag.toml",
        f"digits/1.0/1/{sid}.bin",
    }


def test_the_files_are_what_they_seem(root: Path, release: Release, pack: Callable[..., Package]) -> None:
    sid = release.dump(b"state")
    release.put(Tag(states=[sid]))
    assert (root / "digits/1.0/1" / f"{sid}.bin").read_bytes() == b"state"
    assert Package(root / "digits/1.0/package.4ml").manifest.name == "digits"
    folder = Directory(release.registry).get("digits").put(pack("2.0", folder=True))
    assert (root / "digits/2.0/package.4ml/pkg/__init__.py").read_text("utf-8") == "VALUE = 1\n"
    assert folder.package().folder


def test_the_folder_of_a_release_is_named_as_forml_does(
    root: Path, open_store: Callable[..., Any], pack: Callable[..., Package]
) -> None:
    registry = open_store()
    for version in ("v1.0.0-RC1", "2.0", "1!3.0+Ubuntu.1"):
        registry.push(pack(version))
    assert {path.name for path in (root / "digits").iterdir()} == {".stage", "1.0.0rc1", "2.0", "1!3.0+ubuntu.1"}
    assert [str(key) for key in registry.releases("digits")] == ["v1.0.0-RC1", "2.0", "1!3.0+Ubuntu.1"]


def test_a_tag_is_one_that_forml_reads(root: Path, release: Release) -> None:
    tag = Tag(Training.now("é"), states=[release.dump(b"")])
    release.put(tag)
    text = (root / "digits/1.0/1/tag.toml").read_text("utf-8")
    first, rest = text.split("\n", 1)
    assert first.startswith("# ")
    assert rest.startswith(tag.dumps())
    assert list(tomllib.loads(text)) == ["states", "training", "tuning", "modelkeep"]
    assert Tag.loads(text) == tag


def test_a_state_takes_its_space_once(root: Path, release: Release) -> None:
    sid = release.dump(b"state" * 1000)
    for _ in range(3):
        release.put(Tag(states=[sid]))
    assert len({path.stat().st_ino for path in root.rglob(f"{sid}.bin")}) == 1
    assert (root / "digits/1.0/1" / f"{sid}.bin").stat().st_nlink == 4


def test_equal_states_of_two_ids_are_two_files(root: Path, release: Release) -> None:
    sids = [release.dump(b"same") for _ in range(2)]
    release.put(Tag(states=sids))
    assert len({(root / "digits/1.0/1" / f"{sid}.bin").stat().st_ino for sid in sids}) == 2


def test_duplicates_in_a_tag_are_one_file(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    generation = release.put(Tag(states=[sid, sid]))
    assert [generation.get(index) for index in (0, 1)] == [b"state", b"state"]


@pytest.fixture(params=["EPERM", "ENOTSUP", "ENOSYS", "EMLINK", "EXDEV"])
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links, and what it says when one is asked for."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(getattr(errno, request.param), request.param)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(Path, "hardlink_to", refuse)


@pytest.mark.usefixtures("no_links")
def test_a_file_system_without_hard_links_gets_copies(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    for _ in range(2):
        assert release.put(Tag(states=[sid])).get(sid) == b"state"
    files = list(root.rglob(f"{sid}.bin"))
    assert {path.read_bytes() for path in files} == {b"state"}
    assert len({path.stat().st_ino for path in files}) == len(files) == 3


@pytest.mark.usefixtures("no_links")
def test_an_id_is_written_once_without_hard_links_too(release: Release) -> None:
    sid = release.dump(b"state")
    release.registry.write(release.project, release.key, sid, b"state")
    with pytest.raises(ConflictError):
        release.registry.write(release.project, release.key, sid, b"other")
    assert release.put(Tag(states=[sid])).get(sid) == b"state"


def test_the_last_link_of_a_file_is_followed_by_copies(
    root: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    sid = release.dump(b"state")
    monkeypatch.setattr(os, "link", refuse)
    assert release.put(Tag(states=[sid])).get(sid) == b"state"


def test_a_store_may_be_moved(root: Path, release: Release, tmp_path: Path) -> None:
    release.put(Tag(states=[release.dump(b"state")]))
    root.rename(tmp_path / "moved")
    moved = modelkeep.registry(provider="local", path=tmp_path / "moved")
    assert Directory(moved).get("digits").get("1.0").get().get(0) == b"state"


def test_a_copy_without_the_stage_is_whole(root: Path, release: Release, tmp_path: Path) -> None:
    sid = release.dump(b"state")
    release.put(Tag(states=[sid]))
    shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns(".stage"))
    copied = Directory(modelkeep.registry(provider="local", path=tmp_path / "copy")).get("digits").get("1.0")
    assert copied.get().get(0) == b"state"
    assert copied.put(Tag(states=[sid])).get(0) == b"state"


# options


@pytest.mark.parametrize("path", [None, 5, b"a", ["a"], "a\0b", "~nobody-at-all/x"])
def test_a_path_that_is_none_is_invalid(path: object) -> None:
    with pytest.raises(InvalidError):
        modelkeep.registry(provider="local", path=path)
    with pytest.raises(InvalidError):
        modelkeep.inventory(provider="local", path=path)


def test_a_relative_path_is_taken_from_the_working_folder_at_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[..., Package]
) -> None:
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    registry = modelkeep.registry(provider="local", path="store")
    monkeypatch.chdir(tmp_path)
    registry.push(pack())
    assert (tmp_path / "one" / "store" / "digits").is_dir()


def test_one_folder_reached_by_a_link_is_one_place(tmp_path: Path, root: Path) -> None:
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    assert modelkeep_local.Registry(root) == modelkeep_local.Registry(tmp_path / "link")
    assert len({modelkeep_local.Registry(root), modelkeep_local.Registry(f"{root}/")}) == 1
    assert modelkeep_local.Registry(root) != modelkeep_local.Inventory(root)


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are flushed."""
    seen: list[str] = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def flush(number: int, real: Callable[[int], None] = real) -> None:
            seen.append(str(Path(f"/proc/self/fd/{number}").readlink()))
            real(number)

        monkeypatch.setattr(os, name, flush)
    return seen


def use_all(registry: Any, package: Package) -> Generation:
    release = Directory(registry).get(package.manifest.name).put(package)
    release.dump(b"x" * (1 << 19))
    return release.put(Tag(states=[release.dump(b"state")]))


@pytest.mark.parametrize("folder", [True, False])
def test_without_sync_nothing_is_flushed(
    open_store: Callable[..., Any], pack: Callable[..., Package], flushes: list[str], tmp_path: Path, folder: bool
) -> None:
    use_all(open_store(sync=False), pack(folder=folder))
    (tmp_path / "serving.py").touch()
    modelkeep.inventory(provider="local", path=tmp_path / "apps", sync=False).put(
        Descriptor.Handle(tmp_path / "serving.py")
    )
    assert not flushes


def test_with_sync_what_a_commit_needs_is_flushed(
    root: Path, open_store: Callable[..., Any], pack: Callable[..., Package], flushes: list[str]
) -> None:
    release = Directory(open_store(sync=True)).get("digits").put(pack())
    pushed, flushes[:] = list(flushes), []
    assert any(path.endswith("/package.4ml") for path in pushed)
    assert any(path.endswith("/release.toml") for path in pushed)
    assert str(root) in pushed
    assert pushed[-1] == str(root / "digits")
    sid = release.dump(b"state")
    flushes[:] = []
    release.put(Tag(states=[sid]))
    assert any(path.endswith(".bin") for path in flushes)
    assert any(path.endswith("/tag.toml") for path in flushes)
    # the names in the folder of the generation, then its own name
    assert flushes[-2].endswith(".partial")
    assert flushes[-1] == str(root / "digits" / "1.0")


def test_with_sync_every_file_of_a_folder_package_is_flushed(
    open_store: Callable[..., Any], pack: Callable[..., Package], flushes: list[str]
) -> None:
    open_store(sync=True).push(pack(folder=True))
    flushed = {path.partition(".partial/")[2] for path in flushes}
    assert {
        *("package.4ml", "package.4ml/__modelkeep__.toml", "package.4ml/pkg", "package.4ml/pkg/__init__.py"),
        "release.toml",
    } <= flushed


def test_with_sync_an_application_is_flushed(tmp_path: Path, flushes: list[str]) -> None:
    (tmp_path / "serving.py").touch()
    inventory = modelkeep.inventory(provider="local", path=tmp_path / "apps", sync=True)
    inventory.put(Descriptor.Handle(tmp_path / "serving.py"))
    assert flushes[-1] == str(tmp_path / "apps")
    assert any(path.endswith(".partial") for path in flushes)


@pytest.mark.parametrize("size", [5, 1 << 20])
def test_a_flush_that_fails_is_a_failed_call_that_may_be_made_again(
    open_store: Callable[..., Any], pack: Callable[..., Package], monkeypatch: pytest.MonkeyPatch, size: int, root: Path
) -> None:
    release = Directory(open_store(sync=True)).get("digits").put(pack())
    sid = uuid4()

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        patched.setattr(os, "fdatasync", fail)
        release.registry.write(release.project, release.key, sid, b"y" * size)
        for states in ([], [sid]):
            with pytest.raises(StorageError, match="Input/output"):
                release.put(Tag(states=states))
    assert release.list() == ()
    assert not list(root.rglob("*.partial"))
    assert release.put(Tag(states=[sid])).get(0) == b"y" * size


# what ForML wrote


def test_a_tree_of_forml_is_listed(forml: Path, open_store: Callable[..., Any]) -> None:
    registry = open_store()
    assert registry.projects() == ("toy",)
    assert [str(key) for key in registry.releases("toy")] == ["1.0"]
    assert registry.generations("toy", "1.0") == (1,)
    assert registry.latest("toy", "1.0") == 1


def test_a_tree_of_forml_is_read(forml: Path, open_store: Callable[..., Any]) -> None:
    registry = open_store()
    assert registry.open("toy", "1.0", 1) == Tag.loads(TAG)
    assert [registry.read("toy", "1.0", 1, sid) for sid in SIDS] == [b"first", b""]
    assert registry.read("toy", "1.0", 1, UUID(int=0)) == b""
    for sid, content in zip(SIDS, (b"first", b""), strict=True):
        with registry.view("toy", "1.0", 1, sid) as view:
            assert bytes(view) == content


def test_a_package_of_forml_is_pulled_and_mounted(forml: Path, open_store: Callable[..., Any], tmp_path: Path) -> None:
    registry = open_store(staging=tmp_path / "staging")
    assert registry.pull("toy", "1.0").path.read_bytes() == (forml / "package.4ml").read_bytes()
    assert (registry.mount("toy", "1.0").path / "pkg" / "flow.py").read_text("utf-8") == "VALUE = 1\n"


def test_a_folder_package_of_forml_is_pulled(forml: Path, open_store: Callable[..., Any]) -> None:
    archive = Package(forml / "package.4ml")
    archive.install(forml / "folder")
    (forml / "package.4ml").unlink()
    (forml / "folder").rename(forml / "package.4ml")
    package = open_store().pull("toy", "1.0")
    assert package.folder
    assert package.manifest == archive.manifest


def test_every_spelling_finds_a_release_of_forml(forml: Path, open_store: Callable[..., Any]) -> None:
    for spelling in ("1", "1.0.0", "v1.0"):
        assert open_store().generations("toy", spelling) == (1,)


@pytest.mark.parametrize("mode", ["forml", "ours"])
def test_reading_changes_nothing_on_disk(
    request: pytest.FixtureRequest, open_store: Callable[..., Any], root: Path, tmp_path: Path, mode: str
) -> None:
    request.getfixturevalue("forml")
    if mode == "ours":
        request.getfixturevalue("release").put(Tag())
    before = stats(root)
    registry = open_store(staging=tmp_path / "staging")
    for project in registry.projects():
        for release in registry.releases(project):
            registry.pull(project, release)
            registry.mount(project, release)
            registry.latest(project, release)
            for generation in registry.generations(project, release):
                for sid in registry.open(project, release, generation).states:
                    registry.read(project, release, generation, sid)
                    with registry.view(project, release, generation, sid):
                        pass
    with pytest.raises(MissingError):
        registry.releases("none")
    with pytest.raises(MissingError):
        registry.open("toy", "1.0", 9)
    assert stats(root) == before


def test_listing_an_empty_place_creates_nothing(open_store: Callable[..., Any], root: Path) -> None:
    assert open_store().projects() == ()
    assert not root.exists()


def test_training_goes_on_in_a_tree_of_forml(forml: Path, open_store: Callable[..., Any]) -> None:
    release = Directory(open_store()).get("toy").get()
    generation = release.put(Tag(Training.now(), states=[SIDS[0], release.dump(b"new")]))
    assert generation.key == 2
    assert [generation.get(index) for index in (0, 1)] == [b"first", b"new"]
    assert (forml / "1" / "tag.toml").read_text("utf-8") == TAG
    assert (forml / "1" / f"{SIDS[0]}.bin").read_bytes() == b"first"


def test_an_id_that_forml_committed_in_a_release_of_ours_keeps_its_bytes(root: Path, release: Release) -> None:
    sid = release.dump(b"mine")
    stage = next(root.glob("digits/*/.stage"))
    generation = stage.parent / "1"
    generation.mkdir()
    (stage / f"{sid}.bin").rename(generation / f"{sid}.bin")
    (generation / "tag.toml").write_text(TAG.replace(str(SIDS[0]), str(sid)))
    with pytest.raises(ConflictError, match=str(sid)):
        release.registry.write(release.project, release.key, sid, b"other")
    release.registry.write(release.project, release.key, sid, b"mine")
    assert (generation / f"{sid}.bin").read_bytes() == b"mine"


def test_a_release_of_forml_is_not_pushed_over(
    forml: Path, open_store: Callable[..., Any], pack: Callable[..., Package]
) -> None:
    for version in ("1.0", "1", "v1.0.0"):
        with pytest.raises(ConflictError):
            open_store().push(pack(version, "toy"))
    assert names(forml.parent) == {
        *(".stage", "1.0", "1.0/.stage", "1.0/1", "1.0/1/tag.toml", "1.0/package.4ml"),
        *(f"1.0/1/{sid}.bin" for sid in SIDS),
    }


def test_a_generation_of_forml_is_not_closed_over(forml: Path, open_store: Callable[..., Any]) -> None:
    with pytest.raises(ConflictError):
        open_store().close("toy", "1.0", 1, Tag())
    assert (forml / "1" / "tag.toml").read_text("utf-8") == TAG


def test_a_state_that_forml_staged_can_be_committed(forml: Path, open_store: Callable[..., Any]) -> None:
    sid = uuid4()
    (forml / ".stage" / f"{sid}.bin").write_bytes(b"staged")
    registry = open_store()
    registry.close("toy", "1.0", 2, Tag(states=[sid]))
    assert registry.read("toy", "1.0", 2, sid) == b"staged"


def test_an_id_that_forml_committed_keeps_its_bytes(forml: Path, open_store: Callable[..., Any]) -> None:
    registry = open_store()
    with pytest.raises(ConflictError):
        registry.write("toy", "1.0", SIDS[0], b"other")
    registry.write("toy", "1.0", SIDS[0], b"first")
    with pytest.raises(ConflictError):
        registry.write("toy", "1.0", SIDS[0], b"other")
    registry.close("toy", "1.0", 2, Tag(states=[SIDS[0]]))
    assert registry.read("toy", "1.0", 2, SIDS[0]) == b"first"


def test_a_folder_of_forml_without_a_package_can_be_pushed(
    root: Path, open_store: Callable[..., Any], pack: Callable[..., Package]
) -> None:
    # ForML makes it when a state is written to a release that is not there
    (root / "digits" / "1.0" / ".stage").mkdir(parents=True)
    (root / "digits" / "1.0" / ".stage" / f"{SIDS[0]}.bin").write_bytes(b"early")
    registry = open_store()
    assert registry.projects() == ()
    with pytest.raises(MissingError):
        registry.generations("digits", "1.0")
    registry.push(pack())
    assert registry.pull("digits", "1.0").manifest.name == "digits"
    registry.close("digits", "1.0", 1, Tag(states=[SIDS[0]]))
    assert registry.read("digits", "1.0", 1, SIDS[0]) == b"early"


def test_two_spellings_that_forml_pushed_are_one_release(forml: Path, open_store: Callable[..., Any]) -> None:
    shutil.copytree(forml, forml.with_name("1.0.0"))
    registry = open_store()
    assert len(registry.releases("toy")) == 1
    assert registry.generations("toy", "1") == (1,)


# what ForML wrote half


def outcomes(registry: Any, generation: int) -> set[object]:
    """What the methods that read a generation do: the class of the error, or what they gave."""
    found: set[object] = set()
    uses: list[Callable[[], object]] = [
        lambda: registry.open("toy", "1.0", generation),
        lambda: registry.read("toy", "1.0", generation, SIDS[0]),
        lambda: view_of(registry, "toy", "1.0", generation, SIDS[0]),
    ]
    for use in uses:
        try:
            found.add(use())
        except (MissingError, CorruptedError) as error:
            found.add(type(error))
    return found


def view_of(registry: Any, *keys: Any) -> bytes:
    with registry.view(*keys) as view:
        return bytes(view)


@pytest.mark.parametrize("files", [[], [f"{SIDS[0]}.bin"], ["tag.toml.tmp"], [".DS_Store"]])
def test_a_generation_without_a_tag_is_none(forml: Path, open_store: Callable[..., Any], files: list[str]) -> None:
    (forml / "2").mkdir()
    for name in files:
        (forml / "2" / name).write_bytes(b"x")
    registry = open_store()
    assert registry.generations("toy", "1.0") == (1,)
    assert registry.latest("toy", "1.0") == 1
    assert outcomes(registry, 2) == {MissingError}


@pytest.mark.parametrize("files", [[], [f"{SIDS[0]}.bin"]])
def test_a_generation_without_a_tag_does_not_stop_training(
    forml: Path, open_store: Callable[..., Any], files: list[str]
) -> None:
    (forml / "2").mkdir()
    for name in files:
        (forml / "2" / name).write_bytes(b"x")
    release = Directory(open_store()).get("toy").get("1.0")
    generation = release.put(Tag(states=[release.dump(b"new")]))
    assert generation.key == (3 if files else 2)
    assert generation.get(0) == b"new"


def test_an_empty_tag_is_corrupted(forml: Path, open_store: Callable[..., Any]) -> None:
    (forml / "1" / "tag.toml").write_bytes(b"")
    assert outcomes(open_store(), 1) == {CorruptedError}


def test_a_forml_tag_cut_short_is_corrupted(forml: Path, open_store: Callable[..., Any]) -> None:
    registry = open_store()
    # at the end of a line in its last table, a tag that was cut is one that ForML could have written
    harmless = {TAG.index("[tuning]\n") + len("[tuning]\n"), TAG.rindex("score")}
    for end in range(len(TAG)):
        (forml / "1" / "tag.toml").write_text(TAG[:end], "utf-8")
        found = outcomes(registry, 1)
        if end in harmless:
            assert found in ({CorruptedError}, {Tag.loads(TAG[:end]), b"first"})
        else:
            assert CorruptedError in found, TAG[:end]
            assert not any(isinstance(each, Tag) for each in found)


def test_our_tag_cut_short_is_corrupted(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    release.put(Tag(Training.now(5), states=[sid]))
    path = root / "digits/1.0/1/tag.toml"
    content = path.read_bytes()
    registry: Any = release.registry
    for end in range(len(content)):
        path.write_bytes(content[:end])
        for use in (
            registry.open,
            lambda *keys: registry.read(*keys, sid),
            lambda *keys: view_of(registry, *keys, sid),
        ):
            with pytest.raises(CorruptedError):
                use("digits", "1.0", 1)


def test_our_tag_cut_at_its_beginning_is_corrupted(root: Path, release: Release) -> None:
    release.put(Tag(Training.now(5), states=[release.dump(b"state")]))
    path = root / "digits/1.0/1/tag.toml"
    content = path.read_bytes()
    for begin in range(1, content.index(b"\n") + 2):
        path.write_bytes(content[begin:])
        with pytest.raises(CorruptedError):
            release.registry.open(release.project, release.key, Generation.Key(1))


@pytest.mark.parametrize("text", [TAG.replace("states", "stats"), TAG.replace(str(SIDS[0]), "x"), "\0", "\xff", "= 5"])
def test_a_forml_tag_that_is_none_is_corrupted(forml: Path, open_store: Callable[..., Any], text: str) -> None:
    (forml / "1" / "tag.toml").write_bytes(text.encode("latin-1"))
    assert CorruptedError in outcomes(open_store(), 1)
    with pytest.raises(CorruptedError, match=r"toy/1\.0/1"):
        open_store().open("toy", "1.0", 1)


def test_a_lost_state_is_corrupted(forml: Path, open_store: Callable[..., Any]) -> None:
    (forml / "1" / f"{SIDS[0]}.bin").unlink()
    registry = open_store()
    for use in (registry.read, lambda *keys: view_of(registry, *keys)):
        with pytest.raises(CorruptedError, match=rf"{SIDS[0]} of toy/1\.0/1"):
            use("toy", "1.0", 1, SIDS[0])
    assert registry.read("toy", "1.0", 1, SIDS[1]) == b""


def test_a_folder_where_a_file_should_be_is_damage(forml: Path, open_store: Callable[..., Any]) -> None:
    (forml / "2" / "tag.toml").mkdir(parents=True)
    (forml / "1" / f"{SIDS[0]}.bin").unlink()
    (forml / "1" / f"{SIDS[0]}.bin").mkdir()
    registry = open_store()
    assert outcomes(registry, 2) <= {MissingError, CorruptedError}
    assert registry.generations("toy", "1.0") == (1,)
    assert registry.latest("toy", "1.0") == 1
    assert outcomes(registry, 1) == {Tag.loads(TAG), CorruptedError}


@pytest.mark.parametrize("end", [0, 1, 100, -1, -22, -30])
def test_a_damaged_forml_package_is_corrupted(forml: Path, open_store: Callable[..., Any], end: int) -> None:
    path = forml / "package.4ml"
    path.write_bytes(path.read_bytes()[:end])
    registry = open_store()
    with pytest.raises(CorruptedError, match=r"toy/1\.0"):
        registry.pull("toy", "1.0")
    assert registry.read("toy", "1.0", 1, SIDS[0]) == b"first"


@pytest.mark.parametrize("kind", ["empty folder", "dangling link", "link inside"])
def test_a_forml_package_of_another_kind_is_corrupted(
    forml: Path, open_store: Callable[..., Any], kind: str, tmp_path: Path
) -> None:
    path = forml / "package.4ml"
    package = Package(path)
    if kind == "link inside":
        package.install(tmp_path / "folder")
        (tmp_path / "folder" / "pkg" / "link").symlink_to("/etc/passwd")
    path.unlink()
    if kind == "empty folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    else:
        (tmp_path / "folder").rename(path)
    with pytest.raises(CorruptedError):
        open_store().pull("toy", "1.0")


# what nobody of ours wrote


def test_a_file_where_a_project_should_be_is_no_project(
    root: Path, release: Release, pack: Callable[..., Package]
) -> None:
    (root / "README.md").write_text("# my models\n", "utf-8")
    registry: Any = release.registry
    assert registry.projects() == ("digits",)
    uses: list[Callable[[], object]] = [
        lambda: registry.releases("README.md"),
        lambda: registry.generations("README.md", "1.0"),
        lambda: registry.latest("README.md", "1.0"),
        lambda: registry.pull("README.md", "1.0"),
        lambda: registry.open("README.md", "1.0", 1),
        lambda: registry.write("README.md", "1.0", uuid4(), b""),
        lambda: registry.close("README.md", "1.0", 1, Tag()),
    ]
    for use in uses:
        with pytest.raises(MissingError):
            use()
    with pytest.raises(StorageError):
        registry.push(pack(name="README.md"))
    assert (root / "README.md").read_text("utf-8") == "# my models\n"


def test_a_file_where_a_release_should_be_is_no_release(root: Path, release: Release) -> None:
    (root / "digits" / "2.0").write_text("x", "utf-8")
    assert [str(key) for key in release.registry.releases(release.project)] == ["1.0"]
    with pytest.raises(MissingError):
        Directory(release.registry).get("digits").get("2.0").list()


def test_a_generation_folder_that_is_a_file_is_no_generation(root: Path, release: Release) -> None:
    (root / "digits" / "1.0" / "1").write_text("x", "utf-8")
    registry: Any = release.registry
    assert release.list() == ()
    assert registry.latest("digits", "1.0") is None
    for use in (registry.open, lambda *keys: registry.read(*keys, SIDS[0])):
        with pytest.raises(MissingError):
            use("digits", "1.0", 1)
    assert release.put(Tag()).key == 2
    assert (root / "digits" / "1.0" / "1").read_text("utf-8") == "x"


@pytest.mark.parametrize(
    "name",
    ["007", "0", "-1", "+2", "1_0", "２", "2 ", "2.bak", ".2", "9" * 19, "9" * 20, "9" * 200, "x", "²", "lost+found"],  # noqa: RUF001
)
def test_a_folder_of_a_foreign_name_is_ignored(root: Path, release: Release, name: str) -> None:
    release.put(Tag())
    shutil.copytree(root / "digits" / "1.0" / "1", root / "digits" / "1.0" / name)
    assert release.list() == (1,)
    assert release.registry.latest(release.project, release.key) == 1
    assert release.put(Tag()).key == 2


@pytest.mark.parametrize("name", ["v1.5", "1.5.0.", "latest", ".1.5", "1.5.bak", "2.0.0~"])
def test_a_release_folder_of_a_foreign_name_is_ignored(root: Path, release: Release, name: str) -> None:
    shutil.copytree(root / "digits" / "1.0", root / "digits" / name)
    assert [str(key) for key in Directory(release.registry).get("digits").list()] == ["1.0"]


def test_strange_files_are_ignored_everywhere(root: Path, release: Release) -> None:
    release.put(Tag(states=[release.dump(b"state")]))
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in (".DS_Store", "Thumbs.db", "tag.toml~", "#x#", ".x.swp"):
            (folder / name).write_bytes(b"\xff")
    assert release.registry.projects() == ("digits",)
    assert Directory(release.registry).get("digits").get().get().get(0) == b"state"
    assert release.put(Tag()).key == 2


def test_what_a_killed_process_left_is_invisible(root: Path, release: Release, pack: Callable[..., Package]) -> None:
    generation = release.put(Tag(states=[release.dump(b"state")]))
    registry: Any = release.registry
    for stage in (root / "digits" / ".stage", root / "digits" / "1.0" / ".stage"):
        # a release, a generation and a file that were being made
        shutil.copytree(root / "digits" / "1.0", stage / f".{uuid4().hex}.partial", ignore=lambda *_: [".stage"])
        shutil.copytree(root / "digits" / "1.0" / "1", stage / f".{uuid4().hex}.partial")
        (stage / f".{uuid4().hex}.partial").write_bytes(b"half")
    (root / f".{uuid4().hex}.partial").write_bytes(b"half")
    (root / "digits" / "1.0" / ".stage" / f"{SIDS[0]}.bin").write_bytes(b"never committed")
    assert registry.projects() == ("digits",)
    assert [str(key) for key in registry.releases("digits")] == ["1.0"]
    assert release.list() == (1,)
    assert generation.get(0) == b"state"
    assert release.put(Tag()).key == 2
    registry.push(pack("2.0"))
    with pytest.raises(MissingError):
        view_of(registry, "digits", "1.0", 1, SIDS[0])


def test_a_root_that_is_a_file_is_an_error_of_ours(
    root: Path, open_store: Callable[..., Any], pack: Callable[..., Package]
) -> None:
    root.write_text("x", "utf-8")
    with pytest.raises(modelkeep.Error):
        open_store().releases("digits")
    with pytest.raises(StorageError):
        open_store().push(pack())
    assert root.read_text("utf-8") == "x"


# staging


def test_a_state_damaged_between_write_and_close_is_noticed(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    (root / "digits/1.0/.stage" / f"{sid}.bin").write_bytes(b"stale")
    try:
        generation = release.put(Tag(states=[sid]))
    except CorruptedError:
        return
    with pytest.raises(CorruptedError, match=str(sid)):
        generation.get(sid)


def test_a_state_of_which_nothing_is_noted_is_taken_as_it_is(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    (root / "digits/1.0/.stage" / f"{sid}.toml").unlink()
    assert release.put(Tag(states=[sid])).get(sid) == b"state"


TORN = [b"", b"torn", b"# blake3:" + b"0" * 64 + b"\nblake3:" + b"0" * 64]


@pytest.mark.parametrize("note", TORN)
def test_a_state_with_a_torn_note_is_to_be_written_again(root: Path, release: Release, note: bytes) -> None:
    sid = release.dump(b"state")
    (root / "digits/1.0/.stage" / f"{sid}.toml").write_bytes(note)
    with pytest.raises(MissingError, match=f"{sid}.*write it again"):
        release.put(Tag(states=[sid]))
    assert release.list() == ()
    release.registry.write(release.project, release.key, sid, b"state")
    assert release.put(Tag(states=[sid])).get(sid) == b"state"


@pytest.mark.parametrize("note", TORN)
def test_a_torn_note_of_a_committed_state_is_made_good_by_a_tag(root: Path, release: Release, note: bytes) -> None:
    sid = release.dump(b"state")
    release.put(Tag(states=[sid]))
    (root / "digits/1.0/.stage" / f"{sid}.toml").write_bytes(note)
    assert release.put(Tag(states=[sid])).get(sid) == b"state"
    (root / "digits/1.0/.stage" / f"{sid}.bin").write_bytes(b"stale")
    with pytest.raises(MissingError, match="write it again"):
        release.put(Tag(states=[sid]))


def test_the_note_of_another_state_is_not_trusted(root: Path, release: Release) -> None:
    one, other = release.dump(b"one"), release.dump(b"other")
    stage = root / "digits/1.0/.stage"
    shutil.copy(stage / f"{other}.toml", stage / f"{one}.toml")
    with pytest.raises(MissingError, match=str(one)):
        release.put(Tag(states=[one]))


@pytest.mark.parametrize("left", [b"state", b"", b"sta", b"state\0"])
def test_what_was_staged_before_a_loss_of_power_is_verified(
    root: Path, release: Release, monkeypatch: pytest.MonkeyPatch, left: bytes
) -> None:
    sid = release.dump(b"state")
    monkeypatch.setattr(_backend, "boot", lambda: "another")
    (root / "digits/1.0/.stage" / f"{sid}.bin").write_bytes(left)
    if left != b"state":
        with pytest.raises(MissingError, match=f"{sid}.*lost with the power"):
            release.put(Tag(states=[sid]))
        release.registry.write(release.project, release.key, sid, b"state")
    assert release.put(Tag(states=[sid])).get(sid) == b"state"
    with pytest.raises(ConflictError):
        release.registry.write(release.project, release.key, sid, b"other")


def test_where_no_boot_is_told_every_state_is_verified(
    root: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backend, "boot", lambda: "")
    sid = release.dump(b"state")
    (root / "digits/1.0/.stage" / f"{sid}.bin").write_bytes(b"")
    with pytest.raises(MissingError, match=str(sid)):
        release.put(Tag(states=[sid]))


def test_a_writer_that_died_between_note_and_state_is_followed(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    (root / "digits/1.0/.stage" / f"{sid}.bin").unlink()
    with pytest.raises(MissingError, match=str(sid)):
        release.put(Tag(states=[sid]))
    with pytest.raises(ConflictError):
        release.registry.write(release.project, release.key, sid, b"other")
    release.registry.write(release.project, release.key, sid, b"state")
    assert release.put(Tag(states=[sid])).get(sid) == b"state"


def test_of_racing_writers_of_an_id_one_has_it(open_store: Callable[..., Any], release: Release) -> None:
    for _ in range(50):
        sid, contents = uuid4(), [bytes([number]) * 10 for number in range(4)]
        barrier = threading.Barrier(len(contents))

        def write(content: bytes, sid: UUID = sid, barrier: threading.Barrier = barrier) -> bytes | None:
            registry = open_store(sync=False)
            barrier.wait()
            try:
                registry.write(release.project, release.key, sid, content)
            except ConflictError:
                return None
            return content

        with ThreadPoolExecutor(len(contents)) as pool:
            (winner,) = filter(None, pool.map(write, contents))
        assert release.put(Tag(states=[sid])).get(sid) == winner


def test_a_damaged_staged_state_is_repaired_by_writing_it_again(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    (root / "digits/1.0/.stage" / f"{sid}.bin").write_bytes(b"stale")
    release.registry.write(release.project, release.key, sid, b"state")
    assert release.put(Tag(states=[sid])).get(sid) == b"state"


def test_a_stage_that_was_cleared_loses_only_what_was_not_committed(root: Path, release: Release) -> None:
    kept, lost = release.dump(b"kept"), release.dump(b"lost")
    release.put(Tag(states=[kept]))
    shutil.rmtree(root / "digits/1.0/.stage")
    assert release.put(Tag(states=[kept])).get(0) == b"kept"
    with pytest.raises(MissingError, match=str(lost)):
        release.put(Tag(states=[lost]))
    assert release.put(Tag(states=[release.dump(b"new")])).get(0) == b"new"


def test_an_id_whose_stage_was_cleared_keeps_its_bytes(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    release.put(Tag(states=[sid]))
    shutil.rmtree(root / "digits/1.0/.stage")
    with pytest.raises(ConflictError):
        release.registry.write(release.project, release.key, sid, b"other")
    release.registry.write(release.project, release.key, sid, b"state")
    assert release.put(Tag(states=[sid])).get(0) == b"state"


# damage


def flips(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), 3):
        yield content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]


def test_a_flipped_bit_in_a_tag_is_noticed(root: Path, release: Release) -> None:
    release.put(Tag(Training.now(5), states=[release.dump(b"state")]))
    path = root / "digits/1.0/1/tag.toml"
    for damaged in flips(path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(CorruptedError):
            release.registry.open(release.project, release.key, Generation.Key(1))


def test_a_flipped_bit_in_a_state_is_noticed(root: Path, release: Release) -> None:
    sid = release.dump(b"some state")
    generation = release.put(Tag(states=[sid]))
    path = root / "digits/1.0/1" / f"{sid}.bin"
    for damaged in [*flips(path.read_bytes()), b"", b"some stat", b"some state\0"]:
        path.write_bytes(damaged)
        with pytest.raises(CorruptedError, match=str(path)):
            release.registry.read(release.project, release.key, Generation.Key(1), sid)
        with pytest.raises(CorruptedError), generation.view(sid):
            pass


def test_a_flipped_bit_in_a_package_is_noticed(root: Path, release: Release) -> None:
    path = root / "digits/1.0/package.4ml"
    for damaged in flips(path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(CorruptedError, match=r"digits/1\.0"):
            release.package()


def test_a_flipped_bit_in_the_record_of_a_release_is_noticed(root: Path, release: Release) -> None:
    path = root / "digits/1.0/release.toml"
    for damaged in [*flips(path.read_bytes()), b""]:
        path.write_bytes(damaged)
        with pytest.raises(CorruptedError):
            release.package()
        assert [str(key) for key in Directory(release.registry).get("digits").list()] == ["1.0"]


@pytest.mark.parametrize("what", ["tag.toml", "folder"])
def test_exchanged_generations_are_noticed(root: Path, release: Release, what: str) -> None:
    for number in (1, 2):
        release.put(Tag(Training.now(number)))
    one, two = (root / "digits/1.0" / str(number) for number in (1, 2))
    if what != "folder":
        one, two = one / what, two / what
    one.rename(root / "x")
    two.rename(one)
    (root / "x").rename(two)
    for number in (1, 2):
        with pytest.raises(CorruptedError):
            release.get(number).tag  # noqa: B018  # reading it is the test


def test_a_generation_copied_into_another_release_is_noticed(
    root: Path, release: Release, pack: Callable[..., Package]
) -> None:
    release.put(Tag())
    other = Directory(release.registry).get("digits").put(pack("2.0"))
    shutil.copytree(root / "digits/1.0/1", root / "digits/2.0/1")
    with pytest.raises(CorruptedError):
        other.get().tag  # noqa: B018  # reading it is the test


def test_a_folder_package_that_was_edited_is_noticed(
    root: Path, open_store: Callable[..., Any], pack: Callable[..., Package]
) -> None:
    registry = open_store()
    edits: dict[str, Callable[[Path], object]] = {
        "1": lambda path: (path / "pkg" / "__init__.py").write_text("VALUE = 2\n", "utf-8"),
        "2": lambda path: (path / "pkg" / "new.py").touch(),
        "3": lambda path: (path / "pkg" / "__init__.py").unlink(),
        "4": lambda path: (path / "pkg" / "__init__.py").chmod(0o600),
        "5": lambda path: (path / "pkg" / "link").symlink_to("x"),
        "6": shutil.rmtree,
    }
    for version, edit in edits.items():
        registry.push(pack(version, folder=True))
        edit(root / "digits" / version / "package.4ml")
        with pytest.raises(modelkeep.Error) as caught:
            registry.pull("digits", version)
        assert isinstance(caught.value, MissingError if version == "6" else CorruptedError)


# the format


def test_a_newer_format_is_refused_by_name(root: Path, release: Release, open_store: Callable[..., Any]) -> None:
    (root / ".modelkeep.toml").write_bytes(seal(".modelkeep.toml", b"format = 2\n"))
    before = stats(root)
    registry = open_store()
    uses: list[Callable[[], object]] = [
        registry.projects,
        lambda: registry.releases("digits"),
        lambda: registry.pull("digits", "1.0"),
        lambda: registry.write("digits", "1.0", uuid4(), b""),
        lambda: registry.close("digits", "1.0", 1, Tag()),
        lambda: registry.open("digits", "1.0", 1),
        lambda: modelkeep.inventory(provider="local", path=root).list(),
    ]
    for use in uses:
        with pytest.raises(UnsupportedError, match=r"format 2.*upgrade"):
            use()
    assert stats(root) == before


@pytest.mark.parametrize("content", [b"", b"format = 1\n", b"\xff", b"# blake3:" + b"0" * 64 + b"\nformat = 1\n"])
def test_a_damaged_format_marker_is_corrupted(
    root: Path, release: Release, open_store: Callable[..., Any], content: bytes
) -> None:
    (root / ".modelkeep.toml").write_bytes(content)
    with pytest.raises(CorruptedError):
        open_store().projects()


# processes

PUSHER = """
import sys, modelkeep
root, *packages = sys.argv[1:]
registry = modelkeep.registry(provider="local", path=root, sync=False)
packages = [modelkeep.Package(path) for path in packages]
print("ready", flush=True)
for package in packages:
    sys.stdin.readline()
    try:
        registry.push(package)
        print("won", flush=True)
    except modelkeep.ConflictError:
        print("conflict", flush=True)
"""


def test_of_two_processes_that_push_one_version_in_two_spellings_one_wins(
    root: Path, open_store: Callable[..., Any], pack: Callable[..., Package]
) -> None:
    rounds = range(1, 16)
    spellings = [[f"{number}.0" for number in rounds], [f"{number}" for number in rounds]]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PUSHER, root, *(pack(version).path for version in versions)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for versions in spellings
    ]
    try:
        pipes = [(child.stdin, child.stdout) for child in children]
        for _, out in pipes:
            assert out is not None
            assert out.readline() == "ready\n"
        for _ in rounds:
            for into, _ in pipes:
                assert into is not None
                into.write("\n")
                into.flush()
            assert sorted(out.readline() for _, out in pipes if out) == ["conflict\n", "won\n"]
    finally:
        for child in children:
            child.communicate()
    releases = open_store().releases("digits")
    assert [key.canonical for key in releases] == [str(number) for number in rounds]
    for key in releases:
        assert str(open_store().pull("digits", key).manifest.version) == str(key)
    assert len([path for path in (root / "digits").iterdir() if path.name != ".stage"]) == len(rounds)


LARGE = """
import mmap, sys, threading, uuid, modelkeep

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

peak, done = 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

root, path = sys.argv[1:]
registry = modelkeep.registry(provider="local", path=root, sync=False)
release = modelkeep.Directory(registry).get("digits").get("1.0")
release.put(modelkeep.Tag(states=[release.dump(b"small")])).get(0)
before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
    sid = release.dump(content)
    generation = release.put(modelkeep.Tag(states=[sid]))
    with generation.view(0) as view:
        assert len(view) == len(content)
        assert view[-1] == 7
done.set()
watcher.join()
print(peak - before)
"""


def test_a_large_state_takes_no_memory(root: Path, release: Release, tmp_path: Path) -> None:
    size = 200 << 20
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
        file.seek(size - 1)
        file.write(b"\7")
    done = subprocess.run(
        [sys.executable, "-c", LARGE, root, tmp_path / "large"],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    assert int(done.stdout) < 32 << 10


def test_a_view_is_a_map_of_the_file(root: Path, release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(b"x" * 10_000)]))
    with generation.view(0) as view:
        assert isinstance(view.obj, mmap.mmap)
        assert view.readonly


def test_a_view_outlives_the_generation_on_disk(root: Path, release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(b"x" * 10_000)]))
    with generation.view(0) as view:
        shutil.rmtree(root)
        assert bytes(view) == b"x" * 10_000


def test_no_file_stays_open(release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(b"state"), release.dump(b"")]))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # which has entries that end at once
    for _ in range(10):
        for index in (0, 1):
            generation.get(index)
        release.package()
        release.put(Tag(states=[release.dump(b"x" * (1 << 19))]))
        with pytest.raises(MissingError):
            release.put(Tag(states=[uuid4()]))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # same


# the inventory


def put(root: Path, source: bytes, name: str = "serving") -> modelkeep.Inventory:
    path = root.parent / f"{name}.py"
    path.write_bytes(source)
    inventory = modelkeep.inventory(provider="local", path=root, sync=False)
    inventory.put(Descriptor.Handle(path))
    return inventory


def test_an_application_is_a_file_that_forml_reads(root: Path) -> None:
    source = "# é\r\nVALUE = 1".encode()
    put(root, source)
    assert (root / "serving.py").read_bytes() == source
    assert names(root) == {".modelkeep.toml", ".digests", ".digests/serving.toml", "serving.py"}


def test_an_application_of_forml_is_taken_as_it_is(root: Path) -> None:
    root.mkdir()
    (root / "serving.py").write_bytes(b"VALUE = 1")
    before = stats(root)
    inventory: Any = modelkeep.inventory(provider="local", path=root)
    assert inventory.list() == ("serving",)
    assert inventory.get("serving").source == b"VALUE = 1"
    assert stats(root) == before


def test_an_application_of_forml_can_be_replaced(root: Path) -> None:
    root.mkdir()
    (root / "serving.py").write_bytes(b"VALUE = 1")
    inventory: Any = put(root, b"VALUE = 2")
    assert inventory.get("serving").source == b"VALUE = 2"


@pytest.mark.parametrize("content", [b"", b"VALUE = 2", b"VALUE = 1\n"])
def test_an_edited_application_is_corrupted_until_it_is_put_again(root: Path, content: bytes) -> None:
    inventory: Any = put(root, b"VALUE = 1")
    (root / "serving.py").write_bytes(content)
    with pytest.raises(CorruptedError, match="serving"):
        inventory.get("serving")
    put(root, b"VALUE = 3")
    assert inventory.get("serving").source == b"VALUE = 3"


def test_an_edited_application_stays_noticed_after_another_put_of_the_original(root: Path) -> None:
    inventory: Any = put(root, b"VALUE = 1")
    (root / "serving.py").write_bytes(b"VALUE = 'edited'")
    put(root, b"VALUE = 1")
    (root / "serving.py").write_bytes(b"VALUE = 'other'")
    with pytest.raises(CorruptedError):
        inventory.get("serving")


def test_a_put_that_was_killed_between_its_two_files_leaves_the_old_application(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory: Any = put(root, b"VALUE = 1")
    replace = Path.replace

    def die(self: Path, target: Path) -> Path:
        if str(target).endswith("serving.py"):
            raise OSError(errno.EIO, "killed")
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(StorageError):
            put(root, b"VALUE = 2")
    assert inventory.get("serving").source == b"VALUE = 1"
    put(root, b"VALUE = 3")
    assert inventory.get("serving").source == b"VALUE = 3"


@pytest.mark.parametrize("name", [".hidden.py", "a b.py", "x.txt", "__init__.py", "x.py~", ".py", "x.PY", "ä.py"])
def test_a_file_of_a_foreign_name_is_no_application(root: Path, name: str) -> None:
    inventory: Any = put(root, b"VALUE = 1")
    (root / name).write_bytes(b"")
    assert inventory.list() == ("serving",)


def test_a_folder_is_no_application(root: Path) -> None:
    inventory: Any = put(root, b"VALUE = 1")
    (root / "folder.py").mkdir()
    assert inventory.list() == ("serving",)
    with pytest.raises(MissingError):
        inventory.get("folder")


def test_a_registry_and_an_inventory_may_share_a_folder(root: Path, release: Release) -> None:
    inventory: Any = put(root, b"VALUE = 1", "digits")
    assert inventory.list() == ("digits",)
    assert release.registry.projects() == ("digits",)
    assert release.put(Tag()).key == 1


# what is collected

NOW = timedelta(0)


def space(root: Path) -> int:
    """How many bytes the files have, whatever number of names they have."""
    files = [path.lstat() for path in root.rglob("*") if path.is_file()]
    return sum({status.st_ino: status.st_size for status in files}.values())


def stage_of(root: Path) -> Path:
    return root / "digits" / "1.0" / ".stage"


def hidden(root: Path, sid: UUID) -> Path:
    """What a state is called while it is collected."""
    return stage_of(root) / f".{sid}.bin.{uuid4().hex}.partial"


def aged(path: Path, seconds: float) -> Path:
    """Let a file look older than it is."""
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def close(release: Release, number: int, *sids: UUID) -> None:
    key = Project.Key("digits"), Release.Key("1.0"), Generation.Key(number)
    release.registry.close(*key, Tag(states=sids))


def test_as_many_bytes_are_freed_as_are_told(
    root: Path, release: Release, open_store: Callable[..., Any], pack: Callable[..., Package]
) -> None:
    project = Directory(open_store()).get("digits")
    folder = project.put(pack("2.0", folder=True))
    for each in (release, folder):
        shared = each.dump(b"shared" * 1000)
        for number in range(3):
            each.put(Tag(states=[shared, each.dump(b"%d" % number * 5000)]))
        each.dump(b"waits" * 500)
    release.get(2).remove()
    project.put(pack("3.0")).remove()
    folder.remove()
    before = space(root)
    told = open_store().collect(NOW, dry_run=True)
    assert space(root) == before
    assert open_store().collect(NOW) == told
    assert before - space(root) == told.size > 3 * 5000
    assert open_store().collect(NOW).items == ()
    assert [release.get(number).get(0) for number in (1, 3)] == [b"shared" * 1000] * 2


@pytest.mark.parametrize("folder", [False, True])
def test_of_a_removed_release_nothing_is_left_but_that_it_was_removed(
    root: Path, open_store: Callable[..., Any], pack: Callable[..., Package], folder: bool
) -> None:
    release = Directory(open_store()).get("digits").put(pack(folder=folder))
    release.put(Tag(states=[release.dump(b"state")]))
    release.remove()
    assert open_store().collect(NOW).size > 0
    left = list((root / "digits" / "1.0").rglob("*"))
    assert [path.name for path in left] == ["removed.4ml"]
    assert left[0].is_dir() == folder
    assert folder or left[0].stat().st_size == 0
    with pytest.raises(ConflictError, match="removed"):
        open_store().push(pack(folder=folder))


def test_a_state_that_is_committed_while_it_is_collected_keeps_its_name(
    root: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid, unstage = release.dump(b"state"), _collect._unstage

    def late(path: Path) -> int | None:
        close(release, 1, sid)
        return unstage(path)

    monkeypatch.setattr(_collect, "_unstage", late)
    found = release.registry.collect(NOW)
    assert all(str(sid) + ".bin" not in item for item in found.items)
    assert (stage_of(root) / f"{sid}.bin").samefile(root / "digits" / "1.0" / "1" / f"{sid}.bin")
    close(release, 2, sid)
    assert [release.get(number).get(0) for number in (1, 2)] == [b"state"] * 2
    with pytest.raises(ConflictError):
        release.registry.write(Project.Key("digits"), Release.Key("1.0"), sid, b"other")


def test_a_commit_that_finds_a_state_hidden_misses_it_and_may_be_made_again(root: Path, release: Release) -> None:
    sid = release.dump(b"state")
    (stage_of(root) / f"{sid}.bin").rename(hidden(root, sid))
    with pytest.raises(MissingError, match=str(sid)):
        close(release, 1, sid)
    release.registry.write(Project.Key("digits"), Release.Key("1.0"), sid, b"state")
    close(release, 1, sid)
    release.registry.collect(NOW)
    close(release, 2, sid)
    assert release.get(2).get(0) == b"state"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("unlinked", [True, False])
def test_a_collection_killed_while_it_looks_at_a_state_is_completed(
    root: Path, release: Release, named: bool, unlinked: bool
) -> None:
    sid = release.dump(b"state" * 100)
    staged = stage_of(root) / f"{sid}.bin"
    if named:
        close(release, 1, sid)
    hidden(root, sid).hardlink_to(staged)
    if unlinked:
        staged.unlink()
    told = release.registry.collect(NOW, dry_run=True)
    found = release.registry.collect(NOW)
    assert found == told
    assert [path for path in stage_of(root).iterdir() if path.name.startswith(f".{sid}")] == []
    assert staged.exists() == named
    assert (found.size >= 500) == (not named)
    if named:
        close(release, 2, sid)
        assert release.get(2).get(0) == b"state" * 100


def test_what_is_being_made_is_left_alone_for_an_hour(root: Path, release: Release) -> None:
    release.put(Tag())
    half = [
        stage_of(root) / f".{uuid4().hex}.partial",
        root / "digits" / ".stage" / f".{uuid4().hex}.partial",
        root / "digits" / ".aliases" / "champion" / f".{uuid4().hex}.partial",
    ]
    folder = stage_of(root) / f".{uuid4().hex}.partial"
    folder.mkdir()
    (folder / "tag.toml").write_bytes(b"half")
    for path in half:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    for path in [*half, folder]:
        aged(path, 3500)
    assert release.registry.collect(NOW).items == ()
    for path in [*half, folder]:
        aged(path, 3700)
    assert release.registry.collect(timedelta(hours=1)).items == ()
    told = release.registry.collect(NOW, dry_run=True)
    found = release.registry.collect(NOW)
    assert found == told
    assert found.size == 16
    assert not any(path.exists() for path in [*half, folder])


def test_a_folder_that_is_taken_from_whoever_makes_it_can_not_be_committed(
    root: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was before it is emptied: or a generation would appear without its states."""
    folder = stage_of(root) / f".{uuid4().hex}.partial"
    folder.mkdir()
    (folder / "tag.toml").write_bytes(b"half")
    aged(folder, 4000)
    tried: list[Path] = []

    def late(path: Path) -> None:
        if path.is_dir():
            with pytest.raises(FileNotFoundError):
                folder.rename(root / "digits" / "1.0" / "1")
            tried.append(path)
        discard(path)

    monkeypatch.setattr("modelkeep_local._collect.discard", late)
    release.registry.collect(NOW)
    assert tried
    assert release.list() == ()


def test_states_that_can_have_no_second_name_are_not_collected(
    root: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = release.dump(b"state")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UnsupportedError, match="second name"):
        release.registry.collect(NOW)
    monkeypatch.undo()
    close(release, 1, sid)
    assert release.get(1).get(0) == b"state"


def test_what_forml_wrote_is_collected_like_ours(forml: Path, open_store: Callable[..., Any]) -> None:
    waiting = forml / ".stage" / f"{uuid4()}.bin"
    waiting.write_bytes(b"never committed")
    states = {path: path.read_bytes() for path in (forml / "1").iterdir()}
    registry = open_store()
    assert registry.collect(timedelta(days=1)).items == ()
    found = registry.collect(NOW)
    assert (found.items, found.size) == ((f"toy/1.0/.stage/{waiting.name}",), 15)
    assert {path: path.read_bytes() for path in (forml / "1").iterdir()} == states
    # removed: the only names that its states have are those of the generation
    registry.remove("toy", "1.0", 1)
    assert registry.collect(timedelta(days=1)).size == sum(
        len(content) for path, content in states.items() if path.suffix == ".bin"
    )


def test_a_state_that_vanishes_while_it_is_written_again_is_written(
    root: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = release.dump(b"state")
    left = [True]

    def late(path: Path) -> str:
        if left.pop() if left else False:
            release.registry.collect(NOW)
        return digest_content(path)

    monkeypatch.setattr("modelkeep_local._backend.digest_content", late)
    release.registry.write(Project.Key("digits"), Release.Key("1.0"), sid, b"state")
    close(release, 1, sid)
    assert release.get(1).get(0) == b"state"

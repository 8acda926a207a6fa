from __future__ import annotations

import concurrent.futures
import os
import shutil
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

import modelkeep
from modelkeep import Artifact, MissingError, Package, Registry, _scratch

FLOW = "pkg/flow.py"


def content(artifact: Artifact) -> str:
    return (artifact.path / FLOW).read_text("utf-8")


@pytest.fixture
def released(registry: Registry, pack: Callable[..., Package]) -> Registry:
    registry.push(pack())
    return registry


def test_a_mount_holds_the_release(released: Registry, tmp_path: Path) -> None:
    artifact = released.mount("digits", "1.0")  # type: ignore[arg-type]
    assert content(artifact) == "VALUE = 1\n"
    assert artifact.path.is_relative_to(tmp_path / "staging")


def mount(registry: Registry, version: str = "1.0") -> Artifact:
    return registry.mount(modelkeep.Project.Key("digits"), modelkeep.Release.Key(version))


def test_a_mount_is_reused(released: Registry) -> None:
    assert mount(released).path == mount(released).path


def test_every_spelling_mounts_the_same_folder(released: Registry) -> None:
    assert len({mount(released, spelling).path for spelling in ("1.0", "1", "v1.0.0")}) == 1


def test_a_mount_is_reused_after_its_code_ran(released: Registry) -> None:
    path = mount(released).path
    (path / "pkg" / "__pycache__").mkdir()
    (path / "pkg" / "__pycache__" / "flow.cpython-311.pyc").write_bytes(b"x")
    assert mount(released).path == path


def test_releases_are_mounted_apart(released: Registry, pack: Callable[..., Package]) -> None:
    released.push(pack({"pkg/__init__.py": "", FLOW: "VALUE = 2\n"}, version="2.0"))
    assert [content(mount(released, version)) for version in ("1.0", "2.0", "1.0")] == [
        *("VALUE = 1\n", "VALUE = 2\n", "VALUE = 1\n")
    ]


def test_two_registries_that_share_a_staging_folder_do_not_mix_up_a_release(
    pack: Callable[..., Package], tmp_path: Path
) -> None:
    found = []
    for number in (1, 2):
        registry = modelkeep.registry(provider="memory", name=uuid4().hex, staging=tmp_path / "shared")
        registry.push(pack({"pkg/__init__.py": "", FLOW: f"VALUE = {number}\n"}))
        found.append(content(registry.mount("digits", "1.0")))
    assert found == ["VALUE = 1\n", "VALUE = 2\n"]


EDITS: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / FLOW).write_text("VALUE = 6\n", "utf-8"),
    "same size": lambda root: (root / FLOW).write_text("VALUE = 7\n", "utf-8"),
    "more": lambda root: (root / "pkg" / "new.py").touch(),
    "less": lambda root: (root / FLOW).unlink(),
    "mode": lambda root: (root / FLOW).chmod(0o600),
    "link": lambda root: (root / "pkg" / "link").symlink_to("/etc/passwd"),
    "dangling link": lambda root: (root / "pkg" / "link").symlink_to("nowhere"),
    "fifo": lambda root: os.mkfifo(root / "pkg" / "fifo"),
    "emptied": lambda root: shutil.rmtree(root / "pkg"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edited_mount_is_not_reused(released: Registry, edit: Callable[[Path], object]) -> None:
    first = mount(released)
    edit(first.path)
    again = mount(released)
    assert content(again) == "VALUE = 1\n"
    assert again.path != first.path


def test_an_edited_mount_is_left_to_its_user(released: Registry) -> None:
    first = mount(released)
    (first.path / FLOW).write_text("mine", "utf-8")
    mount(released)
    assert content(first) == "mine"


def test_editing_a_mount_changes_nothing_stored(released: Registry, tmp_path: Path) -> None:
    (mount(released).path / FLOW).write_text("VALUE = 6\n", "utf-8")
    pulled = released.pull(modelkeep.Project.Key("digits"), modelkeep.Release.Key("1.0"))
    assert content(pulled.install(tmp_path / "pulled")) == "VALUE = 1\n"


def test_a_mount_that_was_removed_is_made_again(released: Registry, tmp_path: Path) -> None:
    mount(released)
    shutil.rmtree(tmp_path / "staging")
    assert content(mount(released)) == "VALUE = 1\n"


def test_a_file_where_the_mount_should_be_does_no_harm(released: Registry) -> None:
    path = mount(released).path
    shutil.rmtree(path)
    path.touch()
    assert content(mount(released)) == "VALUE = 1\n"


def test_a_mount_of_an_unknown_release_is_missing_and_leaves_nothing(released: Registry, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        mount(released, "9.9")
    assert not (tmp_path / "staging").exists()


def test_parallel_threads_get_whole_mounts(released: Registry) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: content(mount(released)), range(24)))
    assert set(found) == {"VALUE = 1\n"}


def test_parallel_processes_get_whole_mounts(
    pack: Callable[..., Package], tmp_path: Path, python: Callable[..., str]
) -> None:
    modelkeep.registry(provider="local", path=tmp_path / "store").push(pack())
    code = (
        "import modelkeep, sys\n"
        "registry = modelkeep.registry(provider='local', path=sys.argv[1], staging=sys.argv[2])\n"
        "for _ in range(5):\n"
        "    artifact = registry.mount('digits', '1.0')\n"
        "    assert artifact.load('flow').VALUE == 1\n"
        "print(artifact.path)\n"
    )
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: python(code, tmp_path / "store", tmp_path / "staging"), range(3)))
    assert len(found) == 3
    assert {content(Artifact(Path(line.strip()), pack().manifest)) for line in found} == {"VALUE = 1\n"}


def test_mounting_changes_nothing_in_the_store(pack: Callable[..., Package], tmp_path: Path) -> None:
    registry = modelkeep.registry(provider="local", path=tmp_path / "store", staging=tmp_path / "staging")
    registry.push(pack())
    before = {path: path.lstat() for path in (tmp_path / "store").rglob("*")}
    mount(registry)
    after = {path: path.lstat() for path in (tmp_path / "store").rglob("*")}
    assert [(path, s.st_mtime_ns, s.st_size) for path, s in before.items()] == [
        (path, s.st_mtime_ns, s.st_size) for path, s in after.items()
    ]


def test_mounting_leaves_no_private_copy(released: Registry) -> None:
    mount(released)
    assert _scratch._Root.path is not None
    before = len(list(Path(_scratch._Root.path).iterdir()))
    for _ in range(3):
        mount(released)
    assert len(list(Path(_scratch._Root.path).iterdir())) == before


def test_mounting_never_removes_what_a_backend_gave(pack: Callable[..., Package], tmp_path: Path) -> None:
    from modelkeep_memory import Registry as Memory

    kept = pack()

    class InPlace(Memory):
        """Gives the package where it lies, instead of a private copy."""

        def pull(self, project: modelkeep.Project.Key, release: modelkeep.Release.Key) -> Package:
            return kept

    before = sorted(kept.path.parent.rglob("*"))
    assert content(mount(InPlace(uuid4().hex, tmp_path / "staging"))) == "VALUE = 1\n"
    assert sorted(kept.path.parent.rglob("*")) == before


def test_a_removed_temporary_folder_is_made_again(released: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    # as the cleaners of /tmp do it while a server runs
    folder = _scratch.scratch().parent
    shutil.rmtree(folder)
    try:
        assert released.pull(modelkeep.Project.Key("digits"), modelkeep.Release.Key("1.0")).manifest.name == "digits"
    finally:
        folder.mkdir(exist_ok=True)


# without a staging folder


def test_without_a_staging_folder_one_warning_is_given(pack: Callable[..., Package]) -> None:
    registry = modelkeep.registry(provider="memory", name=uuid4().hex)
    registry.push(pack())
    with pytest.warns(UserWarning, match="this machine only") as caught:
        first = mount(registry)
    assert len(caught) == 1
    assert content(first) == "VALUE = 1\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mount(registry).path == first.path


def test_the_warning_names_the_registry_and_the_line_that_mounts(pack: Callable[..., Package]) -> None:
    name = uuid4().hex
    registry = modelkeep.registry(provider="memory", name=name)
    registry.push(pack())
    with pytest.warns(UserWarning, match=name) as caught:
        registry.mount("digits", "1.0")
    assert caught[0].filename == __file__


def test_without_a_staging_folder_nothing_is_left_at_exit(
    pack: Callable[..., Package], tmp_path: Path, python: Callable[..., str]
) -> None:
    (tmp_path / "tmp").mkdir()
    out = python(
        "import modelkeep, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "registry = modelkeep.registry(provider='memory')\n"
        "registry.push(modelkeep.Package(sys.argv[1]))\n"
        "artifact = registry.mount('digits', '1.0')\n"
        "assert artifact.load('flow').VALUE == 1\n"
        "print(artifact.path)\n",
        pack().path,
        TMPDIR=str(tmp_path / "tmp"),
    )
    assert Path(out.strip()).is_relative_to(tmp_path / "tmp")
    assert not list((tmp_path / "tmp").iterdir())


def test_with_a_staging_folder_there_is_no_warning(released: Registry) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mount(released)


def test_a_staging_folder_may_begin_with_a_tilde(
    pack: Callable[..., Package], bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = modelkeep.registry(provider="memory", name=uuid4().hex, staging="~/mounts")
    registry.push(pack())
    assert registry.mount("digits", "1.0").path.is_relative_to(Path.home() / "mounts")


def test_a_relative_staging_folder_stays_where_it_was(
    pack: Callable[..., Package], bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = modelkeep.registry(provider="memory", name=uuid4().hex, staging="mounts")
    registry.push(pack())
    monkeypatch.chdir(tmp_path)
    assert registry.mount("digits", "1.0").path.is_relative_to(bare / "mounts")


@pytest.mark.parametrize("staging", [5, ["a"], b"a"])
def test_a_staging_folder_of_another_type_is_invalid(staging: object) -> None:
    with pytest.raises(modelkeep.InvalidError):
        modelkeep.registry(provider="memory", name=uuid4().hex, staging=staging)


def test_a_socket_in_a_mount_does_no_harm(released: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mount(released)
    monkeypatch.chdir(first.path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("sock")
        assert content(mount(released)) == "VALUE = 1\n"

"""Releases: what is pulled is what was pushed, and nothing of it runs."""

import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from modelkeep import Artifact, ConflictError, Error, InvalidError, Manifest, Package
from modelkeep_conformance.kit import PROJECT, VERSION, Kit, package
from modelkeep_conformance.processes import in_threads
from modelkeep_conformance.suite import clause


def _tree(root: Path) -> dict[str, tuple[int, bytes | None]]:
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), None if path.is_dir() else path.read_bytes())
        for path in root.rglob("*")
        if "__pycache__" not in path.parts
    }


@clause("R1")
def test_a_file_package_is_pulled_byte_for_byte(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for handle in (registry, kit.registry()):
        pulled = handle.pull(PROJECT, VERSION)
        assert pulled.path.read_bytes() == package().path.read_bytes()
        assert pulled.manifest == package().manifest
        assert pulled.digest == package().digest
        assert pulled.path != package().path


@clause("R1")
def test_a_folder_package_is_pulled_as_the_same_folder(kit: Kit, registry: Any) -> None:
    source = kit.folder("source")
    files = {
        "toy/__init__.py": b"",
        "toy/deep/er/data": bytes(range(256)) * 300,
        "zeros": b"\0" * (70 << 20),
        "\u00e4 b.txt": b"x",
    }
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    (source / "empty").mkdir()
    (source / "toy/__init__.py").chmod(0o640)
    (source / "toy/deep").chmod(0o750)
    (source / "toy/deep/er/data").chmod(0o755)
    (source / "__modelkeep__.toml").write_text(Manifest(PROJECT, VERSION, "toy").dumps())
    registry.push(Package(source))
    for handle in (registry, kit.registry()):
        pulled = handle.pull(PROJECT, VERSION)
        assert pulled.path.is_dir()
        assert _tree(pulled.path) == _tree(source)
        assert pulled.digest == Package(source).digest


@clause("R1", "R8")
def test_a_package_of_forml_is_read_without_running_it(kit: Kit, registry: Any) -> None:
    trap = kit.folder("trap") / "sprung"
    path = kit.folder("packages") / "forml.4ml"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "__4ml__.py",
            f"NAME = {PROJECT!r}\nVERSION = '1.0'\nPACKAGE = 'toy'\nMODULES = {{}}\nopen({str(trap)!r}, 'w')\n",
        )
        archive.writestr("toy/__init__.py", "")
    registry.push(Package(path))
    assert registry.pull(PROJECT, VERSION).path.read_bytes() == path.read_bytes()
    assert (registry.mount(PROJECT, VERSION).path / "toy" / "__init__.py").exists()
    assert not trap.exists()


@clause("R2")
def test_pushing_a_version_again_is_a_conflict_and_changes_nothing(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for other in (package(), package(text="other"), package(folder=True)):
        for handle in (registry, kit.registry()):
            with pytest.raises(ConflictError):
                handle.push(other)
    assert [str(key) for key in registry.releases(PROJECT)] == [VERSION]
    assert registry.pull(PROJECT, VERSION).path.read_bytes() == package().path.read_bytes()


@clause("R2")
def test_an_older_version_may_be_pushed_later(registry: Any) -> None:
    for version in ("2.0", "1.0", "1.5"):
        registry.push(package(version=version))
    assert [str(key) for key in registry.releases(PROJECT)] == ["1.0", "1.5", "2.0"]


@clause("R3", "K4")
def test_of_racing_pushers_exactly_one_wins(kit: Kit, registry: Any) -> None:
    for round_ in range(kit.times(5, 50)):
        name = f"race{round_}"
        spellings = ["1.0", "1.0.0", "v1.0", "1"] * 2
        packages = [package(name, version, str(number)) for number, version in enumerate(spellings)]
        handles = [kit.registry() for _ in packages]
        results = in_threads([lambda h=h, p=p: h.push(p) for h, p in zip(handles, packages, strict=True)])
        winners = [number for number, result in enumerate(results) if result is None]
        assert len(winners) == 1, results
        assert all(isinstance(result, ConflictError) for result in results if result is not None)
        pulled = registry.pull(name, "1.0")
        assert pulled.path.read_bytes() == packages[winners[0]].path.read_bytes()
        assert [str(key) for key in registry.releases(name)] == [spellings[winners[0]]]


@clause("R4", "R6")
def test_a_package_that_changed_since_it_was_opened_is_not_pushed(kit: Kit, registry: Any) -> None:
    copy = kit.folder("packages") / "changing.4ml"
    copy.write_bytes(package().path.read_bytes())
    opened = Package(copy)
    copy.write_bytes(package(version="3.0").path.read_bytes())
    with pytest.raises(Error):
        registry.push(opened)
    copy.write_bytes(b"no package any more")
    with pytest.raises(Error):
        registry.push(opened)
    assert registry.projects() == ()
    copy.write_bytes(package().path.read_bytes())
    registry.push(opened)
    assert registry.pull(PROJECT, VERSION).path.read_bytes() == package().path.read_bytes()


@clause("R6")
@pytest.mark.parametrize("folder", [False, True])
def test_editing_what_was_pushed_pulled_or_mounted_changes_nothing_stored(
    kit: Kit, registry: Any, *, folder: bool
) -> None:
    original = package(folder=folder)
    source = original.copy(kit.folder("packages") / "mine")
    registry.push(source)
    _spoil(source.path)
    pulled = registry.pull(PROJECT, VERSION)
    assert pulled.digest == original.digest
    _spoil(pulled.path)
    mounted = registry.mount(PROJECT, VERSION)
    expected = _tree(mounted.path)
    _spoil(mounted.path)
    for handle in (registry, kit.registry()):
        assert Package(handle.pull(PROJECT, VERSION).path).digest == original.digest
        assert _tree(handle.mount(PROJECT, VERSION).path) == expected


def _spoil(path: Path) -> None:
    for file in [each for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()]:
        file.write_bytes(b"spoiled")


@clause("R7")
def test_a_mount_has_the_content_of_its_release(kit: Kit, registry: Any) -> None:
    versions = ["1.0", "2.0", "1.0.1"]
    for version in versions:
        registry.push(package(version=version))
    registry.push(package("beta", "1.0", text="beta"))
    before = sorted((path, path.stat().st_size) for path in kit.root.rglob("*") if path.is_file())
    for _ in range(2):
        for version in versions:
            module = registry.mount(PROJECT, version).load("main")
            assert (version, module.VERSION, module.TEXT) == (version, version, "")
        assert registry.mount("beta", "1.0").load("main").TEXT == "beta"
    assert sorted((path, path.stat().st_size) for path in kit.root.rglob("*") if path.is_file()) == before
    assert registry.projects() == (PROJECT, "beta")


@clause("R7")
def test_mounting_may_run_in_parallel(kit: Kit, registry: Any) -> None:
    for version in ("1.0", "2.0"):
        registry.push(package(version=version))
    handles = [kit.registry() for _ in range(8)]
    mounted = in_threads([lambda h=h, n=n: h.mount(PROJECT, f"{n % 2 + 1}.0") for n, h in enumerate(handles)])
    for number, artifact in enumerate(mounted):
        assert isinstance(artifact, Artifact), artifact
        assert f"VERSION = '{number % 2 + 1}.0'" in (artifact.path / "toy" / "__init__.py").read_text()
        assert artifact.manifest == package(version=f"{number % 2 + 1}.0").manifest


@clause("R8")
@pytest.mark.parametrize("folder", [False, True])
def test_only_loading_runs_code_of_a_package(kit: Kit, registry: Any, *, folder: bool) -> None:
    trap = kit.folder("trap") / f"sprung{folder}"
    trapped = package("trapped", "1.0", folder=folder, trap=str(trap))
    registry.push(trapped)
    registry.projects(), registry.releases("trapped"), registry.generations("trapped", "1.0")
    registry.pull("trapped", "1.0")
    artifact = registry.mount("trapped", "1.0")
    assert not trap.exists()
    artifact.load("main")
    assert trap.exists()


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__modelkeep__.toml", Manifest(PROJECT, VERSION, "toy").dumps())
        archive.writestr("toy/__init__.py", "")
        for name, text in members:
            archive.writestr(name, text)
    return buffer.getvalue()


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("toy/link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


HOSTILE = {
    "above": lambda: _zip(("../outside.py", b"x")),
    "absolute": lambda: _zip(("/tmp/outside.py", b"x")),
    "inner": lambda: _zip(("toy/../../outside.py", b"x")),
    "backslash": lambda: _zip(("toy\\..\\..\\outside.py", b"x")),
    "drive": lambda: _zip(("C:/outside.py", b"x")),
    "link": lambda: _zip((_link(), b"/etc/passwd")),
    "below a file": lambda: _zip(("toy/__init__.py/x", b"x")),
    "bomb": lambda: _zip(("zeros", b"\0" * (80 << 20))),
    "manifest that is code": lambda: _zip().replace(b"__modelkeep__.toml", b"__modelkeep__.tomx"),
    "truncated": lambda: _zip()[:-40],
    "no zip": lambda: b"PK\x03\x04 but not really",
    "empty": lambda: b"",
}


@clause("R8")
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_invalid_and_leave_nothing(kit: Kit, registry: Any, kind: str) -> None:
    path = kit.folder("packages") / "hostile.4ml"
    path.write_bytes(HOSTILE[kind]())
    with pytest.raises(InvalidError):
        registry.push(Package(path))
    assert registry.projects() == ()
    assert not list(kit.root.parent.glob("**/outside.py"))


@clause("R8")
def test_an_archive_with_a_member_twice_is_invalid(kit: Kit, registry: Any) -> None:
    path = kit.folder("packages") / "twice.4ml"
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(_zip(("toy/__init__.py", b"other")))
    with pytest.raises(InvalidError):
        registry.push(Package(path))
    assert registry.projects() == ()


@clause("R1")
def test_a_large_package_is_pulled_byte_for_byte(kit: Kit, registry: Any) -> None:
    folder = kit.folder("large")
    (folder / "toy").mkdir()
    (folder / "toy" / "__init__.py").write_bytes(b"")
    (folder / "toy" / "weights.bin").write_bytes(kit.chance.randbytes(12_000_001))
    large = Package.create(folder, kit.folder("packages") / "large.4ml", Manifest(PROJECT, VERSION, "toy"))
    registry.push(large)
    for handle in (registry, kit.registry()):
        assert handle.pull(PROJECT, VERSION).path.read_bytes() == large.path.read_bytes()
    assert (registry.mount(PROJECT, VERSION).path / "toy" / "weights.bin").stat().st_size == 12_000_001

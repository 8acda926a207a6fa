"""What the conformance suite needs to test this backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelkeep import Release
from modelkeep.backend import seal
from modelkeep_conformance import FileHarness, FileRegion, Region
from modelkeep_conformance.golden import unpack

_KINDS = {"package.4ml": "release", "release.toml": "release", "tag.toml": "generation"}


class Harness(FileHarness):
    """All traits: the store is files."""

    traits = FileHarness.traits | {"aliases", "removable", "collectable"}
    expendable = ("*.lock", ".stage")

    def recipe(self, root: Path) -> dict[str, Any]:
        """A registry and an inventory in one folder."""
        return {"provider": "local", "path": str(root)}

    def regions(self, root: Path, project: str, version: str) -> list[Region]:
        """The files; a state that is committed has two names."""
        folder = root / project / str(Release.Key(version).version)
        found: list[Region] = [FileRegion("release", folder / name) for name in ("package.4ml", "release.toml")]
        found += [FileRegion(f"generation/{path.parent.name}", path) for path in folder.glob("*/tag.toml")]
        found += [FileRegion(f"state/{path.stem}", path) for path in folder.glob("*/*.bin")]
        found += [FileRegion(f"state/{path.stem}", path) for path in folder.glob(".stage/*.bin")]
        found += [
            FileRegion(f"alias/{path.parent.name}/{path.stem}", path)
            for path in (root / project).glob(".aliases/*/*.toml")
        ]
        found += [FileRegion(f"application/{path.stem}", path) for path in root.glob("*.py")]
        found += [FileRegion(f"application/{path.stem}", path) for path in root.glob(".digests/*.toml")]
        return found

    def newer_format(self, root: Path) -> bool:
        """A marker of a version to come."""
        (root / ".modelkeep.toml").write_bytes(seal(".modelkeep.toml", b"format = 2\n"))
        return True

    def golden(self, root: Path) -> Path:
        """What version 0.1 wrote."""
        return unpack(Path(__file__).with_name("golden-1.tar.gz"), root)

    def litter(self, root: Path) -> bool:
        """What people, editors and other programs leave behind."""
        release = root / "alpha" / "1.0"
        for path in (root, root / "alpha", release, release / "1", release / ".stage"):
            for name in (".DS_Store", "note.txt~", "#note#", "Thumbs.db", "9", "10.bak", "2.0.orig", "stray.py.swp"):
                if path.is_dir():
                    (path / name).write_text("litter")
        for path in (
            root / "empty",
            root / "alpha" / "3.0",
            root / ".git" / "1.0",
            *(release / n for n in ("7", "08", "0")),
        ):
            path.mkdir(parents=True)
        (release / "12").mkdir()
        (release / "12" / "half.bin").write_text("litter")
        (root / "not a project" / "1.0").mkdir(parents=True)
        (root / "not a project" / "1.0" / "package.4ml").write_text("litter")
        (root / "folder.py").mkdir()
        alias = root / "alpha" / ".aliases" / "champion"
        for path in (alias, alias.parent / "empty", alias.parent / "not an alias", alias / "7.toml"):
            path.mkdir(parents=True, exist_ok=True)
            for name in (".DS_Store", "08.toml", "note.toml~", "x.toml"):
                (path / name).write_text("litter")
        return True

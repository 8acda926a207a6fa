"""What the conformance suite needs to test this backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelkeep.backend import seal
from modelkeep_conformance import FileHarness, Region, find_patches, keyvalue_items
from modelkeep_conformance.golden import unpack
from modelkeep_lmdb._engine import Engine


class Harness(FileHarness):
    """All traits: the store is a folder of files."""

    traits = FileHarness.traits | {"aliases", "removable", "collectable"}
    expendable = ("lock.mdb", "stage")

    def recipe(self, root: Path) -> dict[str, Any]:
        """A registry and an inventory in one environment."""
        return {"provider": "lmdb", "path": str(root)}

    def regions(self, root: Path, project: str, version: str) -> list[Region]:
        """The values where they stand in the data file, in pages that are out of use too."""
        engine = Engine(root, limit=None, sync=True)
        items = keyvalue_items(engine, project, version)
        return [find_patches(item, root / "data.mdb", engine.get(key) or b"") for key, item in items.items()]

    def newer_format(self, root: Path) -> bool:
        """A marker of a version to come."""
        Engine(root, limit=None, sync=True).replace("format", seal("format", b"2"))
        return True

    def golden(self, root: Path) -> Path:
        """What version 0.1 wrote."""
        return unpack(Path(__file__).with_name("golden-1.tar.gz"), root)

    def litter(self, root: Path) -> bool:
        """Keys and files that nobody would write."""
        engine = Engine(root, limit=None, sync=True)
        for key in (".DS_Store", "release/.hidden/1", "release/alpha/x~", "generation/alpha/1/.bak", "application/a b"):
            engine.create(key, seal(key, b"{}"))
        for path in (root, root / "stage", root / "stage" / "state"):
            path.mkdir(exist_ok=True)
            (path / ".DS_Store").write_text("litter")
        return True

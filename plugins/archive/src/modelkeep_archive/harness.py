"""What the conformance suite needs to test this backend."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from modelkeep.backend import seal
from modelkeep_archive._engine import Engine
from modelkeep_conformance import FileHarness, FileRegion, Region, keyvalue_items
from modelkeep_conformance.golden import unpack


class Harness(FileHarness):
    """All traits: the store is a file, and a folder beside it.

    States are stored as differences where `MODELKEEP_TEST_DELTA` is set to anything.
    """

    traits = FileHarness.traits | {"aliases", "removable", "collectable"}
    expendable = ("*.lock", "*.stage")

    def recipe(self, root: Path) -> dict[str, Any]:
        """A registry and an inventory in one archive."""
        return {"provider": "archive", "path": str(_path(root)), "delta": bool(os.environ.get("MODELKEEP_TEST_DELTA"))}

    def regions(self, root: Path, project: str, version: str) -> list[Region]:
        """The boxes of records, and the frames of blobs."""
        engine = Engine(_path(root))
        items = keyvalue_items(engine, project, version)
        return [FileRegion(item, _path(root), *engine.locate(key)) for key, item in items.items()]

    def newer_format(self, root: Path) -> bool:
        """A marker of a version to come."""
        Engine(_path(root)).replace("format", seal("format", b"2"))
        return True

    def golden(self, root: Path) -> Path:
        """What version 0.1 wrote."""
        return unpack(Path(__file__).with_name("golden-1.tar.gz"), root)

    def litter(self, root: Path) -> bool:
        """Keys and files that nobody would write."""
        engine = Engine(_path(root))
        for key in (".DS_Store", "release/.hidden/1", "release/alpha/x~", "generation/alpha/1/.bak", "application/a b"):
            engine.create(key, seal(key, b"{}"))
        for folder in (root, Path(f"{_path(root)}.stage")):
            folder.mkdir(exist_ok=True)
            (folder / ".DS_Store").write_text("litter")
        return True


def _path(root: Path) -> Path:
    return root / "models.tar.zst"

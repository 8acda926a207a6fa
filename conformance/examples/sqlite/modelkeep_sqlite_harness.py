"""What the conformance suite needs to test the backend."""

import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

from modelkeep_sqlite import Engine

from modelkeep.backend import seal
from modelkeep_conformance import FileHarness, Region, keyvalue_items
from modelkeep_conformance.golden import unpack


@dataclasses.dataclass(frozen=True)
class Row(Region):
    """A value of the table, reached behind the backend."""

    item: str
    path: Path
    name: str

    def load(self) -> bytes:
        with sqlite3.connect(self.path) as connection:
            return bytes(connection.execute("SELECT value FROM entry WHERE key = ?", (self.name,)).fetchone()[0])

    def store(self, content: bytes) -> bool:
        with sqlite3.connect(self.path) as connection:
            connection.execute("UPDATE entry SET value = ? WHERE key = ?", (content, self.name))
        return True


class Harness(FileHarness):
    """All traits: the store is a file."""

    traits = FileHarness.traits | {"aliases", "removable"}

    def recipe(self, root: Path) -> dict[str, Any]:
        return {"provider": "sqlite", "path": str(root / "store.sqlite")}

    def regions(self, root: Path, project: str, version: str) -> list[Region]:
        path = root / "store.sqlite"
        return [Row(item, path, key) for key, item in keyvalue_items(Engine(path), project, version).items()]

    def newer_format(self, root: Path) -> bool:
        Engine(root / "store.sqlite").replace("format", seal("format", b"2"))
        return True

    def golden(self, root: Path) -> Path:
        return unpack(Path(__file__).with_name("modelkeep_sqlite_golden.tar.gz"), root)

    def litter(self, root: Path) -> bool:
        return Engine(root / "store.sqlite").create("release/.DS_Store", b"litter")

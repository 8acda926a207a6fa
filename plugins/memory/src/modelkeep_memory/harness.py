"""What the conformance suite needs to test this backend."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from modelkeep.backend import seal
from modelkeep_conformance import Harness as Base
from modelkeep_conformance import Region, keyvalue_items
from modelkeep_memory import _engine


@dataclasses.dataclass(frozen=True)
class _Value(Region):
    item: str
    engine: _engine.Engine
    key: str

    @property
    def name(self) -> str:  # type: ignore[override]  # a property will do
        return self.key

    def load(self) -> bytes:
        return self.engine._values[self.key]  # noqa: SLF001  # behind the API on purpose

    def store(self, content: bytes) -> bool:
        self.engine._values[self.key] = content  # noqa: SLF001  # same
        return True


class Harness(Base):
    """Memory has no durability: those clauses do not apply."""

    traits = frozenset({"corruptible", "aliases", "removable", "collectable"})

    def recipe(self, root: Path) -> dict[str, Any]:
        """A store for each folder."""
        return {"provider": "memory", "name": str(root)}

    def regions(self, root: Path, project: str, version: str) -> list[Region]:
        """The values of the dictionary."""
        engine = _engine.Engine.named(str(root))
        return [_Value(item, engine, key) for key, item in keyvalue_items(engine, project, version).items()]

    def litter(self, root: Path) -> bool:
        """Keys that nobody would write."""
        engine = _engine.Engine.named(str(root))
        for key in (".DS_Store", "release/.hidden/1", "release/alpha/x~", "generation/alpha/1/.bak", "application/a b"):
            engine.create(key, seal(key, b"{}"))
        return True

    def forget(self, root: Path) -> None:
        """Free the memory."""
        _engine._stores.pop(str(root), None)  # noqa: SLF001  # behind the API on purpose

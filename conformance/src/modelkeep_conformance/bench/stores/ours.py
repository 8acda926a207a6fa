"""modelkeep, driven as a user drives it. Every commit is synced, unless the options say otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import modelkeep
from modelkeep_conformance.bench.place import PROJECT, commit, place, published


class Store:
    """A registry with one release."""

    def __init__(self, folder: Path, provider: str, **options: Any) -> None:
        known = place(provider, folder, **options)
        if not folder.exists():
            scratch = folder.with_suffix(".packages")
            scratch.mkdir()
            next(published(known, scratch))
        self._project = modelkeep.Directory(modelkeep.registry(**known)).get(PROJECT)

    def commit(self, states: list[bytes]) -> None:
        """Dump each state, put a tag."""
        commit(self._project.get("1.0"), *states)

    def list(self) -> int:
        """List the generations of the release."""
        return len(self._project.get("1.0").list())

    def load(self) -> bytes:
        """Load as the README does."""
        return self._project.get("1.0").get().get(0)

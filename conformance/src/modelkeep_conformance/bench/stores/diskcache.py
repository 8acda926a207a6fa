"""diskcache with no eviction. SQLite syncs when its log is folded in, not each commit; files are not synced."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from diskcache import Cache  # type: ignore[import-not-found]  # here it is not


class Store:
    """A cache; each generation is an entry of metadata, and one for each state."""

    def __init__(self, place: Path) -> None:
        self._cache: Any = Cache(str(place), eviction_policy="none", size_limit=1 << 40)

    def commit(self, states: list[bytes]) -> None:
        """Keep all in one transaction."""
        with self._cache.transact():
            number = self._cache.get("last", 0) + 1
            for index, state in enumerate(states):
                self._cache[f"state/{number}/{index}"] = state
            self._cache[f"generation/{number:010}"] = {"time": time.time(), "ordinal": 1, "states": len(states)}
            self._cache["last"] = number

    def list(self) -> int:
        """Look for the keys of generations."""
        return sum(key.startswith("generation/") for key in self._cache.iterkeys())

    def load(self) -> bytes:
        """Look the last number up, its metadata, and a state."""
        number = self._cache["last"]
        assert self._cache[f"generation/{number:010}"]["states"]
        found: bytes = self._cache[f"state/{number}/0"]
        return found

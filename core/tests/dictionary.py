"""An engine for the tests of the key-value layer."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from modelkeep import keyvalue


class Dictionary(keyvalue.Engine):
    """The least that an author can write; it notes what was asked of it."""

    def __init__(self, place: str = "here") -> None:
        self.place = place
        self.values: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.puts: list[str] = []
        self.creates: list[tuple[str, tuple[str, ...], bool]] = []

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def put(self, key: str, value: memoryview) -> None:
        self.puts.append(key)
        self.values[key] = bytes(value)

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        assert all(need in self.values for need in needs), "what is needed has to be there before"
        with self.lock:
            self.creates.append((key, tuple(needs), durable))
            return self.values.setdefault(key, value) is value

    def replace(self, key: str, value: bytes) -> None:
        self.values[key] = value

    def keys(self, prefix: str) -> list[str]:
        assert prefix.endswith("/")
        return [key for key in list(self.values) if key.startswith(prefix)]

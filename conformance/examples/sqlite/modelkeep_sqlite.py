"""A complete backend: a registry and an inventory of modelkeep in one SQLite file, of the standard library."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from modelkeep import keyvalue


class Engine(keyvalue.Engine):
    """A table of keys and values. SQLite gives the transactions, and flushes them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.place = str(Path(path).expanduser().resolve())

    def _connection(self) -> sqlite3.Connection | None:
        """One connection a call: it is quick, and nothing is left to break in a child made by fork."""
        if not os.path.exists(self.place):
            return None
        return sqlite3.connect(f"file:{self.place}?mode=rw", uri=True, timeout=60, isolation_level=None)

    def _write(self, statement: str, key: str, value: bytes | memoryview) -> bool:
        os.makedirs(os.path.dirname(self.place), exist_ok=True)
        connection = sqlite3.connect(self.place, timeout=60, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
            return connection.execute(statement, (key, value)).rowcount == 1
        finally:
            connection.close()

    def _read(self, statement: str, *parameters: str) -> list[tuple[bytes | str]]:
        connection = self._readable()
        if connection is None:
            return []
        try:
            return connection.execute(statement, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # killed, or refused, before the first write was whole
                return []
            raise
        finally:
            connection.close()

    def _readable(self) -> sqlite3.Connection | None:
        if os.path.exists(self.place) and not os.access(os.path.dirname(self.place), os.W_OK):
            # nobody can be writing, and SQLite could not make its journal
            return sqlite3.connect(f"file:{self.place}?mode=ro&immutable=1", uri=True)
        return self._connection()

    def get(self, key: str) -> bytes | None:
        found = self._read("SELECT value FROM entry WHERE key = ?", key)
        return bytes(found[0][0]) if found else None  # type: ignore[arg-type]  # a BLOB is bytes

    def put(self, key: str, value: memoryview) -> None:
        self._write("INSERT OR REPLACE INTO entry VALUES (?, ?)", key, value)

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        return self._write("INSERT OR IGNORE INTO entry VALUES (?, ?)", key, value)

    def replace(self, key: str, value: bytes) -> None:
        self._write("INSERT OR REPLACE INTO entry VALUES (?, ?)", key, value)

    def keys(self, prefix: str) -> list[str]:
        # the character after the slash that ends every prefix
        found = self._read("SELECT key FROM entry WHERE key >= ? AND key < ?", prefix, prefix[:-1] + "0")
        return [str(key) for (key,) in found]


class Registry(keyvalue.Registry):
    """A registry in an SQLite file."""

    def __init__(self, path: str | os.PathLike[str], staging: str | os.PathLike[str] | None = None) -> None:
        super().__init__(Engine(path), staging)


class Inventory(keyvalue.Inventory):
    """An inventory in an SQLite file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(Engine(path))

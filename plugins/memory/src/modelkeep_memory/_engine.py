"""A dictionary as an engine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from uuid import uuid4

from modelkeep import CorruptedError, InvalidError, UnsupportedError, keyvalue

#: Tells this process from all others, those it forks included.
_PROCESS: Final = uuid4().hex
_stores: Final[dict[str, Engine]] = {}
_lock = threading.RLock()


def _renew_lock() -> None:
    # another thread may have held it when the process forked
    global _lock  # noqa: PLW0603  # one lock guards all stores of the process
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


class Engine(keyvalue.Engine):
    """The store of a name in this process."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._values: dict[str, bytes] = {}
        # when blobs and records of states were stored; 0 if they were committed since
        self._times: dict[str, float] = {}
        # folder -> its names, in no order, and the greatest of them; blobs are not listed
        self._names: dict[str, dict[str, None]] = {}
        self._greatest: dict[str, str] = {}

    @classmethod
    def named(cls, place: str) -> Engine:
        """Find the store of a name, or begin it.

        Raises:
            InvalidError: The name is not a str.
        """
        if not isinstance(place, str):
            raise InvalidError(f"The name of a memory store is a str, not {type(place).__name__}")
        with _lock:
            return _stores.setdefault(place, cls(place))

    def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    def put(self, key: str, value: memoryview) -> None:
        copy = bytes(value)
        with _lock:
            self._values[key] = copy
            self._times[key] = time.time()

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        folder, _, name = key.rpartition("/")
        with _lock:
            if key in self._values:
                return False
            for need in needs:
                if durable and need not in self._values:
                    raise CorruptedError(f"The memory store {self.place!r} has {need} no more. Write it again")
            self._values[key] = value
            if key.startswith("state/"):
                self._times[key] = time.time()
            if durable:
                # once it is not named any more, nobody waits for it
                self._times.update(dict.fromkeys(needs, 0))
            self._names.setdefault(folder, {})[name] = None
            self._greatest[folder] = max(name, self._greatest.get(folder, name))
            return True

    def replace(self, key: str, value: bytes) -> None:
        if not self.create(key, value):
            self._values[key] = value

    def keys(self, prefix: str) -> list[str]:
        with _lock:
            return [
                f"{folder}/{name}"
                for folder, names in self._names.items()
                if f"{folder}/".startswith(prefix)
                for name in names
            ]

    def last(self, prefix: str) -> str | None:
        name = self._greatest.get(prefix.removesuffix("/"))
        return None if name is None else f"{prefix}{name}"

    def sweep(self, choose: Callable[[Iterable[keyvalue.Stored]], Iterable[str]]) -> None:
        with _lock:
            stored = [keyvalue.Stored(key, len(self._values[key]), at) for key, at in self._times.items()]
            for key in choose(stored):
                del self._values[key], self._times[key]
                folder, _, name = key.rpartition("/")
                self._names.get(folder, {}).pop(name, None)

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.place, _PROCESS, os.getpid())


def _reopen(place: str, process: str, pid: int) -> Engine:
    if (process, pid) != (_PROCESS, os.getpid()):
        raise UnsupportedError(
            f"The memory store {place!r} lives in process {pid} only and can not be used in process {os.getpid()}. "
            "Use a provider that keeps its data outside of the process, such as 'local' or 'lmdb'"
        )
    return Engine.named(place)

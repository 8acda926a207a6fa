"""What no commit has taken yet, in a second environment that is never flushed.

It lies in `<store>/stage/<boot>-<store>`, named by the boot of this machine and by the data file of the store. What is
written without a flush is whole for as long as the machine runs, whoever is killed, and may be torn after a loss of
power: so an environment of another boot, or one that was copied with its store, is never opened.

It has room for some megabytes; what finds none waits as a file. A value that a commit took is forgotten by the next
transaction of the process that took it, or by who finds no room: till then it does no harm, since the store is looked
at first. Each value has a stamp, which tells when it was stored and which one it is, so that nobody forgets another
one.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import lmdb

#: The largest value that waits here, in bytes. To make a file for it takes longer than to write it.
LIMIT: Final = 4 << 20
#: How many bytes may wait here. Free pages come on top of it, and what was taken but not forgotten yet does not.
_ROOM: Final = 64 << 20
_MAP: Final = 4 * _ROOM
#: How many read transactions may be open at once, over all processes.
READERS: Final = 2048
#: For how long what was full is not looked through again, in seconds.
_PAUSE: Final = 1.0
#: Begins the key of a stamp.
_STAMP: Final = b"stamp/"
_stamp: Final = struct.Struct(">QQ")


class Value(NamedTuple):
    """A value that waits.

    Attributes:
        key: Its key.
        size: How many bytes it has.
        time: When it was stored, in seconds since 1970.
    """

    key: str
    size: int
    time: float


class Taken(NamedTuple):
    """A value that a commit took: its key and stamp."""

    key: bytes
    stamp: bytes


class Stage:
    """The environment of this boot beside that of a store.

    Attributes:
        lmdb: The environment.
        identity: Device and number of its data file.
    """

    def __init__(self, path: str) -> None:
        """Open it, or make it."""
        os.makedirs(path, exist_ok=True)  # noqa: PTH103  # str
        self.lmdb = lmdb.open(
            path,
            map_size=_MAP,
            sync=False,
            metasync=False,
            # less what the umask takes, as of any file
            mode=0o666,
            max_readers=READERS,
            max_spare_txns=16,
        )
        self.lmdb.reader_check()
        self._main = self.lmdb.open_db(None)
        self._page = self.lmdb.stat()["psize"]
        self.identity = identity(f"{path}/data.mdb")
        self._taken: list[Taken] = []
        self._searched = -_PAUSE

    def begin(self) -> lmdb.Transaction[memoryview]:
        """Begin to read."""
        try:
            return self.lmdb.begin(buffers=True)
        except lmdb.ReadersFullError:
            self.lmdb.reader_check()
        return self.lmdb.begin(buffers=True)

    def store(
        self,
        values: Mapping[str, memoryview],
        kept: Callable[[str], bool],
        refused: Callable[[lmdb.Transaction[memoryview]], bool],
    ) -> bool | None:
        """Store values in one transaction, over those that are there.

        Args:
            values: Keys and values.
            kept: Tells whether the store has a key, and its value is sound.
            refused: Asked within the transaction whether nothing is to be stored.

        Returns:
            Whether they were stored; None if there is no room for them.
        """
        size = sum(map(len, values.values()))
        if size > LIMIT:
            return None
        with contextlib.suppress(lmdb.MapFullError):
            for _ in range(2):
                with self.write() as txn:
                    if refused(txn):
                        return False
                    if self._used(txn) + size <= _ROOM:
                        stamp = _stamp.pack(time.time_ns(), txn.id())
                        for key, value in values.items():
                            txn.put(key.encode(), value)
                            txn.put(_STAMP + key.encode(), stamp)
                        return True
                if time.monotonic() < self._searched + _PAUSE:
                    break
                self._searched = time.monotonic()
                # those of killed readers keep pages from being used again
                self.lmdb.reader_check()
                with self.write() as txn:
                    self.forget_kept(txn, kept)
        return None

    @contextlib.contextmanager
    def write(self) -> Iterator[lmdb.Transaction[memoryview]]:
        """Begin to write; there is one writer at a time."""
        with self.lmdb.begin(write=True, buffers=True) as txn:
            # a kill leaves them to others, who find no room some day
            while self._taken:
                taken = self._taken.pop()
                if self.take(txn, taken.key) == taken:
                    delete(txn, taken.key)
            yield txn

    def take(self, txn: lmdb.Transaction[memoryview], key: bytes) -> Taken:
        """Tell which value it is that a commit takes, for `taken`."""
        return Taken(key, bytes(txn.get(_STAMP + key) or b""))

    def taken(self, values: Iterable[Taken]) -> None:
        """Remember to forget what a commit took."""
        self._taken += values

    def forget_kept(self, txn: lmdb.Transaction[memoryview], kept: Callable[[str], bool]) -> None:
        """Forget what the store has."""
        for value in list(waiting(txn)):
            if kept(value.key):
                delete(txn, value.key.encode())

    def _used(self, txn: lmdb.Transaction[memoryview]) -> int:
        stat = txn.stat(self._main)
        return (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * self._page


def waiting(txn: lmdb.Transaction[memoryview]) -> Iterator[Value]:
    """List the values that wait."""
    cursor = txn.cursor()
    if cursor.set_range(_STAMP):
        for name, stamp in cursor:
            if not bytes(name).startswith(_STAMP):
                break
            key = bytes(name).removeprefix(_STAMP)
            yield Value(key.decode(), len(txn.get(key) or b""), _stamp.unpack(stamp)[0] / 1e9)


def delete(txn: lmdb.Transaction[memoryview], key: bytes) -> None:
    """Delete a value, if it waits."""
    txn.delete(key)
    txn.delete(_STAMP + key)


def identity(file: str) -> tuple[int, int] | None:
    """Tell which file lies in a place; None if there is none."""
    try:
        status = os.stat(file)  # noqa: PTH116  # at every call, and a Path costs three times as much
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino

"""Finding out whether a store can be trusted with commits.

A commit is a conditional request: store this, unless there is something. Servers exist that ignore the condition, and
would let every racing trainer believe that it has won. So before the first write to a bucket, each process asks:

- It creates the object `probe`. Where somebody asked before, that has to be refused: one request, nothing stored.
- Where it is not refused, nobody asked here before (or the condition is ignored). Creating it once more has to be
  refused, and of some threads that create one more object at once exactly one has to win.

`probe` stays, so that those who write later need one request, and no right to delete.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from modelkeep import StorageError, UnsupportedError
from modelkeep_object._stamp import stamp
from modelkeep_object._store import AlreadyThere, Store

KEY: Final = "probe"
_RACERS: Final = 4
_TEXT: Final = b"This object shows that the store refuses to create what exists.\n"
#: The buckets that this process, or the one it was forked from, has found to be good.
_good: Final[set[str]] = set()


def probe(store: Store) -> None:
    """Make sure, once in a process, that a store refuses to create what exists.

    Raises:
        UnsupportedError: It does not.
        StorageError: It could not be asked.
    """
    if store.bucket in _good:
        return
    if not _refuses(store, KEY, _TEXT):
        if not _refuses(store, KEY, _TEXT):
            with contextlib.suppress(StorageError):
                store.delete(KEY)
            raise _unsupported(store, "it lets an object be created twice")
        _race(store)
    _good.add(store.bucket)


def _race(store: Store) -> None:
    key = f"{KEY}-{os.urandom(8).hex()}"
    barrier = threading.Barrier(_RACERS)

    def racer(_: int) -> bytes | None:
        content = stamp(_TEXT)
        barrier.wait(60)
        return None if _refuses(store, key, content) else content

    try:
        with ThreadPoolExecutor(_RACERS) as threads:
            winners = [content for content in threads.map(racer, range(_RACERS)) if content]
        if len(winners) > 1 or (winners and store.get(key) != winners[0]):
            raise _unsupported(
                store, f"{len(winners)} of {_RACERS} who create an object at once are told that they did"
            )
    finally:
        # who may not delete leaves some bytes that nobody looks at
        with contextlib.suppress(StorageError):
            store.delete(key)


def _refuses(store: Store, key: str, content: bytes) -> bool:
    try:
        store.create(key, content)
    except AlreadyThere:
        return True
    except Exception as error:
        raise store.failure(error, f"probing it by {key}") from None
    return False


def _unsupported(store: Store, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"The object store {store.place!r} can not keep a registry: {why}. It ignores the condition of a PUT with "
        "If-None-Match, on which commits depend. Use a store, or a newer version of its server, that honours it"
    )

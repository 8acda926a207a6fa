"""A bucket as an engine.

Keys are names of objects below the prefix of the URL; blobs lie there as they are, records with a stamp before them
(see `_stamp`). One kind of key is spelled differently: a generation is named by what its number lacks to 10^19 - 1,
and then by the number, so that the newest is the first in every listing. Stores list in ascending order only; this
makes the latest of any number of generations one request, with no index to keep and nothing that could go stale.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from modelkeep import CorruptedError, InvalidError, StorageError, keyvalue
from modelkeep.backend import PREFIX, digest, unseal
from modelkeep_object._cache import Cache
from modelkeep_object._probe import probe
from modelkeep_object._stamp import stamp, unstamp
from modelkeep_object._store import PAGE, AlreadyThere, NotModified, Store, Value

#: A blob that was stored longer ago is stored again before a new record names it.
FRESH: Final = timedelta(days=1)
#: For how long a blob that was seen is taken to be there, in seconds.
_SURE: Final = 3600.0
#: How many keys of that kind are remembered.
_REMEMBERED: Final = 10_000
_NINES: Final = 10**19 - 1
_WIDTH: Final = 19
#: What is younger is not collected: who is about to name it may have seen it `FRESH`.
LEAST: Final = 2 * FRESH
#: How many parts the key of a generation has.
_DEPTH: Final = 4


class Engine(keyvalue.Engine):
    """A place in a bucket."""

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, Any] | None = None,
        client: Mapping[str, Any] | None = None,
        timeout: float = 30,
        retries: int = 8,
        concurrency: int = 8,
        cache: str | os.PathLike[str] | None = None,
        cache_limit: int = 10_000_000_000,
    ) -> None:
        for name, table in (("options", options), ("client", client)):
            if table is not None and not isinstance(table, Mapping):
                raise InvalidError(f"The {name} of an object store are a table, not {type(table).__name__}")
        numbers = {
            "timeout": (timeout, 0.001),
            "retries": (retries, 0),
            "concurrency": (concurrency, 1),
            "cache_limit": (cache_limit, 0),
        }
        for name, (value, least) in numbers.items():
            kinds = (int, float) if name == "timeout" else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
                raise InvalidError(f"The option {name} of an object store is a number from {least}, not {value!r:.50}")
        self._store = Store(
            url, options=options or {}, client=client or {}, timeout=timeout, retries=retries, concurrency=concurrency
        )
        self._cache = None if cache is None else Cache(cache, cache_limit)
        self.place = self._store.place
        self._begin()

    def _begin(self) -> None:
        # blobs that are there, releases, and states that this process created: key -> until when, and the record
        self._known: dict[str, tuple[float, bytes]] = {}

    def get(self, key: str) -> bytes | None:
        if key.startswith("blob/"):
            with self.view(key) as value:
                return None if value is None else bytes(value)
        known = self._recall(key)
        if known:
            return known
        stored = self._store.get(_name(key))
        if stored is None:
            return None
        record = unstamp(stored)
        if key.startswith("release/") and _sealed(key, record):
            # every write and close asks for it, and it never changes
            self._remember(key, record)
        return record

    @contextlib.contextmanager
    def view(self, key: str) -> Iterator[memoryview | None]:
        if not key.startswith("blob/"):
            value = self.get(key)
            yield None if value is None else memoryview(value)
            return
        if self._cache is None:
            found = self._store.fetch(key)
            self._seen(key, found)
            yield None if found is None else found.content
            return
        with self._cached(self._cache, key) as content:
            yield content

    @contextlib.contextmanager
    def _cached(self, cache: Cache, key: str) -> Iterator[memoryview | None]:
        """Look at a blob in the cache, if the bucket still has the very object that was copied: else as usual."""
        name = key.removeprefix("blob/")
        with cache.find(name) as (etag, content):
            try:
                found = self._store.fetch(key, etag)
            except NotModified:
                yield content
                return
        self._seen(key, found)
        if found is not None and digest(found.content) == PREFIX + name:
            cache.add(name, found.etag, found.content)
        yield None if found is None else found.content

    def put(self, key: str, value: memoryview) -> None:
        self._writable()
        self._store.put(key, value)
        self._remember(key)

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        self._writable()
        blobs = [need for need in dict.fromkeys(needs) if need.startswith("blob/") and self._recall(need) is None]
        # asked for together, renewed one by one: moving a large one takes all threads that there are
        for blob, modified in zip(blobs, self._store.together(self._store.modified, blobs), strict=True):
            self._hold(blob, modified)
        created = self._create(_name(key), stamp(value))
        if created and key.startswith(("release/", "state/")):
            # its generation is about to be closed by the same process, and neither changes
            self._remember(key, value)
        return created

    def _create(self, name: str, content: bytes) -> bool:
        """Create an object by conditional requests; tell whether it is ours, whatever became of their answers."""
        wait, until = 0.05, time.monotonic() + self._store.patience
        while True:
            failed: StorageError | None = None
            try:
                self._store.create(name, content)
            except AlreadyThere:
                pass
            except Exception as error:
                failed = self._store.failure(error, f"creating {name}")
                if self._store.final(error):
                    raise failed from None
            else:
                return True
            try:
                found = self._store.get(name)
            except StorageError as error:
                if failed is None:
                    raise
                raise StorageError(f"{failed}. It may have been created all the same: {error}") from None
            if found is not None:
                return found == content
            # it was not stored (or, with AlreadyThere, a racing request was called off): again, with the same stamp
            if time.monotonic() > until:
                why = failed or f"The object store {self.place!r} refuses to create {name}"
                raise StorageError(f"{why}. There is none now; a request that is under way may create it yet")
            time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311  # spreads repetitions
            wait = min(2 * wait, 2.0)

    def _hold(self, key: str, modified: datetime | None) -> None:
        """Make sure that a blob that was stored by somebody else stays there for the record that will name it."""
        sound = modified is not None
        if modified is not None and not _fresh(modified):
            # a collector may take it for an orphan that nobody wants
            found = self._store.fetch(key)
            sound = found is not None and digest(found.content) == PREFIX + key.removeprefix("blob/")
            if found is not None and sound:
                self._store.put(key, found.content)
        if not sound:
            raise CorruptedError(
                f"The object store {self.place!r} has lost {key}, or has it damaged. Write the state again"
            )
        self._remember(key)

    def replace(self, key: str, value: bytes) -> None:
        self._writable()
        self._store.put(_name(key), stamp(value))

    def keys(self, prefix: str) -> list[str]:
        return [key for page in self._store.pages(prefix) for each in page if (key := _key(each.key))]

    def last(self, prefix: str) -> str | None:
        if not prefix.startswith("generation/"):
            return super().last(prefix)
        found: list[str] = []
        ordered = True
        for page in self._store.pages(prefix):
            names = [each.key for each in page]
            found += [key for name in names if (key := _key(name))]
            # a store that lists in another order (S3's directory buckets do) has to tell all
            ordered = ordered and names == sorted(names)
            if found and ordered and len(names) == PAGE:
                break
        return max(found, default=None)

    def together(self, function: Callable[[str], Any], keys: Iterable[str]) -> list[Any]:
        return self._store.together(function, keys)

    def sweep(self, choose: Callable[[Iterable[keyvalue.Stored]], Iterable[str]]) -> None:
        """Delete what is chosen.

        No store of this kind can hold others off. Time does: what is chosen was listed before, with an age of `LEAST`,
        and whoever is about to name such a blob stores it again first (`_hold`). So its age is looked at once more.
        """
        before = datetime.now(UTC) - LEAST
        listed = [each for prefix in ("blob/", "state/") for page in self._store.pages(prefix) for each in page]

        def delete(key: str) -> None:
            modified = self._store.modified(key)
            if modified is not None and modified < before:
                self._store.delete(key)

        chosen = choose(keyvalue.Stored(each.key, each.size, each.modified.timestamp()) for each in listed)
        self._store.together(delete, chosen)

    def _writable(self) -> None:
        probe(self._store)

    def _seen(self, key: str, found: Value | None) -> None:
        if found is not None and _fresh(found.modified):
            self._remember(key)

    def _remember(self, key: str, record: bytes = b"") -> None:
        if len(self._known) >= _REMEMBERED:
            self._known = {}
        self._known[key] = time.monotonic() + _SURE, record

    def _recall(self, key: str) -> bytes | None:
        """Give a record that this process created, `b""` for a blob that is there, None for what is not known."""
        known = self._known.get(key)
        return None if known is None or known[0] < time.monotonic() else known[1]

    def collectable(self) -> Store:
        """The store, for `collect`."""
        return self._store

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()


def _fresh(modified: datetime) -> bool:
    return datetime.now(UTC) - modified < FRESH


def _sealed(key: str, record: bytes) -> bool:
    with contextlib.suppress(CorruptedError):
        unseal(None, key, record, "record")
        return True
    return False


def _name(key: str) -> str:
    """Spell a key as the name of an object."""
    if not key.startswith("generation/"):
        return key
    folder, _, number = key.rpartition("/")
    if not number.isdigit():
        return key
    return f"{folder}/{_NINES - int(number):0{_WIDTH}d}-{int(number)}"


def _key(name: str) -> str | None:
    """Read the name of an object as a key; None for a generation's that `_name` does not write."""
    if not name.startswith("generation/"):
        return name
    folder, _, last = name.rpartition("/")
    number = last.rpartition("-")[2]
    if name.count("/") != _DEPTH - 1 or not (number.isascii() and number.isdigit()):
        return None
    key = f"{folder}/{int(number):0{_WIDTH}d}"
    return key if _name(key) == name else None

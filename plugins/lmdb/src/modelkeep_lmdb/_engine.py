"""LMDB as an engine.

Values of a record or blob are values of the unnamed database. Two things are not plain puts:

*Staging.* What is not durable yet (the blobs and records of states before their generation is closed) waits as files in
`<path>/stage`, named by their keys and never flushed. `create` moves what its record needs, and the record itself, into
LMDB in one transaction: ten states cost one flush. The environment itself is always flushed in order, so that its
integrity never depends on power. A staged file that lost bytes to a power failure is noticed when it is moved, since
blobs are named by their digest and records are sealed.

*Large values.* LMDB holds the pages that a transaction writes in memory, and a value has at most 4 GiB. A value of more
than `CUT` bytes is cut into parts `part/<key>/<n>`, each committed by itself, and then named by `cut/<key>`, which has
its size. To view it, the parts are laid into an unnamed temporary file that is mapped: one copy, on disk or in the page
cache, none in anonymous memory. An empty file `cut/<key>` in the stage tells when the parts were stored, until a record
needs them.

What is not needed is deleted in one write transaction, in which no `create` can take it from the stage or find it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import lmdb

from modelkeep import CorruptedError, InvalidError, StorageError, keyvalue
from modelkeep.backend import PREFIX, UNFINISHED, digest, lend
from modelkeep_lmdb._environment import Borrowed, Environment

#: The largest value that is stored in one piece, in bytes.
CUT: Final = 64 << 20
#: The size of a part, and about the most that one transaction moves.
_PART: Final = 32 << 20


class Engine(keyvalue.Engine):
    """An LMDB environment in a folder."""

    def __init__(self, path: str | os.PathLike[str], *, limit: int | None, sync: bool) -> None:
        try:
            self._path = Path(path).expanduser().resolve()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidError(f"The path of an lmdb store is the path of a folder, not {path!r:.100}") from error
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise InvalidError(f"The limit of an lmdb store is a number of bytes, not {limit!r:.100}")
        if not isinstance(sync, bool):
            raise InvalidError(f"The option sync of an lmdb store is true or false, not {sync!r:.100}")
        self.place = str(self._path)
        self._limit, self._sync = limit, sync
        # a str: a Path costs more than what is done with it
        self._stage = f"{self._path}/stage"

    def get(self, key: str) -> bytes | None:
        # most records are found so, at half the cost of a view
        with self._borrowed() as env:
            if env is not None:
                with self._begin(env) as txn:
                    record = txn.get(key.encode())
                    if record is not None:
                        return bytes(record)
        with self.view(key) as value:
            return None if value is None else bytes(value)

    @contextlib.contextmanager
    def view(self, key: str) -> Iterator[memoryview | None]:
        with self._stored(key) as value:
            if value is not None:
                yield value
                return
        if not key.startswith(("blob/", "state/")):
            yield None
            return
        with self._staged(key) as value:
            if value is not None or key.startswith("blob/"):
                yield value
                return
        # the record of a state may have been moved out of the stage since we looked
        with self._stored(key) as value:
            yield value

    @contextlib.contextmanager
    def _stored(self, key: str) -> Iterator[memoryview | None]:
        with self._borrowed() as env:
            if env is None:
                yield None
                return
            with self._begin(env) as txn:
                value = txn.get(key.encode())
                cut = None if value is not None else txn.get(f"cut/{key}".encode())
                if value is not None:
                    with env.lend(value) as view:
                        yield view
                elif cut is not None and bytes(cut).isdigit():
                    with self._joined(txn, key, int(bytes(cut))) as view:
                        yield view
                else:
                    yield None

    @contextlib.contextmanager
    def _staged(self, key: str) -> Iterator[memoryview | None]:
        try:
            file = open(f"{self._stage}/{key}", "rb")  # noqa: PTH123, SIM115  # see above; closed below
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        with file:
            if os.fstat(file.fileno()).st_size == 0:
                yield memoryview(b"")
                return
            with lend(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as value:
                yield value

    @contextlib.contextmanager
    def _joined(self, txn: lmdb.Transaction[memoryview], key: str, size: int) -> Iterator[memoryview]:
        with tempfile.TemporaryFile(dir=self._path if os.access(self._path, os.W_OK) else None) as file:
            for number in range(-(-size // _PART)):
                part = txn.get(_part(key, number))
                if part is not None:
                    file.write(part)
            file.flush()
            if file.tell() == 0:
                yield memoryview(b"")
                return
            with lend(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as value:
                yield value

    def put(self, key: str, value: memoryview) -> None:
        if len(value) <= CUT:
            self._put_staged(key, value)
            return
        self._put_staged(f"cut/{key}", memoryview(b""))
        for number, start in enumerate(range(0, len(value), _PART)):
            with self._writing() as txn:
                txn.put(_part(key, number), value[start : start + _PART])
        with self._writing() as txn:
            txn.put(f"cut/{key}".encode(), b"%d" % len(value))
        self._put_staged(f"cut/{key}", memoryview(b""))

    def _put_staged(self, key: str, value: memoryview) -> None:
        with self._partial(key, value) as partial:
            os.replace(partial, f"{self._stage}/{key}")  # noqa: PTH105  # str

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        if not durable:
            return self._create_staged(key, value)
        moved: list[str] = []
        pending = [need for need in dict.fromkeys(needs) if os.path.exists(f"{self._stage}/{need}")]  # noqa: PTH110  # str
        while True:
            with self._writing() as txn:
                if txn.get(key.encode()) is not None:
                    return False
                size = 0
                while pending and size < _PART:
                    need = pending.pop()
                    size += self._move(txn, need)
                    moved.append(need)
                if not pending:
                    moved += [f"cut/{need}" for need in needs if self._cut(txn, need)]
                    txn.put(key.encode(), value)
            if not pending:
                break
        for need in moved:
            self._unstage(need)
        return True

    def _cut(self, txn: lmdb.Transaction[memoryview], key: str) -> bool:
        """Make sure that the environment has a value; tell whether it is cut."""
        if txn.get(key.encode()) is not None:
            return False
        if txn.get(f"cut/{key}".encode()) is None:
            raise CorruptedError(f"The LMDB store {self.place} has lost {key}. Write it again")
        return True

    def _move(self, txn: lmdb.Transaction[memoryview], key: str) -> int:
        """Put a staged value into the environment; return its size in bytes."""
        with self._staged(key) as value:
            if value is None:
                return 0
            name = key.removeprefix("blob/")
            kept = txn.get(key.encode())
            if kept is not None and (name == key or digest(kept) == PREFIX + name):
                return 0
            if name != key and digest(value) != PREFIX + name:
                raise CorruptedError(f"The LMDB store {self.place} has lost bytes of the staged {key}. Write it again")
            txn.put(key.encode(), value)
            return len(value)

    def _create_staged(self, key: str, value: bytes) -> bool:
        with self._partial(key, memoryview(value)) as partial:
            try:
                os.link(partial, f"{self._stage}/{key}")
            except FileExistsError:
                return False
        # a staged key that was moved into the environment is gone from the stage: look there after it was free here
        with self._stored(key) as stored:
            if stored is not None:
                self._unstage(key)
                return False
        return True

    def _unstage(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._stage}/{key}")  # noqa: PTH108  # str

    @contextlib.contextmanager
    def _partial(self, key: str, value: memoryview) -> Iterator[str]:
        """Write a value beside its place in the stage, and remove what is left of that."""
        folder = os.path.dirname(f"{self._stage}/{key}")  # noqa: PTH120  # str
        partial = f"{folder}/.{uuid4().hex}"
        try:
            try:
                _write(partial, value)
            except FileNotFoundError:
                with self._borrowed(create=True):
                    os.makedirs(folder, exist_ok=True)  # noqa: PTH103  # str
                _write(partial, value)
            yield partial
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)  # noqa: PTH108  # str

    def replace(self, key: str, value: bytes) -> None:
        with self._writing() as txn:
            txn.put(key.encode(), value)

    def keys(self, prefix: str) -> list[str]:
        with self._reading() as txn:
            return _range(txn, prefix) if txn else []

    def last(self, prefix: str) -> str | None:
        # the first key after all that begin with the prefix, then one back
        after = f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}".encode()
        with self._reading() as txn:
            cursor = txn.cursor() if txn else None
            if not cursor or not (cursor.prev() if cursor.set_range(after) else cursor.last()):
                return None
            key = bytes(cursor.key()).decode()
            return key if key.startswith(prefix) else None

    def sweep(self, choose: Callable[[Iterable[keyvalue.Stored]], Iterable[str]]) -> None:
        with self._writing() as txn:
            for key in choose(self._sweepable(txn)):
                for name in (key, f"cut/{key}", *_range(txn, f"part/{key}/")):
                    self._unstage(name)
                    txn.delete(name.encode())

    def _sweepable(self, txn: lmdb.Transaction[memoryview]) -> Iterator[keyvalue.Stored]:
        sizes: dict[str, int] = {}
        times: dict[str, float] = {}
        for folder, _, names in os.walk(self._stage, onerror=_failed):
            for name in names:
                path = f"{folder}/{name}"
                key = path.removeprefix(f"{self._stage}/").removeprefix("cut/")
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(path)  # noqa: PTH116  # str
                    sizes[key] = sizes.get(key, 0) + status.st_size
                    partial = UNFINISHED if name.startswith(".") else 0
                    times[key] = max(times.get(key, 0), status.st_mtime + partial)
        for prefix in ("blob/", "state/", "part/blob/"):
            for name in _range(txn, prefix):
                key = name.removeprefix("part/").rpartition("/")[0] if name.startswith("part/") else name
                sizes[key] = sizes.get(key, 0) + len(txn.get(name.encode()) or b"")
        return (keyvalue.Stored(key, size, times.get(key, 0)) for key, size in sizes.items())

    def stat(self) -> dict[str, int]:
        """Tell about the environment: bytes used and allowed, pages in use and free, entries, readers.

        Raises:
            StorageError: There is none yet.
        """
        with self._existing() as env:
            env.lmdb.reader_check()
            info, stat = env.lmdb.info(), env.lmdb.stat()
            pages = info["last_pgno"] + 1
            used = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
            return {
                "bytes": pages * stat["psize"],
                "limit": info["map_size"],
                "pages": pages,
                # less the two meta pages; the list of free pages itself counts as free
                "free_pages": pages - used - 2,
                "entries": stat["entries"],
                "readers": info["num_readers"],
            }

    def compact(self, target: str | os.PathLike[str]) -> None:
        """Write a copy without free pages into a new folder, while others go on.

        Raises:
            StorageError: There is no store, or the folder exists.
        """
        with self._existing() as env:
            try:
                Path(target).mkdir()
                env.lmdb.copy(os.fspath(target), compact=True)
            except (OSError, lmdb.Error) as error:
                raise StorageError(f"The LMDB store {self.place} can not be copied to {target}: {error}") from error

    @contextlib.contextmanager
    def _existing(self, *, create: bool = False) -> Iterator[Environment]:
        with self._borrowed(create=create) as env:
            if env is None:
                raise StorageError(f"There is no LMDB store at {self.place}")
            yield env

    @contextlib.contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[memoryview] | None]:
        with self._borrowed() as env:
            if env is None:
                yield None
                return
            with self._begin(env) as txn:
                yield txn

    @contextlib.contextmanager
    def _writing(self) -> Iterator[lmdb.Transaction[memoryview]]:
        with self._existing(create=True) as env:
            try:
                with self._begin(env, write=True) as txn:
                    yield txn
            except lmdb.MapFullError as error:
                raise StorageError(
                    f"The LMDB store {self.place} is full, it may hold {env.lmdb.info()['map_size']} bytes. "
                    "Raise its limit"
                ) from error

    def _begin(self, env: Environment, *, write: bool = False) -> lmdb.Transaction[memoryview]:
        try:
            return env.lmdb.begin(write=write, buffers=True)
        except lmdb.ReadersFullError:
            env.lmdb.reader_check()
        except lmdb.MapResizedError:
            env.grow()
        return env.lmdb.begin(write=write, buffers=True)

    def _borrowed(self, *, create: bool = False) -> Borrowed:
        return Borrowed(self._path, self._limit, create=create, sync=self._sync)


def _write(path: str, content: memoryview) -> None:
    with open(path, "xb", buffering=0) as file:  # noqa: PTH123  # str
        while content:
            content = content[file.write(content) :]


def _failed(error: OSError) -> None:
    """Refuse a stage that can't be listed: what waits there would lose what it names. What is not there is empty."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _range(txn: lmdb.Transaction[memoryview], prefix: str) -> list[str]:
    """List the keys that begin with a prefix."""
    start = prefix.encode()
    found: list[str] = []
    cursor = txn.cursor()
    if cursor.set_range(start):
        for key in cursor.iternext(keys=True, values=False):
            name = bytes(key)
            if not name.startswith(start):
                break
            found.append(name.decode())
    return found


def _part(key: str, number: int) -> bytes:
    return b"part/%s/%06d" % (key.encode(), number)

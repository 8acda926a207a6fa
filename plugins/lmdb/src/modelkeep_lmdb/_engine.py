"""LMDB as an engine.

Values of a record or blob are values of the unnamed database. Two things are not plain puts:

*Staging.* What is not durable yet (the blobs and records of states before their generation is closed) waits in a second
environment that is never flushed (see `_stage`). What is large, or finds no room there, waits as a file in
`<path>/stage`, named by its key and never flushed either; so does all of it where the kernel tells no boot. `create`
moves what its record needs, and the record itself, into the environment in one transaction: ten states cost one flush.
The environment itself is always flushed in order, so that its integrity never depends on power. The other one is of
this boot, so that no power was lost since. A staged file may be older: if it lost bytes, that is noticed when it is
moved, since blobs are named by their digest and records are sealed.

*Large values.* LMDB holds the pages that a transaction writes in memory, and a value has at most 4 GiB. A value of more
than `CUT` bytes is cut into parts `part/<key>/<n>`, each committed by itself, and then named by `cut/<key>`, which has
its size. To view it, the parts are laid into an unnamed temporary file that is mapped: one copy, on disk or in the page
cache, none in anonymous memory. An empty file `cut/<key>` in the stage tells when the parts were stored, until a record
needs them.

What is not needed is deleted in one write transaction, in which no `create` can take it from the stage or find it.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

import lmdb

from modelkeep import CorruptedError, InvalidError, StorageError, keyvalue
from modelkeep.backend import PREFIX, UNFINISHED, digest, lend
from modelkeep_lmdb._environment import STAGE, Environment, Lent, borrow, give_back
from modelkeep_lmdb._stage import LIMIT, Stage, Taken, delete, waiting

#: The largest value that is stored in one piece, in bytes.
CUT: Final = 64 << 20
#: The size of a part, and about the most that one transaction moves.
_PART: Final = 32 << 20
#: Begins the key by which a sweep calls a whole folder of the stage.
_FOLDER: Final = "stage/"


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
        self._stage = f"{self.place}/{STAGE}"

    def get(self, key: str) -> bytes | None:
        moment = self._moment()
        if moment is None:
            with _Moment(self):
                return self.get(key)
        found = moment.find(key)
        if found is not None:
            return bytes(found)
        elsewhere = self.elsewhere(moment, key)
        if elsewhere is None:
            return None
        with elsewhere as value:
            return None if value is None else bytes(value)

    def view(self, key: str) -> _View:
        return _View(self, key)

    def reading(self) -> AbstractContextManager[object]:
        return _Moment(self)

    def _moment(self) -> _Moment | None:
        """Give what this thread reads as of."""
        moment = _reads.moment
        return moment if moment is not None and moment.engine is self else None

    def elsewhere(self, moment: _Moment, key: str) -> AbstractContextManager[memoryview | None] | None:
        """Look at a value that no environment has in one piece, if there may be one."""
        is_blob = key.startswith("blob/")
        if is_blob:
            cut = moment.stored(f"cut/{key}")
            if cut is not None and bytes(cut).isdigit():
                return self._joined(moment, key, int(bytes(cut)))
        elif not key.startswith("state/"):
            return None
        # tells more quickly than an exception that there is none
        if os.access(f"{self._stage}/{key}", os.F_OK):
            return self._filed(moment, key)
        return None if is_blob else nullcontext(moment.stored_since(key))

    @contextlib.contextmanager
    def _filed(self, moment: _Moment, key: str) -> Iterator[memoryview | None]:
        with self._staged(key) as value:
            # the record of a state may have been moved out of the stage since we looked
            yield moment.stored_since(key) if value is None and key.startswith("state/") else value

    @contextlib.contextmanager
    def _staged(self, key: str) -> Iterator[memoryview | None]:
        """Look at a value that waits as a file."""
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
    def _joined(self, moment: _Moment, key: str, size: int) -> Iterator[memoryview]:
        with tempfile.TemporaryFile(dir=self._path if os.access(self._path, os.W_OK) else None) as file:
            for number in range(-(-size // _PART)):
                part = moment.stored(_part(key, number))
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
        self._put_file(f"cut/{key}", memoryview(b""))
        for number, start in enumerate(range(0, len(value), _PART)):
            with self._writing() as (_, txn):
                txn.put(_part(key, number).encode(), value[start : start + _PART])
        with self._writing() as (_, txn):
            txn.put(f"cut/{key}".encode(), b"%d" % len(value))
        self._put_file(f"cut/{key}", memoryview(b""))

    def _put_staged(self, key: str, value: memoryview) -> None:
        with self._borrowed(create=True) as environment:
            assert environment is not None, "it was made"
            stage = environment.stage(self.place)
            if stage and stage.store({key: value}, functools.partial(self._sound, environment), lambda _: False):
                return
        self._put_file(key, value)

    def _put_file(self, key: str, value: memoryview) -> None:
        with self._partial(key, value) as partial:
            os.replace(partial, f"{self._stage}/{key}")  # noqa: PTH105  # str

    def stage(self, blob: str, content: memoryview, key: str, value: bytes) -> bool:
        if len(content) > min(LIMIT, CUT):
            return super().stage(blob, content, key, value)
        return self._create_staged(key, value, {blob: content})

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        if not durable:
            return self._create_staged(key, value, {})
        pending = list(dict.fromkeys(needs))
        files: list[str] = []
        while True:
            with self._writing() as (environment, txn):
                if txn.get(key.encode()) is not None:
                    return False
                stage = environment.stage(self.place) if pending else None
                taken = self._take(txn, stage, pending, files)
                if not pending:
                    files += [f"cut/{need}" for need in needs if self._cut(txn, need)]
                    txn.put(key.encode(), value)
            if stage is not None:
                stage.taken(taken)
            if not pending:
                break
        for need in files:
            self._unstage(need)
        return True

    def _take(
        self, txn: lmdb.Transaction[memoryview], stage: Stage | None, pending: list[str], files: list[str]
    ) -> list[Taken]:
        """Move staged values into the environment, as much as one transaction should.

        Args:
            txn: The transaction.
            stage: The stage of this boot.
            pending: Keys to move; those that were are removed.
            files: Is told those that were files.

        Returns:
            Those that were in the stage of this boot.
        """
        taken: list[Taken] = []
        size = 0
        # it ends before the flush, so that it keeps nobody from using free pages again
        with stage.begin() if stage else nullcontext() as staged:
            while pending and size < _PART:
                need = pending.pop()
                if stage and staged and (value := staged.get(need.encode())) is not None:
                    # written in this boot, so it is what was hashed
                    size += self._move(txn, need, value, trusted=True)
                    taken.append(stage.take(staged, need.encode()))
                elif os.access(f"{self._stage}/{need}", os.F_OK):
                    with self._staged(need) as content:
                        size += self._move(txn, need, content, trusted=False)
                    files.append(need)
        return taken

    def _cut(self, txn: lmdb.Transaction[memoryview], key: str) -> bool:
        """Make sure that the environment has a value; tell whether it is cut."""
        if txn.get(key.encode()) is not None:
            return False
        if txn.get(f"cut/{key}".encode()) is None:
            raise CorruptedError(f"The LMDB store {self.place} has lost {key}. Write it again")
        return True

    def _move(self, txn: lmdb.Transaction[memoryview], key: str, value: memoryview | None, *, trusted: bool) -> int:
        """Put a staged value into the environment; return its size in bytes."""
        if value is None or _sound(key, txn.get(key.encode())):
            return 0
        if not trusted and not _sound(key, value):
            raise CorruptedError(f"The LMDB store {self.place} has lost bytes of the staged {key}. Write it again")
        txn.put(key.encode(), value)
        return len(value)

    def _create_staged(self, key: str, value: bytes, blobs: Mapping[str, memoryview]) -> bool:
        """Stage the record of a state, and blobs before it, unless the key exists."""
        with self._borrowed(create=True) as environment:
            assert environment is not None, "it was made"
            stage = environment.stage(self.place)

            def stored() -> bool:
                with self.begin(environment) as txn:
                    return txn.get(key.encode()) is not None

            def exists(staged: lmdb.Transaction[memoryview]) -> bool:
                # the stage first: what was moved out of it is in the environment when we look there
                waits = staged.get(key.encode()) is not None or os.access(f"{self._stage}/{key}", os.F_OK)
                return waits or stored()

            if stage:
                values = {**blobs, key: memoryview(value)}
                created = stage.store(values, functools.partial(self._sound, environment), exists)
                if created is not None:
                    return created
            for blob, content in blobs.items():
                self._put_file(blob, content)
            # one at a time, so that nobody stages it there while we do it here
            with self._partial(key, memoryview(value)) as partial, stage.write() if stage else nullcontext() as staged:
                if staged and staged.get(key.encode()) is not None:
                    return False
                try:
                    os.link(partial, f"{self._stage}/{key}")
                except FileExistsError:
                    return False
                # after it was free here, as above
                if stored():
                    self._unstage(key)
                    return False
                return True

    def _sound(self, environment: Environment, key: str) -> bool:
        """Tell whether the environment has a key, and its value is sound."""
        with self.begin(environment) as txn:
            return _sound(key, txn.get(key.encode()))

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
        with self._writing() as (_, txn):
            txn.put(key.encode(), value)

    def keys(self, prefix: str) -> list[str]:
        with self._now() as moment:
            return _range(moment.txn, prefix) if moment.txn else []

    def last(self, prefix: str) -> str | None:
        # the first key after all that begin with the prefix, then one back
        after = f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}".encode()
        with self._now() as moment:
            cursor = moment.txn.cursor() if moment.txn else None
            if not cursor or not (cursor.prev() if cursor.set_range(after) else cursor.last()):
                return None
            key = bytes(cursor.key()).decode()
            return key if key.startswith(prefix) else None

    def sweep(self, choose: Callable[[Iterable[keyvalue.Stored]], Iterable[str]]) -> None:
        with self._writing() as (environment, txn):
            stage = environment.stage(self.place)
            with stage.write() if stage else nullcontext() as staged:
                if stage and staged:
                    stage.forget_kept(staged, functools.partial(self._sound, environment))
                # the mark of a value that is cut stays: it tells a time
                for name in filter(_stageable, self._files(environment)):
                    if self._sound(environment, name):
                        self._unstage(name)
                for key in choose(self._sweepable(environment, txn, staged)):
                    if key.startswith(_FOLDER):
                        shutil.rmtree(f"{self._stage}/{key.removeprefix(_FOLDER)}", ignore_errors=True)
                    if staged:
                        delete(staged, key.encode())
                    for name in (key, f"cut/{key}", *_range(txn, f"part/{key}/")):
                        self._unstage(name)
                        txn.delete(name.encode())

    def _sweepable(
        self,
        environment: Environment,
        txn: lmdb.Transaction[memoryview],
        staged: lmdb.Transaction[memoryview] | None,
    ) -> Iterator[keyvalue.Stored]:
        sizes: dict[str, int] = {}
        times: dict[str, float] = {}

        def note(key: str, size: int, time: float) -> None:
            sizes[key] = sizes.get(key, 0) + size
            times[key] = max(times.get(key, 0), time)

        for name in self._files(environment):
            # the stage of another boot, or of the store that this is a copy of, is one thing
            key = _FOLDER + name.removesuffix("/data.mdb") if name.endswith("/data.mdb") else name.removeprefix("cut/")
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(f"{self._stage}/{name}")  # noqa: PTH116  # str
                partial = UNFINISHED if os.path.basename(name).startswith(".") else 0  # noqa: PTH119  # str
                note(key, status.st_size, status.st_mtime + partial)
        for value in waiting(staged) if staged else ():
            note(*value)
        for prefix in ("blob/", "state/", "part/blob/"):
            for name in _range(txn, prefix):
                key = name.removeprefix("part/").rpartition("/")[0] if name.startswith("part/") else name
                note(key, len(txn.get(name.encode()) or b""), 0)
        return (keyvalue.Stored(key, size, times[key]) for key, size in sizes.items())

    def _files(self, environment: Environment) -> Iterator[str]:
        """List what waits as files, and the data files of other stages."""
        for folder, folders, names in os.walk(self._stage, onerror=_failed):
            if environment.stage_name in folders:
                folders.remove(environment.stage_name)
            for name in names:
                if not ("data.mdb" in names and name == "lock.mdb"):
                    yield os.path.relpath(f"{folder}/{name}", self._stage)

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
    def _existing(self) -> Iterator[Environment]:
        with self._borrowed(create=False) as environment:
            if environment is None:
                raise StorageError(f"There is no LMDB store at {self.place}")
            yield environment

    def _now(self) -> AbstractContextManager[_Moment]:
        """Read as of what this thread reads as of, or as of now."""
        moment = self._moment()
        return _Moment(self) if moment is None else nullcontext(moment)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[Environment, lmdb.Transaction[memoryview]]]:
        with self._borrowed(create=True) as environment:
            assert environment is not None, "it was made"
            try:
                with self.begin(environment, write=True) as txn:
                    yield environment, txn
            except lmdb.MapFullError as error:
                raise StorageError(
                    f"The LMDB store {self.place} is full, it may hold {environment.lmdb.info()['map_size']} bytes. "
                    "Raise its limit"
                ) from error

    def begin(self, environment: Environment, *, write: bool = False) -> lmdb.Transaction[memoryview]:
        """Begin a transaction."""
        try:
            return environment.lmdb.begin(write=write, buffers=True)
        except lmdb.ReadersFullError:
            environment.lmdb.reader_check()
        except lmdb.MapResizedError:
            environment.grow()
        return environment.lmdb.begin(write=write, buffers=True)

    def borrow(self, *, create: bool) -> Environment | None:
        """Use the environment until `give_back`; None if there is none and it is not to be made."""
        return borrow(self.place, self._limit, create=create, sync=self._sync)

    @contextlib.contextmanager
    def _borrowed(self, *, create: bool) -> Iterator[Environment | None]:
        environment, user = self.borrow(create=create), threading.get_ident()
        try:
            yield environment
        finally:
            if environment is not None:
                give_back(environment, user)


class _Moment:
    """What one thread reads as of one moment, for the length of a block and of the views that are entered in it.

    Not a generator, which would cost as much as a read.

    Attributes:
        engine: The engine.
        environment: Its environment; None if there is none.
        txn: A transaction of it; None if there is none.
    """

    __slots__ = ("_before", "_holders", "_since", "_staged", "_user", "engine", "environment", "txn")

    txn: lmdb.Transaction[memoryview] | None
    _staged: lmdb.Transaction[memoryview] | None
    _since: lmdb.Transaction[memoryview] | None

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.txn = self._staged = self._since = None

    def __enter__(self) -> Self:
        self._holders, self._user = 1, threading.get_ident()
        self.environment = self.engine.borrow(create=False)
        if self.environment is not None:
            try:
                self.txn = self.engine.begin(self.environment)
            except BaseException:
                give_back(self.environment, self._user)
                raise
        self._before, _reads.moment = _reads.moment, self
        return self

    def __exit__(self, *_: object) -> None:
        _reads.moment = self._before
        self.leave()

    def hold(self) -> None:
        """Let it last until one more `leave`."""
        self._holders += 1

    def leave(self) -> None:
        """End it, unless somebody holds it."""
        self._holders -= 1
        if self._holders or self.environment is None:
            return
        for txn in (self.txn, self._staged, self._since):
            if txn is not None:
                txn.abort()
        give_back(self.environment, self._user)

    def find(self, key: str) -> memoryview | None:
        """Find a value that the environment or the stage of this boot has in one piece."""
        if self.txn is None or self.environment is None:
            return None
        value = self.txn.get(key.encode())
        if value is None and _stageable(key):
            if self._staged is None and (stage := self.environment.stage(self.engine.place)):
                self._staged = stage.begin()
            if self._staged is not None:
                value = self._staged.get(key.encode())
        return value

    def stored(self, key: str) -> memoryview | None:
        """Find a value in the environment."""
        return None if self.txn is None else self.txn.get(key.encode())

    def stored_since(self, key: str) -> memoryview | None:
        """Find a value in the environment that was put there since."""
        if self.txn is None or self.environment is None:
            return None
        if self._since is None:
            try:
                self._since = self.environment.lmdb.begin(buffers=True)
            except (lmdb.MapResizedError, lmdb.ReadersFullError):
                if self._holders > 1:
                    raise
                # while the map grows nothing may be open: the moment is a later one
                self.txn.abort()
                self.txn = None
                self.txn = self.engine.begin(self.environment)
                return self.txn.get(key.encode())
        return self._since.get(key.encode())


class _Reads(threading.local):
    #: What this thread reads as of.
    moment: _Moment | None = None


_reads: Final = _Reads()


class _View:
    """A value for the length of a block."""

    __slots__ = ("_engine", "_key", "_moment", "_value")

    _value: AbstractContextManager[memoryview | None] | None

    def __init__(self, engine: Engine, key: str) -> None:
        self._engine, self._key = engine, key

    def __enter__(self) -> memoryview | None:
        moment = _reads.moment
        if moment is not None and moment.engine is self._engine:
            return self._enter(moment)
        with _Moment(self._engine) as moment:
            return self._enter(moment)

    def _enter(self, moment: _Moment) -> memoryview | None:
        found = moment.find(self._key)
        if found is not None and moment.environment is not None:
            self._value = Lent(moment.environment, found)
        else:
            self._value = self._engine.elsewhere(moment, self._key)
        value = None if self._value is None else self._value.__enter__()
        moment.hold()
        self._moment = moment
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._value is not None:
                self._value.__exit__(None, None, None)
        finally:
            self._moment.leave()


def _stageable(key: str) -> bool:
    """Tell whether a value of this kind may wait for its commit."""
    return key.startswith(("blob/", "state/"))


def _sound(key: str, value: memoryview | None) -> bool:
    """Tell whether a value is there and what its key says, if that is a digest."""
    if value is None:
        return False
    name = key.removeprefix("blob/")
    return name == key or digest(value) == PREFIX + name


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


def _part(key: str, number: int) -> str:
    return f"part/{key}/{number:06d}"

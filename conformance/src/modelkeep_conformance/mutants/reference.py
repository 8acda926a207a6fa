"""A small and correct backend that the mutants are made of: each key is a file below a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

from modelkeep import CorruptedError, UnsupportedError, keyvalue

#: Ends the names of files; all others are not ours.
SUFFIX: Final = ".value"


class Engine(keyvalue.Engine):
    """Files that are written aside and flushed, then get their name by a link or a rename."""

    def __init__(self, path: str) -> None:
        self.place = os.path.realpath(path)

    def path(self, key: str) -> Path:
        """The file of a key."""
        return Path(self.place, f"{key}{SUFFIX}")

    def get(self, key: str) -> bytes | None:
        try:
            return self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def put(self, key: str, value: memoryview) -> None:
        target = self.path(key)
        with self.staged(value) as staged:
            self.folder(target.parent)
            staged.replace(target)
        self.flush(target.parent)

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        target = self.path(key)
        held = self.locked(fcntl.LOCK_SH) if durable and needs else contextlib.nullcontext()
        with self.staged(value) as staged, held:
            self.folder(target.parent)
            self.check(needs if durable else ())
            for folder in {self.path(each).parent for each in needs}:
                self.flush(folder)
            try:
                target.hardlink_to(staged)
            except FileExistsError:
                return False
        self.flush(target.parent)
        return True

    def replace(self, key: str, value: bytes) -> None:
        self.put(key, memoryview(value))

    def keys(self, prefix: str) -> list[str]:
        return [
            str(Path(folder, name).relative_to(self.place)).removesuffix(SUFFIX)
            for folder, _, names in os.walk(Path(self.place, prefix), onerror=_failed)
            for name in names
            if name.endswith(SUFFIX)
        ]

    def sweep(self, choose: Callable[[Iterable[keyvalue.Stored]], Iterable[str]]) -> None:
        with self.locked(fcntl.LOCK_EX):
            for key in choose(self.stored()):
                self.path(key).unlink(missing_ok=True)

    def stored(self) -> Iterator[keyvalue.Stored]:
        """What may be collected."""
        for key in (*self.keys("blob/"), *self.keys("state/")):
            status = self.path(key).stat()
            yield keyvalue.Stored(key, status.st_size, status.st_mtime)

    def check(self, keys: Sequence[str]) -> None:
        """Make sure that what a record needs was not collected."""
        for key in keys:
            if not self.path(key).exists():
                raise CorruptedError(f"{self.place} has {key} no more. Write it again")

    @contextlib.contextmanager
    def locked(self, how: int) -> Iterator[None]:
        """Hold off those who delete, or all others; a death frees it."""
        number = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.flock(number, how)
            yield
        finally:
            os.close(number)

    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        """A flushed file with some content, for a block that gives it its name."""
        path = Path(self.place, ".stage", uuid4().hex)
        self.folder(path.parent)
        try:
            self.write(path, value)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def write(self, path: Path, value: bytes | memoryview) -> None:
        """Write a file and flush it."""
        with path.open("xb") as file:
            file.write(value)
            file.flush()
            self.sync(file.fileno())

    def folder(self, path: Path) -> None:
        """Make a folder and those above it."""
        if not path.is_dir():
            self.folder(path.parent)
            path.mkdir(exist_ok=True)
            self.flush(path.parent)

    def flush(self, path: Path) -> None:
        """Flush the names in a folder."""
        number = os.open(path, os.O_RDONLY)
        try:
            self.sync(number)
        finally:
            os.close(number)

    def sync(self, number: int) -> None:
        """Flush what is behind a descriptor."""
        os.fsync(number)


def _failed(error: OSError) -> None:
    """What can not be listed is an error; what is not there is empty."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


class Volatile(Engine):
    """Values in the memory of this process, for clauses about backends that are not durable."""

    stores: ClassVar[dict[str, dict[str, bytes]]] = {}

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.values = self.stores.setdefault(self.place, {})

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def put(self, key: str, value: memoryview) -> None:
        self.values[key] = bytes(value)

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        return self.values.setdefault(key, mine := bytes(bytearray(value))) is mine

    def keys(self, prefix: str) -> list[str]:
        return [key for key in tuple(self.values) if key.startswith(prefix)]

    def __reduce__(self) -> tuple[Any, ...]:
        return _here, (type(self), self.place, os.getpid())


def _here(kind: type[Volatile], place: str, pid: int) -> Volatile:
    if pid != os.getpid():
        raise UnsupportedError(f"The store {place!r} is in the memory of process {pid} and of no other")
    return kind(place)


class Registry(keyvalue.Registry):
    """The registry over the engine."""

    engine: ClassVar[type[Engine]] = Engine
    _engine: Engine

    def __init__(self, path: str, staging: str | None = None) -> None:
        super().__init__(self.engine(path), staging)

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}({self._engine.place!r})"


class Inventory(keyvalue.Inventory):
    """The inventory over the engine."""

    engine: ClassVar[type[Engine]] = Engine
    _engine: Engine

    def __init__(self, path: str) -> None:
        super().__init__(self.engine(path))

    __repr__ = Registry.__repr__

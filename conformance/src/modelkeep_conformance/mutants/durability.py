"""What does not survive: a process, a kill, a full disk, a move, a newer format."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from modelkeep import StorageError, UnsupportedError, keyvalue
from modelkeep.backend import seal
from modelkeep_conformance.mutants.define import gap, mutant
from modelkeep_conformance.mutants.generations import UsedUp
from modelkeep_conformance.mutants.reference import Engine, Inventory, Registry, Volatile
from modelkeep_conformance.mutants.releases import ReservedForGood

mutant("D3", "a push reserves its version, and a dead one keeps it")(ReservedForGood)
mutant("D3", "a close uses its number up before it is done")(UsedUp)


@mutant("D1", "everything stays in the memory of the process")
@mutant("D1", "everything stays in the memory of the process", kind="inventory")
class InMemory(Volatile):
    pass


@mutant("D1", "the last commit is held back until the next one")
@mutant("D1", "the last commit is held back until the next one", kind="inventory")
class HeldBack(Engine):
    held: ClassVar[dict[str, tuple[str, bytes]]] = {}
    families: ClassVar[tuple[str, ...]] = ("generation/", "application/")

    def create(self, key: str, value: bytes, **_: Any) -> bool:
        if not key.startswith(self.families):
            return super().create(key, value)
        if self.get(key) is not None:
            return False
        if last := self.held.pop(self.place, None):
            super().put(last[0], memoryview(last[1]))
        self.held[self.place] = key, value
        return True

    def replace(self, key: str, value: bytes) -> None:
        self.path(key).unlink(missing_ok=True)
        self.create(key, value)

    def get(self, key: str) -> bytes | None:
        last = self.held.get(self.place)
        return last[1] if last and last[0] == key else super().get(key)

    def keys(self, prefix: str) -> list[str]:
        last = self.held.get(self.place)
        return super().keys(prefix) + ([last[0]] if last and last[0].startswith(prefix) else [])


@mutant("D2", "what is replaced is removed first", kind="inventory")
@mutant("I2", "what is replaced is removed first", kind="inventory")
class RemovedFirst(Engine):
    def replace(self, key: str, value: bytes) -> None:
        self.path(key).unlink(missing_ok=True)
        gap()
        super().replace(key, value)


@mutant("D2", "what is replaced is emptied and written in place", kind="inventory")
@mutant("I2", "what is replaced is emptied and written in place", kind="inventory")
@mutant("I4", "what is replaced is emptied and written in place", kind="inventory")
class ReplacedInPlace(Engine):
    def replace(self, key: str, value: bytes) -> None:
        self.folder(self.path(key).parent)
        with self.path(key).open("wb", buffering=0) as file:
            for start in range(0, len(value), len(value) // 3 + 1):
                file.write(value[start : start + len(value) // 3 + 1])
                gap()
            self.sync(file.fileno())


@mutant("D2", "a release is there before its package")
class ReleaseBeforePackage(Engine):
    def create(self, key: str, value: bytes, **_: Any) -> bool:
        if not key.startswith("release/"):
            return super().create(key, value)
        blob = max((self.path(each) for each in self.keys("blob/")), key=lambda path: path.stat().st_mtime_ns)
        blob.rename(f"{blob}.late")
        created = super().create(key, value)
        Path(f"{blob}.late").rename(blob)
        return created


@mutant("D3", "a lock file keeps others out until it is removed, by whom it may be")
@mutant("D3", "a lock file keeps others out until it is removed, by whom it may be", kind="inventory")
class LockFile(Engine):
    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        self.folder(Path(self.place))
        lock = Path(self.place, ".lock")
        lock.open("x").close()
        try:
            with super().staged(value) as path:
                yield path
        finally:
            lock.unlink()


@mutant("D4", "what is being written lies among what is listed")
class StagedAmongReleases(Engine):
    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        path = self.path(f"release/staged/{uuid4().int}")
        self.folder(path.parent)
        try:
            self.write(path, value)
            yield path
        finally:
            path.unlink(missing_ok=True)


@mutant("D4", "what is being written lies among what is listed", kind="inventory")
class StagedAmongApplications(Engine):
    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        path = self.path(f"application/{uuid4().hex}")
        self.folder(path.parent)
        try:
            self.write(path, value)
            yield path
        finally:
            path.unlink(missing_ok=True)


@mutant("D4", "what a dead writer left has to be cleaned up by hand")
@mutant("D4", "what a dead writer left has to be cleaned up by hand", kind="inventory")
class LeftoversAreFatal(Engine):
    def keys(self, prefix: str) -> list[str]:
        if any(Path(self.place, ".stage").glob("*")):
            raise StorageError(f"{self.place} was not closed properly")
        return super().keys(prefix)


@mutant("D5", "nothing is flushed")
@mutant("D5", "nothing is flushed", kind="inventory")
class NothingFlushed(Engine):
    def sync(self, number: int) -> None:
        pass


@mutant("D5", "the content of files is not flushed")
@mutant("D5", "the content of files is not flushed", kind="inventory")
class ContentNotFlushed(Engine):
    def write(self, path: Path, value: bytes | memoryview) -> None:
        path.write_bytes(value)


@mutant("D5", "a file is flushed before it is written")
class FlushedTooEarly(Engine):
    def write(self, path: Path, value: bytes | memoryview) -> None:
        with path.open("xb") as file:
            self.sync(file.fileno())
            file.write(value)


@mutant("D5", "the names in folders are not flushed")
@mutant("D5", "the names in folders are not flushed", kind="inventory")
class NamesNotFlushed(Engine):
    def flush(self, path: Path) -> None:
        pass


@mutant("D5", "the name of a new folder is not flushed")
class NewFoldersNotFlushed(Engine):
    def folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)


@mutant("D6", "files refer to others by their absolute paths")
@mutant("D6", "files refer to others by their absolute paths", kind="inventory")
class AbsoluteLinks(Engine):
    def put(self, key: str, value: memoryview) -> None:
        super().put(f"real/{key}", value)
        link = Path(self.place, ".stage", uuid4().hex)
        link.symlink_to(self.path(f"real/{key}"))
        self.folder(self.path(key).parent)
        link.replace(self.path(key))


@mutant("D6", "a store remembers where it is, and is found nowhere else")
@mutant("D6", "a store remembers where it is, and is found nowhere else", kind="inventory")
class RemembersItsPlace(Engine):
    def get(self, key: str) -> bytes | None:
        if super().get("place") not in (None, self.place.encode()):
            return None
        return super().get(key)

    def create(self, key: str, value: bytes, **_: Any) -> bool:
        super().create("place", self.place.encode())
        return super().create(key, value)


@mutant("D7", "that less was written than was asked for is not noticed")
@mutant("D7", "that less was written than was asked for is not noticed", kind="inventory")
class ShortWrites(Engine):
    def write(self, path: Path, value: bytes | memoryview) -> None:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(number, value)
        self.sync(number)
        os.close(number)


@mutant("D7", "an error while writing is taken for success")
@mutant("D7", "an error while writing is taken for success", kind="inventory")
class ErrorsSwallowed(Engine):
    def write(self, path: Path, value: bytes | memoryview) -> None:
        with contextlib.suppress(OSError):
            super().write(path, value)


@mutant("D7", "what was half written is there, and trusted, when it is written again")
class HalfTrusted(Engine):
    def put(self, key: str, value: memoryview) -> None:
        self.folder(self.path(key).parent)
        with contextlib.suppress(FileExistsError):
            self.write(self.path(key), value)


@mutant("D7", "what is replaced is cut before there is room for the new", kind="inventory")
class CutBeforeReplaced(ReplacedInPlace):
    pass


@mutant("D8", "opening a store writes down who opened it")
@mutant("D8", "opening a store writes down who opened it", kind="inventory")
class OpeningWrites(Engine):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        Path(self.place, ".opened").write_text(str(os.getpid()))


@mutant("D8", "reading takes a lock in a file that it opens for writing")
@mutant("D8", "reading takes a lock in a file that it opens for writing", kind="inventory")
class ReadingLocks(Engine):
    def get(self, key: str) -> bytes | None:
        Path(self.place, ".lock").open("a").close()
        return super().get(key)


@mutant("D8", "that nothing may be written is taken for success")
@mutant("D8", "that nothing may be written is taken for success", kind="inventory")
class RightsIgnored(Engine):
    def create(self, key: str, value: bytes, **_: Any) -> bool:
        try:
            return super().create(key, value)
        except PermissionError:
            return True

    def put(self, key: str, value: memoryview) -> None:
        with contextlib.suppress(PermissionError):
            super().put(key, value)


@mutant("D9", "the format of a store is not looked at")
class AnyFormat(Registry):
    def _check(self, *, create: bool = False) -> None:
        with contextlib.suppress(UnsupportedError):
            super()._check(create=create)


@mutant("D9", "the format of a store is not looked at")
class AnyFormatOfApplications(Inventory):
    def _check(self, *, create: bool = False) -> None:
        with contextlib.suppress(UnsupportedError):
            super()._check(create=create)


@mutant("D9", "the format is looked at when something is written, and not when it is read")
class FormatForWriters(Registry):
    def _check(self, *, create: bool = False) -> None:
        if create:
            super()._check(create=True)


@mutant("D9", "an unknown format is taken for damage")
class FormatIsDamage(Registry):
    def _check(self, *, create: bool = False) -> None:
        try:
            super()._check(create=create)
        except UnsupportedError:
            raise StorageError(f"{self!r} is damaged") from None


@mutant("D9", "a store of an earlier version is refused")
@mutant("D9", "a store of an earlier version is refused", kind="inventory")
class OnlyItsOwn(Engine):
    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        if key == "format" and found and super().get("writer") is None:
            return seal("format", b"%d" % (keyvalue.FORMAT + 1))
        return found

    def create(self, key: str, value: bytes, **_: Any) -> bool:
        if key == "format":
            super().create("writer", b"")
        return super().create(key, value)


class _Native(Engine):
    """Writes as an engine in C does: no event of Python tells of it."""

    libc: ClassVar[ctypes.CDLL] = ctypes.CDLL(None, use_errno=True)

    def native(self, number: int, content: bytes) -> None:
        """Write all of it, or raise."""
        if self.libc.write(number, content, len(content)) != len(content):
            raise OSError(ctypes.get_errno(), "write")


@mutant("D10", "a record is written in place, in two pieces")
@mutant("D10", "a record is written in place, in two pieces", kind="inventory")
class TwoPieces(_Native):
    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        if key.startswith("state/"):
            return super().create(key, value, needs=needs, durable=durable)
        self.folder(self.path(key).parent)
        try:
            number = os.open(self.path(key), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        self._finish(number, value)
        return True

    def replace(self, key: str, value: bytes) -> None:
        self.folder(self.path(key).parent)
        self._finish(os.open(self.path(key), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), value)

    def _finish(self, number: int, value: bytes) -> None:
        try:
            self.native(number, value[:10])
            self.native(number, value[10:])
            self.libc.fsync(number)
        finally:
            os.close(number)


@mutant("D10", "whether a write succeeded is not looked at")
@mutant("D10", "whether a write succeeded is not looked at", kind="inventory")
class WriteNotChecked(_Native):
    def write(self, path: Path, value: bytes | memoryview) -> None:
        with path.open("xb", buffering=0) as file:
            self.libc.write(file.fileno(), bytes(value), len(value))
            self.sync(file.fileno())


@mutant("D5", "whether a flush succeeded is not looked at")
@mutant("D5", "whether a flush succeeded is not looked at", kind="inventory")
class FlushNotChecked(Engine):
    def sync(self, number: int) -> None:
        with contextlib.suppress(OSError):
            super().sync(number)


@mutant("D1", "a commit is written when its handle is let go")
@mutant("D1", "a commit is written when its handle is let go", kind="inventory")
class WrittenAtTheEnd(Engine):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.late: dict[str, bytes] = {}

    def create(self, key: str, value: bytes, **_: Any) -> bool:
        if self.get(key) is not None:
            return False
        self.late[key] = value
        return True

    def replace(self, key: str, value: bytes) -> None:
        self.late[key] = value

    def get(self, key: str) -> bytes | None:
        return self.late.get(key) or super().get(key)

    def keys(self, prefix: str) -> list[str]:
        return list({*super().keys(prefix), *(key for key in self.late if key.startswith(prefix))})

    def __del__(self) -> None:
        for key, value in self.late.items():
            super().put(key, memoryview(value))

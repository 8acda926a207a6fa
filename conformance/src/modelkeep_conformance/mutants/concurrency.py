"""What goes wrong when others are at work: threads, processes, handles, children."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from modelkeep import ConflictError, Descriptor, MissingError, Tag
from modelkeep._key import ApplicationKey, GenerationKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import gap, mutant
from modelkeep_conformance.mutants.reference import Engine, Inventory, Registry
from modelkeep_conformance.mutants.releases import CheckThenAct


@mutant("X2", "a lock keeps threads apart, and not processes")
@mutant("X4", "a lock keeps threads apart, and not processes")
@mutant("R3", "a lock keeps threads apart, and not processes")
@mutant("S3", "a lock keeps threads apart, and not processes")
class LockOfThreads(CheckThenAct):
    lock: ClassVar[threading.Lock] = threading.Lock()

    def create(self, key: str, value: bytes, **_: Any) -> bool:
        with self.lock:
            return super().create(key, value)


@mutant("X1", "a lock keeps processes apart, and not threads")
@mutant("X3", "a lock keeps processes apart, and not threads")
@mutant("R3", "a lock keeps processes apart, and not threads")
class LockOfProcesses(CheckThenAct):
    def create(self, key: str, value: bytes, **_: Any) -> bool:
        self.folder(Path(self.place))
        with Path(self.place, ".lock").open("a") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            return super().create(key, value)


@mutant("X3", "who finds a number taken gets the next one without knowing")
@mutant("X4", "who finds a number taken gets the next one without knowing")
@mutant("C3", "who finds a number taken gets the next one without knowing")
class NextTaken(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        try:
            super().close(project, release, generation, tag)
        except ConflictError:
            self.close(project, release, GenerationKey(generation + 1), tag)


@mutant("X5", "records are written in place")
@mutant("D2", "records are written in place")
class WrittenInPlace(Engine):
    def create(self, key: str, value: bytes, **_: Any) -> bool:
        self.folder(self.path(key).parent)
        try:
            with self.path(key).open("xb", buffering=0) as file:
                file.write(value[:100])
                gap()
                file.write(value[100:])
        except FileExistsError:
            return False
        return True


@mutant("X5", "the tag is there before the states are")
@mutant("D2", "the tag is there before the states are")
class TagBeforeStates(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        blobs = []
        for sid in tag.states:
            record = self._record(f"state/{project}/{release.canonical}/{sid}", "record")
            if record:
                blobs.append(self._engine.path(f"blob/{record['digest'].partition(':')[2]}"))
        for path in blobs:
            if path.exists():
                path.rename(f"{path}.late")
        try:
            super().close(project, release, generation, tag)
        finally:
            gap()
            for path in blobs:
                if Path(f"{path}.late").exists():
                    Path(f"{path}.late").rename(path)


@mutant("X5", "a number is listed before its tag is there")
@mutant("L4", "a number is listed before its tag is there")
class ListedBeforeTag(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        prefix = self._released(project, release)
        self._engine.create(f"number/{prefix}{generation:019d}", b"")
        super().close(project, release, generation, tag)

    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        keys = self._engine.keys("number/" + self._released(project, release))
        return sorted(GenerationKey(key.rpartition("/")[2]) for key in keys)


@mutant("X5", "a package is there before all of it is written")
@mutant("R3", "a package is there before all of it is written")
class PackageInPlace(Engine):
    def put(self, key: str, value: memoryview) -> None:
        self.folder(self.path(key).parent)
        with self.path(key).open("wb", buffering=0) as file:
            gap()
            file.write(value)

    def create(self, key: str, value: bytes, **_: Any) -> bool:
        if not key.startswith("release/"):
            return super().create(key, value)
        blobs = [self.path(each) for each in self.keys("blob/")]
        newest = max(blobs, key=lambda path: path.stat().st_mtime_ns)
        content = newest.read_bytes()
        newest.write_bytes(b"")
        created = super().create(key, value)
        gap()
        newest.write_bytes(content)
        return created


@mutant("X6", "what is being written has one and the same name for all")
@mutant("D3", "what is being written has one and the same name for all")
@mutant("I4", "what is being written has one and the same name for all", kind="inventory")
class OneStagingName(Engine):
    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        path = Path(self.place, ".stage", "new")
        self.folder(path.parent)
        self.write(path, value)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@mutant("X6", "while one writes, another one is told that the store is busy")
@mutant("I4", "while one writes, another one is told that the store is busy", kind="inventory")
class Busy(Engine):
    lock: ClassVar[threading.Lock] = threading.Lock()

    def write(self, path: Path, value: bytes | memoryview) -> None:
        if not self.lock.acquire(blocking=False):
            raise BlockingIOError("The store is busy")
        try:
            super().write(path, value)
        finally:
            self.lock.release()


@mutant("X6", "of two who write one id, both are told that they did it")
class BothTold(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        key = f"state/{project}/{release.canonical}/{sid}"
        known = self._engine.get(key)
        gap()
        try:
            super().write(project, release, sid, state)
        except ConflictError:
            if known is not None:
                raise


@mutant("X7", "a handle remembers which records there are not")
class AbsenceRemembered(Engine):
    def get(self, key: str) -> bytes | None:
        absent = self.__dict__.setdefault("absent", set())
        if key in absent and key.startswith("generation/"):
            return None
        found = super().get(key)
        if found is None:
            absent.add(key)
        return found


@mutant("X7", "a handle counts generations by itself")
class CountsByItself(Registry):
    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        known = self.__dict__.setdefault("known", {})
        if not known.get((project, release)):
            known[project, release] = super().latest(project, release)
        last: GenerationKey | None = known[project, release]
        return last

    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        super().close(project, release, generation, tag)
        self.__dict__.setdefault("known", {})[project, release] = generation


@mutant("X7", "a handle remembers the projects that it listed")
class ProjectsRemembered(Registry):
    def projects(self) -> list[ProjectKey]:
        found: list[ProjectKey] = self.__dict__.setdefault("listed", super().projects())
        return found


@mutant("X7", "a handle remembers the applications that it gave out")
class ApplicationsRemembered(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        kept: dict[str, Descriptor] = self.__dict__.setdefault("kept", {})
        return kept.setdefault(application, super().get(application))


@mutant("X8", "a handle refuses to work in a child")
@mutant("X8", "a handle refuses to work in a child", kind="inventory")
class OnlyInParent(Engine):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.pid = os.getpid()

    def folder(self, path: Path) -> None:
        if self.pid != os.getpid():
            raise RuntimeError("This handle was opened in another process")
        super().folder(path)


@mutant("X8", "a file that is open at a fork is closed in the child")
class ClosedInChild(Engine):
    opened: ClassVar[list[Engine]] = []

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.number = os.open(self.place, os.O_RDONLY)
        self.opened.append(self)

    def flush(self, path: Path) -> None:
        os.fsync(self.number)
        super().flush(path)

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "number": os.open(self.place, os.O_RDONLY)}


def _close() -> None:
    for engine in ClosedInChild.opened:
        with contextlib.suppress(OSError):
            os.close(vars(engine)["number"])


os.register_at_fork(after_in_child=_close)


@mutant("X8", "parent and child share a list of what is taken, each its own copy")
class TakenIsCopied(Registry):
    taken: ClassVar[dict[Any, set[int]]] = {}

    def _mine(self, project: ProjectKey, release: ReleaseKey) -> set[int]:
        key = self._engine.place, project, release
        if key not in self.taken:
            self.taken[key] = set(super().generations(project, release))
        return self.taken[key]

    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        self._released(project, release)
        return sorted(GenerationKey(each) for each in self._mine(project, release))

    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        mine = self._mine(project, release)
        super().close(project, release, generation, tag)
        mine.add(generation)


@mutant("X7", "what was missing once is missing for the handle for good")
class MissingForGood(Registry):
    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        missing: set[Any] = self.__dict__.setdefault("missing", set())
        key = project, release, generation
        if key in missing:
            raise MissingError(f"{self!r} has no generation {project}/{release}/{generation}")
        try:
            return super().open(project, release, generation)
        except MissingError:
            missing.add(key)
            raise


@mutant("X3", "what is staged is kept at the handle, where another thread of it finds it")
@mutant("X5", "what is staged is kept at the handle, where another thread of it finds it")
class KeptAtTheHandle(Registry):
    state: Any = None

    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        self.state = state
        gap()
        super().write(project, release, sid, self.state)

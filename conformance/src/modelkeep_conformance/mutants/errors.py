"""Errors of a wrong kind, or that tell too little."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from modelkeep import ConflictError, CorruptedError, MissingError, Package, StorageError, Tag
from modelkeep._key import GenerationKey, ProjectKey, ReleaseKey
from modelkeep.backend import seal
from modelkeep_conformance.mutants.define import mutant
from modelkeep_conformance.mutants.reference import Engine, Inventory, Registry


@mutant("E1", "what leaving a view raises is not the library's")
class ViewFailsToEnd(Registry):
    @contextlib.contextmanager
    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> Iterator[memoryview]:
        with super()._viewing(project, release, generation, sid) as view:
            yield view
        raise OSError(9, "Bad file descriptor")


class _InterruptedError(BaseException):
    """As an engine may have it for cancelled work."""


@mutant("E1", "an unknown release raises what is no Exception")
class NoException(Registry):
    def _released(self, project: ProjectKey, release: ReleaseKey) -> str:
        try:
            return super()._released(project, release)
        except MissingError as error:
            raise _InterruptedError(str(error)) from None


@mutant("E1", "an unknown generation is an error of the storage")
class UnknownIsKeyError(Registry):
    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        try:
            return super().open(project, release, generation)
        except MissingError:
            raise KeyError(generation) from None


@mutant("E1", "a number that is taken is an error of the storage")
class TakenIsOSError(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        try:
            super().close(project, release, generation, tag)
        except ConflictError:
            raise FileExistsError(generation) from None


@mutant("E1", "an unknown release is told to be damaged")
class UnknownIsDamage(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        try:
            return super().pull(project, release)
        except MissingError as error:
            raise CorruptedError(str(error)) from None


@mutant("E2", "what is missing is not named")
class MissingNotNamed(Registry):
    def _released(self, project: ProjectKey, release: ReleaseKey) -> str:
        try:
            return super()._released(project, release)
        except MissingError:
            raise MissingError(f"{self!r}: there is no such release") from None


@mutant("E2", "what is in the way is not named")
class ConflictNotNamed(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        try:
            super().close(project, release, generation, tag)
        except ConflictError:
            raise ConflictError(f"{self!r}: that generation exists") from None


@mutant("E2", "a state that was never written is not named")
class StateNotNamed(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        try:
            super().close(project, release, generation, tag)
        except MissingError:
            raise MissingError(f"{self!r}: {project}/{release}/{generation} names an unknown state") from None


@mutant("E2", "a message does not tell in which store")
class StoreNotNamed(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        try:
            super().write(project, release, sid, state)
        except ConflictError:
            raise ConflictError(f"State {sid} of {project}/{release} has other bytes already") from None


@mutant("E2", "an unknown application is not named")
class ApplicationNotNamed(Inventory):
    def get(self, application: Any) -> Any:
        try:
            return super().get(application)
        except MissingError:
            raise MissingError(f"{self!r}: there is no such application") from None


@mutant("E1", "after an error a handle is of no use any more")
@mutant("E1", "after an error a handle is of no use any more", kind="inventory")
@mutant("R4", "after an error a handle is of no use any more")
@mutant("I2", "after an error a handle is of no use any more", kind="inventory")
class BrokenByAnError(Engine):
    broken = False

    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        if self.broken:
            raise StorageError(f"{self.place}: the store is locked")
        self.broken = True
        with super().staged(value) as path:
            yield path
            self.broken = False


@mutant("E1", "an interrupt is told as an error of the storage")
@mutant("E1", "an interrupt is told as an error of the storage", kind="inventory")
class InterruptIsStorageError(Engine):
    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        try:
            with super().staged(value) as path:
                yield path
        except KeyboardInterrupt:
            raise StorageError(f"{self.place}: interrupted") from None


@mutant("E3", "where there is no generation, the latest is 0")
class LatestIsZero(Registry):
    def latest(self, project: ProjectKey, release: ReleaseKey) -> Any:
        return super().latest(project, release) or 0


@mutant("E3", "a state that a generation does not name is told to be missing")
class ReadIsMissing(Registry):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        with self.view(project, release, generation, sid) as view:
            return bytes(view)


@mutant("E3", "an application is kept with other ends of lines")
class OtherLines(Inventory):
    def put(self, descriptor: Any) -> None:
        self._check(create=True)
        key = f"application/{descriptor.descriptor.name}"
        self._engine.replace(key, seal(key, descriptor.descriptor.source.replace(b"\n", b"\r\n")))

"""Errors of a wrong kind, or that tell too little."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from modelkeep import ConflictError, CorruptedError, MissingError, Package, Tag
from modelkeep._key import GenerationKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import mutant
from modelkeep_conformance.mutants.reference import Inventory, Registry


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

"""Damage that is not noticed, is told wrongly, or spreads."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

from modelkeep import CorruptedError, Descriptor, MissingError, Package, Tag
from modelkeep._key import ApplicationKey, GenerationKey, ProjectKey, ReleaseKey
from modelkeep.backend import seal
from modelkeep_conformance.mutants.define import mutant
from modelkeep_conformance.mutants.reference import Engine, Inventory, Registry


@mutant("M1", "states and packages are not checked")
@mutant("M2", "states and packages are not checked")
class Unchecked(Registry):
    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        pass


@mutant("M1", "tags are not checked")
@mutant("M2", "tags are not checked")
class TagsUnchecked(Registry):
    def _record(self, key: str, kind: str, *keys: object) -> Any:
        record = self._engine.get(key)
        return None if record is None else json.loads(record.partition(b"\n")[2])


@mutant("M1", "only the length is checked")
class LengthChecked(Registry):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        state = self._states(project, release, generation).get(str(sid))
        content = self._engine.get(f"blob/{state[0].partition(':')[2]}") if state else b""
        if state and len(content or b"") != state[1]:
            raise CorruptedError(f"{self!r}: state {sid} of {project}/{release}/{generation} is damaged")
        return content or b""


@mutant("M1", "what is viewed is not checked, what is read is")
@mutant("M2", "what is viewed is not checked, what is read is")
class ViewsUnchecked(Registry):
    @contextlib.contextmanager
    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> Iterator[memoryview]:
        state = self._states(project, release, generation).get(str(sid))
        if state is None:
            raise MissingError(f"{self!r}: generation {project}/{release}/{generation} names no state {sid}")
        with self._engine.view(f"blob/{state[0].partition(':')[2]}") as view:
            yield memoryview(view or b"").toreadonly()


@mutant("M1", "packages are not checked")
class PackagesUnchecked(Registry):
    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if "package" not in what:
            super()._verify(content, name, what)


@mutant("M1", "what was found sound once is not checked again")
class CheckedOnce(Registry):
    sound: ClassVar[set[str]] = set()

    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if what not in self.sound:
            super()._verify(content, name, what)
        self.sound.add(what)

    def push(self, package: Package) -> None:
        super().push(package)
        self.pull(package.manifest.name, package.manifest.version)

    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        super().close(project, release, generation, tag)
        for sid in tag.states:
            self.read(project, release, generation, sid)


@mutant("M1", "a listing of releases checks their packages, and fails for all of them")
@mutant("M2", "a listing of releases checks their packages, and fails for all of them")
class ListingChecks(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        found = super().releases(project)
        for each in found:
            self.pull(project, each)
        return found


@mutant("M1", "what is damaged is not listed")
@mutant("M2", "what is damaged is not listed")
class DamagedNotListed(Registry):
    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        found = []
        for each in super().generations(project, release):
            with contextlib.suppress(CorruptedError):
                self.open(project, release, each)
                found.append(each)
        return found


@mutant("M1", "one damaged generation makes all of its release unreadable")
class AllOrNothing(Registry):
    def _generation(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Any:
        for each in super().generations(project, release):
            super()._generation(project, release, each)
        return super()._generation(project, release, generation)


@mutant("M2", "a digest does not cover the place, so that one record passes for another")
@mutant("M2", "a digest does not cover the place, so that one record passes for another", kind="inventory")
class PlaceNotCovered(Engine):
    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        if found is None or not key.startswith(("generation/", "application/")):
            return found
        for each in super().keys(key.rpartition("/")[0] + "/"):
            body = found.partition(b"\n")[2]
            if seal(each, body) == found:
                return seal(key, body)
        return found


@mutant("M2", "an empty file counts as none")
@mutant("M2", "an empty file counts as none", kind="inventory")
class EmptyIsAbsent(Engine):
    def get(self, key: str) -> bytes | None:
        return super().get(key) or None

    def keys(self, prefix: str) -> list[str]:
        return [key for key in super().keys(prefix) if self.get(key) is not None]


@mutant("M2", "what is too long is cut to what it was, and what is too short is filled up")
class LengthMended(Registry):
    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if content is not None and len(content) > 1000:
            with contextlib.suppress(CorruptedError):
                super()._verify(content[:-1], name, what)
                return
        super()._verify(content, name, what)


@mutant("M3", "a message about damage does not tell what is damaged")
class NamelessDamage(Registry):
    def _record(self, key: str, kind: str, *keys: object) -> Any:
        try:
            return super()._record(key, kind, *keys)
        except CorruptedError:
            raise CorruptedError(f"{self!r} is damaged") from None


@mutant("M3", "damage to a state is told of its digest only")
class DigestTold(Registry):
    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        super()._verify(content, name, "a blob")


@mutant("M3", "of a damaged store only the first item is told")
class FirstTold(Registry):
    told: ClassVar[set[str]] = set()

    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if self._engine.place not in self.told:
            try:
                super()._verify(content, name, what)
            except CorruptedError:
                self.told.add(self._engine.place)
                raise


@mutant("M1", "applications are not checked")
@mutant("M2", "applications are not checked")
@mutant("I6", "applications are not checked")
class ApplicationsUnchecked(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        record = self._engine.get(f"application/{application}")
        if record is None:
            raise MissingError(f"{self!r} has no application {application}")
        return Descriptor(application, record.partition(b"\n")[2])


@mutant("M1", "one damaged application breaks the listing")
@mutant("M2", "one damaged application breaks the listing")
@mutant("I6", "one damaged application breaks the listing")
class ListingChecksApplications(Inventory):
    def list(self) -> list[Any]:
        return [self.get(ApplicationKey(name)).name for name in super().list()]


@mutant("M1", "of what is large only the beginning is checked")
class BeginningChecked(Registry):
    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if content is None or len(content) < 1 << 20:
            super()._verify(content, name, what)


@mutant("M1", "what a handle has checked once is not checked again")
class HandleChecksOnce(Registry):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.checked: set[str] = set()

    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if name not in self.checked:
            super()._verify(content, name, what)
            self.checked.add(name)

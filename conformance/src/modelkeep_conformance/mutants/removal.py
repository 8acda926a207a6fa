"""Removals that leave something behind, take too much, or are forgotten."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, ClassVar

from modelkeep import CorruptedError, MissingError, Move, Tag
from modelkeep._key import AliasKey, GenerationKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import gap, mutant
from modelkeep_conformance.mutants.reference import Engine, Registry


@mutant("V1", "what was removed is still listed")
@mutant("V5", "what was removed is still listed")
class StillListed(Registry):
    def _keys(self, prefix: str) -> list[str]:
        return list(self._engine.keys(prefix))


@mutant("V1", "the latest is one that was removed")
class LatestRemoved(Registry):
    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        key = self._engine.last(self._released(project, release))
        return GenerationKey(key.rpartition("/")[2]) if key else None


@mutant("V1", "who knows the number of a generation of a removed release reads it")
class StillReadable(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        if release is None or generation is not None:
            super().remove(project, release, generation)
            return
        self._released(project, release)
        self._remove(f"release/{project}/{release.canonical}")


@mutant("V1", "the states of what was removed go with it, whoever else names them")
class StatesGo(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        states: dict[str, tuple[str, int]] = {}
        if release is not None and generation is not None:
            with contextlib.suppress(MissingError, CorruptedError):
                states = self._states(project, release, generation)
        super().remove(project, release, generation)
        for digest, _ in states.values():
            self._engine.path(f"blob/{digest.partition(':')[2]}").unlink(missing_ok=True)


@mutant("V1", "releases whose versions begin alike are removed together")
class RemovedByPrefix(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        super().remove(project, release, generation)
        if release is not None and generation is None:
            for key in self._keys(f"release/{project}/"):
                if key.startswith(f"release/{project}/{release.canonical}"):
                    self._remove(key)


class Deleted(Registry):
    """What is removed is deleted."""

    def _remove(self, key: str) -> bool:
        there = self._engine.get(key) is not None
        self._engine.path(key).unlink(missing_ok=True)
        return there


@mutant("V2", "what was removed is deleted, and its number and version are free again")
class FreeAgain(Deleted):
    pass


@mutant("V2", "a removed version is known by one spelling only")
class OneSpelling(Registry):
    def push(self, package: Any) -> None:
        key = f"release/{package.manifest.name}/{package.manifest.version.canonical}"
        spelled = self._engine.path(f"spelled/{package.manifest.name}/{package.manifest.version}")
        if key not in self._keys("release/") and not spelled.exists():
            self._engine.path(key).unlink(missing_ok=True)
        super().push(package)
        self._engine.create(str(spelled.relative_to(self._engine.place)).removesuffix(".value"), b"")


@mutant("V2", "what was removed is told to be there")
class RemovedOrThere(Registry):
    def _gone(self, what: str, kind: str) -> Any:
        from modelkeep import ConflictError

        return ConflictError(f"{self!r} has {what} already")


@mutant("V3", "removing what is not there is fine")
class NothingIsFine(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        with contextlib.suppress(MissingError):
            super().remove(project, release, generation)


@mutant("V3", "what was never there is marked as removed")
class MarksAnything(Registry):
    def _remove(self, key: str) -> bool:
        if super()._remove(key):
            return True
        self._engine.create(key, self._engine.get(key) or _tombstone(key))
        return False


def _tombstone(key: str) -> bytes:
    from modelkeep.backend import seal

    return seal(key, b'{"removed":true}')


@mutant("V3", "of racing removers one may fail in the middle")
class FailsInTheMiddle(Registry):
    def _remove(self, key: str) -> bool:
        path = self._engine.path(f"removing/{key}")
        self._engine.folder(path.parent)
        with path.open("x"):
            gap()
            found = super()._remove(key)
        path.unlink()
        return found


@mutant("V4", "what was removed comes back with another process")
class ComesBack(Registry):
    def _remove(self, key: str) -> bool:
        there = self._engine.get(key) is not None
        self._engine.gone.add(key)  # type: ignore[attr-defined]  # of the engine below
        return there


class Remembering(Engine):
    """Keeps what was removed in the memory of this process."""

    removed: ClassVar[dict[str, set[str]]] = {}

    @property
    def gone(self) -> set[str]:
        return self.removed.setdefault(self.place, set())

    def get(self, key: str) -> bytes | None:
        return _tombstone(key) if key in self.gone else super().get(key)

    def keys(self, prefix: str) -> list[str]:
        return [key for key in super().keys(prefix) if key not in self.gone]


ComesBack.engine = Remembering


@mutant("V4", "what is removed is overwritten in place")
class OverwrittenInPlace(Engine):
    def replace(self, key: str, value: bytes) -> None:
        if not key.startswith(("generation/", "release/")):
            super().replace(key, value)
            return
        with self.path(key).open("r+b", buffering=0) as file:
            file.write(value[:60])
            file.write(value[60:])
            file.truncate()
            self.sync(file.fileno())


@mutant("D5", "removals are not flushed")
class RemovalsUnflushed(Engine):
    removing = False

    def replace(self, key: str, value: bytes) -> None:
        self.removing = True
        try:
            super().replace(key, value)
        finally:
            self.removing = False

    def sync(self, number: int) -> None:
        if not self.removing:
            super().sync(number)


@mutant("V5", "a handle remembers tags that were removed since")
class TagsRemembered(Registry):
    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        known: dict[Any, Tag] = self.__dict__.setdefault("known", {})
        key = project, release, generation
        if key not in known:
            known[key] = super().open(*key)
        return known[key]


@mutant("V5", "states are gone before the tag is")
class StatesFirst(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        if release is not None and generation is not None:
            with contextlib.suppress(MissingError, CorruptedError):
                for digest, _ in self._states(project, release, generation).values():
                    path: Path = self._engine.path(f"blob/{digest.partition(':')[2]}")
                    path.unlink(missing_ok=True)
                    gap()
        super().remove(project, release, generation)


@mutant("V6", "the aliases of what is removed are cleared")
class AliasesCleared(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        for alias in self.aliases(project) if release and generation else ():
            newest = self.current(project, alias)
            if newest and newest.target == (release, generation):
                self.move(project, alias, Move(newest.number + 1, None))
        super().remove(project, release, generation)


@mutant("V6", "an alias is moved to what was removed")
class MovedToRemoved(Registry):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        try:
            super().move(project, alias, move)
        except MissingError:
            release, generation = move.target or (None, None)
            key = f"generation/{project}/{release and release.canonical}/{generation or 0:019d}"
            if self._engine.get(key) is None or self.latest(project, release) is None:  # type: ignore[arg-type]
                raise
            super().move(project, alias, Move(move.number, None))


@mutant("V7", "only what is sound can be removed")
class OnlySound(Registry):
    def _remove(self, key: str) -> bool:
        self._record(key, "record", key)
        return super()._remove(key)


@mutant("V7", "what is damaged is taken to be removed")
class DamagedIsRemoved(Registry):
    def _remove(self, key: str) -> bool:
        with contextlib.suppress(CorruptedError):
            self._record(key, "record", key)
            return super()._remove(key)
        return False

"""Listings out of order, stale, too long or too short."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from uuid import UUID

from modelkeep import MissingError, Tag, keyvalue
from modelkeep._key import GenerationKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import mutant
from modelkeep_conformance.mutants.reference import Engine, Inventory, Registry


@mutant("L1", "a listing makes the folder that it looks into")
@mutant("L1", "a listing makes the folder that it looks into", kind="inventory")
class ListingMakesFolders(Engine):
    def keys(self, prefix: str) -> list[str]:
        self.folder(Path(self.place, prefix))
        return super().keys(prefix)


@mutant("L1", "a store that is looked at is marked as one")
class MarkedByLooking(Registry):
    def _check(self, *, create: bool = False) -> None:
        super()._check(create=True)


@mutant("L1", "an empty store has no list of projects")
class NoEmptyList(Registry):
    def projects(self) -> list[ProjectKey]:
        found = super().projects()
        if not found:
            raise MissingError(f"{self!r} has no projects")
        return found


@mutant("L2", "versions are ordered as strings")
class VersionsAsStrings(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        return sorted(super().releases(project), key=str)


@mutant("L2", "generations are ordered as strings")
class NumbersAsStrings(Registry):
    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        return sorted(super().generations(project, release), key=str)


@mutant("L2", "the latest generation is the greatest string")
class LatestAsString(Registry):
    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        return max(self.generations(project, release), key=str, default=None)


@mutant("L2", "the latest generation is the one closed last")
class LatestByTime(Registry):
    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        keys = self._engine.keys(self._released(project, release))
        last = max(keys, key=lambda key: self._engine.path(key).stat().st_mtime_ns, default=None)
        return None if last is None else GenerationKey(last.rpartition("/")[2])


@mutant("L2", "projects are ordered without regard to case")
class ProjectsWithoutCase(Registry):
    def projects(self) -> list[ProjectKey]:
        return sorted(super().projects(), key=str.casefold)


@mutant("L2", "a project is listed once for each of its releases")
class ProjectsTwice(Registry):
    def projects(self) -> list[ProjectKey]:
        return sorted(each for each in super().projects() for _ in self.releases(each))


@mutant("L2", "applications are listed without regard to case")
class ApplicationsWithoutCase(Inventory):
    def list(self) -> list[Any]:
        return sorted(super().list(), key=str.casefold)


@mutant("L3", "the releases of an unknown project are none")
class UnknownProjectIsEmpty(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        try:
            return super().releases(project)
        except MissingError:
            return []


@mutant("L3", "the generations of an unknown release are none")
class UnknownReleaseIsEmpty(Registry):
    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        try:
            return super().generations(project, release)
        except MissingError:
            return []


@mutant("L3", "an unknown release has no latest generation, without an error")
class UnknownReleaseHasNoLatest(Registry):
    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        with contextlib.suppress(MissingError):
            return super().latest(project, release)
        return None


@mutant("L3", "a generation without states may be closed in an unknown release")
class ClosedInTheUnknown(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        with contextlib.suppress(MissingError if not tag.states else ZeroDivisionError):
            super().close(project, release, generation, tag)


@mutant("L3", "an unknown project is found by a prefix of its name")
class ProjectByPrefix(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        names = [each for each in self.projects() if each.startswith(project)]
        return super().releases(names[0] if names else project)


@mutant("L4", "a number is listed as soon as somebody tries to close it")
@mutant("C2", "a number is listed as soon as somebody tries to close it")
class ListedWhenTried(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        self._engine.create(f"tried/{project}/{release.canonical}/{generation:019d}", b"")
        super().close(project, release, generation, tag)

    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        tried = self._engine.keys(f"tried/{project}/{release.canonical}/")
        return sorted({*super().generations(project, release), *(GenerationKey(k.rpartition("/")[2]) for k in tried)})


@mutant("L4", "a staged state counts as a generation to come")
class StagedCounts(Registry):
    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        last = super().latest(project, release)
        return GenerationKey(1) if not last and self._engine.keys(f"state/{project}/{release.canonical}/") else last


@mutant("L4", "what is written for an unknown release makes it a release")
class WriteMakesRelease(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        self._engine.create(f"release/{project}/{release.canonical}", b"")
        super().write(project, release, sid, state)


@mutant("L5", "a listing is kept for as long as its folder seems unchanged, by the second")
@mutant("X7", "a listing is kept for as long as its folder seems unchanged, by the second")
class KeptByTheSecond(Engine):
    kept: dict[str, tuple[int, list[str]]]

    def keys(self, prefix: str) -> list[str]:
        kept = self.__dict__.setdefault("kept", {})
        folder = Path(self.place, prefix)
        seen = int(folder.stat().st_mtime) if folder.exists() else 0
        if kept.get(prefix, (-1, []))[0] != seen:
            kept[prefix] = seen, super().keys(prefix)
        found: list[str] = kept[prefix][1]
        return found


@mutant("L5", "a listing is given in pages, and while somebody commits the last page is not there yet")
class PageMissing(Engine):
    def keys(self, prefix: str) -> list[str]:
        found = sorted(super().keys(prefix))
        return found[:-1] if any(Path(self.place, ".stage").glob("*")) and len(found) > 10 else found


@mutant("L6", "every file in the folder is taken for a project, whatever its name")
class AnyFileIsAProject(Registry):
    def projects(self) -> list[Any]:
        return sorted({*super().projects(), *(key.split("/")[1] for key in self._engine.keys("release/"))})


@mutant("L6", "every file is taken for a generation, and what has no number breaks the listing")
class AnyFileIsAGeneration(Registry):
    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        keys = self._engine.keys(self._released(project, release))
        return sorted(GenerationKey(key.rpartition("/")[2]) for key in keys)


@mutant("L6", "every file is taken for a release, and what has no version breaks the listing")
class AnyFileIsARelease(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        super().releases(project)
        return sorted(ReleaseKey(key.rpartition("/")[2]) for key in self._engine.keys(f"release/{project}/"))


@mutant("L6", "every file is taken for an application")
class AnyFileIsAnApplication(Inventory):
    def list(self) -> list[Any]:
        return sorted(key.rpartition("/")[2] for key in self._engine.keys("application/"))


class _Row(ProjectKey):
    registry: Registry

    def __str__(self) -> str:
        return str.__str__(max(keyvalue.Registry.projects(self.registry)))


@mutant("L7", "the rows of a listing are read anew whenever they are shown")
class LiveRows(Registry):
    def projects(self) -> list[ProjectKey]:
        rows = [_Row(each) for each in super().projects()]
        for row in rows:
            row.registry = self
        return list(rows)


@mutant("L7", "the keys of releases that were listed are updated when another is pushed")
class UpdatedKeys(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        found = super().releases(project)
        shared = self.__dict__.setdefault("shared", {}).setdefault(project, object.__new__(ReleaseKey))
        for name in ReleaseKey.__slots__:
            object.__setattr__(shared, name, getattr(found[-1], name))
        return [*found[:-1], shared]

    def push(self, package: Any) -> None:
        super().push(package)
        self.releases(package.manifest.name)


@mutant("L2", "a listing ends after a thousand")
class ThousandListed(Registry):
    def generations(self, project: ProjectKey, release: ReleaseKey) -> Any:
        return sorted(super().generations(project, release))[:1000]


@mutant("L2", "a listing ends after a hundred")
class HundredListed(Registry):
    def releases(self, project: ProjectKey) -> Any:
        return sorted(super().releases(project))[:100]

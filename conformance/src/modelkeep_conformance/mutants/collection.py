"""Collections that take too much or too little, tell something else, or leave harm behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, ClassVar

from modelkeep import Collected, CorruptedError, MissingError, keyvalue
from modelkeep._key import AliasKey, GenerationKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import Harness, gap, mutant
from modelkeep_conformance.mutants.reference import Engine, Registry

_Choose = Callable[[Iterable[keyvalue.Stored]], Iterable[str]]


@mutant("G1", "nothing is collected")
@mutant("G4", "nothing is collected")
class ReportsNothing(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        return Collected((), 0)


@mutant("G1", "records of states stay, and name what is gone")
class RecordsStay(Engine):
    def sweep(self, choose: _Choose) -> None:
        super().sweep(lambda stored: [key for key in choose(stored) if not key.startswith("state/")])


@mutant("G1", "the bytes of a state that is collected go, whoever else has them")
@mutant("G4", "the bytes of a state that is collected go, whoever else has them")
class SharedBytesGo(Engine):
    def sweep(self, choose: _Choose) -> None:
        blobs: list[str] = []

        def chosen(stored: Iterable[keyvalue.Stored]) -> Iterable[str]:
            keys = list(choose(stored))
            blobs.extend(_blob(self.get(key)) for key in keys if key.startswith("state/"))
            return keys

        super().sweep(chosen)
        for blob in blobs:
            self.path(blob).unlink(missing_ok=True)


def _blob(record: bytes | None) -> str:
    """The key of the bytes of a state."""
    return "blob/" + str(json.loads((record or b"").partition(b"\n")[2])["digest"]).partition(":")[2]


@mutant("G1", "packages are named by nothing")
class PackagesGo(Registry):
    def _names(self, key: str) -> set[str]:
        return super()._names(key) if key.startswith("generation/") else set()


@mutant("G1", "the logs of aliases are cut to their newest moves")
class LogsAreCut(Engine):
    def sweep(self, choose: _Choose) -> None:
        super().sweep(choose)
        moves = sorted(self.keys("alias/"))
        for move, following in itertools.pairwise(moves):
            if move.rpartition("/")[0] == following.rpartition("/")[0]:
                self.path(move).unlink()


@mutant("G1", "only the newest generation of a release counts")
class OnlyTheNewest(Registry):
    def _names(self, key: str) -> set[str]:
        folder = key.rpartition("/")[0]
        return super()._names(key) if folder.startswith("release") or self._engine.last(f"{folder}/") == key else set()


@mutant("G2", "the age does not matter")
class AnyAge(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        return super().collect(min(older_than, timedelta(0)), dry_run=dry_run)


@mutant("G2", "what waits keeps no bytes that others stored before")
class KeepsNoBytes(Registry):
    def _waiting(self, key: str) -> Iterator[str]:
        yield from ()


@mutant("G2", "what was removed once goes, whoever is about to name it again")
class RemovedOnce(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        if release and generation:
            for name, _ in self._states(project, release, generation).values():
                self._engine.create(f"old/{name.partition(':')[2]}", b"")
        super().remove(project, release, generation)

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        found = super().collect(older_than, dry_run=dry_run)
        named = set().union(*map(self._names, self._keys("generation/")))
        for key in () if dry_run else self._engine.keys("old/"):
            if (blob := key.replace("old/", "blob/")) not in named:
                self._engine.path(blob).unlink(missing_ok=True)
        return found


class Careful(Harness):
    least_age = timedelta(days=2)


@mutant("G2", "an age that is not safe is taken for one that is", harness=Careful)
class Unsafe(Registry):
    pass


@mutant("G3", "a dry run is none")
class DryRunDeletes(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        return super().collect(older_than)


@mutant("G3", "a dry run tells the records only")
class TellsRecords(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        found = super().collect(older_than, dry_run=dry_run)
        return Collected(tuple(each for each in found.items if not dry_run or each.startswith("state/")), found.size)


@mutant("G3", "a dry run tells another size than is freed")
class TellsOtherSizes(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        found = super().collect(older_than, dry_run=dry_run)
        return Collected(found.items, found.size + 100 * dry_run)


@mutant("G3", "the size is that of records only")
class SizesOfRecords(Engine):
    def stored(self) -> Iterator[keyvalue.Stored]:
        for each in super().stored():
            yield each._replace(size=each.size if each.key.startswith("state/") else 0)


@mutant("G3", "the size is that of all that is stored")
class SizeOfAll(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        size = sum(each.size for each in self._engine.stored())
        found = super().collect(older_than, dry_run=dry_run)
        return Collected(found.items, size if found.items else 0)


@mutant("G3", "what was collected is told again")
class TellsAgain(Registry):
    told: ClassVar[dict[str, Collected]] = {}

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        found = super().collect(older_than, dry_run=dry_run)
        if not found.items:
            return self.told.get(self._engine.place, found)
        self.told[self._engine.place] = found
        return found


@mutant("G4", "numbers and versions of what was removed are free again")
class FreesNumbers(Engine):
    def sweep(self, choose: _Choose) -> None:
        super().sweep(choose)
        for key in self.keys("removed/"):
            self.path(key).unlink()
            self.path(key.removeprefix("removed/")).unlink()


@mutant("G4", "packages of what was removed stay")
class PackagesStay(Registry):
    blobs: ClassVar[dict[str, set[str]]] = {}

    def push(self, package: Any) -> None:
        super().push(package)
        key = f"release/{package.manifest.name}/{package.manifest.version.canonical}"
        self.blobs.setdefault(self._engine.place, set()).update(super()._names(key))

    def _names(self, key: str) -> set[str]:
        return super()._names(key) | self.blobs.get(self._engine.place, set())


@mutant("G4", "what a removed generation named goes, whoever else names it")
class SiblingsLose(Registry):
    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        states = self._states(project, release, generation) if release and generation else {}
        for name, _ in states.values():
            self._engine.create(f"old/{name.partition(':')[2]}", b"")
        super().remove(project, release, generation)

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        found = super().collect(older_than, dry_run=dry_run)
        for key in () if dry_run else self._engine.keys("old/"):
            self._engine.path(key.replace("old/", "blob/")).unlink(missing_ok=True)
        return found


@mutant("G4", "the log of an alias goes with what it names")
class LogGoes(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        found = super().collect(older_than, dry_run=dry_run)
        for project in self.projects():
            for alias in self.aliases(project):
                self._forget(project, alias)
        return found

    def _forget(self, project: ProjectKey, alias: AliasKey) -> None:
        for move in self.moves(project, alias):
            with contextlib.suppress(MissingError):
                if move.target:
                    self.open(project, *move.target)
                continue
            for key in self._engine.keys(f"alias/{project}/{alias}/"):
                self._engine.path(key).unlink(missing_ok=True)


@mutant("G5", "what was committed while it looked is not looked at")
class NoSecondLook(Registry):
    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        before = time.time() - older_than.total_seconds()
        named: set[str] = set()
        self._note_named(set(), named)
        for _ in range(5):
            gap()
        found: dict[str, int] = {}

        def choose(stored: Iterable[keyvalue.Stored]) -> Iterable[str]:
            for value in stored:
                if value.time < before and value.key not in named:
                    found[value.key] = value.size
                elif value.key.startswith("state/"):
                    named.update(self._waiting(value.key))
            for key in named:
                found.pop(key, None)
            return () if dry_run else sorted(found, reverse=True)

        self._engine.sweep(choose)
        return Collected(tuple(sorted(found)), sum(found.values()))


@mutant("G5", "commits do not wait for a collection")
class NobodyWaits(Engine):
    @contextlib.contextmanager
    def locked(self, how: int) -> Iterator[None]:
        yield

    def sweep(self, choose: _Choose) -> None:
        for key in list(choose(self.stored())):
            gap()
            self.path(key).unlink(missing_ok=True)

    def stored(self) -> Iterator[keyvalue.Stored]:
        for key in (*self.keys("blob/"), *self.keys("state/")):
            with contextlib.suppress(FileNotFoundError):
                status = self.path(key).stat()
                yield keyvalue.Stored(key, status.st_size, status.st_mtime)


@mutant("G5", "a commit does not look whether what it needs is still there")
class LooksForNothing(Engine):
    def check(self, keys: Any) -> None:
        gap()


@mutant("G6", "one that was killed keeps out all that come after it")
class MarkOfTheDead(Engine):
    def sweep(self, choose: _Choose) -> None:
        mark = self.path("sweeping")
        mark.open("x").close()
        try:
            super().sweep(choose)
        finally:
            mark.unlink()


@mutant("G6", "all is taken away, and what is named is put back")
class PutBack(Engine):
    def sweep(self, choose: _Choose) -> None:
        with self.locked(2):
            stored = list(self.stored())
            chosen = set(choose(iter(stored)))
            aside = [(self.path(key), self.path(f"aside/{key}")) for key in sorted(each.key for each in stored)]
            for path, target in aside if chosen else ():
                self.folder(target.parent)
                path.rename(target)
            for path, target in aside if chosen else ():
                if str(path.relative_to(self.place)).removesuffix(".value") not in chosen:
                    target.rename(path)
                    gap()


@mutant("G6", "bytes go before the records that name them")
class BytesFirst(Engine):
    def sweep(self, choose: _Choose) -> None:
        super().sweep(lambda stored: self.slowly(sorted(choose(stored))))

    @staticmethod
    def slowly(keys: list[str]) -> Iterator[str]:
        """Stay between the bytes and the records."""
        yield from (key for key in keys if not key.startswith("state/"))
        time.sleep(0.1 if keys else 0)
        yield from (key for key in keys if key.startswith("state/"))


@mutant("G7", "what is damaged names nothing")
class DamagedNamesNothing(Registry):
    def _names(self, key: str) -> set[str]:
        try:
            return super()._names(key)
        except CorruptedError:
            return set()


@mutant("G7", "a damaged record is told only when all the rest has been deleted")
class ToldTooLate(Registry):
    late: CorruptedError | None

    def _names(self, key: str) -> set[str]:
        try:
            return super()._names(key)
        except CorruptedError as error:
            self.late = error
            return set()

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        self.late = None
        found = super().collect(older_than, dry_run=dry_run)
        if self.late:
            raise self.late
        return found


class CollectsNothing(Harness):
    traits = Harness.traits - {"collectable"}


class NamesNothing(Harness):
    traits = Harness.traits - {"aliases"}


@mutant("E4", "what it can't do looks as if there was nothing to do", harness=CollectsNothing)
class NothingToDo(ReportsNothing):
    pass


@mutant("E4", "there are no aliases where they can't be", harness=NamesNothing)
class NoAliases(Registry):
    def aliases(self, project: ProjectKey) -> list[AliasKey]:
        return []


@mutant("E4", "what it says it can it can't")
class SaysItCan(Registry):
    removes = False

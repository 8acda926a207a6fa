"""Aliases that forget, mix up, or are moved by two at once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from modelkeep import ConflictError, CorruptedError, MissingError, Move
from modelkeep._key import AliasKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import gap, mutant
from modelkeep_conformance.mutants.durability import HeldBack
from modelkeep_conformance.mutants.reference import Engine, Registry

_PREFIX = "alias/"


@mutant("A1", "only the last moves are kept")
class LastMoves(Registry):
    def moves(self, project: ProjectKey, alias: AliasKey) -> list[Move]:
        return super().moves(project, alias)[-10:]


@mutant("A1", "the moment of a move is the one of its second")
class MomentOfSecond(Registry):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        super().move(project, alias, dataclasses.replace(move, moment=move.moment.replace(microsecond=0)))


@mutant("A1", "the note of a move is lost")
class NoteLost(Registry):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        super().move(project, alias, dataclasses.replace(move, note=None))


@mutant("A1", "an alias that was cleared names what it named before")
class ClearedNames(Registry):
    def current(self, project: ProjectKey, alias: AliasKey) -> Move | None:
        return next((move for move in reversed(self.moves(project, alias)) if move.target), None)


@mutant("A1", "moves are sorted by their moments")
class SortedByMoment(Registry):
    def moves(self, project: ProjectKey, alias: AliasKey) -> list[Move]:
        return sorted(super().moves(project, alias), key=lambda move: move.moment)


@mutant("A2", "whether a move is made is checked before, and not when it is made")
class AliasCheckThenAct(Engine):
    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        if not key.startswith(_PREFIX):
            return super().create(key, value, needs=needs, durable=durable)
        if self.path(key).exists():
            return False
        gap()
        self.replace(key, value)
        return True


@mutant("A2", "the last mover wins, whatever he has seen")
class LastMoverWins(Registry):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        newest = super().current(project, alias)
        super().move(project, alias, dataclasses.replace(move, number=newest.number + 1 if newest else 1, undoes=None))


@mutant("A2", "numbers may be left out")
class NumbersLeftOut(Registry):
    def _last(self, prefix: str) -> Any:
        return self.following if self.following is not None else super()._last(prefix)

    following: Any = None

    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        self.following = move.number - 1
        try:
            super().move(project, alias, move)
        finally:
            self.following = None


@mutant("A2", "who makes the newest move once more is told that he did it")
class MadeOnceMore(Registry):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        try:
            super().move(project, alias, move)
        except ConflictError:
            if self.current(project, alias) != move:
                raise


@mutant("A3", "what is named need not be there")
class NamesAnything(Registry):
    def _generation(self, *key: Any) -> Any:
        return None if self.moving else super()._generation(*key)

    moving = False

    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        self.moving = True
        try:
            super().move(project, alias, move)
        finally:
            self.moving = False


@mutant("A3", "what is named is looked for after the move was made")
class LookedForAfter(NamesAnything):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        super().move(project, alias, move)
        if move.target:
            self._generation(project, *move.target)


@mutant("A3", "an unknown project has no aliases")
class UnknownIsEmpty(Registry):
    def aliases(self, project: ProjectKey) -> list[AliasKey]:
        with contextlib.suppress(MissingError):
            return super().aliases(project)
        return []


@mutant("A3", "an alias that was never moved is missing")
class NeverMovedIsMissing(Registry):
    def moves(self, project: ProjectKey, alias: AliasKey) -> list[Move]:
        if found := super().moves(project, alias):
            return found
        raise MissingError(f"{self!r}: {project}@{alias} was never moved")


@mutant("A4", "aliases are shared by all projects")
class Shared(Registry):
    def _moved(self, project: ProjectKey, alias: AliasKey | None = None) -> str:
        super()._moved(project, alias)
        return f"{_PREFIX}all/{alias}/" if alias else f"{_PREFIX}all/"

    def _move(self, project: ProjectKey, alias: AliasKey, number: int) -> Move:
        return super()._move(ProjectKey("all"), alias, number)


@mutant("A4", "aliases that differ by case are one")
class FoldedCase(Engine):
    def path(self, key: str) -> Path:
        return super().path(key.lower() if key.startswith(_PREFIX) else key)


@mutant("A4", "aliases are listed as they come")
class ListedAsTheyCome(Registry):
    def aliases(self, project: ProjectKey) -> list[AliasKey]:
        return sorted(super().aliases(project), key=len)


@mutant("A4", "an alias is listed as a release")
class ListedAsRelease(Registry):
    def releases(self, project: ProjectKey) -> Any:
        names = [name for name in self.aliases(project) if name[0].isdigit()]
        return sorted({*super().releases(project), *map(ReleaseKey, names)})


@mutant("A5", "a move is written in place")
class MoveInPlace(Engine):
    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        if not key.startswith(_PREFIX):
            return super().create(key, value, needs=needs, durable=durable)
        self.folder(self.path(key).parent)
        try:
            with self.path(key).open("xb", buffering=0) as file:
                file.write(value[:80])
                file.write(value[80:])
                self.sync(file.fileno())
        except FileExistsError:
            return False
        self.flush(self.path(key).parent)
        return True


@mutant("A5", "a move is held back until the next one")
class MoveHeldBack(HeldBack):
    held: ClassVar[dict[str, tuple[str, bytes]]] = {}
    families = (_PREFIX,)


@mutant("D5", "moves are not flushed")
class MovesUnflushed(Engine):
    moving = False

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        self.moving = key.startswith(_PREFIX)
        try:
            return super().create(key, value, needs=needs, durable=durable)
        finally:
            self.moving = False

    def sync(self, number: int) -> None:
        if not self.moving:
            super().sync(number)


@mutant("A6", "moves are not verified")
class Unverified(Registry):
    def _move(self, project: ProjectKey, alias: AliasKey, number: int) -> Move:
        content = self._engine.get(f"{_PREFIX}{project}/{alias}/{number:019d}") or b""
        try:
            return Move.loads(number, content.partition(b"\n")[2].decode())
        except ValueError as error:
            raise CorruptedError(f"{self!r}: {project}@{alias} is damaged") from error


@mutant("A6", "moves that are damaged are left out")
class DamagedLeftOut(Registry):
    def moves(self, project: ProjectKey, alias: AliasKey) -> list[Move]:
        return list(self._readable(project, alias))

    def _readable(self, project: ProjectKey, alias: AliasKey) -> Iterator[Move]:
        for number in sorted(self._numbers(self._moved(project, alias))):
            with contextlib.suppress(CorruptedError):
                yield self._move(project, alias, number)


@mutant("A6", "an alias whose newest move is damaged can not be moved")
class DamagedForGood(Registry):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        self.current(project, alias)
        super().move(project, alias, move)


@mutant("A7", "a handle remembers what an alias names")
class CurrentRemembered(Registry):
    def current(self, project: ProjectKey, alias: AliasKey) -> Move | None:
        known: dict[Any, Move | None] = self.__dict__.setdefault("known", {})
        if (project, alias) not in known:
            known[project, alias] = super().current(project, alias)
        return known[project, alias]

    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        super().move(project, alias, move)
        self.__dict__.setdefault("known", {})[project, alias] = move


@mutant("A7", "a handle counts moves by itself")
class CountsMoves(Registry):
    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        counts = self.__dict__.setdefault("counts", {})
        if counts.setdefault((project, alias), move.number - 1) != move.number - 1:
            raise ConflictError(f"{self!r}: {project}@{alias} was not moved {move.number - 1} times")
        super().move(project, alias, move)
        counts[project, alias] = move.number

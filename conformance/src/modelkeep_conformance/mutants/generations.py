"""Tags that come back bent, generations that may not be closed, or change later."""

from __future__ import annotations

import contextlib
import datetime as dt
import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

from modelkeep import ConflictError, InvalidError, MissingError, Tag, Training, Tuning
from modelkeep._key import GenerationKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import mutant
from modelkeep_conformance.mutants.reference import Registry


class _Bent(Registry):
    """Stores another tag than the one that it is given."""

    def _bent(self, tag: Tag) -> Tag:
        raise NotImplementedError

    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        super().close(project, release, generation, self._bent(tag))


def _moments(tag: Tag, change: Callable[[dt.datetime], dt.datetime]) -> Tag:
    training, tuning = tag.training, tag.tuning
    return Tag(
        Training(training.timestamp and change(training.timestamp), training.ordinal),
        Tuning(tuning.timestamp and change(tuning.timestamp), tuning.score),
        tag.states,
    )


def _ordinal(tag: Tag, ordinal: Any) -> Tag:
    return Tag(Training(tag.training.timestamp, ordinal), tag.tuning, tag.states)


def _score(tag: Tag, score: float | None) -> Tag:
    return Tag(tag.training, Tuning(tag.tuning.timestamp, score), tag.states)


@mutant("C1", "timestamps have milliseconds only")
class Milliseconds(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return _moments(tag, lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))


@mutant("C1", "the zone of a timestamp is dropped")
class ZoneDropped(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return _moments(tag, lambda moment: moment.replace(tzinfo=None))


@mutant("C1", "timestamps are kept in UTC")
class AllInUTC(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return _moments(tag, lambda moment: moment.astimezone(dt.UTC) if moment.tzinfo and moment.year > 1 else moment)


@mutant("C1", "a score that is not a number is none")
class NanIsNone(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return _score(tag, None if tag.tuning.score != tag.tuning.score else tag.tuning.score)


@mutant("C1", "scores have the precision of four bytes")
class ShortFloats(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        score = tag.tuning.score
        return _score(tag, score if not score or abs(score) > 1e38 else struct.unpack("f", struct.pack("f", score))[0])


@mutant("C1", "minus zero is zero")
class NoMinusZero(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return tag if tag.tuning.score is None else _score(tag, tag.tuning.score + 0.0)


@mutant("C1", "states are named once each")
class NoDuplicates(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return Tag(tag.training, tag.tuning, dict.fromkeys(tag.states))


@mutant("C1", "states are sorted")
class StatesSorted(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return Tag(tag.training, tag.tuning, sorted(tag.states))


@mutant("C1", "an ordinal that is a truth value becomes a number")
class TrueIsOne(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return _ordinal(tag, int(tag.training.ordinal)) if isinstance(tag.training.ordinal, bool) else tag


@mutant("C1", "a whole float becomes an integer")
class WholeIsInteger(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        ordinal = tag.training.ordinal
        return _ordinal(tag, int(ordinal)) if isinstance(ordinal, float) and ordinal.is_integer() else tag


@mutant("C1", "a date becomes a moment")
class DateIsMoment(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        ordinal = tag.training.ordinal
        return _ordinal(tag, dt.datetime(*ordinal.timetuple()[:3])) if type(ordinal) is dt.date else tag


@mutant("C1", "blanks around a text are cut off")
class TextStripped(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return _ordinal(tag, tag.training.ordinal.strip()) if isinstance(tag.training.ordinal, str) else tag


@mutant("C1", "integers beyond 64 bits wrap")
class NumbersWrap(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        ordinal = tag.training.ordinal
        return _ordinal(tag, (ordinal + 2**63) % 2**64 - 2**63) if type(ordinal) is int else tag


@mutant("C1", "a tuning without a training is dropped")
class TuningNeedsTraining(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return tag if tag.training != Training() else Tag(states=tag.states)


@mutant("C1", "a training without a timestamp is given the present one")
class TimeFilledIn(_Bent):
    def _bent(self, tag: Tag) -> Tag:
        return tag if tag.training.timestamp else Tag(Training.now(tag.training.ordinal), tag.tuning, tag.states)


@mutant("C2", "states that were never written are left out")
class MissingLeftOut(_Bent):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        prefix = f"state/{project}/{release.canonical}/"
        there = [sid for sid in tag.states if self._engine.get(f"{prefix}{sid}") is not None]
        Registry.close(self, project, release, generation, Tag(tag.training, tag.tuning, there))


@mutant("C2", "states that were never written are taken for empty")
class MissingIsEmpty(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        for sid in tag.states:
            if self._engine.get(f"state/{project}/{release.canonical}/{sid}") is None:
                self.write(project, release, sid, memoryview(b""))
        super().close(project, release, generation, tag)


@mutant("C2", "a number that was closed in vain is used up")
class UsedUp(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        self._released(project, release)
        if not self._engine.create(f"used/{project}/{release.canonical}/{generation}", b""):
            raise ConflictError(f"{self!r} has a generation {project}/{release}/{generation} already")
        super().close(project, release, generation, tag)


@mutant("C2", "a close that fails forgets the states that it names")
class FailureForgets(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        try:
            super().close(project, release, generation, tag)
        except MissingError:
            for sid in tag.states:
                self._engine.path(f"state/{project}/{release.canonical}/{sid}").unlink(missing_ok=True)
            raise


@mutant("C3", "who closes a number last wins")
@mutant("C5", "who closes a number last wins")
@mutant("X1", "who closes a number last wins")
class LastWins(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        path = self._engine.path(f"generation/{project}/{release.canonical}/{generation:019d}")
        with contextlib.suppress(ConflictError):
            path.unlink(missing_ok=True)
            super().close(project, release, generation, tag)


@mutant("C3", "closing with an equal tag again is accepted")
class EqualTagAccepted(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        with contextlib.suppress(MissingError):
            if self.open(project, release, generation) == tag:
                return
        super().close(project, release, generation, tag)


@mutant("C3", "the states of who lost a number are removed")
class LoserRemoved(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        try:
            super().close(project, release, generation, tag)
        except ConflictError:
            for sid in set(tag.states) - set(self.open(project, release, generation).states):
                self._engine.path(f"state/{project}/{release.canonical}/{sid}").unlink(missing_ok=True)
            raise


@mutant("C3", "a conflict is told, and the new tag stored all the same")
class ToldAndStored(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        try:
            super().close(project, release, generation, tag)
        except ConflictError:
            self._engine.path(f"generation/{project}/{release.canonical}/{generation:019d}").unlink()
            super().close(project, release, generation, tag)
            raise


@mutant("C4", "only the next number may be closed")
class OnlyNext(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        if generation > (self.latest(project, release) or 0) + 1:
            raise InvalidError(f"{self!r}: {project}/{release}/{generation} is not the next generation")
        super().close(project, release, generation, tag)


@mutant("C4", "only higher numbers may be closed")
class OnlyHigher(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        if generation <= (self.latest(project, release) or 0):
            raise ConflictError(f"{self!r}: {project}/{release}/{generation} is below the latest generation")
        super().close(project, release, generation, tag)


@mutant("C4", "numbers have 32 bits")
@mutant("L2", "numbers have 32 bits")
class ShortNumbers(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        super().close(project, release, GenerationKey(generation % 2**32 or 1), tag)


@mutant("C5", "only the three highest generations are kept")
class ThreeKept(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        super().close(project, release, generation, tag)
        for number in self.generations(project, release)[:-3]:
            self._engine.path(f"generation/{project}/{release.canonical}/{number:019d}").unlink()


@mutant("C5", "the score of a generation is dropped when there is a later one")
class OldScoresDropped(Registry):
    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        tag = super().open(project, release, generation)
        return tag if generation == self.latest(project, release) else _score(tag, None)


@mutant("C6", "a commit moves the states, so that no other can name them")
class StatesMoved(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        super().close(project, release, generation, tag)
        for sid in tag.states:
            self._engine.path(f"state/{project}/{release.canonical}/{sid}").unlink(missing_ok=True)


@mutant("C6", "a state is readable through the generation that named it last")
class ReadableThroughLast(Registry):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        state = super().read(project, release, generation, sid)
        later = [each for each in self.generations(project, release) if each > generation]
        return b"" if any(sid in self.open(project, release, each).states for each in later) else state


@mutant("C7", "a generation has to have a state")
class StatesNeeded(Registry):
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        if not tag.states:
            raise InvalidError(f"{self!r}: generation {project}/{release}/{generation} has no states")
        super().close(project, release, generation, tag)


@mutant("C7", "a generation is found by its states, so that one without any is not listed")
class ListedByStates(Registry):
    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        found = super().generations(project, release)
        return [each for each in found if self.open(project, release, each).states]


@mutant("C4", "a number is kept as a float")
@mutant("C1", "a number is kept as a float")
class NumbersAsFloats(Registry):
    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        return super().open(project, release, self._near(project, release, generation))

    def _near(self, project: ProjectKey, release: ReleaseKey, number: GenerationKey) -> GenerationKey:
        return next((each for each in self.generations(project, release) if float(each) == float(number)), number)

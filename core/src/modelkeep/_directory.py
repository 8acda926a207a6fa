"""The levels that a person works with: Directory -> Project -> Release -> Generation.

A level is the name of a place and costs nothing to make: what is not there raises MissingError from the first method
that needs it, so that `Directory(registry).get("new").put(package)` can begin a project.

The types of keys stand in bases of their own, since a dataclass would take an annotated alias for a field.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import operator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias
from uuid import UUID, uuid4

from modelkeep._artifact import Artifact
from modelkeep._errors import ConflictError, CorruptedError, InvalidError, MissingError
from modelkeep._key import LAST, AliasKey, GenerationKey, ProjectKey, ReleaseKey, shown
from modelkeep._move import Move
from modelkeep._package import Package
from modelkeep._registry import Registry
from modelkeep._tag import Tag

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Shown:
    def _repr_html_(self) -> str:
        """Show a table in a notebook."""
        from modelkeep._html import html_of

        return html_of(self)  # type: ignore[arg-type]  # one of the levels below


@dataclasses.dataclass(frozen=True)
class Directory(_Shown):
    """All projects of a registry."""

    registry: Registry

    def list(self) -> tuple[ProjectKey, ...]:
        """The projects that have a release, ascending by name."""
        return tuple(self.registry.projects())

    def get(self, project: str) -> Project:
        """A project, whether or not it has a release yet.

        Raises:
            InvalidError: The name can not be one of a project.
        """
        return Project(self.registry, ProjectKey(project))


class _ProjectTypes:
    Key: TypeAlias = ProjectKey


@dataclasses.dataclass(frozen=True)
class Project(_ProjectTypes, _Shown):
    """A project and its releases."""

    registry: Registry
    key: ProjectKey

    def list(self) -> tuple[ReleaseKey, ...]:
        """The releases, ascending by version.

        Raises:
            MissingError: There is no such project.
        """
        return tuple(self.registry.releases(self.key))

    def get(self, release: str | ReleaseKey | None = None) -> Release:
        """A release, by default the one with the highest version.

        Raises:
            MissingError: The highest is asked for, and there is no such project.
            InvalidError: The version is none.
        """
        if release is not None:
            return Release(self.registry, self.key, ReleaseKey(release))
        releases = self.list()
        if not releases:
            raise MissingError(f"{self.registry!r}: project {self.key} has no release yet; push a package first")
        return Release(self.registry, self.key, releases[-1])

    def put(self, package: Package) -> Release:
        """Publish a package as a release of this project.

        Raises:
            InvalidError: It is a package of another project.
            ConflictError: The version exists already.
        """
        if not isinstance(package, Package):
            raise InvalidError(f"A Package is needed, not {type(package).__name__}")
        if package.manifest.name != self.key:
            raise InvalidError(f"The package {package.path} is of project {package.manifest.name}, not {self.key}")
        self.registry.push(package)
        return Release(self.registry, self.key, package.manifest.version)

    def remove(self) -> None:
        """Remove all releases, one after the other; their versions are never given out again.

        Raises:
            MissingError: There is no such project, or it was removed before.
            UnsupportedError: The backend removes nothing.
        """
        self.registry.remove(self.key)

    def aliases(self) -> tuple[AliasKey, ...]:
        """The names of the aliases, those that name nothing any more included, ascending.

        Raises:
            MissingError: There is no such project.
            UnsupportedError: The backend keeps no aliases.
        """
        return tuple(self.registry.aliases(self.key))

    def alias(self, name: str) -> Alias:
        """An alias, whether or not it names anything yet.

        Raises:
            InvalidError: The name can not be one of an alias.
        """
        return Alias(self.registry, self.key, AliasKey(name))


class _ReleaseTypes:
    Key: TypeAlias = ReleaseKey


@dataclasses.dataclass(frozen=True)
class Release(_ReleaseTypes, _Shown):
    """A release of a project and its generations."""

    registry: Registry
    project: ProjectKey
    key: ReleaseKey

    def list(self) -> tuple[GenerationKey, ...]:
        """The generations, ascending.

        Raises:
            MissingError: There is no such release.
        """
        return tuple(self.registry.generations(self.project, self.key))

    def get(self, generation: int | str | None = None) -> Generation:
        """A generation, by default the one with the highest number.

        Raises:
            MissingError: The highest is asked for, and there is no such release, or it has no generation yet.
            InvalidError: The number is none.
        """
        if generation is not None:
            return Generation(self.registry, self.project, self.key, GenerationKey(generation))
        latest = self.registry.latest(self.project, self.key)
        if latest is None:
            raise MissingError(
                f"{self.registry!r}: release {self.project}/{self.key} has no generation yet; "
                "dump states and put a tag first"
            )
        return Generation(self.registry, self.project, self.key, latest)

    def remove(self) -> None:
        """Remove the release and its generations; its version is never given out again.

        Raises:
            MissingError: There is no such release, or it was removed before.
            UnsupportedError: The backend removes nothing.
        """
        self.registry.remove(self.project, self.key)

    def package(self) -> Package:
        """A private copy of the release's package."""
        return self.registry.pull(self.project, self.key)

    def mount(self) -> Artifact:
        """The release's package, installed."""
        return self.registry.mount(self.project, self.key)

    def dump(self, state: Buffer) -> UUID:
        """Stage a state under a new id, to be named by a tag that is put.

        Raises:
            MissingError: There is no such release.
        """
        sid = uuid4()
        self.registry.write(self.project, self.key, sid, state)
        return sid

    def put(self, tag: Tag) -> Generation:
        """Commit a generation under the next free number. Concurrent trainers get one each.

        Raises:
            MissingError: There is no such release, or the tag names a state that was not dumped.
        """
        number = (self.registry.latest(self.project, self.key) or 0) + 1
        while number <= LAST:
            key = GenerationKey(number)
            try:
                self.registry.close(self.project, self.key, key, tag)
            except ConflictError:
                # others may be far ahead by now: trying each number on the way would never catch up with many of them
                number = max(number, self.registry.latest(self.project, self.key) or 0) + 1
            else:
                return Generation(self.registry, self.project, self.key, key)
        raise ConflictError(f"{self.registry!r}: release {self.project}/{self.key} has used its last generation number")


class _GenerationTypes:
    Key: TypeAlias = GenerationKey


@dataclasses.dataclass(frozen=True)
class Generation(_GenerationTypes, _Shown):
    """A generation of a release: a tag and the states that it names."""

    registry: Registry
    project: ProjectKey
    release: ReleaseKey
    key: GenerationKey

    @property
    def tag(self) -> Tag:
        """The tag that was committed.

        Raises:
            MissingError: There is no such generation.
        """
        return self.registry.open(self.project, self.release, self.key)

    def list(self) -> tuple[UUID, ...]:
        """The ids of the states, in the order of the tag."""
        return self.tag.states

    def get(self, state: UUID | SupportsIndex) -> bytes:
        """Read a state.

        Args:
            state: Its id, or its index in the tag.

        Raises:
            MissingError: There is no such generation, or it names no such state.
        """
        sid = self._sid(state)
        content = self.registry.read(self.project, self.release, self.key, sid)
        # also what `read` gives for an id that is not named
        if not content and isinstance(state, UUID) and sid not in self.list():
            raise MissingError(
                f"{self.registry!r}: generation {self.project}/{self.release}/{self.key} names no state {sid}"
            )
        return content

    def view(self, state: UUID | SupportsIndex) -> AbstractContextManager[memoryview]:
        """Look at a state, without a copy where the backend can; read-only, valid until the block ends.

        Args:
            state: Its id, or its index in the tag.

        Raises:
            MissingError: There is no such generation, or it names no such state.
        """
        return self.registry.view(self.project, self.release, self.key, self._sid(state))

    def remove(self) -> None:
        """Remove the generation; its number is never given out again.

        Raises:
            MissingError: There is no such generation, or it was removed before.
            UnsupportedError: The backend removes nothing.
        """
        self.registry.remove(self.project, self.release, self.key)

    def _sid(self, state: UUID | SupportsIndex) -> UUID:
        if isinstance(state, UUID):
            return state
        try:
            index = operator.index(_no_bool(state))
        except TypeError:
            raise InvalidError(f"A state is named by its UUID or its index, not by {type(state).__name__}") from None
        states = self.tag.states
        try:
            return states[index]
        except IndexError:
            raise MissingError(
                f"{self.registry!r}: generation {self.project}/{self.release}/{self.key} has {len(states)} states, "
                f"no number {state}"
            ) from None


class _AliasTypes:
    Key: TypeAlias = AliasKey
    Move: TypeAlias = Move


@dataclasses.dataclass(frozen=True)
class Alias(_AliasTypes):
    """A name for one generation of a project, which can be moved to another one; every move is kept.

    All methods raise UnsupportedError where the backend keeps no aliases, and MissingError for an unknown project.
    """

    registry: Registry
    project: ProjectKey
    key: AliasKey

    def list(self) -> tuple[Move, ...]:
        """All moves, the first one first; none if the alias was never moved."""
        return tuple(self.registry.moves(self.project, self.key))

    def current(self) -> Move | None:
        """The newest move; None if the alias was never moved."""
        return self.registry.current(self.project, self.key)

    def get(self) -> Generation:
        """The generation that it names.

        Raises:
            MissingError: It names none.
        """
        move = self.current()
        if move is None or move.target is None:
            fate = "names nothing yet" if move is None else f"names nothing since move {move.number}"
            raise MissingError(f"{self.registry!r}: {self} {fate}; let it name a generation first")
        return Generation(self.registry, self.project, *move.target)

    def between(self, begin: dt.datetime, end: dt.datetime) -> tuple[Move, ...]:
        """The moves that held at some time from `begin` until before `end`, or at `begin`.

        Args:
            begin: A moment with a zone.
            end: Another one.

        Raises:
            InvalidError: A moment has no zone.
        """
        for moment in (begin, end):
            if not isinstance(moment, dt.datetime) or moment.utcoffset() is None:
                raise InvalidError(f"A moment is a datetime with a zone, not {shown(moment)}")
        moves = self.list()
        ends = [move.moment for move in moves[1:]]
        return tuple(
            move
            for move, until in itertools.zip_longest(moves, ends)
            if (move.moment < end or move.moment <= begin) and (until is None or max(begin, move.moment) < until)
        )

    def put(
        self,
        generation: Generation | tuple[str | ReleaseKey, int | str] | None,
        *,
        note: str | None = None,
        after: int | None = None,
    ) -> Move:
        """Let it name a generation from now on.

        Args:
            generation: One of this project, as such or as a pair of its release and number; None lets it name nothing.
            note: Who does it, or why: one line, at most 1000 characters.
            after: The number of the newest move that the caller has seen, 0 for none; by default the one there is.

        Returns:
            The move that was made.

        Raises:
            MissingError: There is no such generation.
            ConflictError: Somebody else has moved it meanwhile; it was left as it is.
            CorruptedError: The newest move is damaged; given as `after`, it is moved on from.
            InvalidError: The generation is one of another project, or an argument is none of these.
        """
        target: tuple[str | ReleaseKey, int | str] | None
        if isinstance(generation, Generation):
            if generation.project != self.project:
                raise InvalidError(f"{self} names generations of {self.project}, not of {generation.project}")
            target = generation.release, generation.key
        else:
            target = generation
        try:
            newest = self.current()
        except CorruptedError:
            # who knows its number may move on from it
            if after is None:
                raise
            newest = None
        return self._make(newest, target, note, after)

    def undo(self, *, note: str | None = None, after: int | None = None) -> Move:
        """Take the newest move back that is not taken back yet, by one more move; the log keeps both.

        Args:
            note: See `put`.
            after: See `put`.

        Returns:
            The move that was made.

        Raises:
            MissingError: There is no move left to take back, or what it named before is not there any more.
            ConflictError: Somebody else has moved it meanwhile; it was left as it is.
        """
        moves = self.list()
        standing: list[Move] = []
        for move in moves if after is None else moves[: _number(after)]:
            if move.undoes is None:
                standing.append(move)
            else:
                standing = [each for each in standing if each.number < move.undoes]
        if not standing:
            raise MissingError(f"{self.registry!r}: {self} has no move that could be taken back")
        before = standing[-2].target if len(standing) > 1 else None
        return self._make(moves[-1], before, note, after, standing[-1].number)

    def _make(
        self,
        newest: Move | None,
        target: tuple[str | ReleaseKey, int | str] | None,
        note: str | None,
        after: int | None,
        undoes: int | None = None,
    ) -> Move:
        if after is None:
            after = newest.number if newest else 0
        now = dt.datetime.now(dt.UTC)
        # what was in force at a moment must have one answer, whatever the clocks of the movers say
        moment = max(now, newest.moment) if newest else now
        move = Move(_number(after) + 1, target, moment, note, undoes)
        self.registry.move(self.project, self.key, move)
        return move

    def __str__(self) -> str:
        return f"{self.project}@{self.key}"


def _number(after: int) -> int:
    if isinstance(after, bool) or not isinstance(after, int):
        raise InvalidError(f"The number of a move is an int, not {shown(after)}")
    return after


def _no_bool(value: SupportsIndex) -> SupportsIndex:
    if isinstance(value, bool):
        raise TypeError
    return value

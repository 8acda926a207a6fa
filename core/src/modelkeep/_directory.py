"""The levels that a person works with: Directory -> Project -> Release -> Generation.

A level is the name of a place and costs nothing to make: what is not there raises MissingError from the first method
that needs it, so that `Directory(registry).get("new").put(package)` can begin a project.

The types of keys stand in bases of their own, since a dataclass would take an annotated alias for a field.
"""

from __future__ import annotations

import dataclasses
import operator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias
from uuid import UUID, uuid4

from modelkeep._artifact import Artifact
from modelkeep._errors import ConflictError, InvalidError, MissingError
from modelkeep._key import LAST, GenerationKey, ProjectKey, ReleaseKey
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
        with self.view(state) as view:
            return bytes(view)

    def view(self, state: UUID | SupportsIndex) -> AbstractContextManager[memoryview]:
        """Look at a state, without a copy where the backend can; read-only, valid until the block ends.

        Args:
            state: Its id, or its index in the tag.

        Raises:
            MissingError: There is no such generation, or it names no such state.
        """
        return self.registry.view(self.project, self.release, self.key, self._sid(state))

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


def _no_bool(value: SupportsIndex) -> SupportsIndex:
    if isinstance(value, bool):
        raise TypeError
    return value

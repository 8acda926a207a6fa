"""The contract of a registry."""

from __future__ import annotations

import contextlib
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from modelkeep import _content
from modelkeep._artifact import Artifact
from modelkeep._collected import Collected
from modelkeep._errors import InvalidError, MissingError, UnsupportedError
from modelkeep._key import AliasKey, GenerationKey, ProjectKey, ReleaseKey, shown
from modelkeep._move import Move
from modelkeep._package import Package
from modelkeep._scratch import discard_scratch, scratch
from modelkeep._tag import Tag

if TYPE_CHECKING:
    from typing_extensions import Buffer

_KEEPERS: Final = "copy the registry to a backend that does, such as 'local' or 'lmdb'"


class Registry(ABC):
    """Keeps the releases of projects and the generations of their states.

    This class is what a backend implements. Loading one by name wraps it so that every method

    - is given keys, never plain strings or numbers (authors may rely on it),
    - may let any exception of its engine pass: it reaches the caller as StorageError.

    Every method owes: MissingError for a project or release that is not there, at the call and not at a later
    iteration; CorruptedError for stored bytes that do not match their digest; safety in any number of threads and
    processes, before and after a fork. A backend can be pickled, and is equal to another one of the same place.
    """

    def __init__(self, staging: str | os.PathLike[str] | None = None) -> None:
        """Remember where packages are mounted.

        Args:
            staging: A folder that every node which runs a project can reach. Without one, a private temporary folder
                serves this machine until the process exits.
        """
        try:
            # absolute: it stays where it is when the working folder changes
            self._staging = None if staging is None else Path(staging).expanduser().absolute()
        except (TypeError, RuntimeError) as error:
            raise InvalidError(
                f"The staging of a registry is the path of a folder, not {shown(staging)}: {error}"
            ) from error
        self._private: tuple[int, Path] | None = None

    @abstractmethod
    def projects(self) -> Iterable[ProjectKey]:
        """List the projects that have a release, ascending by name.

        An empty store lists nothing, and listing creates nothing.
        """

    @abstractmethod
    def releases(self, project: ProjectKey) -> Iterable[ReleaseKey]:
        """List the releases of a project, ascending by version, spelled as they were pushed.

        Raises:
            MissingError: There is no such project.
        """

    @abstractmethod
    def generations(self, project: ProjectKey, release: ReleaseKey) -> Iterable[GenerationKey]:
        """List the generations of a release, ascending.

        Raises:
            MissingError: There is no such release.
        """

    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        """Find the generation with the highest number; None when there is none yet.

        Backends that can find it without listing all of them override this.

        Raises:
            MissingError: There is no such release.
        """
        return max(self.generations(project, release), default=None)

    @abstractmethod
    def push(self, package: Package) -> None:
        """Publish a package as a release, durably: `package.manifest` names the project and version.

        Of several pushers of equal versions exactly one wins. A failed push leaves nothing visible.

        Raises:
            ConflictError: The release exists; it was left as it is.
        """

    @abstractmethod
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        """Get a private copy of a package, byte for byte as it was pushed (a folder as a folder).

        Raises:
            MissingError: There is no such release.
        """

    def mount(self, project: ProjectKey, release: ReleaseKey) -> Artifact:
        """Install a package under the staging folder, for loading its modules.

        An installation is reused as long as nobody edited it. Mounting may run in parallel on many nodes.

        Raises:
            MissingError: There is no such release.
        """
        package = self.pull(project, release)
        folder = self._mounts() / project
        try:
            fresh = package.install(folder / f"{release.canonical}-{uuid4().hex}")
            shared = folder / f"{release.canonical}-{package.digest.rpartition(':')[2]}"
        finally:
            discard_scratch(package.path.parent)
        with contextlib.suppress(OSError, InvalidError):
            if not shared.exists():
                fresh.path.rename(shared)
                return Artifact(shared, package.manifest)
            if _installed(shared) == _installed(fresh.path):
                _content.discard(fresh.path)
                return Artifact(shared, package.manifest)
        # lost a race to install it, or somebody edited the shared one: what is fresh is right
        return fresh

    def _mounts(self) -> Path:
        if self._staging is not None:
            return self._staging
        if self._private is None or self._private[0] != os.getpid():
            warnings.warn(
                f"{self!r} has no staging folder: packages are mounted in a temporary one, for this machine only",
                stacklevel=4,
            )
            self._private = os.getpid(), scratch()
        return self._private[1]

    @abstractmethod
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Buffer) -> None:
        """Stage a state, to be committed by `close`. Nothing is promised, and nothing visible, before that.

        Args:
            project: The project.
            release: A release that exists.
            sid: The id of the state, new in this release.
            state: Any contiguous buffer of bytes; the caller may change it as soon as this returns.

        Raises:
            MissingError: There is no such release; no trace was left.
            ConflictError: The id has other bytes already. (The same bytes again are fine.)
        """

    @abstractmethod
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        """Get a state of a generation, verified; `b''` for an id that the generation does not name.

        Raises:
            MissingError: There is no such generation.
        """

    def view(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> AbstractContextManager[memoryview]:
        """Look at a state without copying it, where the backend can: read-only, verified, valid until the block ends.

        Raises:
            MissingError: There is no such generation, or it does not name that id.
        """
        return self._viewing(project, release, generation, sid)

    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> AbstractContextManager[memoryview]:
        @contextlib.contextmanager
        def read() -> Iterator[memoryview]:
            if sid not in self.open(project, release, generation).states:
                raise MissingError(f"{self!r}: generation {project}/{release}/{generation} names no state {sid}")
            yield memoryview(self.read(project, release, generation, sid))

        return read()

    @abstractmethod
    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        """Get the tag of a generation, equal to the one that was closed.

        Raises:
            MissingError: There is no such generation.
        """

    @abstractmethod
    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        """Commit a generation: its tag and the states it names become visible and durable, all or nothing.

        Any unused number may be taken. A committed generation never changes.

        Raises:
            MissingError: There is no such release, or the tag names a state that was never written.
            ConflictError: The number is taken; the states written may be committed under another one.
        """

    def aliases(self, project: ProjectKey) -> Iterable[AliasKey]:
        """List the aliases of a project, those that name nothing any more included, ascending by name.

        Keeping aliases is optional; a backend that does overrides this, `moves` and `move`.

        Raises:
            MissingError: There is no such project.
            UnsupportedError: The backend keeps no aliases.
        """
        raise UnsupportedError(f"{self!r} keeps no aliases, of {project} or any project; {_KEEPERS}")

    def moves(self, project: ProjectKey, alias: AliasKey) -> Sequence[Move]:
        """Get the log of an alias, from its first move on; it only grows. An alias that was never moved has none.

        Raises:
            MissingError: There is no such project.
            UnsupportedError: The backend keeps no aliases.
        """
        raise UnsupportedError(f"{self!r} keeps no aliases, so there is no {project}@{alias}; {_KEEPERS}")

    def current(self, project: ProjectKey, alias: AliasKey) -> Move | None:
        """Get the newest move of an alias; None if it was never moved.

        Backends that can find it without reading all of them override this.

        Raises:
            MissingError: There is no such project.
            UnsupportedError: The backend keeps no aliases.
        """
        return next(reversed(self.moves(project, alias)), None)

    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        """Let an alias name another generation, or nothing, durably.

        This compares and sets: the number of the move is the one after the newest that the caller knows of. Of several
        movers to one number exactly one wins.

        Raises:
            MissingError: There is no such project, or no such generation to name.
            ConflictError: The number is not the one after the newest; the alias was left as it is.
            UnsupportedError: The backend keeps no aliases.
        """
        raise UnsupportedError(
            f"{self!r} keeps no aliases, so {project}@{alias} can not be moved to {move.target}; {_KEEPERS}"
        )

    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        """Remove a generation, a release with its generations, or all releases of a project, durably.

        When this returns, no listing has it and every method that would read it raises MissingError. Its number or
        version is never given out again: `close` and `push` of it raise ConflictError. A generation and a release go
        all or nothing; a project goes release by release, and what was cut short goes on when it is made again.
        Removing is optional for a backend. It frees no room by itself.

        Raises:
            MissingError: There is no such thing, or it was removed before.
            UnsupportedError: The backend removes nothing.
        """
        key = "/".join(str(each) for each in (project, release, generation) if each is not None)
        raise UnsupportedError(f"{self!r} can not remove {key} or anything else; copy what is to stay to another place")

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:  # noqa: ARG002  # for overriders
        """Free the room of what no release and no generation names, so that no method would find it.

        That are states which were written and never committed, what killed processes left, and the states and packages
        of what was removed. Nothing that is listed changes, and no acknowledged commit loses a state, whoever writes
        and commits meanwhile. A state that is collected is as if it was never written: `close` raises MissingError for
        it, and it may be written again. Collecting is optional for a backend.

        Args:
            older_than: The age from which on a state is taken that waits for its commit, counted from when it was
                first written. It has to be longer than any training takes from its first `write` to `close`. What is
                half written is taken an hour later: somebody may be writing it.
            dry_run: Whether only to tell what would be deleted.

        Raises:
            InvalidError: The backend can't collect safely what is that young.
            CorruptedError: A release or generation is damaged, so that nobody knows what it names; nothing was deleted.
            UnsupportedError: The backend collects nothing.
        """
        raise UnsupportedError(
            f"{self!r} can not free what is older than {older_than}, or anything; copy what is to stay to another place"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_private": None}


def _installed(path: Path) -> str:
    """The digest of an installation, less what running its code leaves there."""
    return _content.digest_tree(m for m in _content.of_folder(path) if "__pycache__" not in m.name.split("/"))

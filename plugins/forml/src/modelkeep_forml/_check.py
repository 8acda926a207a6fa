"""A look at a folder of ForML's `posix` registry that tells what is wrong with it, and changes nothing.

ForML writes its files in place and without a flush, so what a killed trainer or a full disk leaves is half there. Much
of that neither ForML nor modelkeep lists, and nobody misses it until it is needed; here it is named.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import modelkeep
from modelkeep import Generation, InvalidError, Project, Release
from modelkeep.backend import discard

_PACKAGE = "package.4ml"
_TAG = "tag.toml"
_STAGE = ".stage"
_STATE = ".bin"


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something in a folder that is not as it should be.

    Attributes:
        path: The file or folder.
        message: What is wrong with it.
    """

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def check(path: str | os.PathLike[str]) -> list[Problem]:
    """Look for what is damaged, half-written or out of reach in a folder that ForML or modelkeep's `local` wrote.

    Each package, tag and state is read. What ForML wrote has no digest, so that a flipped bit in one of its states goes
    unnoticed; what modelkeep wrote is verified.

    Raises:
        modelkeep.InvalidError: There is no such folder.
        modelkeep.Error: The folder can't be read.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InvalidError(f"There is no folder {str(root)!r}")
    registry = modelkeep.registry(provider="local", path=root)
    try:
        return [
            problem
            for project in _folders(root)
            for release in _folders(project)
            for problem in _release(registry, project, release)
        ]
    except OSError as error:
        raise modelkeep.StorageError(f"The folder {str(root)!r} can not be read: {error}") from error


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))


def _release(registry: modelkeep.Registry, project: Path, folder: Path) -> Iterator[Problem]:
    pushed = os.path.lexists(folder / _PACKAGE)
    if not pushed and not any(_generations(folder)) and not any(_states(folder / _STAGE)):
        # nobody's release
        return
    try:
        name, key = Project.Key(project.name), Release.Key(folder.name)
    except InvalidError as error:
        yield Problem(folder, f"nobody lists this release: {error}")
        return
    if str(key.version) != folder.name:
        yield Problem(folder, f"ForML lists this release but looks for it in {str(key.version)!r}: rename the folder")
        return
    for other in _folders(project):
        if other.name != folder.name and _equal(other.name, key) and os.path.lexists(other / _PACKAGE):
            yield Problem(folder, f"another folder is of the same version: {other.name!r}; modelkeep takes one of them")
    if not pushed:
        yield Problem(folder, f"there are states here but no {_PACKAGE}, so nobody lists this release")
        return
    yield from _package(registry, name, key, folder / _PACKAGE)
    committed: set[UUID] = set()
    for generation in _generations(folder):
        committed.update(_states(generation))
        yield from _generation(registry, name, key, generation)
    for sid in sorted(_states(folder / _STAGE) - committed):
        yield Problem(
            folder / _STAGE / f"{sid}{_STATE}",
            "no generation has this state: a training is under way, or did not come to its end",
        )


def _package(registry: modelkeep.Registry, project: Project.Key, release: Release.Key, path: Path) -> Iterator[Problem]:
    try:
        package = registry.pull(project, release)
    except modelkeep.Error as error:
        yield Problem(path, str(error))
        return
    manifest = package.manifest
    discard(package.path)
    if (manifest.name, manifest.version) != (project, release):
        yield Problem(path, f"it says that it is {manifest.name}/{manifest.version}")


def _equal(name: str, key: Release.Key) -> bool:
    try:
        return Release.Key(name) == key
    except InvalidError:
        return False


def _generations(folder: Path) -> list[Path]:
    return sorted((each for each in _folders(folder) if each.name.isdecimal()), key=lambda each: int(each.name))


def _states(folder: Path) -> set[UUID]:
    found = set()
    for path in folder.glob(f"*{_STATE}"):
        try:
            found.add(UUID(path.stem))
        except ValueError:
            continue
    return found


def _generation(
    registry: modelkeep.Registry, project: Project.Key, release: Release.Key, folder: Path
) -> Iterator[Problem]:
    states = _states(folder)
    if not (folder / _TAG).exists():
        yield Problem(
            folder,
            f"it has {len(states)} states and no {_TAG}: a commit that did not come to its end, so nobody lists it",
        )
        return
    try:
        key = Generation.Key(folder.name)
    except InvalidError as error:
        yield Problem(folder, f"nobody lists this generation: {error}")
        return
    if str(key) != folder.name:
        yield Problem(folder, f"ForML lists this generation but looks for it in {str(key)!r}: rename the folder")
        return
    try:
        tag = registry.open(project, release, key)
    except modelkeep.Error as error:
        yield Problem(folder / _TAG, str(error))
        return
    for sid in dict.fromkeys(tag.states):
        try:
            with registry.view(project, release, key, sid):
                pass
        except modelkeep.Error as error:
            yield Problem(folder / f"{sid}{_STATE}", str(error))
    for sid in sorted(states - set(tag.states)):
        yield Problem(folder / f"{sid}{_STATE}", f"{_TAG} does not name this state")

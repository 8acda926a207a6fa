"""Freeing the room of what nothing names.

No lock is taken: a staged state loses its name first. Whether a generation has linked it by then is told by the number
of its links, and it gets its name back; if not, nobody can link it any more.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelkeep import UnsupportedError
from modelkeep.backend import UNFINISHED, discard
from modelkeep_local._engine import PARTIAL, UNLINKABLE, entries

#: Ends the names of states, and of notes of their digests.
STATE: Final = ".bin"
_NOTE: Final = ".toml"


def staged(stage: Path, kept: set[str], gone: set[str], before: float) -> Iterator[Path]:
    """Find what a stage has that no generation needs.

    Args:
        stage: The folder.
        kept: The names of the files of states that generations have.
        gone: The same of generations that were removed.
        before: What was written before that is not waited for, in seconds since 1970.
    """
    found = _written(stage)
    # notes before states: who writes such a state meanwhile finds no note of a state that is not there
    for name, written in sorted(found.items(), key=lambda each: (not each[0].endswith(_NOTE), each)):
        if name.endswith(PARTIAL):
            # a state that was being collected, or what somebody may be making
            doomed = written + (0 if STATE in name else UNFINISHED) < before
        elif name.endswith(STATE):
            doomed = name not in kept and (written < before or name in gone)
        elif name.endswith(_NOTE):
            state = name.removesuffix(_NOTE) + STATE
            doomed = state not in kept and (found.get(state, written) < before or state in gone)
        else:
            doomed = False
        if doomed:
            yield stage / name


def partials(folder: Path, before: float) -> Iterator[Path]:
    """Find what killed processes were making in a folder."""
    for name, written in _written(folder).items():
        if name.endswith(PARTIAL) and written + UNFINISHED < before:
            yield folder / name


def _written(folder: Path) -> dict[str, float]:
    """Tell when what a folder has was written, less what is gone by now."""
    found: dict[str, float] = {}
    for entry in entries(folder):
        with contextlib.suppress(FileNotFoundError):
            found[entry.name] = entry.stat(follow_symlinks=False).st_mtime
    return found


def tombs(folder: Path, tomb: str) -> Iterator[Path]:
    """Find what the folder of a removed release has beside what tells that it was removed, and in that.

    Args:
        folder: The folder.
        tomb: The name of the package of a removed release.
    """
    for entry in entries(folder):
        path = Path(entry.path)
        if entry.name != tomb:
            yield path
        elif path.is_dir():
            yield from path.iterdir()
        elif path.stat().st_size:
            yield path


def sizes(paths: Iterable[Path], stage: str = "") -> Iterator[int | None]:
    """Tell what `delete` gives back for each of some files and folders, in their order.

    Args:
        paths: They.
        stage: The name of stages.
    """
    links: Counter[int] = Counter()
    for path in paths:
        size, taken = 0, False
        for file in _files(path):
            with contextlib.suppress(FileNotFoundError):
                status = file.lstat()
                links[status.st_ino] += 1
                last = links[status.st_ino] == status.st_nlink
                size += status.st_size if last else 0
                taken = not last and _is_state(path, stage)
        yield None if taken else size


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        for folder, _, names in os.walk(path):
            yield from (Path(folder, name) for name in names)
    else:
        yield path


def delete(path: Path, stage: str, tomb: str) -> int | None:
    """Delete a file or folder.

    Args:
        path: It.
        stage: The name of stages.
        tomb: The name of files that are only emptied, since they tell that something was removed.

    Returns:
        How many bytes are free; None if it was not deleted, as a generation has it now, or another collector was first.
    """
    with contextlib.suppress(FileNotFoundError):
        if _is_state(path, stage):
            return _unstage(path)
        if path.name.endswith(PARTIAL):
            # whoever makes it can't give it its name any more while it is emptied
            path = path.rename(path.with_name(f".{uuid4().hex}{PARTIAL}"))
        freed = sum(filter(None, sizes([path])))
        if path.name == tomb:
            empty = path.with_name(f".{uuid4().hex}{PARTIAL}")
            empty.touch()
            empty.replace(path)
        else:
            discard(path)
        return freed
    return None


def _is_state(path: Path, stage: str) -> bool:
    return path.parent.name == stage and STATE in path.name


def _unstage(path: Path) -> int | None:
    name = path.name.removeprefix(".").partition(STATE)[0] + STATE
    hidden = path
    if path.name == name:
        # of several collectors one
        hidden = path.rename(path.with_name(f".{name}.{uuid4().hex}{PARTIAL}"))
    status = hidden.stat()
    taken = status.st_nlink > 1
    if taken:
        with contextlib.suppress(FileExistsError):
            os.link(hidden, path.with_name(name))
    hidden.unlink()
    return None if taken else status.st_size


def check_links(paths: Iterable[Path], stage: str) -> None:
    """Make sure that links tell who has a state, wherever some are to be deleted.

    Raises:
        UnsupportedError: The file system gives no file a second name.
    """
    for folder in {path.parent for path in paths if _is_state(path, stage)}:
        probe = folder / f".{uuid4().hex}{PARTIAL}"
        second = folder / f".{uuid4().hex}{PARTIAL}"
        try:
            probe.touch()
            second.hardlink_to(probe)
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            raise UnsupportedError(
                f"The file system of {folder} gives no file a second name, so that nobody could tell whether a "
                "generation has it: states that wait can not be collected there"
            ) from error
        finally:
            probe.unlink(missing_ok=True)
            second.unlink(missing_ok=True)

"""Files and folders that appear complete or not at all, and replace nothing unasked."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelkeep._content import discard
from modelkeep._errors import ConflictError, InvalidError, StorageError

#: How a file system says that it has no hard links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextlib.contextmanager
def appearing(target: Path, *, force: bool) -> Iterator[Path]:
    """Make a file or folder beside its target, and rename it when the block ends well.

    Args:
        target: Where it is to appear.
        force: Whether it may replace a file. A folder is never replaced.

    Yields:
        A path that does not exist, for the block to write.

    Raises:
        ConflictError: The target exists, now or when the block ends.
        InvalidError: There is no folder to write it into.
        StorageError: It can't be written.
    """
    _vacant(target, force=force)
    if not target.parent.is_dir():
        raise InvalidError(f"{target} can not be written: there is no folder {target.parent}")
    partial = target.with_name(f".{uuid4().hex}.partial")
    with _failures(target):
        try:
            yield partial
            _rename(partial, target, force=force)
        finally:
            discard(partial)


@contextlib.contextmanager
def filling(folder: Path, names: list[str], *, force: bool) -> Iterator[Path]:
    """Add files to a folder, which is made if need be; none of them appears unless the block ends well.

    Args:
        folder: Where they are to appear.
        names: Their names.
        force: Whether they may replace other files.

    Yields:
        A folder, for the block to write all of the files into.

    Raises:
        ConflictError: The folder is a file, or one of the files exists.
        InvalidError: There is no folder to make it in.
        StorageError: They can't be written.
    """
    if not os.path.lexists(folder):
        with appearing(folder, force=False) as partial:
            partial.mkdir()
            yield partial
        return
    if not folder.is_dir():
        raise ConflictError(f"{folder} exists already, and is no folder. Name another one")
    for name in names:
        _vacant(folder / name, force=force)
    partial = folder / f".{uuid4().hex}.partial"
    with _failures(folder):
        try:
            partial.mkdir()
            yield partial
            for name in names:
                _rename(partial / name, folder / name, force=force)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _vacant(target: Path, *, force: bool) -> None:
    if target.is_dir() and not target.is_symlink():
        raise ConflictError(f"{target} is a folder, which is never replaced. Name another place")
    if not force and os.path.lexists(target):
        raise ConflictError(f"{target} exists already. Name another place, or replace it with --force")


def _rename(partial: Path, target: Path, *, force: bool) -> None:
    if force or partial.is_dir() or not _linked(partial, target):
        _vacant(target, force=force)
        partial.rename(target)


def _linked(partial: Path, target: Path) -> bool:
    """Give a file its name by a link, which fails when somebody else made the target meanwhile, as no rename does.

    Returns:
        False where the file system has no links.
    """
    try:
        target.hardlink_to(partial)
    except FileExistsError:
        _vacant(target, force=False)
        raise
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    partial.unlink()
    return True


@contextlib.contextmanager
def _failures(target: Path) -> Iterator[None]:
    """Name the target of a failure instead of the file beside it."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{target} can not be written: {error.strerror or error}") from error

"""Files that appear whole, and stay."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelkeep.backend import digest, discard

#: How much is handed to the system at once, in bytes.
_CHUNK: Final = 16 << 20
#: What a file system answers that gives a file no second name, or no more of them.
UNLINKABLE: Final = frozenset({errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EXDEV, errno.ENOSYS})
#: Ends the names of files that are being written.
PARTIAL: Final = ".partial"


class Disk:
    """How files are written.

    Attributes:
        sync: Whether to flush files and folders, so that they survive power loss.
    """

    def __init__(self, *, sync: bool) -> None:
        self.sync = sync

    def folder(self, path: Path) -> None:
        """Make a folder and those above it, unless they exist."""
        try:
            path.mkdir()
        except FileExistsError:
            return
        except FileNotFoundError:
            self.folder(path.parent)
            self.folder(path)
            return
        self.flush(path.parent)

    def create(self, path: Path, content: memoryview | bytes, *, flush: bool = True) -> str:
        """Write a new file, and flush it if that is wanted.

        Returns:
            The digest of what was written.
        """
        with open(path, "xb", buffering=0) as file:  # noqa: PTH123  # a Path takes as long as the write of a small file
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest[:_CHUNK]) :]
            if flush and self.sync:
                os.fdatasync(file.fileno())
        return digest(content)

    def replace(self, path: Path, content: bytes) -> None:
        """Write a file over whatever is there, atomically."""
        with self.partial(path.parent) as partial:
            self.create(partial, content)
            partial.replace(path)
        self.flush(path.parent)

    @contextlib.contextmanager
    def partial(self, folder: Path) -> Iterator[Path]:
        """Give a name in a folder for what is being made, and remove what is left of it."""
        path = folder / f".{uuid4().hex}{PARTIAL}"
        try:
            yield path
        finally:
            discard(path)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, or copy it where the file system has no such thing.

        Raises:
            FileNotFoundError: There is no source.
            FileExistsError: The target is there.
        """
        self.flush_file(source)
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            shutil.copyfile(source, target)
            self.flush_file(target)

    def flush_file(self, path: Path) -> None:
        """Flush what is in a file."""
        self._flush(path, os.fdatasync)

    def flush(self, path: Path) -> None:
        """Flush the names in a folder."""
        self._flush(path, os.fsync)

    def _flush(self, path: Path, how: Callable[[int], None]) -> None:
        if self.sync:
            number = os.open(path, os.O_RDONLY)
            try:
                how(number)
            finally:
                os.close(number)

    def flush_tree(self, path: Path) -> None:
        """Flush a file, or a folder with all that is in it."""
        if self.sync and path.is_dir():
            for folder, _, names in os.walk(path):
                for name in names:
                    self.flush_file(Path(folder, name))
                self.flush(Path(folder))
        else:
            self.flush_file(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one in this block for this folder, among all threads and processes; a death frees it."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder; nothing if there is no such one."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []

"""Copies of blobs in a folder of this machine.

`<folder>/<first 2 hex digits>/<64 hex digits>.<hex of the ETag>`, read-only. Files are written beside their place and
renamed, verified whenever they are used, and the longest unused ones are removed when all of them take too much room.
Any number of processes may share the folder; none of them locks anything: a file that another one removes stays
readable for who has it open.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelkeep import InvalidError
from modelkeep.backend import PREFIX, digest, lend

#: After how many seconds a file that nobody finished is removed.
_ABANDONED: Final = 3600.0
#: The longest name of a file.
_NAME: Final = 255
#: A process looks for what to remove whenever it has added this share of the limit.
_SHARE: Final = 20


class Cache:
    """Copies of blobs, up to about a number of bytes."""

    def __init__(self, folder: str | os.PathLike[str], limit: int) -> None:
        try:
            self._folder = Path(folder).expanduser().absolute()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidError(f"The cache of an object store is the path of a folder, not {folder!r:.100}") from error
        self._limit = limit
        self._added = limit  # unknown: look at the first opportunity

    @contextlib.contextmanager
    def find(self, name: str) -> Iterator[tuple[str | None, memoryview]]:
        """Look up a blob: the ETag of the object that it is a copy of (None: there is no sound copy), and its bytes."""
        for path in self._folder.glob(f"{name[:2]}/{name}.*"):
            with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
                etag = bytes.fromhex(path.suffix[1:]).decode()
                size = os.fstat(file.fileno()).st_size
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
                if digest(content) == PREFIX + name:
                    os.utime(path)
                    break
                path.unlink(missing_ok=True)
        else:
            yield None, memoryview(b"")
            return
        with lend(content) as view:
            yield etag, view

    def add(self, name: str, etag: str, content: memoryview) -> None:
        """Keep a copy of a verified blob. A cache that can't is none: what fails here is nobody's trouble."""
        path = self._folder / name[:2] / f"{name}.{etag.encode().hex()}"
        if not etag or len(path.name) > _NAME or len(content) > self._limit:
            return
        partial = path.with_name(f".{uuid4().hex}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with open(partial, "xb", opener=_private) as file:  # Path.open takes no opener
                    file.write(content)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        self._added += len(content)
        if self._added > self._limit // _SHARE:
            self._added = 0
            self._evict()

    def _evict(self) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if not path.name.startswith("."):
                    files.append((status.st_mtime, status.st_size, path))
                elif time.time() - status.st_mtime > _ABANDONED:
                    path.unlink()
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o400)

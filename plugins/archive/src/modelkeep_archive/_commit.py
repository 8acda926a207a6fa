"""Adding a commit to an archive.

A commit is written behind the tail of the archive, hidden in a skippable frame, so that the file stays a valid
`.tar.zst` meanwhile. When all of it is on disk, one write of 64 bytes puts an announcement in the place of the tail and
of the head of that frame: this is the moment of the commit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import zstandard

from modelkeep_archive import _blobs, _format
from modelkeep_archive._blobs import Blob
from modelkeep_archive._index import Index, Source

#: How many bytes are copied at once.
_BUFFER: Final = 1 << 20
#: The length from which on a commit is flushed while it is written.
_LONG: Final = 32 << 20
#: The most that a skippable frame hides.
_HIDDEN: Final = 0xFFFFFFFF

_held: Final[set[int]] = set()


def _drop_locks() -> None:
    # a lock lasts until all copies of its descriptor are closed, those in children included
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_drop_locks)


@contextlib.contextmanager
def locked(path: str) -> Iterator[int]:
    """Open an archive for writing, as the only one.

    Yields:
        The descriptor of the file that has that name now.

    Raises:
        FileNotFoundError: There is none.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        _held.add(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(fd), os.stat(path)):  # noqa: PTH116  # beside that of the descriptor
                yield fd
                return
        finally:
            if fd in _held:
                _held.discard(fd)
                try:
                    # not left to the close: a child that was forked just now may have a copy
                    fcntl.flock(fd, fcntl.LOCK_UN)
                finally:
                    os.close(fd)


class Draft:
    """A commit that is put together: members of the tar, and records.

    Attributes:
        records: The records in it by their keys.
    """

    def __init__(self, index: Index, level: int) -> None:
        self._index, self._level = index, level
        self._at = index.end + _format.ANNOUNCEMENT
        self._parts: list[bytes | tuple[Source, int, int]] = []
        # what is to be compressed as one frame: headers, small members, padding
        self._loose = bytearray()
        self._time = int(time.time())
        self._version = 1
        self.records: dict[str, bytes] = {}

    def file(self, name: str, content: bytes) -> None:
        """Add a small member."""
        self._loose += self._header(name, len(content)) + content + bytes(-len(content) % 512)

    def link(self, name: str, target: str) -> None:
        """Add a member that is another name of an earlier one."""
        self._loose += self._header(name, 0, target)

    def blob(self, name: str, blob: Blob) -> None:
        """Add a member from frames, and the record that tells where they are."""
        frames = blob.frames
        self._loose += self._header(name, frames.size)
        self._close_frame()
        self.record(blob.key, _blobs.dump(name, blob, self._at))
        self._parts.append((blob.source, frames.at, frames.length))
        self._at += frames.length
        self._loose += bytes(-frames.size % 512)
        if blob.base is not None:
            self._version = _format.VERSION

    def record(self, key: str, value: bytes) -> None:
        """Add a record."""
        self.records[key] = value

    def _header(self, name: str, size: int, target: str = "") -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = size, self._time
        if target:
            info.type, info.linkname = tarfile.LNKTYPE, target
        return info.tobuf(tarfile.PAX_FORMAT)

    def _close_frame(self) -> None:
        if self._loose:
            compressor = zstandard.ZstdCompressor(level=self._level, write_checksum=True)
            self._add(compressor.compress(self._loose))
            self._loose.clear()

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._at += len(part)

    def append(self, fd: int, *, sync: bool) -> None:
        """Commit: add it to the archive, whose lock the caller holds.

        Raises:
            OSError: It was not added, there may be no room.
        """
        self._close_frame()
        places: dict[str, int] = {}
        for key, value in self.records.items():
            places[key] = self._at
            self._add(_format.pack(_format.RECORD, self._at, value))
        boxes, record = self._index.grow(places, self._at)
        for box in boxes:
            self._add(box)
        commit = self._at
        self._add(record)
        self._add(_format.blank(-self._at % _format.ALIGNMENT))
        start, end = self._index.end, self._at
        _clean(fd, self._index)
        _format_at_least(fd, self._version)
        try:
            hidden = _Hidden(fd, start + _format.TAIL, end + _format.TAIL)
            hidden.write(_tail(self._index, end), end)
            at = start + _format.ANNOUNCEMENT
            with _flushing(fd) if sync and end - start > _LONG else contextlib.nullcontext():
                for part in self._parts:
                    at += hidden.write(part, at) if isinstance(part, bytes) else hidden.copy(*part, at)
            _flush(fd, sync=sync)
            if hidden.finish():
                _flush(fd, sync=sync)
        except BaseException:
            os.ftruncate(fd, start + _format.TAIL)
            raise
        _write(fd, _format.announcement(start, commit, end), start)
        _write(fd, _format.tail(end, start, commit, end), end)
        _flush(fd, sync=sync)


def _tail(index: Index, place: int) -> bytes:
    """A tail that points to the last commit."""
    return _format.tail(place, index.start, index.commit or index.end, index.end)


def _clean(fd: int, index: Index) -> None:
    """Cut what a writer left behind the last commit when it died."""
    tail = _tail(index, index.end)
    if os.pread(fd, len(tail), index.end) != tail:
        _write(fd, tail, index.end)
    if os.fstat(fd).st_size != index.end + len(tail):
        os.ftruncate(fd, index.end + len(tail))
    if index.commit:
        announcement = _format.announcement(index.start, index.commit, index.end)
        # damaged, if it is another one
        if os.pread(fd, len(announcement), index.start) != announcement:
            _write(fd, announcement, index.start)


def _format_at_least(fd: int, version: int) -> None:
    """Let an archive say that who knows only older formats can not read all of it; before that is so."""
    head = _format.HEADS[version]
    if version > 1 and os.pread(fd, len(head), 0) != head:
        _write(fd, head, 0)


class _Hidden:
    """The end of an archive, made longer, with skippable frames over what is new.

    One such frame hides 4 GiB. What belongs into the places of the heads of further ones is written last.
    """

    def __init__(self, fd: int, start: int, end: int) -> None:
        self._fd = fd
        self._heads: list[int] = []
        self._last: list[tuple[bytes, int]] = []
        while start < end:
            length = min(end - start - 8, _HIDDEN)
            # what is left has to have room for the head of another one
            if 0 < end - start - 8 - length < 8:  # noqa: PLR2004
                length -= 8
            _write(fd, _format.hole(length), start)
            self._heads.append(start)
            start += 8 + length
            os.ftruncate(fd, start)

    def write(self, part: bytes, at: int) -> int:
        # the place of the first head belongs to the announcement
        for head in self._heads[1:]:
            low, high = max(head - at, 0), min(head + 8 - at, len(part))
            if low < high:
                self._last.append((part[low:high], at + low))
                self.write(part[:low], at)
                self.write(part[high:], at + high)
                return len(part)
        return _write(self._fd, part, at)

    def copy(self, source: Source, start: int, length: int, at: int) -> int:
        for done in range(0, length, _BUFFER):
            part = source.read(start + done, min(_BUFFER, length - done))
            if len(part) < min(_BUFFER, length - done):
                raise OSError(f"{source.path} was cut while it was read")
            self.write(part, at + done)
        return length

    def finish(self) -> bool:
        """Write what is missing; it must be flushed then, too."""
        for part, at in self._last:
            _write(self._fd, part, at)
        return bool(self._last)


def _write(fd: int, part: bytes, at: int) -> int:
    with memoryview(part) as rest:
        done = 0
        while done < len(part):
            done += os.pwrite(fd, rest[done:], at + done)
    return len(part)


@contextlib.contextmanager
def _flushing(fd: int) -> Iterator[None]:
    """Flush while the block writes, so that less is left to flush after it."""
    done = threading.Event()

    def flush() -> None:
        while not done.wait(0.005):
            os.fdatasync(fd)

    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(flush)
        try:
            yield
        finally:
            done.set()
        # an error is told once, to whoever flushes first
        flushed.result()


def _flush(fd: int, *, sync: bool) -> None:
    if sync:
        os.fdatasync(fd)

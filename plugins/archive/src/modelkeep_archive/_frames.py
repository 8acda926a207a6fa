"""Values as zstd frames: cut into chunks, so that all cores take part and a part can be read without the rest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeAlias

import zstandard

from modelkeep.backend import Hasher
from modelkeep_archive._format import DamagedError
from modelkeep_archive._memory import blank, spare

#: How many bytes of a value are in a frame.
CHUNK: Final = 4 << 20
#: The largest chunk that is read.
_LARGEST: Final = 64 << 20
#: How many digits the digest of a frame has.
_HEX: Final = 16

#: Reads from a place in a file on into memory.
Read: TypeAlias = Callable[[int, memoryview], int]


@dataclass(frozen=True, slots=True)
class Frames:
    """Where the frames of a value are.

    Attributes:
        size: How many bytes the value has.
        at: Where its first frame begins.
        frames: The lengths of its frames, which follow each other.
        digests: Their digests, joined: bits may flip in a frame without a change of what it stands for.
        chunk: How many bytes of the value are in each frame but the last.
    """

    size: int
    at: int
    frames: list[int]
    digests: str
    chunk: int = CHUNK

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any], end: int) -> Frames:
        """Read what was written by `asdict`, and make sure that the frames end before a place.

        Raises:
            DamagedError: It can't be right.
        """
        try:
            found = cls(record["size"], record["at"], record["frames"], record["digests"], record["chunk"])
            numbers = (found.size, found.at, found.chunk, *found.frames)
            if not all(type(number) is int and number >= 0 for number in numbers):
                raise DamagedError
            if not 0 < found.chunk <= _LARGEST or len(found.frames) != -(-found.size // found.chunk):
                raise DamagedError
            # what zstd makes of a chunk at least and at most: so a short file can not stand for any length
            if any(each < found.chunk >> 15 for each in found.frames[:-1]):
                raise DamagedError
            if any(each > found.chunk + (found.chunk >> 6) + 64 for each in found.frames):
                raise DamagedError
            if len(found.digests) != _HEX * len(found.frames):
                raise DamagedError
        except (KeyError, TypeError) as error:
            raise DamagedError from error
        if found.at + found.length > end:
            raise DamagedError
        return found

    @property
    def length(self) -> int:
        """How many bytes the frames have."""
        return sum(self.frames)

    def each(self) -> Iterator[Frame]:
        """Look at each frame."""
        starts = accumulate(self.frames, initial=self.at)
        for number, (start, length) in enumerate(zip(starts, self.frames, strict=False)):
            low = number * self.chunk
            digest = self.digests[number * _HEX : (number + 1) * _HEX]
            yield Frame(start, length, digest, low, min(low + self.chunk, self.size))


class Frame(NamedTuple):
    """One of the frames: where it begins, its length and digest, and where its bytes in the value begin and end."""

    start: int
    length: int
    digest: str
    low: int
    high: int


def compress(value: memoryview, write: Callable[[bytes], object], level: int, threads: int) -> Frames:
    """Compress a value and write its frames; never more than some chunks of it are in memory.

    Returns:
        Where they are, the first one at 0.
    """
    local = threading.local()

    def compressed(start: int) -> tuple[bytes, str]:
        if not hasattr(local, "compressor"):
            local.compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
        with value[start : start + CHUNK] as chunk:
            frame: bytes = local.compressor.compress(chunk)
            return frame, _digest(frame)

    frames: list[int] = []
    digests: list[str] = []
    for frame, digest in _ordered(compressed, range(0, len(value), CHUNK), threads):
        write(frame)
        frames.append(len(frame))
        digests.append(digest)
    return Frames(len(value), 0, frames, "".join(digests))


def decompress(
    read: Read, value: Frames, out: memoryview, threads: int, done: Callable[[memoryview], object] | None = None
) -> None:
    """Decompress a value into memory that is as large as it is.

    Args:
        read: Reads what is in the file from a place on into memory, and tells how many bytes that were.
        value: Where the frames are.
        out: The memory.
        threads: How many threads may decompress.
        done: Is given the parts of the value in order, as soon as they are there: to hash one while the next ones are
            decompressed costs hardly any time.

    Raises:
        DamagedError: The frames are not whole.
    """
    local = threading.local()
    largest = max(value.frames, default=0)

    def decompressed(frame: Frame) -> Frame:
        # one memory for all frames of a thread: new pages cost more than to read into them
        if not hasattr(local, "memory"):
            local.memory = memoryview(spare(largest))
        with out[frame.low : frame.high] as part:
            _fill(read, frame, local.memory, part)
        return frame

    for frame in _ordered(decompressed, value.each(), threads):
        if done is not None:
            with out[frame.low : frame.high] as part:
                done(part)


def whole(read: Read, value: Frames, threads: int, done: Callable[[memoryview], object] | None = None) -> bytes:
    """Decompress a value into bytes; see `decompress`.

    Raises:
        DamagedError: The frames are not whole.
    """
    if value.size == 0:
        return b""
    content, memory = blank(value.size)
    with memory:
        decompress(read, value, memory, threads, done)
    return content


def cut(read: Read, value: Frames, start: int, stop: int) -> bytes:
    """Decompress a part of a value, and no frame that has nothing of it.

    Raises:
        DamagedError: The frames are not whole.
    """
    parts = []
    for frame in value.each():
        if frame.low < stop and start < frame.high:
            chunk = bytearray(frame.high - frame.low)
            _fill(read, frame, memoryview(bytearray(frame.length)), memoryview(chunk))
            parts.append(chunk[max(start - frame.low, 0) : stop - frame.low])
    return b"".join(parts)


def _fill(read: Read, frame: Frame, memory: memoryview, out: memoryview) -> None:
    with memory[: frame.length] as content:
        if read(frame.start, content) != frame.length or _digest(content) != frame.digest:
            raise DamagedError
        try:
            with zstandard.ZstdDecompressor().stream_reader(content) as reader:
                # reading on is what verifies the checksum, and that there is no more
                if reader.readinto(out) != len(out) or reader.read(1):
                    raise DamagedError
        except zstandard.ZstdError as error:
            raise DamagedError from error


def _digest(frame: bytes | memoryview) -> str:
    return Hasher(frame).hexdigest(length=_HEX // 2)


def _ordered(work: Callable[[Any], Any], tasks: Any, threads: int) -> Iterator[Any]:
    """Do tasks in some threads; give back the results in order, and never be far ahead of who takes them."""
    tasks = iter(tasks)
    first, second = next(tasks, None), next(tasks, None)
    if threads == 1 or second is None:
        yield from (work(task) for task in (first, second) if task is not None)
        yield from map(work, tasks)
        return
    # made for the call: a pool that is kept would be lost by a fork
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Any]] = deque(pool.submit(work, task) for task in (first, second))
        try:
            for task in tasks:
                pending.append(pool.submit(work, task))
                if len(pending) > 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

"""Blobs: each is stored whole, or as its difference from one that is.

A difference is what `zstd --patch-from` makes: one zstd frame that refers to the bytes of another blob as if they were
before it. It is the content of a member of the tar, since a frame of the archive itself has to make sense alone.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final, NamedTuple

import zstandard

from modelkeep.backend import PREFIX, Hasher, digest
from modelkeep_archive._format import RECORD, DamagedError
from modelkeep_archive._frames import Frames, decompress, whole
from modelkeep_archive._index import Index, Source

#: How the keys of blobs begin.
BLOB: Final = "blob/"
#: The smallest and largest blob, in bytes, that is stored as a difference or has one: making and restoring have all of
#: both in memory.
LEAST: Final = 512
MOST: Final = 256 << 20
#: What a difference has to save, as a part of the blob and in bytes: its base is read whenever it is read.
_PART: Final = 0.1
_BYTES: Final = LEAST


class Blob(NamedTuple):
    """Where a blob is.

    Attributes:
        key: Its key.
        source: The file.
        frames: Where its bytes are in the file, or those of the difference.
        base: What the frames are the difference from; None if the blob is stored whole. It is whole itself.
    """

    key: str
    source: Source
    frames: Frames
    base: Blob | None = None

    def content(self, threads: int) -> bytes:
        """Decompress it, and restore it; whether these are the bytes that its key promises is not seen yet.

        Raises:
            DamagedError: It is not whole, or its base is not.
        """
        content = whole(self.source.into, self.frames, threads)
        return content if self.base is None else restore(content, self.base.content(threads))

    def verified(self, threads: int) -> bytes:
        """Restore it, and make sure that its bytes are those that its key promises.

        Raises:
            DamagedError: They are not.
        """
        if self.base is None:
            hasher = Hasher()
            content = whole(self.source.into, self.frames, threads, hasher.update)
            self._confirm(hasher.hexdigest())
        else:
            content = self.content(threads)
            self._confirm(digest(content).removeprefix(PREFIX))
        return content

    def fill(self, out: memoryview, threads: int) -> None:
        """Do the same into memory; only for what is stored whole.

        Raises:
            DamagedError: They are not.
        """
        hasher = Hasher()
        decompress(self.source.into, self.frames, out, threads, hasher.update)
        self._confirm(hasher.hexdigest())

    def _confirm(self, found: str) -> None:
        if BLOB + found != self.key:
            raise DamagedError

    def sound(self, threads: int) -> bool:
        """Whether its bytes are those that its key promises."""
        try:
            self.verified(threads)
        except DamagedError:
            return False
        return True


def record(index: Index, key: str) -> Any:
    """Read the record of a blob, which may say anything; None if there is none.

    Raises:
        DamagedError: It is damaged.
    """
    place = index.place(key)
    if place is None:
        return None
    content = index.source.box(RECORD, place, index.end)
    try:
        return json.loads(content or b"")
    except (ValueError, RecursionError):  # from json
        raise DamagedError from None


def dump(name: str, blob: Blob, at: int) -> bytes:
    """Make the record of a blob whose member and first frame are there."""
    fields = {"name": name, **blob.frames.asdict(), "at": at}
    if blob.base is not None:
        fields["base"] = blob.base.key.removeprefix(BLOB)
    return json.dumps(fields, separators=(",", ":")).encode()


def member(found: Any) -> tuple[str, str | None]:
    """Tell from the record of a blob the name of its member, and the key of its base if it is a difference.

    Raises:
        DamagedError: It can't be right.
    """
    try:
        name, base = found["name"], found.get("base")
    except (LookupError, TypeError, AttributeError):
        raise DamagedError from None
    if not isinstance(name, str) or not isinstance(base, str | None):
        raise DamagedError
    return name, base and BLOB + base


def find(index: Index, key: str) -> Blob | None:
    """Find a blob in an archive.

    Raises:
        DamagedError: Its record is damaged, or that of its base.
    """
    found = record(index, key)
    if found is None:
        return None
    frames = Frames.of(found, index.end)
    _, base = member(found)
    if base is None:
        return Blob(key, index.source, frames)
    below = record(index, base)
    # one step and no further, or a hostile archive could go on for ever
    if member(below)[1] is not None:
        raise DamagedError
    return Blob(key, index.source, frames, Blob(base, index.source, Frames.of(below, index.end)))


def difference(value: bytes, base: bytes, level: int) -> bytes:
    """Make what restores a value from a base; both have at least 8 bytes, and at most `MOST`."""
    # 5 ms, and only who asks for differences needs it. Not by python-zstandard: that has no prefixes but dictionaries,
    # in which zstd does not search for long matches, and finds little in a large one
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    options: dict[int, int] = {
        # from level 20 on the tables of zstd take more memory than the largest states
        zstd.CompressionParameter.compression_level: min(level, 19),
        zstd.CompressionParameter.window_log: max((len(base) + len(value)).bit_length(), 10),
        zstd.CompressionParameter.enable_long_distance_matching: 1,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    return zstd.compress(value, options=options, zstd_dict=zstd.ZstdDict(base, is_raw=True).as_prefix)


def restore(content: bytes, base: bytes) -> bytes:
    """Restore a value from a base and what `difference` made.

    Raises:
        DamagedError: It is no difference from that base, or stands for more than `MOST` bytes.
    """
    try:
        prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        if not 0 <= zstandard.frame_content_size(content) <= MOST:
            raise DamagedError
        decompressor = zstandard.ZstdDecompressor(dict_data=prefix, max_window_size=1 << 31)
        return decompressor.decompress(content, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedError from error


def worth(difference: int, whole: int) -> bool:
    """Whether a difference of some bytes is kept in the place of what has so many when it is stored whole."""
    return difference + _BYTES <= whole * (1 - _PART)

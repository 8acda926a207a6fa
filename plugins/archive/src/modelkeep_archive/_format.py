"""The bytes of an archive: FORMAT.md beside the sources tells what they are for.

A *box* is a zstd skippable frame of ours: magic, length, kind, a digest over kind, place and body, body. The place is
the offset of the box in the file, so that a box that was moved or exchanged is noticed as a flipped bit is.
"""

from __future__ import annotations

import re
import struct
import tarfile
from typing import Final

import zstandard

from modelkeep import CorruptedError, UnsupportedError
from modelkeep.backend import Hasher

#: The version of the format that is known. An archive says 1 as long as nothing in it needs a later one.
VERSION: Final = 2

_MAGIC: Final = b"\x5d\x2a\x4d\x18"
_PLACE: Final = struct.Struct("<Q")
_DIGEST: Final = 16
#: Magic, length, kind and digest.
OVERHEAD: Final = 8 + 1 + _DIGEST
#: The longest body that is unpacked: what a hostile archive may claim.
MOST: Final = 1 << 30

ANNOUNCE: Final = b"A"
COMMIT: Final = b"C"
FOOTER: Final = b"F"
NAMES: Final = b"N"
RECORD: Final = b"R"
TABLE: Final = b"T"

#: The end of a tar, 1024 zero bytes, as a zstd frame of one run-length block.
ZEROS: Final = bytes.fromhex("28b52ffd 60 0003 032000 00")
_POINTER: Final = struct.Struct("<QQ")
_FOOTER: Final = OVERHEAD + 20
#: What stands behind the last commit: the end of the tar, and the footer.
TAIL: Final = len(ZEROS) + _FOOTER
#: A commit begins with an announcement; it takes the place of a tail and the head of a skippable frame behind it.
ANNOUNCEMENT: Final = TAIL + 8
#: Commits begin at multiples of this: so an announcement lies in one sector and one cache line.
ALIGNMENT: Final = 64

_TEXT: Final = """\
modelkeep archive, format {}

Models of projects, and the applications that serve them, kept by modelkeep
(the backend modelkeep-archive). The index is in skippable zstd frames: unpack
this with tar, but add to it with modelkeep only.
"""


class DamagedError(Exception):
    """Bytes of an archive are not what they were."""


def _head(version: int) -> bytes:
    text = _TEXT.format(version).encode()
    info = tarfile.TarInfo(".modelkeep.txt")
    info.size = len(text)
    content = info.tobuf(tarfile.USTAR_FORMAT) + text.ljust(512, b"\0")
    # one frame of one uncompressed block, written by hand so that no zstd version makes it differently
    frame = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(content) - 256)
    frame += (len(content) << 3 | 1).to_bytes(3, "little") + content
    return frame + blank(-len(frame) % ALIGNMENT)


def hole(length: int) -> bytes:
    """Begin a skippable frame that hides the next bytes."""
    return b"\x50\x2a\x4d\x18" + length.to_bytes(4, "little")


def blank(length: int) -> bytes:
    """Fill some bytes with a skippable frame; less than the 8 that it needs are filled with a whole block more."""
    if length == 0:
        return b""
    if length < 8:  # noqa: PLR2004  # the head of a frame
        length += ALIGNMENT
    return hole(length - 8).ljust(length, b"\0")


#: How an archive of each version begins, of the same length and but for one byte the same.
HEADS: Final = {version: _head(version) for version in range(1, VERSION + 1)}
#: How a new archive begins.
HEAD: Final = HEADS[1]
_KNOWN: Final = re.compile(rb"modelkeep archive, format (\d{1,9})\n")


def check_head(head: bytes, place: str) -> None:
    """Refuse what is no archive, or one of a newer format.

    Raises:
        UnsupportedError: It is of a newer format.
        CorruptedError: It is something else, or damaged.
    """
    if head in HEADS.values():
        return
    known = _KNOWN.search(head)
    if known and int(known[1]) > VERSION and head == _head(int(known[1])):
        raise UnsupportedError(
            f"The archive {place} has format {int(known[1])}, this version of modelkeep-archive knows formats up to "
            f"{VERSION}: upgrade modelkeep-archive to open it"
        )
    raise CorruptedError(f"{place} is no archive of modelkeep, or its first bytes are damaged")


def _digest(kind: bytes, offset: int, body: bytes) -> bytes:
    return Hasher(kind + _PLACE.pack(offset) + body).digest(length=_DIGEST)


def seal(kind: bytes, offset: int, body: bytes) -> bytes:
    """Make the box for a place."""
    length = (OVERHEAD - 8 + len(body)).to_bytes(4, "little")
    return b"".join((_MAGIC, length, kind, _digest(kind, offset, body), body))


def length(head: bytes) -> int:
    """Tell how long the box is that begins with these 8 bytes; 0 if that is no box."""
    return 8 + int.from_bytes(head[4:8], "little") if head[:4] == _MAGIC else 0


def unseal(kind: bytes, offset: int, box: bytes) -> bytes | None:
    """Give back the body of a box; None if it is none of that kind and place, or damaged."""
    body = box[OVERHEAD:]
    if length(box) != len(box) or box[8:9] != kind or box[9:OVERHEAD] != _digest(kind, offset, body):
        return None
    return body


def pack(kind: bytes, offset: int, content: bytes) -> bytes:
    """Make a box with compressed content."""
    return seal(kind, offset, zstandard.ZstdCompressor(level=3).compress(content))


def unpack(kind: bytes, offset: int, box: bytes) -> bytes | None:
    """Give back the content of a box; None if it is damaged."""
    body = unseal(kind, offset, box)
    if body is None:
        return None
    try:
        # a size that is not told, -1, would have all of that memory taken
        if not 0 <= zstandard.frame_content_size(body) <= MOST:
            return None
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=MOST)
    except zstandard.ZstdError:
        return None


def announcement(offset: int, commit: int, end: int) -> bytes:
    """Say where the commit that begins here has its record, and where it ends."""
    body = _POINTER.pack(commit, end)
    return seal(ANNOUNCE, offset, body.ljust(ANNOUNCEMENT - OVERHEAD, b"\0"))


def announced(offset: int, box: bytes) -> tuple[int, int] | None:
    """Read an announcement; None if it is none, or damaged."""
    body = unseal(ANNOUNCE, offset, box)
    if body is None or len(body) != ANNOUNCEMENT - OVERHEAD:
        return None
    commit, end = _POINTER.unpack_from(body)
    return (commit, end) if offset < commit < end and end % ALIGNMENT == 0 else None


def tail(place: int, start: int, commit: int, end: int) -> bytes:
    """End an archive at a place, and point to a commit: it may be one that ends before that."""
    body = _PLACE.pack(start) + (commit - start).to_bytes(6, "little") + (end - start).to_bytes(6, "little")
    return ZEROS + seal(FOOTER, place + len(ZEROS), body)


#: The tail of an archive without commits.
EMPTY: Final = tail(len(HEAD), len(HEAD), len(HEAD), len(HEAD))


def pointed(size: int, last: bytes) -> tuple[int, int, int] | None:
    """Read the footer in the last bytes of a file: where a commit begins, has its record, and ends."""
    body = unseal(FOOTER, size - _FOOTER, last[-_FOOTER:])
    if body is None or len(body) != _FOOTER - OVERHEAD:
        return None
    (start,) = _PLACE.unpack_from(body)
    commit, end = (start + int.from_bytes(each, "little") for each in (body[8:14], body[14:20]))
    sound = len(HEAD) <= start < commit < end and end % ALIGNMENT == 0 and end + TAIL <= size
    return (start, commit, end) if sound else None

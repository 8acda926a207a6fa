"""Digests of what is stored: BLAKE3, written `blake3:<64 hex digits>`.

Source of the function: https://github.com/BLAKE3-team/BLAKE3-specs
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from modelkeep._errors import InvalidError

if TYPE_CHECKING:
    from typing_extensions import Buffer

PREFIX: Final = "blake3:"
#: Below this many bytes one thread hashes faster than two.
_PARALLEL: Final = 4 << 20

Hasher = blake3

_threads = blake3.AUTO


def _hash_alone() -> None:
    # the threads that BLAKE3 keeps for large data do not exist in a child made by fork: it would wait for them forever
    global _threads  # noqa: PLW0603  # one setting for the process
    _threads = 1


os.register_at_fork(after_in_child=_hash_alone)


def octets(data: Buffer) -> memoryview:
    """Show any contiguous buffer as flat, read-only bytes, without a copy.

    Args:
        data: bytes, bytearray, memoryview, mmap, a numpy array of any shape and type.

    Raises:
        InvalidError: It is no buffer, or one that is not contiguous.
    """
    if type(data) is bytes:
        return memoryview(data)
    # pickle is 2 ms of `import modelkeep`
    from pickle import PickleBuffer

    try:
        if type(data) is memoryview and data.readonly and data.format == "B" and data.ndim == 1 and data.contiguous:
            return data
        # names of fields stand between colons
        if "O" in re.sub(":[^:]*:", "", memoryview(data).format):
            raise InvalidError("An array of Python objects has no bytes of its own; pickle it")
        return PickleBuffer(data).raw().toreadonly()
    except (TypeError, BufferError, ValueError) as error:
        raise InvalidError(
            f"Bytes or a contiguous buffer of bytes is needed, not {type(data).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def lend(data: Buffer) -> Iterator[memoryview]:
    """Show bytes read-only for the length of a block.

    What the caller made of the view, an array say, keeps the memory alive beyond that; it is not an error.
    """
    view = memoryview(data).toreadonly()
    try:
        yield view
    finally:
        with contextlib.suppress(BufferError):
            view.release()


def digest(data: bytes | memoryview | mmap.mmap) -> str:
    """Return `blake3:<hex>` of flat bytes."""
    if len(data) < _PARALLEL:
        return PREFIX + blake3(data).hexdigest()
    return PREFIX + blake3(data, max_threads=_threads).hexdigest()

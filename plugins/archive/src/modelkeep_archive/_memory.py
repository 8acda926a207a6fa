"""Memory for large values, in huge pages where the system has them.

A page that is touched for the first time costs more than to put bytes into it: on a virtual machine half of a read was
spent there. Huge pages are 512 times fewer.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from typing import Final

#: The size of a huge page; what is smaller gets none.
_HUGE: Final = 2 << 20
#: None where a system does not know it.
_ADVICE: Final[int | None] = getattr(mmap, "MADV_HUGEPAGE", None)

# prototypes of our own: those of `pythonapi` belong to all of the process
_make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
_address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))
_advise = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)(("madvise", ctypes.CDLL(None)))


def blank(size: int) -> tuple[bytes, memoryview]:
    """Make bytes that are still to be filled, through the view; there are no views of bytes without length.

    This is how C makes bytes in pieces. Python's ways fill the memory with zeros before, in one thread, which takes as
    long as to decompress what does not compress.
    """
    content = _make(None, size)
    start = _address(content)
    if size >= _HUGE and _ADVICE is not None:
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        # a wish: who has no huge pages refuses it
        _advise(first, (start + size - first) // mmap.PAGESIZE * mmap.PAGESIZE, _ADVICE)
    return content, memoryview((ctypes.c_char * size).from_address(start)).cast("B")


def spare(size: int) -> mmap.mmap | bytearray:
    """Take memory of at least some bytes; what is large goes back to the system with the last view of it."""
    if size < _HUGE:
        return bytearray(size)
    # whole huge pages: the system puts such memory where it has them. Shared memory, the default, has none
    memory = mmap.mmap(-1, -(-size // _HUGE) * _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _ADVICE is not None:
        # a wish, as above
        with contextlib.suppress(OSError):
            memory.madvise(_ADVICE)
    return memory

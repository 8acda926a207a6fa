"""Stamps: what makes each attempt to create a record unique.

A request may time out and succeed all the same, and clients, proxies and obstore itself repeat requests whose answer
was lost. The repetition then finds that the key exists. Whether it exists by our own request or by that of somebody
else who wrote an equal record can be told only if no two calls ever store equal bytes. So each record that is stored
begins with a line that holds a random number (and a digest of it, so that a flipped bit is noticed here, too):

    !<32 hex digits> <16 hex digits>

It stands in the content, not in metadata of the object, as metadata differs between S3, Google and Azure, and copies
made by other tools may lose it.
"""

from __future__ import annotations

import os
import re
from typing import Final

from modelkeep.backend import PREFIX, digest

_STAMP: Final = re.compile(rb"!([0-9a-f]{32}) ([0-9a-f]{16})\n")


def stamp(value: bytes) -> bytes:
    """Put a new stamp before a record."""
    number = os.urandom(16).hex().encode()
    return b"!%s %s\n%s" % (number, _check(number), value)


def unstamp(stored: bytes) -> bytes:
    """Take the stamp off; what has no sound one is left as it is, so that the seal of the record breaks."""
    head = _STAMP.match(stored)
    return stored[head.end() :] if head and _check(head[1]) == head[2] else stored


def _check(number: bytes) -> bytes:
    return digest(number).removeprefix(PREFIX)[:16].encode()

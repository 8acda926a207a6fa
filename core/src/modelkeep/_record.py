"""Sealed records: small files that tell when a byte of them went bad, or when they lie in a foreign place.

A record is one line `# blake3:<hex>`, then the body. The digest covers the place (the key of what is recorded), a
line feed and the body, so that neither a flipped bit nor two exchanged records go unnoticed. The line is a comment
in TOML.
"""

from __future__ import annotations

import re
from typing import Final

from modelkeep._digest import digest
from modelkeep._errors import CorruptedError

_SEALED: Final = re.compile(rb"# (blake3:[0-9a-f]{64})\n")


def seal(place: str, body: bytes) -> bytes:
    """Write the record of a place."""
    return b"# %s\n%s" % (digest(b"%s\n%s" % (place.encode(), body)).encode(), body)


def unseal(store: object, place: str, record: bytes, kind: str, *keys: object) -> bytes:
    """Give back the body of a record.

    Args:
        store: Where it is from, for the message.
        place: The place that it was sealed for.
        record: The record.
        kind: What it records, for the message: a tag, say.
        *keys: Whose it is, as the caller named it, for the message.

    Raises:
        CorruptedError: The bytes are not those that were sealed for this place.
    """
    head = _SEALED.match(record)
    if not head or digest(b"%s\n%s" % (place.encode(), record[head.end() :])).encode() != head[1]:
        raise CorruptedError(
            f"{store!r}: the {kind} of {'/'.join(map(str, keys)) or 'the store'} is damaged, its bytes do not match "
            "their digest. Restore it from a copy; other items are not affected"
        )
    return record[head.end() :]

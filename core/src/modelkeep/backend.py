"""What authors of backends need besides the ABCs, if `modelkeep.keyvalue` does not suit their engine."""

from modelkeep._boot import boot
from modelkeep._collected import UNFINISHED
from modelkeep._content import copy_content, digest_content, discard
from modelkeep._digest import PREFIX, Hasher, digest, lend, octets
from modelkeep._record import seal, unseal
from modelkeep._toml import lines, table

__all__ = [
    "PREFIX",
    "UNFINISHED",
    "Hasher",
    "boot",
    "copy_content",
    "digest",
    "digest_content",
    "discard",
    "lend",
    "lines",
    "octets",
    "seal",
    "table",
    "unseal",
]

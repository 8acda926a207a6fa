"""What a collection frees."""

from __future__ import annotations

import dataclasses
from typing import Final

#: For how long a collection takes what is half written for somebody's work, and not for what a killed process left, in
#: seconds, counted from when it was last written to.
UNFINISHED: Final = 3600.0


@dataclasses.dataclass(frozen=True)
class Collected:
    """What `Registry.collect` deleted, or would delete.

    Attributes:
        items: What it is, as the backend names it, ascending.
        size: How many bytes it takes where it is stored.
    """

    items: tuple[str, ...]
    size: int

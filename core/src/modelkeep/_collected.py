"""What a collection frees."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Collected:
    """What `Registry.collect` deleted, or would delete.

    Attributes:
        items: What it is, as the backend names it, ascending.
        size: How many bytes it takes where it is stored.
    """

    items: tuple[str, ...]
    size: int

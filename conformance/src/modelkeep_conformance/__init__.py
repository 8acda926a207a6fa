"""Says whether a backend of modelkeep may be trusted."""

from modelkeep_conformance.harness import (
    FileHarness,
    FileRegion,
    Gap,
    Harness,
    PatchRegion,
    Region,
    find_patches,
    keyvalue_items,
)

__all__ = [
    "FileHarness",
    "FileRegion",
    "Gap",
    "Harness",
    "PatchRegion",
    "Region",
    "find_patches",
    "keyvalue_items",
]

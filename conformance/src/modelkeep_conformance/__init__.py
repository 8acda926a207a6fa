"""Says whether a backend of modelkeep may be trusted."""

from modelkeep_conformance.clauses import Chapter, Clause
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
from modelkeep_conformance.hooks import hookimpl

__all__ = [
    "Chapter",
    "Clause",
    "FileHarness",
    "FileRegion",
    "Gap",
    "Harness",
    "PatchRegion",
    "Region",
    "find_patches",
    "hookimpl",
    "keyvalue_items",
]

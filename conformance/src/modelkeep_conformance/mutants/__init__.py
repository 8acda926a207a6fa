"""Deliberately broken backends: each has one defect, and the tests of the clause that it breaks must find it."""

from collections.abc import Mapping
from typing import Final

from modelkeep_conformance.backends import Mutant
from modelkeep_conformance.mutants import (
    aliases,
    collection,
    concurrency,
    define,
    durability,
    errors,
    generations,
    handles,
    harnesses,
    integrity,
    inventories,
    keys,
    listings,
    odd,
    releases,
    removal,
    states,
)

__all__ = [
    "MUTANTS",
    "REFERENCES",
    "aliases",
    "collection",
    "concurrency",
    "durability",
    "errors",
    "generations",
    "handles",
    "harnesses",
    "integrity",
    "inventories",
    "keys",
    "listings",
    "odd",
    "releases",
    "removal",
    "states",
]

#: What must conform: what mutants are made of, unbroken, and what is odd, but owes nothing.
REFERENCES: Final[Mapping[str, define.Harness]] = {**define.REFERENCES, **odd.HARNESSES}
#: The mutants by name.
MUTANTS: Final[Mapping[str, Mutant]] = define.found

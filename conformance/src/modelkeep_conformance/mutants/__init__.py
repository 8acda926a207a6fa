"""Deliberately broken backends: each has one defect, and the tests of the clause that it breaks must find it."""

from collections.abc import Mapping
from typing import Final

from modelkeep_conformance.backends import Mutant
from modelkeep_conformance.mutants import (
    concurrency,
    define,
    durability,
    errors,
    generations,
    handles,
    integrity,
    inventories,
    keys,
    listings,
    releases,
    states,
)
from modelkeep_conformance.mutants.define import REFERENCES

__all__ = [
    "MUTANTS",
    "REFERENCES",
    "concurrency",
    "durability",
    "errors",
    "generations",
    "handles",
    "integrity",
    "inventories",
    "keys",
    "listings",
    "releases",
    "states",
]

#: The mutants by name.
MUTANTS: Final[Mapping[str, Mutant]] = define.found

"""Finding what to test: installed backends by their entry points, and the mutants that ship with the suite."""

from __future__ import annotations

import dataclasses
import functools
from importlib.metadata import entry_points
from typing import Final

import pytest

from modelkeep_conformance.harness import Harness

GROUP: Final = "modelkeep.conformance"
#: Begins the names of mutants.
MUTANT: Final = "mutant:"


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A deliberately broken backend.

    Attributes:
        clause: The clause that it breaks.
        harness: How to reach it.
        defect: What is wrong with it.
    """

    clause: str
    harness: Harness
    defect: str


def installed() -> list[str]:
    """Name the backends that have a harness."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def mutants() -> list[str]:
    """Name the mutants."""
    from modelkeep_conformance.mutants import MUTANTS

    return [f"{MUTANT}{name}" for name in MUTANTS]


@functools.cache
def load(name: str) -> Harness | Mutant:
    """Load the harness of a backend, or a mutant; `mutant:none-registry` is what mutants are made of, unbroken.

    Raises:
        pytest.UsageError: There is none of that name, or it can't be loaded.
    """
    if name.startswith(MUTANT):
        from modelkeep_conformance.mutants import MUTANTS, REFERENCES

        known: dict[str, Harness | Mutant] = {MUTANT + each: mutant for each, mutant in MUTANTS.items()}
        known.update(REFERENCES)
        if name not in known:
            raise pytest.UsageError(f"There is no mutant {name.removeprefix(MUTANT)!r}")
        return known[name]
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise pytest.UsageError(f"No harness is named {name!r}. Installed are: {', '.join(installed()) or 'none'}")
    try:
        harness = found[0].load()()
    except Exception as error:  # whatever a plugin's import may raise
        raise pytest.UsageError(f"The harness {name!r} ({found[0].value}) can not be loaded: {error!r}") from error
    if not isinstance(harness, Harness):
        raise pytest.UsageError(f"{found[0].value} is no modelkeep_conformance.Harness")
    return harness


def harness_of(name: str) -> Harness:
    """Load the harness of a backend or mutant.

    Raises:
        pytest.UsageError: There is none of that name, or it can't be loaded.
    """
    loaded = load(name)
    return loaded.harness if isinstance(loaded, Mutant) else loaded

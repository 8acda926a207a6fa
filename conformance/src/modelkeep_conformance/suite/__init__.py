"""The tests, one module for each chapter of the contract."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from modelkeep_conformance.backends import MUTANT
from modelkeep_conformance.kit import Kit

#: Says which clauses a test is about.
clause = pytest.mark.clause


def of_aliases(names: Iterable[str]) -> list[Any]:
    """Calls to test, each a parameter: those that move an alias are about aliases, too."""
    return [pytest.param(name, marks=clause("A5")) if name.startswith("move") else name for name in names]


def explore(kit: Kit, examples: int, **more: Any) -> settings:
    """Settings of hypothesis for a test with so many examples, which begins where the seed of the run says."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        # the simplest example is for authors, who are to understand it; that there is one is enough for a mutant
        phases=[Phase.generate] if kit.name.startswith(MUTANT) else list(Phase),
        suppress_health_check=list(HealthCheck),
        **more,
    )

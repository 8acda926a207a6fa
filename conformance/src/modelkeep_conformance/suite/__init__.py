"""The tests, one module for each chapter of the contract."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from modelkeep_conformance.backends import MUTANT
from modelkeep_conformance.kit import Kit

#: Says which clauses a test is about.
clause = pytest.mark.clause


#: What some calls are about besides: moving an alias, removing, collecting.
_ALSO = {"move": "A5", "remove": "V4", "collect": "G6"}


def calls_of(names: Iterable[str]) -> list[Any]:
    """Calls to test, each a parameter with the clauses that it is about besides those of the test."""
    also = {name: _ALSO.get(name.partition("-")[0]) for name in names}
    return [pytest.param(name, marks=clause(more)) if more else name for name, more in also.items()]


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

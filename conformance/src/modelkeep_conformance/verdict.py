"""From the outcomes of tests to a verdict on each clause of each backend."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest

from modelkeep_conformance.clauses import CLAUSES

PASS: Final = "pass"
FAIL: Final = "fail"
GAP: Final = "declared gap"
NOT_APPLICABLE: Final = "not applicable"
COULD_NOT_RUN: Final = "could not run"
#: A clause is as good as the worst of its tests; that some do not apply does not matter beside others.
_WORST: Final = (FAIL, COULD_NOT_RUN, GAP, PASS, NOT_APPLICABLE)

CONFORMS: Final = "CONFORMS"
FAILED: Final = "FAILED"
INCOMPLETE: Final = "INCOMPLETE"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one test on one backend.

    Attributes:
        backend: The name of the backend.
        test: The name of the test.
        clauses: The clauses it is about.
        result: One of the constants above.
        detail: Why.
        seconds: How long it took.
    """

    backend: str
    test: str
    clauses: tuple[str, ...]
    result: str
    detail: str
    seconds: float


def clauses_of(outcomes: Iterable[Outcome], provides: Collection[str] = ("registry", "inventory")) -> dict[str, str]:
    """The result of each clause for a backend that has a registry, an inventory or both.

    A clause without a test could not run, unless it is about what the backend does not have.
    """
    found: dict[str, str] = {}
    for name, clause in CLAUSES.items():
        results = [outcome.result for outcome in outcomes if name in outcome.clauses]
        without = COULD_NOT_RUN if clause.kind in ("both", *provides) else NOT_APPLICABLE
        found[name] = min(results, key=_WORST.index, default=without)
    return found


def verdict_of(clauses: Mapping[str, str]) -> str:
    """The verdict on a backend."""
    if FAIL in clauses.values() or PASS not in clauses.values():
        return FAILED
    if any(result == COULD_NOT_RUN and CLAUSES[clause].core for clause, result in clauses.items()):
        return INCOMPLETE
    return CONFORMS


class Collector:
    """Collects outcomes during a pytest run, tells the verdict at its end, and lets it decide the exit code."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._outcomes: dict[tuple[str, str], Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test."""
        from modelkeep_conformance.plugin import outcome

        properties: dict[str, Any] = dict(report.user_properties)
        if "backend" not in properties:
            return
        result, detail = outcome(report)
        key = properties["backend"], report.nodeid
        seconds = report.duration + (self._outcomes[key].seconds if key in self._outcomes else 0.0)
        if report.when != "call" and result == PASS:
            return
        before = self._outcomes.get(key)
        if before is None or _WORST.index(result) <= _WORST.index(before.result):
            name = report.nodeid.rpartition("::")[2].partition("[")[0]
            self._outcomes[key] = Outcome(
                properties["backend"], name, tuple(properties["clauses"]), result, detail, seconds
            )

    def report(self) -> dict[str, Any]:
        """All that was found out, as JSON can hold it."""
        from modelkeep_conformance import backends

        found: dict[str, Any] = {}
        for name in sorted({outcome.backend for outcome in self._outcomes.values()}):
            mine = [outcome for outcome in self._outcomes.values() if outcome.backend == name]
            loaded = backends.load(name)
            harness = loaded.harness if isinstance(loaded, backends.Mutant) else loaded
            clauses = clauses_of(mine, harness.provides)
            found[name] = {
                "verdict": verdict_of(clauses),
                "clauses": clauses,
                "traits": sorted(harness.traits),
                "provides": sorted(harness.provides),
                "gaps": [{"clause": g.clause, "error": g.error.__name__, "reason": g.reason} for g in harness.gaps],
                "seconds": round(sum(outcome.seconds for outcome in mine), 3),
                "tests": [dataclasses.asdict(outcome) for outcome in mine],
            }
        return {
            "suite": version("modelkeep-conformance"),
            "modelkeep": version("modelkeep"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "profile": self._config.getoption("--profile"),
            "command": " ".join(["pytest", *map(str, self._config.invocation_params.args)]),
            "backends": found,
        }

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run that tested nothing, or could not test a core clause, has not succeeded."""
        self._report = self.report()
        names = list(self._config.getoption("--backend"))
        for name in names:
            mine = self._report["backends"].get(name)
            # parts of the suite may be run by themselves; a whole run must be complete
            if session.exitstatus == pytest.ExitCode.OK and (
                mine is None or (self._whole() and mine["verdict"] != CONFORMS)
            ):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _whole(self) -> bool:
        return not self._config.getoption("keyword") and not any("::" in str(arg) for arg in self._config.args)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the verdicts; write them where it was asked for."""
        from modelkeep_conformance import reports

        for line in reports.terminal(self._report):
            terminalreporter.write_line(line)
        if folder := self._config.getoption("--conformance-report"):
            for path in reports.write(self._report, Path(folder)):
                terminalreporter.write_line(f"wrote {path}")


def recompute(path: Path) -> dict[str, str]:
    """Compute the verdicts of a report anew from its single outcomes.

    Raises:
        ValueError: The file is no report.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
        return {
            name: verdict_of(
                clauses_of(
                    [Outcome(**{**test, "clauses": tuple(test["clauses"])}) for test in mine["tests"]], mine["provides"]
                )
            )
            for name, mine in report["backends"].items()
        }
    except (KeyError, TypeError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no conformance report: {error!r}") from error

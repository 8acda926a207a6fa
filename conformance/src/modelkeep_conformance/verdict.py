"""From the outcomes of tests to a verdict on each clause of each backend."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest

from modelkeep_conformance.clauses import CLAUSES, Clause, chapters
from modelkeep_conformance.clauses import owed as owed_clauses

PASS: Final = "pass"
FAIL: Final = "fail"
GAP: Final = "declared gap"
NOT_APPLICABLE: Final = "not applicable"
COULD_NOT_RUN: Final = "could not run"
#: Why a test could not run.
DESELECTED: Final = "deselected"
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


def clauses_of(
    outcomes: Iterable[Outcome],
    provides: Collection[str] = ("registry", "inventory"),
    gaps: Collection[str] = (),
    owed: Mapping[str, Clause] = CLAUSES,
) -> dict[str, str]:
    """The result of each clause for a backend.

    A clause without a test could not run, unless it is about what the backend does not have. A gap that no test shows
    is a failure: it has to be taken out of the harness.

    Args:
        outcomes: What became of its tests.
        provides: What it has: a registry, an inventory, or both.
        gaps: The clauses that it declares to break.
        owed: The contract.
    """
    found: dict[str, str] = {}
    for name, clause in owed.items():
        results = [outcome.result for outcome in outcomes if name in outcome.clauses]
        without = COULD_NOT_RUN if clause.kinds & set(provides) else NOT_APPLICABLE
        found[name] = min(results, key=_WORST.index, default=without)
        if name in gaps and found[name] == PASS:
            found[name] = FAIL
    return found


def verdict_of(clauses: Mapping[str, str], owed: Mapping[str, Clause] = CLAUSES) -> str:
    """The verdict on a backend, from the results of the clauses of a contract."""
    if FAIL in clauses.values() or PASS not in clauses.values():
        return FAILED
    if any(result == COULD_NOT_RUN and owed[clause].core for clause, result in clauses.items()):
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
        for nodeid, clauses in _deselected(report):
            skipped = Outcome(properties["backend"], _test(nodeid), tuple(clauses), COULD_NOT_RUN, DESELECTED, 0.0)
            self._outcomes[properties["backend"], nodeid] = skipped
        result, detail = outcome(report)
        key = properties["backend"], report.nodeid
        seconds = report.duration + (self._outcomes[key].seconds if key in self._outcomes else 0.0)
        if report.when != "call" and result == PASS:
            return
        before = self._outcomes.get(key)
        if before is None or _WORST.index(result) <= _WORST.index(before.result):
            self._outcomes[key] = Outcome(
                properties["backend"], _test(report.nodeid), tuple(properties["clauses"]), result, detail, seconds
            )

    def report(self) -> dict[str, Any]:
        """All that was found out, as JSON can hold it."""
        from modelkeep_conformance import backends

        owed = owed_clauses()
        found: dict[str, Any] = {}
        for name in sorted({outcome.backend for outcome in self._outcomes.values()}):
            mine = [outcome for outcome in self._outcomes.values() if outcome.backend == name]
            harness = backends.harness_of(name)
            clauses = clauses_of(mine, harness.provides, [gap.clause for gap in harness.gaps], owed)
            found[name] = {
                "verdict": verdict_of(clauses, owed),
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
            "profile": self._config.getoption("--conformance-profile"),
            "seed": self._config.getoption("--conformance-seed"),
            "command": " ".join(["pytest", *map(str, self._config.invocation_params.args)]),
            "contract": [
                {
                    "title": chapter.title,
                    "clauses": [
                        {**dataclasses.asdict(clause), "traits": sorted(clause.traits)} for clause in chapter.clauses
                    ],
                }
                for chapter in chapters()
            ],
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


def _test(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].partition("[")[0]


def _deselected(report: pytest.TestReport) -> Iterator[tuple[str, Sequence[str]]]:
    for name, value in report.user_properties:
        if name == "deselected":
            yield value  # type: ignore[misc]  # what the plugin put there


def recompute(path: Path) -> dict[str, str]:
    """Compute the verdicts of a report anew from its single outcomes.

    Clauses that plugins added are taken from the report; those of the suite are what they are here.

    Raises:
        ValueError: The file is no report.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
        added = {
            each["id"]: Clause(**{**each, "traits": frozenset(each["traits"])})
            for chapter in report.get("contract", ())
            for each in chapter["clauses"]
        }
        owed = {**added, **CLAUSES}
        return {
            name: verdict_of(
                clauses_of(
                    [Outcome(**{**test, "clauses": tuple(test["clauses"])}) for test in mine["tests"]],
                    mine["provides"],
                    [gap["clause"] for gap in mine.get("gaps", ())],
                    owed,
                ),
                owed,
            )
            for name, mine in report["backends"].items()
        }
    except (KeyError, TypeError, AttributeError, OSError, ValueError) as error:
        raise ValueError(f"{path} is no conformance report: {error!r}") from error

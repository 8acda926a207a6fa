"""Never green by absence: what a verdict says, and what the exit code says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelkeep_conformance import verdict
from modelkeep_conformance.clauses import CLAUSES
from modelkeep_conformance.verdict import COULD_NOT_RUN, FAIL, GAP, NOT_APPLICABLE, PASS, Outcome


def outcomes(**results: str) -> list[Outcome]:
    """An outcome of each clause: a pass, unless told otherwise."""
    return [Outcome("b", f"test_{c}", (c,), results.get(c, PASS), "", 0.0) for c in CLAUSES if results.get(c) != "none"]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({}, verdict.CONFORMS),
        ({"K1": NOT_APPLICABLE}, verdict.CONFORMS),
        ({"K1": GAP}, verdict.CONFORMS),
        ({"D5": COULD_NOT_RUN}, verdict.CONFORMS),
        ({"D2": COULD_NOT_RUN}, verdict.INCOMPLETE),
        ({"D2": "none"}, verdict.INCOMPLETE),
        ({"D2": FAIL}, verdict.FAILED),
        ({"D2": FAIL, "D3": COULD_NOT_RUN}, verdict.FAILED),
        (dict.fromkeys(CLAUSES, NOT_APPLICABLE), verdict.FAILED),
        (dict.fromkeys(CLAUSES, "none"), verdict.FAILED),
    ],
)
def test_a_verdict(results: dict[str, str], expected: str) -> None:
    assert verdict.verdict_of(verdict.clauses_of(outcomes(**results))) == expected


def test_a_clause_is_as_good_as_its_worst_test() -> None:
    found = [*outcomes(), Outcome("b", "other", ("K1", "K2"), FAIL, "", 0.0)]
    clauses = verdict.clauses_of(found)
    assert (clauses["K1"], clauses["K2"], clauses["K3"]) == (FAIL, FAIL, PASS)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelkeep_conformance", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_backend_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, "no-such-backend")
    assert done.returncode != 0
    assert "No harness is named 'no-such-backend'" in done.stdout + done.stderr


def test_a_run_without_a_backend_is_a_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--pyargs", "modelkeep_conformance", "--import-mode=importlib"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "--backend NAME" in done.stdout + done.stderr


def test_reports_are_written_and_the_verdict_is_recomputed(tmp_path: Path) -> None:
    done = run(tmp_path, "memory", "--report", "report", "-k", "test_keys or test_inventory")
    assert done.returncode == 0, done.stdout
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"report.json", "junit.xml", "report.html", "badge.json"}
    report = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert report["backends"]["memory"]["clauses"]["I5"] == PASS
    # a part of the suite is no verdict, nor are some of the tests of a clause
    assert report["backends"]["memory"]["clauses"]["K1"] == COULD_NOT_RUN
    assert report["backends"]["memory"]["verdict"] == verdict.INCOMPLETE
    again = run(tmp_path, "verify", "report/report.json")
    assert again.stdout == "memory: INCOMPLETE\n"
    assert again.returncode == 1


def test_a_report_that_was_tampered_with_tells_the_truth(tmp_path: Path) -> None:
    test = {"backend": "b", "test": "t", "clauses": ["K1"], "result": FAIL, "detail": "", "seconds": 0.0}
    path = tmp_path / "report.json"
    path.write_text(
        json.dumps({"backends": {"b": {"verdict": verdict.CONFORMS, "provides": ["registry"], "tests": [test]}}})
    )
    assert verdict.recompute(path) == {"b": verdict.FAILED}


def test_what_is_no_report_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{")
    done = run(tmp_path, "verify", "report.json")
    assert done.returncode == 2
    assert "is no conformance report" in done.stderr


def test_a_large_difference_is_shown_shortly_on_ci_too(tmp_path: Path) -> None:
    name = "mutant:S5-large-cut"
    environment = {**os.environ, "CI": "true"}
    command = [sys.executable, "-m", "pytest", "--pyargs", "modelkeep_conformance", "--import-mode=importlib", "-q"]
    done = subprocess.run(
        [*command, f"--backend={name}", "-k", "large_states"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed" in done.stdout
    assert len(done.stdout) < 100_000

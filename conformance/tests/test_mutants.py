"""The suite is as good as what it finds: each clause has mutants, and all of them are found out."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelkeep_conformance import trace
from modelkeep_conformance.clauses import CLAUSES
from modelkeep_conformance.mutants import MUTANTS, REFERENCES

#: What a mutant that is broken in another way than it means to be shows.
BUNGLED = (
    "AttributeError",
    "NameError",
    "ImportError",
    "ModuleNotFoundError",
    "UnboundLocalError",
    "NotImplementedError",
)


def _run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--pyargs", "modelkeep_conformance", "--import-mode=importlib", "-q"]
    # two at a time where that is installed
    command += ["-n", "2"] if importlib.util.find_spec("xdist") else []
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)


def _report(folder: Path, *options: str) -> Any:
    done = _run(folder, *options, f"--conformance-report={folder}")
    path = folder / "report.json"
    assert path.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(path.read_text("utf-8"))["backends"]


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _report(tmp_path_factory.mktemp("mutants"), "--mutants")


def test_every_clause_has_a_mutant() -> None:
    assert not set(CLAUSES) - {mutant.clause for mutant in MUTANTS.values()}


def test_every_mutant_breaks_a_clause_and_tells_how() -> None:
    for name, mutant in MUTANTS.items():
        assert mutant.clause in CLAUSES, name
        assert name.startswith(f"{mutant.clause}-")
        assert mutant.defect, name


def test_every_mutant_fails_a_test_of_its_clause(mutants: Any) -> None:
    survivors = []
    for name, mutant in MUTANTS.items():
        if mutant.clause == "D5" and not trace.available():
            continue  # told by the test below
        tests = mutants.get(f"mutant:{name}", {"tests": []})["tests"]
        failed = [test for test in tests if test["result"] == "fail" and mutant.clause in test["clauses"]]
        if not failed:
            survivors.append(f"{name} ({mutant.defect}): {[(test['test'], test['result']) for test in tests][:5]}")
    assert not survivors, "\n".join(survivors)


def test_flushes_can_be_traced_here() -> None:
    if not trace.available():
        pytest.skip("strace is not installed, or may not trace: what is not flushed goes unnoticed on this machine")


def test_no_mutant_fails_by_accident(mutants: Any) -> None:
    bungled = []
    for name in MUTANTS:
        for test in mutants.get(f"mutant:{name}", {"tests": []})["tests"]:
            shown = [line for line in test["detail"].splitlines() if line.startswith("E ")]
            if test["result"] == "fail" and any(word in line for word in BUNGLED for line in shown):
                bungled.append(f"{name}: {test['test']}: {shown[0]}")
    assert not bungled, "\n".join(bungled)


def test_what_mutants_are_made_of_conforms(tmp_path: Path) -> None:
    found = _report(tmp_path, *(f"--backend={name}" for name in REFERENCES))
    assert {name: found[name]["verdict"] for name in REFERENCES} == dict.fromkeys(REFERENCES, "CONFORMS"), {
        test["test"]: test["detail"][-1000:]
        for name in found
        for test in found[name]["tests"]
        if test["result"] == "fail"
    }
    tested = {
        clause for name in REFERENCES for test in found[name]["tests"] for clause in test["clauses"]
        if test["result"] == "pass"
    }  # fmt: skip
    assert not set(CLAUSES) - tested, "a clause without a test that ran"

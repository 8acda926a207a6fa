"""Runs the mutants, and tells which of them the suite finds out."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from modelkeep_conformance import syscalls, verdict
from modelkeep_conformance.backends import MUTANT
from modelkeep_conformance.clauses import CLAUSES
from modelkeep_conformance.mutants import MUTANTS, REFERENCES

#: What a mutant that is broken in another way than it means to be shows.
_BUNGLED: Final = (
    "AttributeError",
    "NameError",
    "ImportError",
    "ModuleNotFoundError",
    "UnboundLocalError",
    "NotImplementedError",
)
#: The clauses whose tests see nothing without strace.
_TRACED: Final = frozenset({"D5", "D10"})


@dataclasses.dataclass(frozen=True)
class Found:
    """What became of a mutant.

    Attributes:
        name: Its name.
        tests: The tests of its clause that it failed.
        traced: Whether it can be found out here.
        bungled: What shows that it is broken in another way than it means to be, if something does.
    """

    name: str
    tests: tuple[str, ...]
    traced: bool
    bungled: str

    @property
    def survived(self) -> bool:
        """Whether the suite should have found it out, and did not."""
        return self.traced and not self.tests


def run(backends: Iterable[str], *options: str) -> dict[str, Any]:
    """Run the suite in a process of its own, three tests at a time where that is installed; return what it reports."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        command = [sys.executable, "-m", "pytest", "--pyargs", "modelkeep_conformance", "--import-mode=importlib", "-q"]
        command += ["-n", "3"] if importlib.util.find_spec("xdist") else []
        command += [*options, *(f"--backend={name}" for name in backends), f"--conformance-report={folder}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        report = Path(folder, "report.json")
        if not report.exists():
            raise RuntimeError(f"The suite did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(report.read_text("utf-8"))["backends"]
        return found


def judge(report: Mapping[str, Any]) -> list[Found]:
    """Tell what became of each mutant."""
    found = []
    for name, mutant in MUTANTS.items():
        tests = report.get(f"{MUTANT}{name}", {"tests": []})["tests"]
        failed = [each for each in tests if each["result"] == verdict.FAIL and mutant.clause in each["clauses"]]
        traced = mutant.clause not in _TRACED or syscalls.available()
        shown = [line for each in failed for line in each["detail"].splitlines() if line.startswith("E ")]
        bungled = next((line for line in shown if any(word in line for word in _BUNGLED)), "")
        found.append(Found(name, tuple(dict.fromkeys(each["test"] for each in failed)), traced, bungled))
    return found


def table(found: Iterable[Found]) -> Iterator[str]:
    """Show the mutants of each clause: + found out, S survived, ? can not be found out here."""
    mutants = list(found)
    for clause in CLAUSES:
        mine = [each for each in mutants if MUTANTS[each.name].clause == clause]
        signs = [("S" if each.survived else "+" if each.traced else "?", each.name) for each in mine]
        yield f"{clause:4} {sum(sign == '+' for sign, _ in signs)}/{len(mine)}  " + "  ".join(
            f"{sign} {name.removeprefix(f'{clause}-')}" for sign, name in signs
        )


def show() -> int:
    """Run all mutants, and the backends that must conform; print the matrix, return 1 if all is not well."""
    found = judge(run([], "--conformance-mutants"))
    sys.stdout.writelines(f"{line}\n" for line in table(found))
    wrong = [f"{each.name} survived: {MUTANTS[each.name].defect}" for each in found if each.survived]
    wrong += [f"{each.name} is broken in another way: {each.bungled}" for each in found if each.bungled]
    wrong += [f"{clause} has no mutant" for clause in CLAUSES if clause not in {m.clause for m in MUTANTS.values()}]
    sound = run(REFERENCES)
    for name in REFERENCES:
        sys.stdout.write(f"{name}: {sound[name]['verdict']}, as it must\n")
        wrong += [f"{name}: {each['test']} failed" for each in sound[name]["tests"] if each["result"] == verdict.FAIL]
        wrong += [] if sound[name]["verdict"] == verdict.CONFORMS else [f"{name} does not conform"]
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    killed = sum(bool(each.tests) for each in found)
    sys.stdout.write(f"{killed} of {len(found)} mutants were found out\n")
    return int(bool(wrong))

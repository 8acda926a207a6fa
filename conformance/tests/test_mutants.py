"""The suite is as good as what it finds: each clause has mutants, and all of them are found out."""

import pytest

from modelkeep_conformance import syscalls
from modelkeep_conformance.clauses import CLAUSES
from modelkeep_conformance.mutants import MUTANTS, REFERENCES, matrix

#: The odd ones, which take long, are for `python -m modelkeep_conformance mutants`.
SOUND = [name for name in REFERENCES if "odd" not in name]


@pytest.fixture(scope="module")
def found() -> list[matrix.Found]:
    return matrix.judge(matrix.run([], "--conformance-mutants"))


def test_every_clause_has_a_mutant() -> None:
    assert not set(CLAUSES) - {mutant.clause for mutant in MUTANTS.values()}


def test_every_mutant_breaks_a_clause_and_tells_how() -> None:
    for name, mutant in MUTANTS.items():
        assert mutant.clause in CLAUSES, name
        assert name.startswith(f"{mutant.clause}-")
        assert mutant.defect, name


def test_every_mutant_fails_a_test_of_its_clause(found: list[matrix.Found]) -> None:
    survivors = [f"{each.name} ({MUTANTS[each.name].defect})" for each in found if each.survived]
    assert not survivors, "\n".join(survivors)


def test_system_calls_can_be_traced_here() -> None:
    if not syscalls.available():
        pytest.skip(f"{syscalls.UNAVAILABLE}: what D5 and D10 ask for goes unnoticed on this machine")


def test_no_mutant_fails_by_accident(found: list[matrix.Found]) -> None:
    assert not [f"{each.name}: {each.bungled}" for each in found if each.bungled]


def test_the_matrix_tells_survivors() -> None:
    name, clause = next((name, mutant.clause) for name, mutant in MUTANTS.items())
    lines = list(matrix.table([matrix.Found(name, (), True, "")]))
    assert next(line for line in lines if line.startswith(f"{clause} ")).split()[1:3] == ["0/1", "S"]
    assert all(each.survived for each in matrix.judge({}) if each.traced)


def test_what_must_conform_does() -> None:
    report = matrix.run(SOUND)
    assert {name: report[name]["verdict"] for name in SOUND} == dict.fromkeys(SOUND, "CONFORMS"), {
        test["test"]: test["detail"][-1000:]
        for name in report
        for test in report[name]["tests"]
        if test["result"] == "fail"
    }
    tested = {
        clause for name in SOUND for test in report[name]["tests"] for clause in test["clauses"]
        if test["result"] == "pass"
    }  # fmt: skip
    assert not set(CLAUSES) - tested, "a clause without a test that ran"

"""The contract is declared in one place, and every clause of it is tested."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelkeep_conformance import clauses
from modelkeep_conformance.clauses import CHAPTERS, CLAUSES, TRAITS
from modelkeep_conformance.mutants import REFERENCES

#: A backend that comes with the suite.
REFERENCE = next(iter(REFERENCES))
PAGE = Path(__file__).parents[1] / "CONTRACT.md"


def test_the_page_is_what_the_code_declares() -> None:
    assert PAGE.read_text("utf-8") == clauses.page(), "run: python -m modelkeep_conformance contract > CONTRACT.md"


def test_every_id_stands_once() -> None:
    ids = [clause.id for chapter in CHAPTERS for clause in chapter.clauses]
    assert len(ids) == len(set(ids)) == len(CLAUSES)


def test_every_trait_is_known() -> None:
    assert {trait for clause in CLAUSES.values() for trait in clause.traits} <= set(TRAITS)


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The clauses that tests of the suite name."""
    code = (
        "import pytest\n"
        "class Note:\n"
        "    def pytest_collection_modifyitems(self, items):\n"
        "        print('CLAUSES', *{c for item in items for m in item.iter_markers('clause') for c in m.args})\n"
        "arguments = ['--pyargs', 'modelkeep_conformance', '--import-mode=importlib', '--collect-only', '-q']\n"
        f"arguments.append('--backend={REFERENCE}')\n"
        "raise SystemExit(pytest.main(arguments, plugins=[Note()]))"
    )
    folder = tmp_path_factory.mktemp("collect")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("CLAUSES")]
    assert lines, done.stdout + done.stderr
    return set(lines[0].split()[1:])


def test_every_clause_has_a_test(tested: set[str]) -> None:
    assert not set(CLAUSES) - tested

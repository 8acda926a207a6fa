"""What others add: a harness with gaps, and a plugin of the suite with a clause, a lever and a report."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelkeep_conformance import verdict
from modelkeep_conformance.clauses import CLAUSES

HARNESS = """
import contextlib
from pathlib import Path

from modelkeep import MissingError
from modelkeep_conformance import Chapter, Clause, Gap, Harness, hookimpl
from modelkeep_conformance.mutants.reference import Volatile, Registry

class Mine(Volatile):
    pass

class Backend(Registry):
    engine = Mine

    def latest(self, project, release):
        raise MissingError("not yet")

class Ours(Harness):
    provides = frozenset({"registry"})
    gaps = (Gap("L2", MissingError, "no latest yet"), Gap("R5", ValueError, "was mended long ago"))

    def recipe(self, root):
        return {"provider": "acme:Backend", "path": str(root)}

@hookimpl
def conformance_chapter():
    clauses = Clause("ACME1", "Every push is in the audit log."), Clause("ACME2", "So is a close.")
    return Chapter("Audit", clauses, tests="acme_tests")

@hookimpl
def conformance_lever(kit, name, root):
    return contextlib.nullcontext(True) if name == "audit" else None

@hookimpl
def conformance_report(report, folder):
    path = Path(folder, "acme.txt")
    path.write_text(" ".join(report["backends"]))
    return path
"""
TESTS = """
import pytest

@pytest.mark.clause("ACME1")
def test_audit(kit):
    kit.release()
    with kit.lever("audit", kit.root) as possible, kit.lever("unheard-of", kit.root) as other:
        assert possible and not other
"""
ENTRIES = """
[modelkeep.conformance]
acme = acme:Ours
[modelkeep.conformance.hooks]
acme = acme
"""


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A folder with a distribution on it, as pip would install it."""
    (tmp_path / "acme.py").write_text(HARNESS)
    (tmp_path / "acme_tests.py").write_text(TESTS)
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    command = [sys.executable, "-m", "modelkeep_conformance", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    path = folder / "report" / "report.json"
    return done, json.loads(path.read_text("utf-8"))["backends"][arguments[0]] if path.exists() else None


def test_a_plugin_adds_clauses_levers_and_reports(acme: Path) -> None:
    done, found = run(acme, "acme", "--report", "report")
    assert done.returncode == 1, done.stdout
    assert (acme / "report" / "acme.txt").read_text() == "acme"
    assert found["clauses"]["ACME1"] == verdict.PASS
    # a clause that nothing tests
    assert found["clauses"]["ACME2"] == verdict.COULD_NOT_RUN
    assert set(CLAUSES) < set(found["clauses"])
    # a gap that some tests of its clause show, and one that none does
    assert found["clauses"]["L2"] == verdict.GAP
    assert found["clauses"]["R5"] == verdict.FAIL
    assert "no test shows the gap R5" in done.stdout
    assert found["verdict"] == verdict.FAILED
    # without the plugin, the report is understood
    (acme / "acme-1.0.dist-info" / "entry_points.txt").unlink()
    (acme / "report" / "report.json").rename(acme / "kept.json")
    again, _ = run(acme, "verify", "kept.json")
    assert again.stdout == "acme: FAILED\n"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('"ACME1"', '"K1"'), "K1, which is taken"),
        ((', tests="acme_tests"', ""), "names no tests"),
        (('tests="acme_tests"', 'tests="nowhere"'), "'nowhere'"),
        (("import contextlib\n", "import contextlib, no_such_module\n"), "no_such_module"),
        (("def conformance_lever", "def conformance_leaver"), "conformance_leaver"),
    ],
)
def test_a_plugin_that_takes_away_or_is_broken_is_refused(acme: Path, change: tuple[str, str], told: str) -> None:
    text = HARNESS.replace(*change)
    assert text != HARNESS
    (acme / "acme.py").write_text(text)
    done, _ = run(acme, "acme", "-k", "test_audit")
    assert done.returncode not in (0, 1)
    assert told in done.stdout + done.stderr


def test_what_somebody_deselects_is_missed(acme: Path) -> None:
    (acme / "conftest.py").write_text(
        "def pytest_collection_modifyitems(items):\n"
        "    items[:] = [item for item in items if 'flipped' not in item.name]\n"
    )
    done, found = run(acme, "memory", "--report", "report", "-p", "conftest")
    assert found["clauses"]["M1"] == verdict.COULD_NOT_RUN
    assert found["verdict"] == verdict.INCOMPLETE
    assert done.returncode == 1
    assert "deselected" in done.stdout

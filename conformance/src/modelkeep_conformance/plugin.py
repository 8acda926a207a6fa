"""The pytest plugin that runs the suite on backends; it does nothing unless it is told which ones.

    pytest --pyargs modelkeep_conformance --backend NAME [--backend NAME ...]

Each test names its clauses by a marker, and works with a `kit`, which stands for a new store of one backend.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from modelkeep_conformance import backends, verdict
from modelkeep_conformance.clauses import CLAUSES
from modelkeep_conformance.harness import Harness
from modelkeep_conformance.kit import COULD_NOT_RUN, Kit, clean

_SUITE: Final = Path(__file__).parent / "suite"
#: Marks the reason of a skipped test that has no meaning for a backend.
_NOT_APPLICABLE: Final = "not applicable: "


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("modelkeep conformance")
    group.addoption("--backend", action="append", default=[], metavar="NAME", help="test this backend; may be repeated")
    group.addoption("--mutants", action="store_true", help="test the suite: each mutant must fail its clause")
    group.addoption("--profile", choices=("fast", "soak"), default="fast", help="how thoroughly to test")
    group.addoption("--conformance-report", metavar="DIR", help="write the verdict in all forms into this folder")


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker, and collect outcomes where they arrive."""
    config.addinivalue_line("markers", "clause(id, ...): the clauses of the contract that a test is about")
    if (_names(config)) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(verdict.Collector(config), "modelkeep_conformance_collector")
    if _names(config):
        _shorten_differences(config)


def _shorten_differences(config: pytest.Config) -> None:
    """Let pytest cut what it shows of a difference also on CI, where it shows all: here that can be many megabytes."""
    found = {name: os.environ.pop(name) for name in ("CI", "BUILD_NUMBER") if name in os.environ}
    config.add_cleanup(lambda: os.environ.update(found))


def _names(config: pytest.Config) -> list[str]:
    return list(config.getoption("--backend")) + (backends.mutants() if config.getoption("--mutants") else [])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test of the suite what its clauses mean for its backend."""
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        if not item.path.is_relative_to(_SUITE):
            kept.append(item)
            continue
        ids = [each for marker in item.iter_markers("clause") for each in marker.args]
        assert ids, f"{item.nodeid} names no clause"
        assert set(ids) <= set(CLAUSES), f"{item.nodeid} names an unknown clause"
        name = item.callspec.params["kit"]  # type: ignore[attr-defined]  # every test of the suite has a kit
        loaded = backends.load(name)
        if isinstance(loaded, backends.Mutant) and loaded.clause not in ids:
            dropped.append(item)
            continue
        kept.append(item)
        harness = loaded.harness if isinstance(loaded, backends.Mutant) else loaded
        # a test may be about registries and inventories alike
        mine = [each for each in ids if _kinds(each) & harness.provides] or ids
        item.user_properties += [("backend", name), ("clauses", mine)]
        _judge(item, harness, mine)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def _kinds(clause: str) -> set[str]:
    kind = CLAUSES[clause].kind
    return {"registry", "inventory"} if kind == "both" else {kind}


def _judge(item: pytest.Item, harness: Harness, ids: list[str]) -> None:
    for clause in (CLAUSES[each] for each in ids):
        lacks = clause.traits - harness.traits
        if lacks:
            item.add_marker(pytest.mark.skip(reason=f"{_NOT_APPLICABLE}the backend is not {', '.join(sorted(lacks))}"))
        elif not _kinds(clause.id) & harness.provides:
            item.add_marker(pytest.mark.skip(reason=f"{_NOT_APPLICABLE}the backend has no {clause.kind}"))
        for gap in harness.gaps:
            if gap.clause == clause.id:
                item.add_marker(pytest.mark.xfail(raises=gap.error, reason=gap.reason, strict=True))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the suite on each backend."""
    if "kit" in metafunc.fixturenames and metafunc.definition.path.is_relative_to(_SUITE):
        names = _names(metafunc.config)
        if not names:
            raise pytest.UsageError("The conformance suite needs to be told what to test: --backend NAME")
        metafunc.parametrize("kit", names, indirect=True, scope="function")


#: The mutants that failed a test in this process: what else they would fail does not matter.
_killed: Final[set[str]] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notice what becomes of mutants."""
    report = yield
    name = dict(item.user_properties).get("backend")
    if report.failed and isinstance(name, str) and isinstance(backends.load(name), backends.Mutant):
        _killed.add(name)
    return report


@pytest.fixture
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    """A new store of the backend."""
    loaded = backends.load(request.param)
    harness = loaded.harness if isinstance(loaded, backends.Mutant) else loaded
    if request.param in _killed:
        pytest.skip(f"{_NOT_APPLICABLE}the mutant has failed already")
    made = Kit(request.param, harness, request.config.getoption("--profile"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def registry(kit: Kit) -> Any:
    """A handle of the registry."""
    if not kit.registers:
        pytest.skip(f"{_NOT_APPLICABLE}the backend has no registry")
    return kit.registry()


@pytest.fixture
def inventory(kit: Kit) -> Any:
    """A handle of the inventory."""
    if not kit.inventories:
        pytest.skip(f"{_NOT_APPLICABLE}the backend has no inventory")
    return kit.inventory()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what the tests shared."""
    clean()


def outcome(report: pytest.TestReport) -> tuple[str, str]:
    """Say what became of a test, and why."""
    if report.skipped:
        reason = report.wasxfail if hasattr(report, "wasxfail") else str(report.longrepr[2])  # type: ignore[index]
        if hasattr(report, "wasxfail"):
            return verdict.GAP, reason
        reason = reason.removeprefix("Skipped: ")
        if reason.startswith(_NOT_APPLICABLE):
            return verdict.NOT_APPLICABLE, reason.removeprefix(_NOT_APPLICABLE)
        return verdict.COULD_NOT_RUN, reason.removeprefix(COULD_NOT_RUN)
    return (verdict.PASS, "") if report.passed else (verdict.FAIL, report.longreprtext)

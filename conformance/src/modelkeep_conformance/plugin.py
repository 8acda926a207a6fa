"""The pytest plugin that runs the suite on backends; it does nothing unless it is told which ones.

    pytest --pyargs modelkeep_conformance --backend NAME [--backend NAME ...]

Each test names its clauses by a marker, and works with a `kit`, which stands for a new store of one backend.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import random
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from modelkeep_conformance import backends, clauses, verdict
from modelkeep_conformance.clauses import Clause
from modelkeep_conformance.harness import Harness
from modelkeep_conformance.kit import COULD_NOT_RUN, NOT_APPLICABLE, Kit, clean, not_applicable

_SUITE: Final = Path(__file__).parent / "suite"
#: The tests of the suite that there are, whoever deselects some of them.
_COLLECTED: Final = pytest.StashKey[list[pytest.Item]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("modelkeep conformance")
    group.addoption("--backend", action="append", default=[], metavar="NAME", help="test this backend; may be repeated")
    group.addoption(
        "--conformance-mutants", action="store_true", help="test the suite: each mutant must fail its clause"
    )
    group.addoption(
        "--conformance-seed",
        type=int,
        metavar="N",
        help="where chance begins in the tests; by default 0, and at random in the soak profile",
    )
    group.addoption("--conformance-profile", choices=("fast", "soak"), default="fast", help="how thoroughly to test")
    group.addoption("--conformance-report", metavar="DIR", help="write the verdict in all forms into this folder")


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker, and collect outcomes where they arrive."""
    config.addinivalue_line("markers", "clause(id, ...): the clauses of the contract that a test is about")
    if _names(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(verdict.Collector(config), "modelkeep_conformance_collector")
    if _names(config):
        _shorten_differences(config)
        if "modelkeep_conformance" in config.args:
            config.args += [path for root in _roots()[1:] if (path := str(root)) not in config.args]
        if config.option.conformance_seed is None:
            # workers are given the same
            fast = config.getoption("--conformance-profile") == "fast"
            config.option.conformance_seed = 0 if fast else random.randrange(1 << 32)  # for tests


def _shorten_differences(config: pytest.Config) -> None:
    """Let pytest cut what it shows of a difference also on CI, where it shows all: here that can be many megabytes."""
    found = {name: os.environ.pop(name) for name in ("CI", "BUILD_NUMBER") if name in os.environ}
    config.add_cleanup(lambda: os.environ.update(found))


def _names(config: pytest.Config) -> list[str]:
    return list(config.getoption("--backend")) + (
        backends.mutants() if config.getoption("--conformance-mutants") else []
    )


@functools.cache
def _roots() -> tuple[Path, ...]:
    """Where the tests are: the suite's own, and those of chapters that plugins add."""
    return (_SUITE, *(_root(chapter.tests) for chapter in clauses.chapters() if chapter.tests))


def _root(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if not found or not found.origin:
        raise pytest.UsageError(f"The tests {module!r}, which a plugin of the suite names, are not there")
    path = Path(found.origin)
    return path.parent if found.submodule_search_locations else path


def _is_ours(path: Path) -> bool:
    return any(path.is_relative_to(root) for root in _roots())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test of the suite what its clauses mean for its backend."""
    dropped: list[pytest.Item] = []
    owed = clauses.owed()
    for item in items:
        if not _is_ours(item.path):
            continue
        ids = [each for marker in item.iter_markers("clause") for each in marker.args]
        assert ids, f"{item.nodeid} names no clause"
        assert set(ids) <= set(owed), f"{item.nodeid} names an unknown clause"
        name = item.callspec.params["kit"]  # type: ignore[attr-defined]  # every test of the suite has a kit
        # there is no name if no mutant breaks any clause of a test
        loaded = backends.load(name) if isinstance(name, str) else None
        if loaded is None or (isinstance(loaded, backends.Mutant) and loaded.clause not in ids):
            dropped.append(item)
            continue
        harness = backends.harness_of(name)
        # a test may be about registries and inventories alike
        mine = [owed[each] for each in ids if owed[each].kinds & harness.provides] or [owed[each] for each in ids]
        item.user_properties += [("backend", name), ("clauses", [each.id for each in mine])]
        _judge(item, harness, mine)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]
    # a faulty harness is told first
    items.sort(key=lambda item: item.path.name != "test_harness.py")
    config.stash[_COLLECTED] = [item for item in items if _is_ours(item.path)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell the verdict of tests that somebody deselected: they could not run."""
    chosen = set(session.items)
    for item in session.config.stash.get(_COLLECTED, []):
        if item in chosen:
            continue
        for other in session.items:
            if dict(other.user_properties).get("backend") == dict(item.user_properties)["backend"]:
                other.user_properties.append(("deselected", [item.nodeid, dict(item.user_properties)["clauses"]]))
                break


def _judge(item: pytest.Item, harness: Harness, about: list[Clause]) -> None:
    for clause in about:
        lacks = clause.traits - harness.traits
        if lacks:
            item.add_marker(pytest.mark.skip(reason=f"{NOT_APPLICABLE}the backend is not {', '.join(sorted(lacks))}"))
        elif not clause.kinds & harness.provides:
            item.add_marker(pytest.mark.skip(reason=f"{NOT_APPLICABLE}the backend has no {clause.kind}"))
        for gap in harness.gaps:
            if gap.clause == clause.id:
                # that at least one test of the clause fails is for the verdict to see
                item.add_marker(pytest.mark.xfail(raises=gap.error, reason=gap.reason, strict=False))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the suite on each backend."""
    if "kit" in metafunc.fixturenames and _is_ours(metafunc.definition.path):
        names = _names(metafunc.config)
        if not names:
            raise pytest.UsageError("The conformance suite needs to be told what to test: --backend NAME")
        # hundreds of mutants times all tests would take longer to collect than to run
        about = set(_about(metafunc.definition))
        names = [name for name in names if not (clause := _broken(name)) or clause in about]
        metafunc.parametrize("kit", names, indirect=True, scope="function")


def _about(test: pytest.Item) -> Iterator[str]:
    """The clauses that a test names, with some of its parameters at least."""
    of_parameters = [
        mark
        for each in test.iter_markers("parametrize")
        for values in each.args[1]
        for mark in getattr(values, "marks", ())
        if mark.name == "clause"
    ]
    for marker in (*test.iter_markers("clause"), *of_parameters):
        yield from marker.args


def _broken(name: str) -> str | None:
    """The clause that a mutant breaks; None for what is no mutant."""
    loaded = backends.load(name)
    return loaded.clause if isinstance(loaded, backends.Mutant) else None


#: The mutants that failed a test in this process: what else they would fail does not matter.
_killed: Final[set[str]] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notice what becomes of mutants."""
    report = yield
    name = dict(item.user_properties).get("backend")
    if report.failed and isinstance(name, str) and _broken(name):
        _killed.add(name)
    return report


@pytest.fixture
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    """A new store of the backend."""
    if request.param in _killed:
        not_applicable("the mutant has failed already")
    option = request.config.getoption
    with Kit.opened(request.param, option("--conformance-profile"), option("--conformance-seed")) as made:
        yield made


@pytest.fixture
def registry(kit: Kit) -> Any:
    """A handle of the registry."""
    if not kit.registers:
        not_applicable("the backend has no registry")
    return kit.registry()


@pytest.fixture
def inventory(kit: Kit) -> Any:
    """A handle of the inventory."""
    if not kit.inventories:
        not_applicable("the backend has no inventory")
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
        if reason.startswith(NOT_APPLICABLE):
            return verdict.NOT_APPLICABLE, reason.removeprefix(NOT_APPLICABLE)
        return verdict.COULD_NOT_RUN, reason.removeprefix(COULD_NOT_RUN)
    return (verdict.PASS, "") if report.passed else (verdict.FAIL, report.longreprtext)

"""What calls cost at many generations, beside what they cost at few. Asked of every backend."""

from __future__ import annotations

import dataclasses
import inspect
import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

import modelkeep
from modelkeep import Directory, Generation, Release, Tag, Training
from modelkeep_conformance.bench.measure import (
    Curve,
    Figure,
    Point,
    Times,
    Took,
    Work,
    clock,
    duration,
    figure,
    race,
    ratio,
)
from modelkeep_conformance.bench.place import PROJECT, Bench, commit_each, factory, fresh, harness, place, published

#: At how many generations calls are timed.
SIZES: Final = (10, 100, 1_000, 100_000)
_QUICK: Final = (10, 100, 1_000)
#: How many calls are timed together.
_PUTS: Final = 5
_GETS: Final = 20
#: The generation that is read; all have it.
_READ: Final = 5
#: A release of no more than these is made anew for each round of commits, or it would not stay as small.
_SMALL: Final = 100


@dataclasses.dataclass(frozen=True)
class Aims:
    """What is wanted of a backend.

    Attributes:
        ratio: The highest cost of a put, and of a get, at many generations, beside that at few.
        few: How many are few.
        opening: The milliseconds that a new process may take to open the store of many and to load the latest state.
        listing: Gives a plain listing of a release of a store; what it takes may be added to a put.
        most: At how many generations to stop, where more would take too long to make.
    """

    ratio: float | None = 2.0
    few: int = 10
    opening: float | None = None
    listing: Callable[[dict[str, Any], str], Work] | None = None
    most: int = SIZES[-1]


@dataclasses.dataclass(frozen=True)
class _Grown:
    """A release with some generations: the options of its store, and itself."""

    where: dict[str, Any]
    release: Release


def measure(bench: Bench, provider: str, aims: Aims) -> Iterator[Figure | Curve]:
    """Time puts, gets, loads of the latest state, lists and cold opens on releases of several sizes in turn.

    Args:
        bench: Where.
        provider: Of which backend.
        aims: What is wanted.
    """
    sizes = [size for size in (_QUICK if bench.quick else SIZES) if size <= aims.most]
    few, many = f"{aims.few:,}", f"{sizes[-1]:,}"
    head = f"{provider}: {{}} at {many} generations beside {few}"
    grown = {f"{size:,}": _grown(bench, provider, size) for size in sizes}
    releases = {name: each.release for name, each in grown.items()}
    lines: dict[str, Times] = {}

    lines["get"] = _timed(bench, releases, _gets, _GETS)
    yield ratio(head.format("Generation.get"), lines["get"], many, few, aims.ratio)
    lines["load the latest"] = _timed(bench, releases, _loads, _PUTS)
    yield ratio(head.format("loading the latest state"), lines["load the latest"], many, few)
    lines["list"] = _timed(bench, releases, lambda release: release.list, 1)
    milli = [seconds * 1e3 for seconds in lines["list"][many]]
    yield figure(f"{provider}: listing {many} generations", milli, "ms")
    if shared(provider, grown[few].where):
        cold = {name: _cold(grown[few], each) for name, each in grown.items()}
        lines["open and load, cold"] = race(cold, 3 if bench.quick else 5)
        milli = [seconds * 1e3 for seconds in lines["open and load, cold"][many]]
        what = f"{provider}: opening {many} generations in a new process and loading the latest state"
        yield figure(what, milli, "ms", aims.opening)

    # last, since they make the releases larger
    anew = bench.releases(provider)
    puts: dict[str, Callable[[], Work]] = {
        name: (lambda size=size, name=name: _puts(_filled(next(anew), size) if size <= _SMALL else releases[name]))  # type: ignore[misc]  # mypy can't infer defaults
        for size, name in zip(sizes, grown, strict=True)
    }
    if aims.listing is not None:
        listed = aims.listing(grown[many].where, str(releases[many].key))
        puts["listing"] = lambda: lambda: [listed() for _ in range(_PUTS)]
    times = _each(race(puts, bench.rounds), _PUTS)
    lines["put"] = {name: times[name] for name in grown}
    if aims.listing is None:
        yield ratio(head.format("Release.put"), times, many, few, aims.ratio)
    else:
        yield ratio(head.format("Release.put"), times, many, few)
        less = [(big - add) / low for big, low, add in zip(times[many], times[few], times["listing"], strict=True)]
        note = f"the listing takes {duration(statistics.median(times['listing']))}"
        yield figure(head.format("Release.put, less one folder listing,"), less, "x", aims.ratio, note=note)
    points = {
        line: [Point.of(size, [each * 1e3 for each in taken[f"{size:,}"]]) for size in sizes]
        for line, taken in lines.items()
    }
    yield Curve(f"{provider}: cost of calls as generations grow", "generations", "ms", points)


def fill(release: Release, count: int) -> None:
    """Commit generations of one small state each to a release that has none.

    They are given their numbers: to find the next one may take a listing, and all of them would take too long.
    """
    for number in range(1, count + 1):
        tag = Tag(Training.now(ordinal=number), states=[release.dump(b"state %d" % number)])
        release.registry.close(release.project, release.key, Generation.Key(number), tag)


def _filled(release: Release, count: int) -> Release:
    fill(release, count)
    return release


def _grown(bench: Bench, provider: str, size: int) -> _Grown:
    """Make a store with a release, unflushed if the backend can, in another process if it reaches the store."""
    where = place(provider, bench.new())
    release = next(published(where, bench.new()))
    if shared(provider, where):
        quick = {"sync": False} if "sync" in inspect.signature(factory(provider)).parameters else {}
        _elsewhere(_fill_store, {**where, **quick}, str(release.key), size)
    else:
        fill(release, size)
    return _Grown(where, release)


def shared(provider: str, where: dict[str, Any]) -> bool:
    """Whether other processes reach a store; without a harness, what has a path is taken for one."""
    known = harness(provider)
    return "path" in where if known is None else "multiprocess" in known.traits


def _elsewhere(work: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _fill_store(where: dict[str, Any], version: str, count: int) -> None:
    fill(Directory(modelkeep.registry(**where)).get(PROJECT).get(version), count)


def _cold(warm: _Grown, store: _Grown) -> Callable[[], Work]:
    arguments = (warm.where, store.where, str(store.release.key))
    return lambda: lambda: Took(_elsewhere(_opened, *arguments))


def _opened(warm: dict[str, Any], where: dict[str, Any], version: str) -> float:
    """Open a store and load the latest state, after doing so with another one: what is imported late is there then."""

    def load(options: dict[str, Any]) -> bytes:
        return Directory(modelkeep.registry(**options)).get(PROJECT).get(version).get().get(0)

    load(warm)
    return clock(lambda: load(where))


def _timed(bench: Bench, releases: dict[str, Release], work: Callable[[Release], Work], number: int) -> Times:
    contestants = {name: (lambda release=release: work(release)) for name, release in releases.items()}
    return _each(race(contestants, bench.rounds), number)


def _puts(release: Release) -> Work:
    states = fresh(_PUTS, 100)
    return lambda: commit_each(release, states)


def _gets(release: Release) -> Work:
    generation = release.get(_READ)
    return lambda: [generation.get(0) for _ in range(_GETS)]


def _loads(release: Release) -> Work:
    def load() -> bytes:
        return Directory(release.registry).get(PROJECT).get(release.key).get().get(0)

    return lambda: [load() for _ in range(_PUTS)]


def _each(times: Times, number: int) -> Times:
    return {name: [seconds / number for seconds in each] for name, each in times.items()}

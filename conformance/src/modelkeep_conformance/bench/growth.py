"""What calls cost at many generations, beside what they cost at ten. Asked of every backend."""

from __future__ import annotations

import inspect
import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from typing import Any, Final

import modelkeep
from modelkeep import Directory, Release
from modelkeep_conformance.bench.measure import Figure, Times, Work, duration, figure, race, ratio
from modelkeep_conformance.bench.place import (
    PROJECT,
    Bench,
    commit,
    commit_each,
    factory,
    fresh,
    harness,
    place,
    published,
)

#: How many generations are few, and how many are many.
FEW: Final = 10
MANY: Final = 10_000
#: How many calls are timed together.
_PUTS: Final = 5
_GETS: Final = 20


def measure(
    bench: Bench,
    provider: str,
    target: float | None,
    listing: Callable[[dict[str, Any], str], Work] | None = None,
    **options: Any,
) -> Iterator[Figure]:
    """Compare `Release.put`, `Generation.get` and loading the latest state, on a small and a large release in turn.

    Args:
        bench: Where.
        provider: Of which backend.
        target: The highest ratio wanted.
        listing: Gives a plain listing of the release that has many: what it takes may be added to a put.
        options: More of the provider's.
    """
    many = MANY // 10 if bench.quick else MANY
    where = place(provider, bench.new(), **options)
    large = next(published(where, bench.new()))
    _fill(provider, where, large, many)
    small = bench.releases(provider, **options)
    settings = "".join(f", {key}={str(value).lower()}" for key, value in options.items())
    head = f"{provider}{settings}: {{}} at {many:,} generations beside {FEW}"

    # a small release each round, or it would not stay small
    contestants = {"many": lambda: _puts(large), "few": lambda: _puts(_small(next(small)))}
    if listing is not None:
        listed = listing(where, str(large.key))
        contestants["listing"] = lambda: lambda: [listed() for _ in range(_PUTS)]
    times = _each(race(contestants, bench.rounds), _PUTS)
    if listing is None:
        yield ratio(head.format("Release.put"), times, "many", "few", target)
    else:
        yield ratio(head.format("Release.put"), times, "many", "few")
        less = [(big - add) / few for big, few, add in zip(times["many"], times["few"], times["listing"], strict=True)]
        note = f"the listing takes {duration(statistics.median(times['listing']))}"
        yield figure(head.format("Release.put, less one folder listing,"), less, "x", target, note=note)

    few = _small(next(small))
    times = _each(race({"many": lambda: _gets(large), "few": lambda: _gets(few)}, bench.rounds), _GETS)
    yield ratio(head.format("Generation.get"), times, "many", "few", target)
    times = _each(race({"many": lambda: _loads(large), "few": lambda: _loads(few)}, bench.rounds), _PUTS)
    yield ratio(head.format("loading the latest state"), times, "many", "few")


def _fill(provider: str, where: dict[str, Any], release: Release, count: int) -> None:
    """Commit many generations, unflushed if the backend can, in another process if it reaches the store."""
    known = harness(provider)
    # without a harness, what has a path is taken to be reached from other processes
    if not ("path" in where if known is None else "multiprocess" in known.traits):
        fill(release, count)
        return
    quick = {"sync": False} if "sync" in inspect.signature(factory(provider)).parameters else {}
    arguments = ({**where, **quick}, str(release.key), count)
    process = multiprocessing.get_context("spawn").Process(target=_fill_store, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"filling a store of {provider} ended with {process.exitcode}")


def _fill_store(options: dict[str, Any], version: str, count: int) -> None:
    fill(Directory(modelkeep.registry(**options)).get(PROJECT).get(version), count)


def fill(release: Release, count: int) -> None:
    """Commit generations of one small state each."""
    for number in range(count):
        commit(release, b"state %d" % number)


def _small(release: Release) -> Release:
    fill(release, FEW)
    return release


def _puts(release: Release) -> Work:
    states = fresh(_PUTS, 100)
    return lambda: commit_each(release, states)


def _gets(release: Release) -> Work:
    generation = release.get(FEW // 2)
    return lambda: [generation.get(0) for _ in range(_GETS)]


def _loads(release: Release) -> Work:
    def load() -> bytes:
        return Directory(release.registry).get(PROJECT).get(release.key).get().get(0)

    return lambda: [load() for _ in range(_PUTS)]


def _each(times: Times, number: int) -> Times:
    return {name: [seconds / number for seconds in each] for name, each in times.items()}

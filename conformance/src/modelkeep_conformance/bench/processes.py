"""Commits a second of several processes that commit to one release at once. Asked of every backend they can share."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from typing import Any, Final

import modelkeep
from modelkeep import Directory, Release
from modelkeep_conformance.bench.growth import shared
from modelkeep_conformance.bench.measure import Curve, Figure, Point, Skipped, figure
from modelkeep_conformance.bench.place import PROJECT, Bench, commit, place, published

#: How many processes commit at once.
COUNTS: Final = (1, 2, 4, 8)


def measure(bench: Bench, provider: str) -> Iterator[Figure | Curve]:
    """Count the commits a second, and see that none is lost and that all have numbers of their own.

    Args:
        bench: Where.
        provider: Of which backend.
    """
    where = place(provider, bench.new())
    if not shared(provider, where):
        raise Skipped("it is not reached from other processes")
    releases = published(where, bench.new())
    each = 20 if bench.quick else 100
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(1 if bench.quick else 3):
        for count in COUNTS:
            release = next(releases)
            states = [[b"state %d of process %d" % (turn, number) for turn in range(each)] for number in range(count)]
            rates[count].append(count * each / _together(where, release, states))
            _verify(release, states)
    for count in COUNTS:
        what = f"{provider}: commits a second of {count} process{'es'[: 2 * (count > 1)]}, all distinct"
        yield figure(what, rates[count], "/s")
    points = {"commits": [Point.of(count, values) for count, values in rates.items()]}
    yield Curve(f"{provider}: small commits of several processes", "processes", "/s", points)


def _together(where: dict[str, Any], release: Release, states: list[list[bytes]]) -> float:
    """Let processes commit at once; the seconds from the first that begins to the last that ends."""
    context = multiprocessing.get_context("spawn")
    barrier, ends = context.Barrier(len(states)), context.SimpleQueue()
    children = [context.Process(target=_commit, args=(barrier, ends, where, str(release.key), mine)) for mine in states]
    for child in children:
        child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise RuntimeError("a process that commits failed")
    spans = [ends.get() for _ in children]
    return float(max(end for _, end in spans) - min(begin for begin, _ in spans))


def _commit(barrier: Barrier, ends: Any, where: dict[str, Any], version: str, states: list[bytes]) -> None:
    release = Directory(modelkeep.registry(**where)).get(PROJECT).get(version)
    # all is loaded, and the store is open, before the clock runs
    release.list()
    barrier.wait()
    # on one machine this clock is the same for all processes
    begin = time.monotonic()
    for state in states:
        commit(release, state)
    ends.put((begin, time.monotonic()))


def _verify(release: Release, states: list[list[bytes]]) -> None:
    found = [release.get(number).get(0) for number in release.list()]
    if sorted(found) != sorted(itertools.chain.from_iterable(states)):
        raise AssertionError("what is stored is not what was committed")

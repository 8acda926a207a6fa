"""What a call costs at many generations, beside what it costs at ten."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from modelkeep import Directory, Release
from modelkeep_conformance.bench.measure import Figure, clock
from modelkeep_conformance.bench.place import Place, commit, fresh

#: How many generations are few, and how many are many.
FEW, MANY = 10, 10_000


def measure(place: Place, provider: str, target: float, **options: object) -> Iterator[Figure]:
    """Compare `Release.put` and loading the latest state, in turn on a small and a large release."""
    small, large = place.release(provider, **options), place.release(provider, **options)
    for number in range(MANY):
        if number < FEW:
            commit(small, [b"state %d" % number])
        commit(large, [b"state %d" % number])
    yield _compare(f"{provider}: Release.put at {MANY} generations beside {FEW}", small, large, _put, target)
    yield _compare(f"{provider}: Generation.get at {MANY} generations beside {FEW}", small, large, _get, target)
    yield _compare(f"{provider}: cold load of the latest at {MANY} beside {FEW}", small, large, _latest, None)


def _put(release: Release) -> None:
    for state in fresh(5, 100):
        commit(release, [state])


def _get(release: Release) -> None:
    generation = release.get(5)
    for _ in range(20):
        generation.get(0)


def _latest(release: Release) -> None:
    for _ in range(5):
        Directory(release.registry).get("toy").get().get().get(0)


def _compare(name: str, small: Release, large: Release, work: object, target: float | None) -> Figure:
    assert callable(work)
    pairs = [(clock(lambda: work(large)), clock(lambda: work(small))) for _ in range(15)][1:]
    ratios = [big / little for big, little in pairs]
    big, little = (statistics.median(column) for column in zip(*pairs, strict=True))
    detail = f"{big * 1e3:.3f} ms, at few {little * 1e3:.3f} ms"
    return Figure(name, statistics.median(ratios), min(ratios), max(ratios), "x", target, detail=detail)

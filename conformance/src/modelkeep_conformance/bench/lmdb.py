"""`lmdb` beside plain py-lmdb."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from typing import Any

from modelkeep.backend import digest
from modelkeep_conformance.bench import growth
from modelkeep_conformance.bench.local import memory
from modelkeep_conformance.bench.measure import ROUNDS, Figure, clock, ratio, single
from modelkeep_conformance.bench.place import Place, commit, fresh

_MB = 1_000_000


def measure(place: Place) -> Iterator[Figure]:
    """Commits, views, growth, space and memory."""
    import lmdb

    def plain() -> Any:
        return lmdb.open(str(place.new()), map_size=1 << 40)

    release, raw = place.release("lmdb"), plain()
    batches = iter([fresh(10, _MB) for _ in range(2 * ROUNDS + 2)])

    def transaction() -> None:
        with raw.begin(write=True) as txn:
            for state in next(batches):
                txn.put(os.urandom(16), state)

    yield ratio(
        "lmdb: 10 states of 1 MB beside one plain transaction", lambda: commit(release, next(batches)), transaction, 1.3
    )
    small, raw_small = place.release("lmdb"), plain()

    def transactions() -> None:
        for state in fresh(100, 100):
            with raw_small.begin(write=True) as txn:
                txn.put(os.urandom(16), state)

    def commits() -> None:
        for state in fresh(100, 100):
            commit(small, [state])

    yield ratio("lmdb: small commits beside plain transactions", commits, transactions, 1.5)
    generation = small.get(1)
    sid = generation.list()[0]

    def views() -> None:
        for _ in range(1000):
            with small.registry.view(small.project, small.key, generation.key, sid):
                pass

    yield single("lmdb: view of a small state", views, "us", 15, number=1000)
    yield _large(place)
    yield from growth.measure(place, "lmdb", 1.5)
    yield _space(place)
    yield memory("lmdb", str(place.new()), 128)


def _large(place: Place) -> Figure:
    release = place.release("lmdb")
    state = os.urandom(64 << 20)
    commit(release, [state])
    generation = release.get()
    sid = generation.list()[0]

    def view() -> None:
        with release.registry.view(release.project, release.key, generation.key, sid):
            pass

    pairs = [(clock(lambda: digest(state)), clock(view)) for _ in range(ROUNDS + 1)][1:]
    shares = [raw / ours for raw, ours in pairs]
    return Figure(
        "lmdb: view of 64 MB, share of BLAKE3 over the bytes", statistics.median(shares), min(shares), max(shares), "x", 0.8, least=True
    )


def _space(place: Place) -> Figure:
    release = place.release("lmdb")
    total = 0
    for _ in range(30):
        states = fresh(3, _MB)
        commit(release, [*states, states[0]])
        total += sum(map(len, states))
    (data,) = [path for path in place.folder.glob("lmdb-*/data.mdb") if str(path.parent) in repr(release.registry)]
    share = data.stat().st_size / total
    return Figure("lmdb: space beside the bytes stored", share, share, share, "x", 1.05)

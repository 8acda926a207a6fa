"""`lmdb` beside plain py-lmdb doing the same puts and gets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from modelkeep.backend import digest
from modelkeep_conformance.bench.growth import Aims
from modelkeep_conformance.bench.measure import Figure, Work, figure, race, ratio
from modelkeep_conformance.bench.place import Bench, commit, commit_each, fresh, place, published

if TYPE_CHECKING:
    from pathlib import Path

_COUNT: Final = 10
_SIZE: Final = 1_000_000
#: How many small commits, and small views, are timed together.
_SMALL: Final = 100
_VIEWS: Final = 1000
_LARGE: Final = 64 << 20


def _plain(folder: Path) -> Any:
    import lmdb

    return lmdb.open(str(folder), map_size=1 << 40)


def commits(bench: Bench) -> Iterator[Figure]:
    """Ten states of 1 MB, and many small ones, beside plain write transactions of the same bytes."""
    large, small = bench.release("lmdb"), bench.release("lmdb")
    with _plain(bench.new()) as raw, _plain(bench.new()) as raw_small:

        def ours() -> Work:
            states = fresh(_COUNT, _SIZE)
            return lambda: commit(large, *states)

        def plain() -> Work:
            states = fresh(_COUNT, _SIZE)

            def work() -> None:
                with raw.begin(write=True) as txn:
                    for state in states:
                        txn.put(uuid4().bytes, state)

            return work

        times = race({"ours": ours, "py-lmdb": plain}, 2 * bench.rounds, settle=True)
        yield ratio("lmdb: 10 states of 1 MB beside one plain transaction", times, "ours", "py-lmdb", 1.3)

        def ours_small() -> Work:
            states = fresh(_SMALL, 100)
            return lambda: commit_each(small, states)

        def plain_small() -> Work:
            states = fresh(_SMALL, 100)

            def work() -> None:
                for state in states:
                    with raw_small.begin(write=True) as txn:
                        txn.put(uuid4().bytes, state)

            return work

        rounds = bench.rounds if bench.quick else 2 * bench.rounds
        times = race({"ours": ours_small, "py-lmdb": plain_small}, rounds, settle=True)
        each = {name: [seconds / _SMALL for seconds in taken] for name, taken in times.items()}
        yield ratio("lmdb: a small commit beside a plain transaction", each, "ours", "py-lmdb", 1.5)


def views(bench: Bench) -> Iterator[Figure]:
    """Views of a small state, and of 64 MB beside BLAKE3 over the same bytes."""
    release = bench.release("lmdb")
    state = os.urandom(_LARGE)
    commit(release, b"a small state", state)
    generation = release.get()
    small, large = generation.list()
    where = (release.project, release.key, generation.key)

    def look() -> None:
        for _ in range(_VIEWS):
            with release.registry.view(*where, small):
                pass

    times = race({"view": lambda: look}, 2 * bench.rounds)["view"]
    best = f"at its quickest {min(times) / _VIEWS * 1e6:.1f} us"
    yield figure("lmdb: view of a small state", [each / _VIEWS * 1e6 for each in times], "us", 15, note=best)

    def look_large() -> None:
        with release.registry.view(*where, large):
            pass

    times_large = race({"view": lambda: look_large, "BLAKE3": lambda: lambda: digest(state)}, bench.rounds)
    what = "lmdb: verified view of 64 MB, as a share of BLAKE3 over the bytes"
    yield ratio(what, times_large, "view", "BLAKE3", 0.8, share=True)


def space(bench: Bench) -> Iterator[Figure]:
    """Bytes of the file beside the bytes stored; each generation has an equal state twice."""
    folder = bench.new()
    release = next(published(place("lmdb", folder), bench.new()))
    total = 0
    for _ in range(30):
        states = fresh(3, _SIZE)
        commit(release, *states, states[0])
        total += sum(map(len, states))
    yield figure("lmdb: space beside the bytes stored", [(folder / "data.mdb").stat().st_size / total], "x", 1.05)


FIGURES: Final = {"commit": commits, "view": views, "space": space}
#: What is wanted of the figures that all backends get.
AIMS: Final = Aims(ratio=1.5, few=100)
LARGE: Final = 128.0

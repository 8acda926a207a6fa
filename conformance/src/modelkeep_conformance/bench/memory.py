"""`memory` beside a dictionary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

from modelkeep.backend import digest
from modelkeep_conformance.bench.growth import Aims
from modelkeep_conformance.bench.measure import Figure, Work, figure, race, ratio
from modelkeep_conformance.bench.place import Bench, commit

#: How many calls are timed together.
_CALLS: Final = 1000
_STATE: Final = b"a small state"


def small(bench: Bench) -> Iterator[Figure]:
    """A small write and a verified read, through the registry that loading by name returns."""
    release = bench.release("memory")
    commit(release, _STATE)
    generation = release.get()
    (sid,) = generation.list()
    registry, keys = release.registry, (release.project, release.key)
    names = str(release.project), str(release.key)
    values: dict[str, tuple[str, bytes]] = {}

    def ours() -> Work:
        ids = [uuid4() for _ in range(_CALLS)]

        def work() -> None:
            for each in ids:
                registry.write(*keys, each, _STATE)
                registry.read(*keys, generation.key, sid)

        return work

    def by_names() -> Work:
        ids = [uuid4() for _ in range(_CALLS)]

        def work() -> None:
            for each in ids:
                registry.write(*names, each, _STATE)  # type: ignore[arg-type]  # names stand for keys
                registry.read(*names, 1, sid)  # type: ignore[arg-type]  # same

        return work

    def plain() -> Work:
        ids = [uuid4() for _ in range(_CALLS)]

        def work() -> None:
            for each in ids:
                key = f"state/{each}"
                values[key] = digest(_STATE), bytes(_STATE)
                known, content = values[key]
                assert digest(content) == known

        return work

    times = race({"by keys": ours, "by names": by_names, "dictionary": plain}, 2 * bench.rounds)
    micro = {name: [seconds / _CALLS * 1e6 for seconds in each] for name, each in times.items()}
    best = f"at its quickest {min(micro['by keys']):.1f} us"
    found = figure("memory: a small write and read, by keys", micro["by keys"], "us", 20, note=best)
    yield dataclasses.replace(found, samples=times)
    yield figure("memory: the same with plain strings and numbers", micro["by names"], "us")
    scaled = {name: [seconds / _CALLS for seconds in each] for name, each in times.items()}
    yield ratio("memory: beside a dictionary and two digests", scaled, "by keys", "dictionary")


FIGURES: Final = {"small": small}
#: What is wanted of the figures that all backends get.
AIMS: Final = Aims()

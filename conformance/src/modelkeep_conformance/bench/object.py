"""`object` beside plain obstore making the same requests of the same bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

from modelkeep import Generation, Tag
from modelkeep_conformance.bench.growth import Aims
from modelkeep_conformance.bench.measure import Figure, Work, race, ratio
from modelkeep_conformance.bench.place import Bench, commit, fresh, place

_LARGE: Final = 64 << 20
_COUNT: Final = 10
_SIZE: Final = 1000
#: How many generations are listed: a page of a listing has as many keys.
_LISTED: Final = 1000


def _plain(bench: Bench) -> Any:
    """A store of obstore in a new place, reached as the harness reaches it."""
    from obstore.store import S3Store

    options = place("object", bench.new())
    bucket, _, prefix = options["url"].removeprefix("s3://").partition("/")
    config = options["options"]
    http = {"allow_http": config.get("endpoint", "").startswith("http:")}
    return S3Store(bucket, prefix=prefix, config=config, client_options=http)  # type: ignore[arg-type]  # a dict


def transfers(bench: Bench) -> Iterator[Figure]:
    """A commit of one state of 64 MB beside one put, and reads of it, verified, beside one get."""
    import obstore

    release, raw = bench.release("object"), _plain(bench)

    def ours() -> Work:
        (state,) = fresh(1, _LARGE)
        return lambda: commit(release, state)

    def plain() -> Work:
        (state,) = fresh(1, _LARGE)
        return lambda: obstore.put(raw, uuid4().hex, state)

    times = race({"ours": ours, "obstore": plain}, bench.rounds)
    yield ratio("object: commit of 64 MB, as a share of a plain put", times, "ours", "obstore", 0.85, share=True)

    state = os.urandom(_LARGE)
    commit(release, state)
    obstore.put(raw, "state", state)
    generation = release.get()
    (sid,) = generation.list()
    where = (release.project, release.key, generation.key, sid)

    def view() -> None:
        with release.registry.view(*where):
            pass

    def get() -> None:
        obstore.get(raw, "state").bytes()

    def copied() -> None:
        # what is given back is bytes, so there is one copy on each side
        obstore.get(raw, "state").bytes().to_bytes()

    times = race({"view": lambda: view, "obstore": lambda: get}, bench.rounds)
    yield ratio("object: verified view of 64 MB, as a share of a plain get", times, "view", "obstore", 0.85, share=True)
    times = race({"read": lambda: lambda: len(release.registry.read(*where)), "obstore": lambda: copied}, bench.rounds)
    what = "object: verified read of 64 MB, as a share of a plain get and copy"
    yield ratio(what, times, "read", "obstore", 0.85, share=True)


def commits(bench: Bench) -> Iterator[Figure]:
    """Ten small states and their generation, beside the same requests one after the other."""
    import obstore

    release, raw = bench.release("object"), _plain(bench)
    release.put(Tag())
    count = 0

    def ours() -> Work:
        states = fresh(_COUNT, _SIZE)
        return lambda: commit(release, *states)

    def plain() -> Work:
        states = fresh(_COUNT, _SIZE)

        def work() -> None:
            nonlocal count
            count = 0
            for state in states:
                # is there such a blob; store it; is there such a state; create it
                blob, record = f"blob/{uuid4().hex}", f"state/{uuid4().hex}"
                _look(raw, blob)
                obstore.put(raw, blob, state, use_multipart=False)
                _look(raw, record)
                obstore.put(raw, record, state[:200], mode="create", use_multipart=False)
                count += 4
            # the latest generation, and the next one
            next(iter(obstore.list(raw, "generation", chunk_size=_LISTED)), None)
            obstore.put(raw, f"generation/{uuid4().hex}", b"x" * 2000, mode="create", use_multipart=False)
            count += 2

        return work

    times = race({"ours": ours, "obstore": plain}, 2 * bench.rounds)
    what = f"object: commit of {_COUNT} small states beside the same requests made plainly"
    yield ratio(what, times, "ours", "obstore", 1.5, note=f"{count} requests each, one after the other")


def _look(raw: Any, key: str) -> None:
    import obstore

    try:
        obstore.get(raw, key)
    except FileNotFoundError:
        return
    raise AssertionError(f"{key} is there")


def listings(bench: Bench) -> Iterator[Figure]:
    """The generations of a release that has a page of them, beside the plain listing."""
    import obstore

    release, raw = bench.release("object"), _plain(bench)
    for number in range(1, _LISTED + 1):
        release.registry.close(release.project, release.key, Generation.Key(number), Tag())
        obstore.put(raw, f"generation/toy/1/{10**19 - 1 - number}-{number}", b"x", use_multipart=False)

    def ours() -> None:
        assert len(release.list()) == _LISTED

    def plain() -> None:
        assert sum(len(page) for page in obstore.list(raw, "generation/toy/1", chunk_size=_LISTED)) == _LISTED

    times = race({"ours": lambda: ours, "obstore": lambda: plain}, 2 * bench.rounds)
    yield ratio(f"object: listing {_LISTED:,} generations beside a plain listing", times, "ours", "obstore", 1.5)


FIGURES: Final = {"transfer": transfers, "commit": commits, "list": listings}
#: What is wanted of the figures that all backends get. The latest generation is found by one page of a listing, which
#: is full from 1,000 generations on, and more of them would take long to make; the parts of a large value that are on
#: their way are in memory.
AIMS: Final = Aims(ratio=6.0, most=_LISTED)
LARGE: Final = 192.0

"""A state larger than one likes to hold in memory, from a map into the store and to a view. Asked of every backend."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import modelkeep
from modelkeep import Directory
from modelkeep.backend import Hasher
from modelkeep_conformance.bench.measure import Curve, Figure, Point, anonymous, figure
from modelkeep_conformance.bench.place import PROJECT, Bench, commit, place, published

_MIB: Final = 1 << 20
_CHUNK: Final = 16 * _MIB
#: How large states are, in MiB.
SIZES: Final = (1, 16, 256, 2048)
_QUICK: Final = (1, 16, 256)


def measure(bench: Bench, provider: str, target: float | None) -> Iterator[Figure | Curve]:
    """Watch processes that commit a state and look at it, up to 2 GiB.

    Args:
        bench: Where.
        provider: Of which backend.
        target: The most anonymous memory that the largest may need beyond what its process has before, in MB.
    """
    anonymous()
    sizes = _QUICK if bench.quick else SIZES
    source = bench.new() / "state.bin"
    with source.open("wb") as file:
        for start in range(0, sizes[-1] * _MIB, _CHUNK):
            # what no compressor and no sparse file can make smaller
            file.write(Hasher(b"a large state").digest(_CHUNK, seek=start))
    points: dict[str, list[Point]] = {}
    for size in sizes:
        for name, extra, seconds in _passed(bench, provider, source, size * _MIB):
            points.setdefault(name, []).append(Point.of(size, [extra / 1e6]))
            if size == sizes[-1]:
                note = f"{size * _MIB / seconds / 1e6:.0f} MB/s"
                what = f"{provider}: anonymous memory to {name} a state of {size:,} MiB"
                yield figure(what, [extra / 1e6], "MB", target, note=note)
    yield Curve(f"{provider}: anonymous memory as states grow", "MiB of a state", "MB", points)


def _passed(bench: Bench, provider: str, source: Path, size: int) -> Iterator[tuple[str, int, float]]:
    """Let a new process commit as many bytes, and look at them; tell of each as `_watch` does."""
    where = place(provider, bench.new())
    commit(next(published(where, bench.new())), b"a small state")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_pass, args=(there, where, source, size))
    process.start()
    there.close()
    try:
        yield from _watch(here, process.pid or 0)
    finally:
        process.join()


def _watch(here: Connection, pid: int) -> Iterator[tuple[str, int, float]]:
    """Tell of each phase its name, the most memory beyond what there was before the first, and its seconds."""
    if here.recv() != "ready":
        raise RuntimeError("the process that passes a large state did not begin")
    before = anonymous(pid)
    for name in ("write", "view"):
        highest, begin = 0, time.perf_counter()
        here.send(name)
        while not here.poll(0.002):
            # it may be gone if it failed; recv tells then
            with contextlib.suppress(OSError, IndexError):
                highest = max(highest, anonymous(pid) - before)
        seconds = time.perf_counter() - begin
        here.recv()
        yield name, max(highest, anonymous(pid) - before), seconds
    here.send("end")


def _pass(there: Connection, options: dict[str, Any], source: Path, size: int) -> None:
    release = Directory(modelkeep.registry(**options)).get(PROJECT).get()
    commit(release, b"another small state, so that all is loaded")
    with source.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
        there.send("ready")
        there.recv()
        commit(release, content)
        there.send("written")
        there.recv()
        with release.get().view(0) as view:
            assert len(view) == len(content)
            assert view[-100:] == content[-100:]
            there.send("seen")
            there.recv()

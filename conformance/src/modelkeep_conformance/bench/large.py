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
from modelkeep_conformance.bench.measure import Figure, anonymous, figure
from modelkeep_conformance.bench.place import PROJECT, Bench, commit, place, published

_GIB: Final = 1 << 30
_CHUNK: Final = 16 << 20


def measure(bench: Bench, provider: str, target: float | None) -> Iterator[Figure]:
    """Watch a process that commits 2 GB and looks at them.

    Args:
        bench: Where.
        provider: Of which backend.
        target: The most anonymous memory that it may need beyond what it has before, in MB.
    """
    anonymous()
    size = _GIB // 4 if bench.quick else 2 * _GIB
    source = bench.new() / "state.bin"
    with source.open("wb") as file:
        for start in range(0, size, _CHUNK):
            # what no compressor and no sparse file can make smaller
            file.write(Hasher(b"a large state").digest(_CHUNK, seek=start))
    where = place(provider, bench.new())
    commit(next(published(where, bench.new())), b"a small state")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_pass, args=(there, where, source))
    process.start()
    there.close()
    try:
        phases = list(_watch(here, process.pid or 0))
    finally:
        process.join()
    named = f"{size / _GIB:g} GiB"
    for name, extra, seconds in phases:
        what = f"{provider}: anonymous memory to {name} a state of {named}"
        yield figure(what, [extra / 1e6], "MB", target, note=f"{size / seconds / 1e6:.0f} MB/s")


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


def _pass(there: Connection, options: dict[str, Any], source: Path) -> None:
    release = Directory(modelkeep.registry(**options)).get(PROJECT).get()
    commit(release, b"another small state, so that all is loaded")
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
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

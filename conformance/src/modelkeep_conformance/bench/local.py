"""`local` beside plain files."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from modelkeep.backend import digest
from modelkeep_conformance.bench import forml, growth
from modelkeep_conformance.bench.measure import ROUNDS, Figure, clock, ratio, sync_file
from modelkeep_conformance.bench.place import Place, commit, fresh

_MB = 1_000_000


def measure(place: Place) -> Iterator[Figure]:
    """Commits, reads, views, growth and memory."""
    yield _commit(place, sync=True, target=1.3)
    yield from _forml(place)
    yield from _read(place)
    yield from growth.measure(place, "local", 2)
    yield memory("local", str(place.new()), 64)


def _commit(place: Place, *, sync: bool, target: float | None) -> Figure:
    release = place.release("local", sync=sync)
    folder = place.new()
    batches = iter([fresh(10, _MB) for _ in range(2 * ROUNDS + 2)])

    def raw() -> None:
        target = place.new()
        for number, state in enumerate(next(batches)):
            sync_file(target / f"{number}.bin", state, sync=sync)
        target.rename(folder / target.name)

    name = f"local: 10 states of 1 MB, sync={str(sync).lower()}, beside plain files and a rename"
    return ratio(name, lambda: commit(release, next(batches)), raw, target)


def _forml(place: Place) -> Iterator[Figure]:
    """ForML runs in an environment of its own, so rounds of both take turns over a pipe."""
    release = place.release("local", sync=False)
    peer = forml.Peer.start(place.new())
    if peer is None:
        return
    with peer:
        pairs = []
        for _ in range(2 * ROUNDS):
            theirs = peer.commit(10, _MB)
            states = fresh(10, _MB)
            pairs.append((clock(lambda states=states: commit(release, states)), theirs))
    pairs = pairs[1:]
    ratios = sorted(mine / theirs for mine, theirs in pairs)
    mine, theirs = (sorted(column)[len(pairs) // 2] for column in zip(*pairs, strict=True))
    detail = f"{mine * 1e3:.3f} ms, ForML {theirs * 1e3:.3f} ms"
    yield Figure(
        "local: 10 states of 1 MB, sync=false, beside ForML's posix provider",
        ratios[len(ratios) // 2], ratios[0], ratios[-1], "x", 1.2, detail=detail,
    )  # fmt: skip


def _read(place: Place) -> Iterator[Figure]:
    release = place.release("local")
    state = os.urandom(64 << 20)
    commit(release, [state])
    generation = release.get()
    sid = generation.list()[0]
    registry = release.registry
    plain = place.new() / "plain.bin"
    sync_file(plain, state)

    def view() -> None:
        with registry.view(release.project, release.key, generation.key, sid) as content:
            content[0]

    def mapped() -> None:
        with plain.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            digest(content)

    yield ratio(
        "local: verified read of 64 MB, share of plain read and BLAKE3",
        lambda: registry.read(release.project, release.key, generation.key, sid),
        lambda: digest(plain.read_bytes()),
        0.7,
        inverse=True,
    )
    yield ratio("local: view of 64 MB, share of BLAKE3 over a map", view, mapped, inverse=True)


def memory(provider: str, path: str, target: float) -> Figure:
    """Measure the anonymous memory of a process that passes 2 GB through write and view."""
    script = (
        "import sys; from modelkeep_conformance.bench.local import large; print(large(*sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", script, provider, path], capture_output=True, text=True, check=True)
    used, seconds = done.stdout.split()
    value = int(used) / 2**20
    return Figure(
        f"{provider}: extra anonymous memory for a state of 2 GB", value, value, value, "MB", target, detail=f"{seconds} s"
    )


def large(provider: str, path: str) -> str:
    """Write 2 GB from a map, close, view; return the extra anonymous memory at its highest, and the seconds."""
    import threading

    from modelkeep_conformance.bench import measure as measuring

    source = Path(path) / "large.bin"
    block = os.urandom(1 << 20)
    with source.open("wb") as file:
        for number in range(2048):
            file.write(block[number:] + block[:number])
    at = Place(Path(path) / "place")
    release = at.release(provider)
    commit(release, [b"warm"])
    highest, ended = 0, threading.Event()
    before = measuring.anonymous()

    def watch() -> None:
        nonlocal highest
        while not ended.wait(0.005):
            highest = max(highest, measuring.anonymous() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        commit(release, [content])  # type: ignore[list-item]  # any buffer will do
        with release.get().view(0) as view:
            assert len(view) == 2048 << 20
            assert view[-100:] == content[-100:]
    seconds = time.perf_counter() - begin
    ended.set()
    watcher.join()
    return f"{highest} {seconds:.1f}"

"""`local` beside plain files, and beside ForML's own provider with the same layout."""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelkeep import Release
from modelkeep.backend import digest
from modelkeep_conformance.bench.growth import Aims
from modelkeep_conformance.bench.measure import Contestant, Figure, Work, anonymous, figure, race, ratio
from modelkeep_conformance.bench.peer import FORML, Peer
from modelkeep_conformance.bench.place import PROJECT, Bench, commit, fresh

#: Ten states of a megabyte, as the targets say.
_COUNT: Final = 10
_SIZE: Final = 1_000_000
#: A large state.
_LARGE: Final = 64 << 20


def synced(bench: Bench) -> Iterator[Figure]:
    """A durable commit beside files that are written and flushed, and one rename."""
    stores = bench.stores("local")
    contestants: dict[str, Contestant] = {
        "ours": lambda: _commit(stores),
        "plain files": _Plain(bench, sync=True),
        "durable files": _Plain(bench, sync=True, folders=True),
    }
    times = race(contestants, 2 * bench.rounds, settle=True)
    what = "local: 10 states of 1 MB, sync=true, beside plain fsynced files and one rename"
    yield ratio(what, times, "ours", "plain files", 1.3)
    yield ratio("local: the same beside files, a tag and folders, all fsynced", times, "ours", "durable files")


def unsynced(bench: Bench) -> Iterator[Figure]:
    """A commit without flushes beside ForML's posix provider, which never flushes."""
    stores = bench.stores("local", sync=False)
    numbers = itertools.count(1)
    contestants: dict[str, Contestant] = {"ours": lambda: _commit(stores), "plain files": _Plain(bench, sync=False)}
    times = race(contestants, 2 * bench.rounds, settle=True)
    yield ratio("local: 10 states of 1 MB, sync=false, beside plain files and one rename", times, "ours", "plain files")
    with Peer.start(FORML, bench.cache, bench.new()) as peer:

        def forml() -> Work:
            # as ours does, it frees the pages of its last round
            number = next(numbers)
            if number > 1:
                peer.call("remove", f"round{number - 1}")
            return lambda: peer.call("commit", f"round{number}", _COUNT, _SIZE)

        times = race({"ours": contestants["ours"], "ForML": forml}, 2 * bench.rounds, settle=True)
    yield ratio("local: 10 states of 1 MB, sync=false, beside ForML's posix provider", times, "ours", "ForML", 1.2)


def _commit(stores: Iterator[Release]) -> Work:
    states = fresh(_COUNT, _SIZE)
    release = next(stores)
    return lambda: commit(release, *states)


class _Plain:
    """Writes the same states as plain files into a folder, and renames it."""

    def __init__(self, bench: Bench, *, sync: bool, folders: bool = False) -> None:
        """Take options.

        Args:
            bench: Where.
            sync: Whether to flush each file.
            folders: Whether to do all that is needed to survive power loss: to write a tag, and to flush the folders.
        """
        self._bench, self._sync, self._folders = bench, sync, folders
        self._target = bench.new()

    def __call__(self) -> Work:
        states, partial = fresh(_COUNT, _SIZE), self._bench.new()
        shutil.rmtree(self._target)
        self._target.mkdir()

        def work() -> None:
            for number, state in enumerate(states):
                _write(partial / f"{number}.bin", state, sync=self._sync)
            if self._folders:
                _write(partial / "tag.toml", b"tag" * 400, sync=self._sync)
                _flush(partial)
            partial.rename(self._target / "1")
            if self._folders:
                _flush(self._target)

        return work


def read(bench: Bench) -> Iterator[Figure]:
    """A verified read of 64 MB beside reading a file and hashing it; a view beside hashing a mapped file."""
    release = bench.release("local")
    state = os.urandom(_LARGE)
    commit(release, state)
    generation = release.get()
    (sid,) = generation.list()
    where = (release.project, release.key, generation.key, sid)
    plain = bench.new() / "plain.bin"
    _write(plain, state, sync=True)

    def load() -> None:
        # freeing 64 MB takes its time, and is counted for both
        release.registry.read(*where)

    def file() -> None:
        digest(plain.read_bytes())

    def view() -> None:
        with release.registry.view(*where) as content:
            assert content[0] == state[0]

    def mapped() -> None:
        with plain.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            digest(content)

    times = race(
        {
            "read": lambda: load,
            "file and BLAKE3": lambda: file,
            "view": lambda: view,
            "map and BLAKE3": lambda: mapped,
        },
        2 * bench.rounds,
    )
    what = "local: verified read of 64 MB, as a share of reading a file and BLAKE3"
    yield ratio(what, times, "read", "file and BLAKE3", 0.7, share=True)
    what = "local: verified view of 64 MB, as a share of mapping a file and BLAKE3"
    yield ratio(what, times, "view", "map and BLAKE3", share=True)
    copies = []
    for _ in range(bench.rounds):
        before = anonymous()
        with release.registry.view(*where) as content:
            assert content[-1] == state[-1]
            copies.append((anonymous() - before) / 1e6)
    yield figure("local: anonymous memory that a view of 64 MB takes", copies, "MB", 1)


def _list(options: dict[str, str], version: str) -> Work:
    folder = Path(options["path"], PROJECT, version)
    return lambda: os.listdir(folder)  # the plain call


def _write(path: Path, content: bytes, *, sync: bool) -> None:
    with path.open("xb", buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
        if sync:
            os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


FIGURES: Final = {"commit-synced": synced, "commit-unsynced": unsynced, "read": read}
#: What is wanted of the figures that all backends get.
AIMS: Final = Aims(listing=_list)
LARGE: Final = 64.0

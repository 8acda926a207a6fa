"""Answers calls with the seconds that a store took, by its own clock.

`python serve.py MODULE FOLDER [OPTIONS]` reads a call a line: `commit NAME COUNT SIZE`, `fill NAME COUNT`, `list NAME`,
`load NAME`, `remove NAME`. Each name is a store of its own below the folder. What is listed and loaded is compared to
what was committed, so that nobody is quick by doing nothing.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import runpy
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Server:
    """Stores of one kind in a folder."""

    def __init__(self, kind: Callable[[Path], Any], folder: Path) -> None:
        self._kind, self._folder = kind, folder
        self._open: dict[str, Any] = {}

    def commit(self, name: str, count: str, size: str) -> float:
        """Commit one generation of new states."""
        store, states = self._store(name), [os.urandom(int(size)) for _ in range(int(count))]
        # what earlier rounds left in the caches of the system is written out, so that this one does not wait for it
        os.sync()
        seconds, _ = clock(lambda: store.commit(states))
        self._note(name, 1, states[0])
        return seconds

    def fill(self, name: str, count: str) -> float:
        """Commit many generations of one small state; the seconds of all."""
        store, number = self._store(name), int(count)
        states = [os.urandom(100) for _ in range(number)]
        seconds, _ = clock(lambda: [store.commit([state]) for state in states])
        self._note(name, number, states[-1])
        return seconds

    def list(self, name: str) -> float:
        """List the generations."""
        store = self._store(name)
        seconds, found = clock(store.list)
        wanted = json.loads(self._notes(name).read_text("ascii"))["count"]
        if found != wanted:
            raise RuntimeError(f"{found} generations are listed, and {wanted} were committed")
        return seconds

    def load(self, name: str) -> float:
        """Load the first state of the latest generation, by a handle that is opened for it."""
        seconds, found = clock(lambda: self._kind(self._folder / name).load())
        if _digest(found) != json.loads(self._notes(name).read_text("ascii"))["state"]:
            raise RuntimeError("what was loaded is not what was committed")
        return seconds

    def remove(self, name: str) -> float:
        """Remove a store of files."""
        del self._open[name]
        shutil.rmtree(self._folder / name)
        return 0.0

    def _store(self, name: str) -> Any:
        if name not in self._open:
            self._open[name] = self._kind(self._folder / name)
        return self._open[name]

    def _notes(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _note(self, name: str, count: int, state: bytes) -> None:
        path = self._notes(name)
        before = json.loads(path.read_text("ascii"))["count"] if path.exists() else 0
        path.write_text(json.dumps({"count": before + count, "state": _digest(state)}), "ascii")


def _digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()


def clock(work: Callable[[], Any]) -> tuple[float, Any]:
    """Time one call without the garbage collector: the seconds, and what it gave."""
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        found = work()
        return time.perf_counter() - begin, found
    finally:
        gc.enable()


def main(module: str, folder: str, options: str = "{}") -> None:
    """Answer calls until there are no more."""
    # what a library prints goes where errors go
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    kind = runpy.run_path(module)["Store"]
    server = Server(lambda place: kind(place, **json.loads(options)), Path(folder))
    print(0.0, file=answers, flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        print(getattr(server, name)(*arguments), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run as a program: kills copies at every step, and copies again; every copy in a child of its own.

This process stays alone: no thread, no open store. What it learns it tells as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import modelkeep
import modelkeep.backend
from modelkeep import Directory

Recipes = dict[str, dict[str, Any]]


def snapshot(store: Any) -> Any:
    """All that can be read from a registry or inventory, to be compared."""
    if isinstance(store, modelkeep.Inventory):
        return [(name, store.get(modelkeep.Descriptor.Key(name)).digest) for name in store.list()]
    found: list[Any] = []
    for project in Directory(store).list():
        for release in map(Directory(store).get(project).get, Directory(store).get(project).list()):
            package = release.package()
            found.append((f"{project}/{release.key}", package.digest, package.folder))
            for generation in map(release.get, release.list()):
                states = [modelkeep.backend.digest(generation.get(sid)) for sid in generation.list()]
                found.append((f"{project}/{release.key}/{generation.key}", generation.tag.dumps(), states))
        for alias in map(Directory(store).get(project).alias, Directory(store).get(project).aliases()):
            moves = [(move.number, move.dumps()) for move in alias.list()]
            found.append((str(alias), moves))
    return found


class Steps:
    """Stands before a target, and kills this process before or after the step of a number."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, store: Any, *names: str) -> Any:
        for name in names:
            setattr(store, name, self._watched(getattr(store, name)))
        return store

    def _watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:
            self._step()
            result = method(*arguments)
            self._step()
            return result

        return watched


def child(do: Callable[[], Any]) -> Any:
    """Do something in a child; returns what it returned, or None if it was killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                os.close(reader)
                os.write(writer, json.dumps(do()).encode())
                code = 0
            except BaseException:
                traceback.print_exc()
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGALRM):
        return None
    assert status == 0, f"a child failed: {status}"
    return json.loads(text)


def opened(recipes: Recipes) -> tuple[Any, Any]:
    """Open the registry and the inventory of a place."""
    return modelkeep.registry(**recipes["registry"]), modelkeep.inventory(**recipes["inventory"])


def copied(source: Recipes, target: Recipes, at: float = 0) -> dict[str, Any]:
    """Copy all; tells the outcomes, and what is in the target then.

    Args:
        source: From where.
        target: Where to.
        at: At which step to be killed, or after how many seconds if it is a float; never if it is 0.
    """
    steps = Steps(at if isinstance(at, int) else 0)
    if isinstance(at, float):
        # nothing handles the signal: it ends the process as SIGKILL does
        signal.setitimer(signal.ITIMER_REAL, at)
    registry, inventory = opened(target)
    old_registry, old_inventory = opened(source)
    done = modelkeep.copy(old_registry, steps.watch(registry, "push", "write", "close", "move"))
    done += modelkeep.copy(old_inventory, steps.watch(inventory, "put"))
    sound = modelkeep.verify(registry).sound and modelkeep.verify(inventory).sound
    return {
        "outcomes": [each.outcome for each in done],
        "there": [snapshot(registry), snapshot(inventory)],
        "sound": sound,
        "steps": -steps.left,
    }


def main() -> None:
    """Take `[source, [[at, target], ...]]`, recipes each, and tell what came of each target.

    An `at` that is a float is a fraction of the time that a copy takes, which is tried with the first target.
    """
    source, targets = json.loads(sys.argv[1])
    found = []
    begun = time.monotonic()
    if isinstance(targets[0][0], float):
        child(lambda: copied(source, targets.pop(0)[1]))
    whole = time.monotonic() - begun
    for at, target in targets:
        if isinstance(at, float):
            at *= whole  # noqa: PLW2901  # seconds from here on
        killed = child(lambda: copied(source, target, at)) is None  # noqa: B023  # called at once
        runs = [child(lambda: copied(source, target)) for _ in range(2)]  # noqa: B023  # same
        found.append({"killed": killed, "runs": runs})
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()

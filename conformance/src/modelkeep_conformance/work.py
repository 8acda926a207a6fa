"""What processes of the tests do: functions of an importable module, given the options that open a store."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import modelkeep
from modelkeep import ConflictError, CorruptedError, Directory, MissingError, Move
from modelkeep_conformance.kit import ALIAS, PROJECT, VERSION, content, sid, tag

Options = Mapping[str, Any]


def states_of(generation: int, who: int) -> tuple[UUID, ...]:
    """The states that a process writes for a generation."""
    return tuple(sid(1_000_000 * generation + 1000 * (who + 1) + number) for number in range(3))


def close_one(options: Options, generation: int, who: int) -> int:
    """Write states of this process's own and close a number that others want too."""
    registry = modelkeep.registry(**options)
    _write(registry, generation, who)
    registry.close(PROJECT, VERSION, generation, tag(*states_of(generation, who), score=who))
    return who


def close_all(options: Options, count: int, who: int, meet: Callable[[], Any]) -> list[int]:
    """Close numbers that others want too, one after the other, each at once with them; return which were had."""
    registry = modelkeep.registry(**options)
    for generation in range(1, count + 1):
        _write(registry, generation, who)
    won = []
    for generation in range(1, count + 1):
        meet()
        with contextlib.suppress(ConflictError):
            registry.close(PROJECT, VERSION, generation, tag(*states_of(generation, who), score=who))
            won.append(generation)
    return won


def _write(registry: Any, generation: int, who: int) -> None:
    for number, each in enumerate(states_of(generation, who)):
        registry.write(PROJECT, VERSION, each, content(100 * who + number))


def commit(options: Options, count: int, who: int) -> list[tuple[int, int]]:
    """Commit generations through `Release.put`; return their numbers, each with the number of its content."""
    release = Directory(modelkeep.registry(**options)).get(PROJECT).get(VERSION)
    done = []
    for number in range(count):
        mark = who * 100_000 + number
        states = [release.dump(content(mark)), release.dump(content(mark + 50_000))]
        done.append((int(release.put(tag(*states, score=mark)).key), mark))
    return done


def complete(registry: Any, generation: int) -> int:
    """Assert that tag and states of a generation that `commit` made belong together; return its content's number."""
    closed = registry.open(PROJECT, VERSION, generation)
    assert closed.tuning.score is not None
    mark = int(closed.tuning.score)
    assert [registry.read(PROJECT, VERSION, generation, each) for each in closed.states] == [
        content(mark),
        content(mark + 50_000),
    ]
    return mark


def keep(options: Options, count: int, who: int, *, remove: bool = False) -> list[tuple[int, int]]:
    """Commit as `commit` does, while what waits is collected: that is written again.

    Each generation has a state of its own and one whose bytes others have, too; some states are never committed. Every
    other generation is removed again, if that is asked for.
    """
    registry = modelkeep.registry(**options)
    release = Directory(registry).get(PROJECT).get(VERSION)
    done = []
    for number in range(count):
        mark = who * 100_000 + number
        release.dump(content(mark + 60_000))
        release.dump(content(mark + 50_000))
        states = {uuid4(): content(mark), uuid4(): content(number % 3)}
        while True:
            for each, bytes_ in states.items():
                registry.write(PROJECT, VERSION, each, bytes_)
            with contextlib.suppress(MissingError, CorruptedError):
                key = int(release.put(tag(*states, score=mark)).key)
                break
        if remove and number % 2:
            registry.remove(PROJECT, VERSION, key)
        else:
            done.append((key, mark))
    return done


def kept(registry: Any, generation: int) -> int:
    """Assert that a generation that `keep` made is whole; return its content's number."""
    closed = registry.open(PROJECT, VERSION, generation)
    assert closed.tuning.score is not None
    mark = int(closed.tuning.score)
    for each, expected in zip(closed.states, (content(mark), content(mark % 100_000 % 3)), strict=True):
        assert registry.read(PROJECT, VERSION, generation, each) == expected, f"generation {generation} lost {each}"
    return mark


def push(options: Options, path: str) -> None:
    """Push a package."""
    modelkeep.registry(**options).push(modelkeep.Package(path))


def put(options: Options, path: str, name: str) -> None:
    """Put an application."""
    modelkeep.inventory(**options).put(modelkeep.Descriptor.Handle(path, name))


def mounted(options: Options, version: str) -> str:
    """Mount a release and read a file of it."""
    artifact = modelkeep.registry(**options).mount(PROJECT, version)
    return (artifact.path / "toy" / "__init__.py").read_text("utf-8")


def listed(options: Options) -> list[Any]:
    """List what a registry has."""
    registry = modelkeep.registry(**options)
    return [
        (project, str(release), [int(key) for key in registry.generations(project, release)])
        for project in registry.projects()
        for release in registry.releases(project)
    ]


def applications(options: Options) -> dict[str, bytes]:
    """Read all that an inventory has."""
    inventory = modelkeep.inventory(**options)
    return {str(name): inventory.get(name).source for name in inventory.list()}


def unpickled(pickled: bytes, kind: str) -> Any:
    """Use a handle that another process has pickled."""
    handle = pickle.loads(pickled)
    if kind == "registry":
        handle.close(PROJECT, VERSION, 77, tag())
        return handle.read(PROJECT, VERSION, 1, sid(1))
    return list(handle.list())


def writes_of_another_project(options: Options, name: str, count: int) -> int:
    """Work on a project and release of one's own; no conflict can be."""
    registry = modelkeep.registry(**options)
    for number in range(1, count + 1):
        registry.write(name, VERSION, sid(number), content(number))
        registry.close(name, VERSION, number, tag(sid(number)))
    return os.getpid()


def try_close(options: Options, generation: int) -> str:
    """Close a number, or tell that it is taken."""
    try:
        modelkeep.registry(**options).close(PROJECT, VERSION, generation, tag())
    except ConflictError:
        return "conflict"
    return "closed"


def write_all(options: Options, count: int, who: int, meet: Callable[[], Any]) -> list[int]:
    """Write ids that others want too, each at once with them; return which were had."""
    registry = modelkeep.registry(**options)
    won = []
    for number in range(1, count + 1):
        meet()
        with contextlib.suppress(ConflictError):
            registry.write(PROJECT, VERSION, sid(number), content(who))
            won.append(number)
    return won


def push_all(options: Options, paths: Sequence[str], meet: Callable[[], Any]) -> list[int]:
    """Push packages of releases that others push too, each at once with them; return which were had."""
    registry = modelkeep.registry(**options)
    won = []
    for number, path in enumerate(paths):
        meet()
        with contextlib.suppress(ConflictError):
            registry.push(modelkeep.Package(path))
            won.append(number)
    return won


def move_all(options: Options, count: int, who: int, meet: Callable[[], Any] = lambda: None) -> list[int]:
    """Move an alias as others do, each at once with them; return which numbers were had."""
    registry = modelkeep.registry(**options)
    won = []
    for number in range(1, count + 1):
        meet()
        with contextlib.suppress(ConflictError):
            registry.move(PROJECT, ALIAS, Move(number, (VERSION, who + 1), note=f"by {who}"))
            won.append(number)
    return won


def put_alias(options: Options, count: int, who: int) -> list[int]:
    """Move an alias so often through its level, again after each conflict; return the numbers that were had."""
    alias = Directory(modelkeep.registry(**options)).get(PROJECT).alias(ALIAS)
    won: list[int] = []
    while len(won) < count:
        with contextlib.suppress(ConflictError):
            won.append(alias.put((VERSION, who + 1), note=f"by {who}").number)
    return won


def named(options: Options) -> Any:
    """Read the moves of an alias."""
    return modelkeep.registry(**options).moves(PROJECT, ALIAS)

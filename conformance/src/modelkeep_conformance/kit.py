"""What a test of the suite works with: one store of one backend, and things to put into it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import pytest

import modelkeep
from modelkeep import Descriptor, Directory, Manifest, Move, Package, Release, Tag, Training, Tuning
from modelkeep._guard import GuardedInventory, GuardedRegistry
from modelkeep_conformance import backends, hooks
from modelkeep_conformance.harness import Harness, Region

_Item = TypeVar("_Item")

PROJECT: Final = "alpha"
VERSION: Final = "1.0"
#: The alias of a filled store.
ALIAS: Final = "champion"
#: The applications of a filled store.
APPLICATIONS: Final = ("first", "second")
#: Marks the reason of a skipped test that has no meaning for a backend.
NOT_APPLICABLE: Final = "not applicable: "
#: Marks the reason of a skipped test that a backend should have been able to run.
COULD_NOT_RUN: Final = "could not run: "


def sid(number: int) -> UUID:
    """The n-th state id of a test."""
    return UUID(int=number)


def content(number: int, size: int = 1000) -> bytes:
    """Bytes that tell which state they are of, and differ in each of their blocks."""
    return b"".join(b"state %d block %d;" % (number, block) for block in range(size // 8 + 1))[:size]


def tag(*states: UUID, score: float = 0.5) -> Tag:
    """A tag with some states."""
    return Tag(Training.now(1), Tuning.now(score), states)


@functools.cache
def package(
    name: str = PROJECT, version: str = VERSION, text: str = "", *, folder: bool = False, trap: str = ""
) -> Package:
    """Make a package whose code leaves a file at the path `trap` if it runs."""
    base = Path(tempfile.mkdtemp(prefix="conformance-"))
    _made.append(base)
    source = base / "source"
    (source / "toy").mkdir(parents=True)
    code = f"VERSION = {version!r}\nTEXT = {text!r}\n"
    if trap:
        code += f"open({trap!r}, 'w').close()\n"
    (source / "toy" / "__init__.py").write_text(code)
    (source / "toy" / "data.bin").write_bytes(bytes(range(256)))
    (source / "toy" / "run.sh").write_text("#!/bin/sh\n")
    (source / "toy" / "run.sh").chmod(0o755)
    manifest = Manifest(name, version, "toy", {"main": "toy"})
    if folder:
        (source / "__modelkeep__.toml").write_text(manifest.dumps())
        return Package(source)
    return Package.create(source, base / "package.4ml", manifest)


_made: Final[list[Path]] = []


def clean() -> None:
    """Remove the packages that were made."""
    package.cache_clear()
    while _made:
        shutil.rmtree(_made.pop(), ignore_errors=True)


class Kit:
    """A store for one test.

    Attributes:
        name: The name of the backend.
        harness: Its harness.
        root: The folder of the store.
        profile: fast or soak.
        seed: Where chance begins.
    """

    def __init__(self, name: str, harness: Harness, profile: str, seed: int) -> None:
        self.name, self.harness, self.profile, self.seed = name, harness, profile, seed
        #: of the tests, that may be repeated by the seed
        self.chance = random.Random(seed)
        self._base = Path(tempfile.mkdtemp(prefix="conformance-"))
        # a child without root's rights, and another user, must be able to pass
        self._base.chmod(0o755)
        self.root = self.folder("store")

    @classmethod
    @contextlib.contextmanager
    def opened(cls, name: str, profile: str = "fast", seed: int = 0) -> Iterator[Self]:
        """Make a store of a backend, and remove it after the block."""
        made = cls(name, backends.harness_of(name), profile, seed)
        try:
            yield made
        finally:
            made.close()

    def folder(self, name: str) -> Path:
        """Make a folder for the test."""
        path = self._base / name
        path.mkdir(exist_ok=True)
        return path

    def remove(self, root: Path) -> None:
        """Remove a store before the test ends, since there may be many."""
        self.harness.forget(root)
        shutil.rmtree(root)

    def file(self, name: str, text: str | bytes) -> Path:
        """Make a file for the test."""
        path = self._base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def close(self) -> None:
        """Remove all that the test made."""
        for path in self._base.iterdir():
            self.harness.forget(path)
        for folder, _, _ in os.walk(self._base):
            os.chmod(folder, 0o755)  # a str
        shutil.rmtree(self._base)

    def times(self, fast: int, soak: int) -> int:
        """How often to do something."""
        return fast if self.profile == "fast" else soak

    def some(self, items: Iterable[_Item], fast: int) -> list[_Item]:
        """Pick so many of them in the fast profile, the first and the last included; all in the soak profile."""
        found = list(items)
        if self.profile != "fast" or len(found) <= fast:
            return found
        return [found[round(index * (len(found) - 1) / (fast - 1))] for index in range(fast)]

    def options(self, kind: str, root: Path | None = None) -> dict[str, Any]:
        """The options that open the store of a folder."""
        return options_for(kind, self.harness.recipe(root or self.root))

    def registry(self, root: Path | None = None) -> GuardedRegistry:
        """A new handle of the store."""
        staging = {"staging": str(self.folder("staging"))}
        return modelkeep.registry(**options_for("registry", {**staging, **self.harness.recipe(root or self.root)}))

    def inventory(self, root: Path | None = None) -> GuardedInventory:
        """A new handle of the store."""
        return modelkeep.inventory(**self.options("inventory", root))

    def release(self, name: str = PROJECT, version: str = VERSION) -> Release:
        """Push a release through a new handle."""
        return Directory(self.registry()).get(name).put(package(name, version))

    def handle(self, name: str, text: str | bytes = "x = 1\n") -> Descriptor.Handle:
        """A descriptor of an application."""
        return Descriptor.Handle(self.file(f"modules/{name}.py", text))

    @contextlib.contextmanager
    def lever(self, name: str, root: Path) -> Iterator[bool]:
        """Pull a lever of the harness, or of a plugin of the suite; give whether one could be pulled."""
        own = getattr(self.harness, name, lambda _: contextlib.nullcontext(False))
        with own(root) as possible:
            if possible:
                yield True
                return
        other = hooks.manager().hook.conformance_lever(kit=self, name=name, root=root)
        with other or contextlib.nullcontext(False) as possible:
            yield possible

    @property
    def registers(self) -> bool:
        """Whether the backend has a registry."""
        return "registry" in self.harness.provides

    @property
    def inventories(self) -> bool:
        """Whether the backend has an inventory."""
        return "inventory" in self.harness.provides

    @property
    def names_generations(self) -> bool:
        """Whether the backend has a registry that keeps aliases."""
        return self.registers and "aliases" in self.harness.traits

    @property
    def removes(self) -> bool:
        """Whether the backend has a registry that removes."""
        return self.registers and "removable" in self.harness.traits

    @property
    def collects(self) -> bool:
        """Whether the backend has a registry that collects."""
        return self.registers and "collectable" in self.harness.traits

    @contextlib.contextmanager
    def collecting(self, root: Path | None = None) -> Iterator[timedelta]:
        """Let `collect` take what was stored just now, while the block lasts; give the age to tell it."""
        with self.harness.collecting(root or self.root) as age:
            if age:
                could_not_run("the harness can not let what is new be collected")
            yield age

    def regions(self, root: Path | None = None) -> list[Region]:
        """The stored bytes, which a backend that is corruptible can reach."""
        found = list(self.harness.regions(root or self.root, PROJECT, VERSION))
        if not found:
            could_not_run("the harness finds no stored bytes")
        return found


def could_not_run(why: str) -> None:
    """End a test that a backend should have been able to run: it counts neither as passed nor as not applicable."""
    pytest.skip(COULD_NOT_RUN + why)


def not_applicable(why: str) -> None:
    """End a test that has no meaning for a backend."""
    pytest.skip(NOT_APPLICABLE + why)


def options_for(kind: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the options that a registry takes and an inventory does not, and the reverse."""
    from modelkeep._provider import _load

    parameters = inspect.signature(_load(kind, recipe["provider"])).parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return {key: value for key, value in recipe.items() if key == "provider" or open_ended or key in parameters}


class Filled:
    """A store with a release of three generations and five states, an alias that was moved twice, two applications.

    It tells what must be read from these.
    """

    #: generation -> its states
    GENERATIONS: Final[Mapping[int, tuple[int, ...]]] = {1: (1, 2), 2: (3,), 3: (3, 4, 5)}

    def __init__(self, kit: Kit, root: Path | None = None) -> None:
        self.tags = {number: tag(*map(sid, states), score=number / 8) for number, states in self.GENERATIONS.items()}
        named = (1, 3) if kit.names_generations else ()
        self.moves = tuple(Move(number, (VERSION, each), note="moved") for number, each in enumerate(named, 1))
        if kit.registers:
            registry = kit.registry(root)
            registry.push(package())
            for number in range(1, 6):
                registry.write(PROJECT, VERSION, sid(number), self.state(number))
            for number, each in self.tags.items():
                registry.close(PROJECT, VERSION, number, each)
            for move in self.moves:
                registry.move(PROJECT, ALIAS, move)
        if kit.inventories:
            inventory = kit.inventory(root)
            for name in APPLICATIONS:
                inventory.put(kit.handle(name, self.source(name)))

    @staticmethod
    def state(number: int) -> bytes:
        """The bytes of a state; of different lengths."""
        return content(number, 3000 + number * 100)

    @staticmethod
    def source(name: str) -> bytes:
        """The source of an application."""
        return f"NAME = {name!r}\n".encode() * 20

    def reads(
        self, registry: GuardedRegistry | None, inventory: GuardedInventory | None
    ) -> Iterator[tuple[str, Callable[[], Any], Any]]:
        """Each way to read each item: the item, how to read it, what must come out."""
        if registry:
            expected = package().path.read_bytes()
            yield "release", lambda: registry.pull(PROJECT, VERSION).path.read_bytes(), expected
            yield (
                "release",
                lambda: (registry.mount(PROJECT, VERSION).path / "toy" / "data.bin").read_bytes(),
                bytes(range(256)),
            )
            for number, states in self.GENERATIONS.items():
                yield (
                    f"generation/{number}",
                    functools.partial(registry.open, PROJECT, VERSION, number),
                    self.tags[number],
                )
                for each in states:
                    item = f"generation/{number} state/{sid(each)}"
                    yield item, functools.partial(registry.read, PROJECT, VERSION, number, sid(each)), self.state(each)
                    yield item, functools.partial(viewed, registry, number, sid(each)), self.state(each)
        if registry and self.moves:
            items = [f"alias/{ALIAS}/{move.number}" for move in self.moves]
            yield " ".join(items), lambda: registry.moves(PROJECT, ALIAS), self.moves
            yield items[-1], lambda: registry.current(PROJECT, ALIAS), self.moves[-1]
        if inventory:
            for name in APPLICATIONS:
                yield (
                    f"application/{name}",
                    functools.partial(lambda name: inventory.get(name).source, name),
                    self.source(name),
                )

    def check(self, registry: GuardedRegistry | None, inventory: GuardedInventory | None) -> None:
        """Assert that all of it is there, as it was committed."""
        if registry:
            assert PROJECT in registry.projects()
            assert VERSION in map(str, registry.releases(PROJECT))
            assert set(self.GENERATIONS) <= set(registry.generations(PROJECT, VERSION))
        if inventory:
            assert set(APPLICATIONS) <= set(inventory.list())
        for item, read, expected in self.reads(registry, inventory):
            assert read() == expected, item


def viewed(registry: GuardedRegistry, generation: int, state: UUID) -> bytes:
    """Copy what a view shows."""
    with registry.view(PROJECT, VERSION, generation, state) as view:
        return bytes(view)

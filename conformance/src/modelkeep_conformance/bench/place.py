"""Where to measure: stores of a backend with a release in them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

import modelkeep
from modelkeep import Directory, Manifest, Package, Release, Tag, Training
from modelkeep_conformance import backends
from modelkeep_conformance.bench.measure import Skipped
from modelkeep_conformance.harness import Harness

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: The project of all releases that are measured.
PROJECT: Final = "toy"


@dataclasses.dataclass(frozen=True)
class Bench:
    """What a figure is given.

    Attributes:
        folder: A folder of its own, removed after it.
        cache: A folder that stays, for what is expensive to make.
        quick: Whether a rough figure will do.
    """

    folder: Path
    cache: Path
    quick: bool = False

    @property
    def rounds(self) -> int:
        """How many rounds count."""
        return 3 if self.quick else 11

    def new(self) -> Path:
        """Make a folder."""
        path = self.folder / uuid4().hex
        path.mkdir()
        return path

    def releases(self, provider: str, **options: Any) -> Iterator[Release]:
        """Make new releases, without end, in a new store."""
        return published(place(provider, self.new(), **options), self.new())

    def stores(self, provider: str, **options: Any) -> Iterator[Release]:
        """Make one release in a store of its own after the other; asking for the next one removes the last.

        All who write beside it should free in each round what they wrote in the last, so that all are given the same
        pages of memory again: on a virtual machine, the first touch of a page costs more than the write it is for.
        """
        while True:
            folder = self.new()
            release = next(published(place(provider, folder, **options), self.new()))
            commit(release, b"a small state, so that all is made")
            yield release
            shutil.rmtree(folder)

    def release(self, provider: str, **options: Any) -> Release:
        """Make a release in a new store."""
        return next(self.releases(provider, **options))


def place(provider: str, folder: Path, **options: Any) -> dict[str, Any]:
    """Give the options that open a store in an empty folder; picklable, and with `provider` among them.

    Raises:
        Skipped: It is not known how to open the provider.
    """
    known = harness(provider)
    if known is not None:
        return {**known.recipe(folder), **options}
    found = inspect.signature(factory(provider)).parameters
    needed = {name for name, option in found.items() if option.default is option.empty and name not in options}
    if needed - {"path"}:
        raise Skipped(f"{provider} has no harness, and needs {', '.join(sorted(needed))}")
    return {"provider": provider, **({"path": str(folder / "store")} if needed else {}), **options}


@functools.cache
def harness(provider: str) -> Harness | None:
    """Load the harness of a provider, None if it has none that loads."""
    if provider not in backends.installed():
        return None
    try:
        found = backends.load(provider)
    except pytest.UsageError as error:
        print(f"{provider} is measured without its harness: {error}", file=sys.stderr)
        return None
    return found if isinstance(found, Harness) else None


def factory(provider: str) -> Any:
    """Load the class of a provider."""
    (entry,) = entry_points(group="modelkeep.registry", name=provider)
    return entry.load()


def published(options: Mapping[str, Any], scratch: Path) -> Iterator[Release]:
    """Push one release after the other into a store."""
    source = scratch / "source"
    (source / PROJECT).mkdir(parents=True)
    (source / PROJECT / "__init__.py").write_text("", "utf-8")
    project = Directory(modelkeep.registry(**options)).get(PROJECT)
    for number in itertools.count():
        manifest = Manifest(PROJECT, f"1.{number}", PROJECT)
        yield project.put(Package.create(source, scratch / f"{number}.4ml", manifest))


def commit(release: Release, *states: Buffer) -> None:
    """Commit a generation of some states."""
    release.put(Tag(Training.now(ordinal=1), states=[release.dump(state) for state in states]))


def commit_each(release: Release, states: Iterable[Buffer]) -> None:
    """Commit a generation for each state."""
    for state in states:
        commit(release, state)


def fresh(count: int, size: int) -> list[bytes]:
    """Make states that no store has seen."""
    return [os.urandom(size) for _ in range(count)]

"""A place to measure in: a store of a backend with a release."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import modelkeep
from modelkeep import Directory, Manifest, Package, Release, Tag, Tuning


class Place:
    """A folder, with stores in it.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        source = folder / "source"
        (source / "toy").mkdir(parents=True)
        (source / "toy" / "__init__.py").write_text("")
        self._package = Package.create(source, folder / "toy.4ml", Manifest("toy", "1.0", "toy"))

    def release(self, provider: str, **options: Any) -> Release:
        """A release in a new store."""
        where = str(self.folder / f"{provider}-{uuid4().hex}")
        place = {"name": where} if provider == "memory" else {"path": where}
        registry = modelkeep.registry(provider=provider, **place, **options)
        return Directory(registry).get("toy").put(self._package)

    def new(self) -> Path:
        """A new folder."""
        path = self.folder / uuid4().hex
        path.mkdir()
        return path


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Make a place, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="modelkeep-bench-"))
    try:
        yield Place(folder)
    finally:
        shutil.rmtree(folder)


def commit(release: Release, states: list[bytes]) -> None:
    """Commit a generation of some states."""
    release.put(Tag(tuning=Tuning(None, 0.5), states=[release.dump(state) for state in states]))


def fresh(count: int, size: int) -> list[bytes]:
    """States that no store has seen."""
    return [os.urandom(size) for _ in range(count)]

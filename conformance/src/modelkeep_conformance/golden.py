"""Stores that are kept for good, so that later versions are tested to open what earlier ones wrote.

A plugin ships an archive for each format that it has ever written, and its harness unpacks it.
"""

from __future__ import annotations

import datetime as dt
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import modelkeep
from modelkeep import Descriptor, Tag, Training, Tuning
from modelkeep_conformance import backends
from modelkeep_conformance.harness import Harness
from modelkeep_conformance.kit import content, options_for, package, sid


def make(name: str, file: Path) -> None:
    """Write the store that the suite expects, by the installed version of a backend, into a tar.gz file."""
    harness = backends.load(name)
    assert isinstance(harness, Harness)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "store")
        root.mkdir()
        fill(harness, root)
        with tarfile.open(file, "w:gz") as archive:
            archive.add(root, "store")


def fill(harness: Harness, root: Path) -> None:
    """Write that store into a folder."""
    recipe = harness.recipe(root)
    if "registry" in harness.provides:
        _fill(recipe)
    if "inventory" in harness.provides:
        with tempfile.TemporaryDirectory() as folder:
            module = Path(folder, "golden.py")
            module.write_text("x = 'golden'\n")
            modelkeep.inventory(**options_for("inventory", recipe)).put(Descriptor.Handle(module))


def _fill(recipe: Mapping[str, Any]) -> None:
    registry = modelkeep.registry(**options_for("registry", recipe))
    registry.push(package("golden", "1.0"))
    for number in (1, 2, 3):
        registry.write("golden", "1.0", sid(number), content(number))
    training = Training(dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC), "ordinal")
    registry.close("golden", "1.0", 1, Tag(training, Tuning(None, 0.5), [sid(1)]))
    registry.close("golden", "1.0", 2, Tag(training, Tuning(), [sid(2), sid(1)]))


def unpack(file: Path, root: Path) -> Path:
    """Unpack such a store into a folder; return the folder of the store."""
    with tarfile.open(file) as archive:
        archive.extractall(root, filter="data")
    return root / "store"

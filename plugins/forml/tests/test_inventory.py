"""The inventory as ForML uses it."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forml
import pytest
from forml import application as appmod
from forml.io import asset
from forml.provider.inventory import posix

from modelkeep_forml import Inventory

Recipe = Callable[..., dict[str, Any]]
SOURCE = """
from forml import application

application.setup(application.Generic({name!r}, application.Explicit({name!r}, {release!r}, 1)))
"""


@pytest.fixture
def make_handle(tmp_path: Path) -> Callable[..., appmod.Descriptor.Handle]:
    made = itertools.count()

    def make(name: str = "flowers", release: str = "1.0") -> appmod.Descriptor.Handle:
        # The name is what the module says, not what its file is called. Each has a file of its own, since Python takes
        # a module of the same size, changed within the same second, from its byte code.
        path = tmp_path / f"module{next(made)}.py"
        path.write_text(SOURCE.format(name=name, release=release) + "# caf\u00e9\n", encoding="utf-8")
        return appmod.Descriptor.Handle(path)

    return make


@pytest.fixture
def inventory(backend: str, recipe: Recipe) -> Inventory:
    return Inventory(**recipe(backend))


def test_put_and_get(inventory: Inventory, make_handle: Callable[..., appmod.Descriptor.Handle]) -> None:
    assert list(inventory.list()) == []
    handle = make_handle()
    inventory.put(handle)
    assert list(inventory.list()) == ["flowers"]
    descriptor = inventory.get("flowers")
    assert descriptor == handle.descriptor
    assert isinstance(descriptor, appmod.Generic)
    assert inventory._inner.get("flowers").source == handle.path.read_bytes()


def test_replaced(inventory: Inventory, make_handle: Callable[..., appmod.Descriptor.Handle]) -> None:
    for release in ("1.0", "2.0", "1.0"):
        inventory.put(make_handle(release=release))
        assert str(inventory.get("flowers")._strategy._release) == release


def test_name_with_a_dot(inventory: Inventory, make_handle: Callable[..., appmod.Descriptor.Handle]) -> None:
    inventory.put(make_handle("my.flowers"))
    assert inventory.get("my.flowers").name == "my.flowers"


def test_missing(inventory: Inventory) -> None:
    with pytest.raises(forml.MissingError, match="unknown"):
        inventory.get("unknown")


def test_refused_name(inventory: Inventory, make_handle: Callable[..., appmod.Descriptor.Handle]) -> None:
    with pytest.raises(forml.InvalidError, match="application name"):
        inventory.put(make_handle("../flowers"))


def test_handle(
    inventory: Inventory, backend: str, recipe: Recipe, make_handle: Callable[..., appmod.Descriptor.Handle]
) -> None:
    inventory.put(make_handle())
    copy = pickle.loads(pickle.dumps(inventory))
    assert copy == inventory == Inventory(**recipe(backend)) != Inventory(**recipe(backend, "other"))
    assert copy.list() == inventory.list()
    assert hash(copy) == hash(inventory)
    assert f"modelkeep_{backend}" in repr(inventory)


def test_found_by_forml() -> None:
    assert asset.Inventory["modelkeep_forml:Inventory"] is Inventory


def test_local_and_posix_alternate(
    recipe: Recipe, tmp_path: Path, make_handle: Callable[..., appmod.Descriptor.Handle]
) -> None:
    ours, theirs = Inventory(**recipe("local")), posix.Inventory(tmp_path / "store")
    theirs.put(make_handle("one"))
    ours.put(make_handle("two"))
    assert sorted(theirs.list()) == list(ours.list()) == ["one", "two"]
    assert [each.get(name).name for each in (ours, theirs) for name in ("one", "two")] == ["one", "two"] * 2

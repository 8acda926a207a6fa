"""Handles: pickles, equality, what they show."""

import pickle
from typing import Any

import pytest

from modelkeep import Descriptor, Inventory, MissingError, Project, Registry, UnsupportedError
from modelkeep_conformance import work
from modelkeep_conformance.kit import PROJECT, VERSION, Filled, Kit, content, not_applicable, sid, tag
from modelkeep_conformance.processes import in_processes
from modelkeep_conformance.suite import clause


@clause("P1")
@pytest.mark.parametrize("used", [False, True])
def test_a_pickled_registry_works_here(kit: Kit, registry: Any, *, used: bool) -> None:
    Filled(kit)
    if used:
        registry.read(PROJECT, VERSION, 1, sid(1))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(registry, protocol))
        number = 10 + protocol
        copy.write(PROJECT, VERSION, sid(number), content(number))
        copy.close(PROJECT, VERSION, number, tag(sid(number)))
        assert registry.read(PROJECT, VERSION, number, sid(number)) == content(number)
        assert copy.generations(PROJECT, VERSION) == registry.generations(PROJECT, VERSION)
        assert copy == registry
        assert hash(copy) == hash(registry)


@clause("P1")
def test_a_pickled_inventory_works_here(kit: Kit, inventory: Any) -> None:
    copy = pickle.loads(pickle.dumps(inventory))
    copy.put(kit.handle("app"))
    assert inventory.list() == ("app",)
    assert copy == inventory


@clause("P1", "P4")
def test_a_pickled_handle_works_in_a_spawned_process_or_says_why_not(kit: Kit) -> None:
    Filled(kit)
    jobs: list[tuple[Any, str]] = []
    if kit.registers:
        jobs.append((kit.registry(), "registry"))
    if kit.inventories:
        jobs.append((kit.inventory(), "inventory"))
    for handle, kind in jobs:
        (result,) = in_processes(work.unpickled, [(pickle.dumps(handle), kind)])
        if "durable" not in kit.harness.traits:
            assert isinstance(result, UnsupportedError), result
            assert "process" in str(result)
        elif kind == "registry":
            assert result == Filled.state(1)
            assert 77 in kit.registry().generations(PROJECT, VERSION)
        else:
            assert result == ["first", "second"]


@clause("P2")
def test_handles_of_one_store_are_equal_and_of_others_not(kit: Kit) -> None:
    elsewhere = kit.folder("other")
    for open_ in [kit.registry] * kit.registers + [kit.inventory] * kit.inventories:
        one, same, other = open_(), open_(), open_(elsewhere)
        assert one == same
        assert one is not same
        assert hash(one) == hash(same)
        assert one != other
        assert len({one, same, other}) == 2
        assert one != "store"
        assert one is not None
    if kit.registers and kit.inventories:
        assert kit.registry() != kit.inventory()


@clause("P2")
def test_use_does_not_change_equality(kit: Kit, registry: Any) -> None:
    before = hash(registry)
    Filled(kit)
    registry.read(PROJECT, VERSION, 1, sid(1))
    assert hash(registry) == before == hash(kit.registry())
    assert registry == kit.registry()


@clause("P3")
def test_repr_names_backend_and_place(kit: Kit) -> None:
    elsewhere = kit.folder("other")
    for open_ in [kit.registry] * kit.registers + [kit.inventory] * kit.inventories:
        shown = repr(open_())
        assert shown == repr(open_())
        assert shown != repr(open_(elsewhere))
        assert " object at 0x" not in shown
        assert "Guarded" not in shown
        provider = str(kit.harness.recipe(kit.root)["provider"]).partition(":")[0]
        assert provider.split(".")[-1].removeprefix("modelkeep_").casefold() in shown.casefold()


@clause("P3", "E2")
def test_no_secret_is_shown(kit: Kit) -> None:
    """Options that look like secrets are put into the recipe where the backend takes them."""
    recipe = kit.harness.recipe(kit.root)
    hidden = [str(value) for value in _secrets(recipe)]
    if not hidden:
        not_applicable("the backend takes no secrets")
    for open_ in [kit.registry] * kit.registers + [kit.inventory] * kit.inventories:
        handle = open_()
        # what loading by name returns blots secrets out; the backend itself owes it all the same
        for each in (handle, handle.inner):
            shown = [repr(each), str(each)]
            with pytest.raises(MissingError) as caught:
                _ask(each)
            shown += [str(caught.value), repr(caught.value)]
            assert not [secret for secret in hidden for text in shown if secret in text]


def _ask(handle: Registry | Inventory) -> None:
    """Ask for what is not there."""
    if isinstance(handle, Inventory):
        handle.get(Descriptor.Key("unknown"))
    else:
        handle.releases(Project.Key("unknown"))


def _secrets(recipe: Any) -> list[Any]:
    from modelkeep._provider import is_secret

    found: list[Any] = []
    for key, value in recipe.items():
        if isinstance(value, dict):
            found += _secrets(value)
        elif is_secret(key):
            found.append(value)
    return found


@clause("P2")
def test_stores_of_one_name_at_different_places_are_different(kit: Kit) -> None:
    places = [kit.folder(name) / "store" for name in ("here", "there")]
    for place in places:
        place.mkdir()
    for open_ in [kit.registry] * kit.registers + [kit.inventory] * kit.inventories:
        one, other = map(open_, places)
        assert one != other
        assert one == open_(places[0])

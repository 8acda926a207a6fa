"""Listings: order, absence, and what does not belong into them."""

import threading
from typing import Any

import pytest

from modelkeep import Directory, MissingError, Package, Tag
from modelkeep_conformance.kit import APPLICATIONS, PROJECT, VERSION, Filled, Kit, could_not_run, package, sid, tag
from modelkeep_conformance.suite import clause


@clause("L1")
def test_an_empty_store_lists_no_projects_and_stays_as_it_is(kit: Kit, registry: Any) -> None:
    before = sorted(kit.root.rglob("*"))
    assert registry.projects() == ()
    with pytest.raises(MissingError):
        registry.releases(PROJECT)
    with pytest.raises(MissingError):
        registry.generations(PROJECT, VERSION)
    assert sorted(kit.root.rglob("*")) == before


@clause("L1")
def test_an_empty_store_lists_no_applications_and_stays_as_it_is(kit: Kit, inventory: Any) -> None:
    before = sorted(kit.root.rglob("*"))
    assert inventory.list() == ()
    with pytest.raises(MissingError):
        inventory.get("app")
    assert sorted(kit.root.rglob("*")) == before


@clause("L2")
def test_projects_ascend_by_name(registry: Any) -> None:
    names = ["b", "a", "B", "a-b", "a.b", "a1", "c10", "c9", "A"]
    for name in names:
        registry.push(package(name))
        registry.push(package(name, "2.0"))
    assert list(registry.projects()) == sorted(names)


@clause("L2")
def test_versions_ascend_as_versions_do(kit: Kit, registry: Any) -> None:
    ascending = [
        "1.0.dev1",
        "1.0a1",
        "1.0rc1",
        "1.0",
        "1.0+local",
        "1.0.post1",
        "1.1",
        "1.9",
        "1.10",
        "2",
        "10.0",
        "1!0.1",
    ]
    shuffled = kit.chance.sample(ascending, len(ascending))
    for version in shuffled:
        registry.push(package(version=version))
    assert [str(key) for key in registry.releases(PROJECT)] == ascending
    assert Directory(registry).get(PROJECT).get().key == registry.releases(PROJECT)[-1]


@clause("L2", "C4")
def test_generations_ascend_as_integers(kit: Kit, registry: Any) -> None:
    registry.push(package())
    numbers = [10, 9, 100, 1, 2, 99, 1000, 19, 2**40, 2**63 - 1, 11]
    for position, number in enumerate(numbers):
        registry.close(PROJECT, VERSION, number, tag())
        assert registry.latest(PROJECT, VERSION) == max(numbers[: position + 1])
    for handle in (registry, kit.registry()):
        assert list(handle.generations(PROJECT, VERSION)) == sorted(numbers)
        assert handle.latest(PROJECT, VERSION) == max(numbers)


@clause("L2")
def test_applications_ascend_by_name(kit: Kit, inventory: Any) -> None:
    names = ["b", "a", "B", "a-b", "c10", "c9"]
    for name in [*names, "a"]:
        inventory.put(kit.handle(name))
    assert list(inventory.list()) == sorted(names)


@clause("L3", "R5", "S8")
@pytest.mark.parametrize("case", ["nothing", "other project", "other version"])
def test_an_unknown_project_or_release_is_missing_at_the_call(registry: Any, case: str) -> None:
    if case != "nothing":
        registry.push(package(PROJECT if case == "other version" else "alphabet", "1.0.1"))
        registry.push(package(PROJECT + "-b", "1.0"))
    for call in (
        lambda: registry.generations(PROJECT, VERSION),
        lambda: registry.latest(PROJECT, VERSION),
        lambda: registry.pull(PROJECT, VERSION),
        lambda: registry.mount(PROJECT, VERSION),
        lambda: registry.write(PROJECT, VERSION, sid(1), b"x"),
        lambda: registry.read(PROJECT, VERSION, 1, sid(1)),
        lambda: registry.open(PROJECT, VERSION, 1),
        lambda: registry.close(PROJECT, VERSION, 1, Tag()),
        lambda: registry.close(PROJECT, VERSION, 1, tag(sid(1))),
        lambda: Directory(registry).get(PROJECT).get(VERSION).put(Tag()),
        lambda: Directory(registry).get(PROJECT).get(VERSION).get(),
    ):
        with pytest.raises(MissingError):
            call()
    with pytest.raises(MissingError), registry.view(PROJECT, VERSION, 1, sid(1)):
        pass
    if case != "other version":
        with pytest.raises(MissingError):
            registry.releases(PROJECT)


@clause("L4", "S1", "S2")
def test_what_is_not_complete_is_not_listed(kit: Kit, registry: Any) -> None:
    with pytest.raises(MissingError):
        registry.write(PROJECT, VERSION, sid(1), b"x")
    with pytest.raises(MissingError):
        registry.close(PROJECT, VERSION, 1, Tag())
    assert registry.projects() == ()
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), b"x")
    with pytest.raises(MissingError):
        registry.close(PROJECT, VERSION, 7, tag(sid(1), sid(2)))
    with pytest.raises(MissingError):
        registry.write(PROJECT, "9.9", sid(1), b"x")
    for handle in (registry, kit.registry()):
        assert handle.projects() == (PROJECT,)
        assert [str(key) for key in handle.releases(PROJECT)] == [VERSION]
        assert handle.generations(PROJECT, VERSION) == ()
        assert handle.latest(PROJECT, VERSION) is None


@clause("L5")
def test_listings_lose_nothing_while_others_commit(kit: Kit, registry: Any) -> None:
    registry.push(package())
    committed = [0]
    failed: list[BaseException] = []

    def commit() -> None:
        handle = kit.registry()
        try:
            for number in range(1, kit.times(60, 1000) + 1):
                handle.close(PROJECT, VERSION, number, tag(score=number))
                committed[0] = number
        except BaseException as error:  # told by the thread that waits
            failed.append(error)

    writer = threading.Thread(target=commit)
    writer.start()
    try:
        while writer.is_alive():
            before = committed[0]
            listed = registry.generations(PROJECT, VERSION)
            assert set(range(1, before + 1)) <= set(listed)
            assert list(listed) == sorted(set(listed))
            latest = registry.latest(PROJECT, VERSION)
            assert (latest or 0) >= before
    finally:
        writer.join()
    assert not failed
    assert registry.generations(PROJECT, VERSION) == tuple(range(1, committed[0] + 1))


@clause("L6")
def test_what_the_backend_did_not_write_is_ignored(kit: Kit) -> None:
    filled = Filled(kit)
    registry = kit.registry() if kit.registers else None
    inventory = kit.inventory() if kit.inventories else None
    before = _listed(registry, inventory)
    if not kit.harness.litter(kit.root):
        could_not_run("the harness can not litter")
    for handles in ((registry, inventory), (registry and kit.registry(), inventory and kit.inventory())):
        assert _listed(*handles) == before
        filled.check(*handles)
    if registry:
        registry.push(package(version="2.0"))
        registry.close(PROJECT, "2.0", 1, Tag())


def _listed(registry: Any, inventory: Any) -> list[Any]:
    found: list[Any] = []
    if registry:
        found += [registry.projects(), registry.releases(PROJECT), registry.generations(PROJECT, VERSION)]
        found.append(registry.latest(PROJECT, VERSION))
    if inventory:
        found.append(inventory.list())
    return found


@clause("L7")
def test_a_listing_does_not_change_afterwards(registry: Any) -> None:
    registry.push(package())
    registry.close(PROJECT, VERSION, 1, Tag())
    listings = registry.projects(), registry.releases(PROJECT), registry.generations(PROJECT, VERSION)
    registry.push(package("beta"))
    registry.push(package(version="2.0"))
    registry.close(PROJECT, VERSION, 2, Tag())
    for _ in range(2):
        assert [[str(key) for key in listing] for listing in listings] == [[PROJECT], [VERSION], ["1"]]


@clause("L7")
def test_a_listing_of_applications_does_not_change_afterwards(kit: Kit, inventory: Any) -> None:
    inventory.put(kit.handle(APPLICATIONS[0]))
    listing = inventory.list()
    inventory.put(kit.handle(APPLICATIONS[1]))
    for _ in range(2):
        assert list(listing) == [APPLICATIONS[0]]


@clause("L4", "R4")
def test_a_package_that_is_gone_when_it_is_pushed_leaves_nothing(kit: Kit, registry: Any) -> None:
    copy = kit.folder("packages") / "gone.4ml"
    copy.write_bytes(package().path.read_bytes())
    gone = Package(copy)
    copy.unlink()
    with pytest.raises(Exception, match=r"."):
        registry.push(gone)
    assert registry.projects() == ()
    registry.push(package())
    assert registry.projects() == (PROJECT,)


@clause("L2")
def test_long_listings_are_whole(kit: Kit, registry: Any) -> None:
    registry.push(package())
    count = kit.times(1_050, 10_500)
    for number in range(1, count + 1):
        registry.close(PROJECT, VERSION, number, tag())
    versions = [f"2.{number}" for number in range(kit.times(105, 1_050))]
    for version in versions:
        registry.push(package(version=version))
    for handle in (registry, kit.registry()):
        assert handle.generations(PROJECT, VERSION) == tuple(range(1, count + 1))
        assert handle.latest(PROJECT, VERSION) == count
        assert [str(key) for key in handle.releases(PROJECT)] == [VERSION, *versions]

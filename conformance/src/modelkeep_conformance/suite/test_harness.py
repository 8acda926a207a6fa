"""The harness itself: what it says of the backend is what the other tests build on."""

import pickle
from datetime import timedelta

from modelkeep_conformance import work
from modelkeep_conformance.clauses import TRAITS, owed
from modelkeep_conformance.kit import ALIAS, APPLICATIONS, PROJECT, VERSION, Filled, Kit, sid
from modelkeep_conformance.processes import in_processes
from modelkeep_conformance.suite import clause


@clause("H1")
def test_a_root_is_a_store(kit: Kit) -> None:
    filled = Filled(kit)
    assert kit.harness.recipe(kit.root) == kit.harness.recipe(kit.root), "the recipe of a root changes"
    other = kit.folder("other")
    if kit.registers:
        assert kit.registry().projects() == (PROJECT,), "the same root is another store"
        assert kit.registry(other).projects() == (), "a new root is not empty"
    if kit.inventories:
        assert kit.inventory().list() == APPLICATIONS, "the same root is another store"
        assert kit.inventory(other).list() == (), "a new root is not empty"
    Filled(kit, other)
    filled.check(kit.registry() if kit.registers else None, kit.inventory() if kit.inventories else None)


@clause("H1")
def test_what_is_declared_is_known(kit: Kit) -> None:
    harness = kit.harness
    assert harness.provides, "nothing is provided"
    assert harness.provides <= {"registry", "inventory"}
    assert harness.traits <= set(TRAITS)
    assert min(harness.least_age, harness.clock) >= timedelta(0)
    assert {gap.clause for gap in harness.gaps} <= set(owed())


@clause("H2")
def test_options_are_plain_data(kit: Kit) -> None:
    recipe = kit.harness.recipe(kit.root)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    Filled(kit)
    if "durable" not in kit.harness.traits:
        return
    if kit.registers:
        (listed,) = in_processes(work.listed, [(kit.options("registry"),)])
        assert listed == [(PROJECT, VERSION, list(Filled.GENERATIONS))]
    if kit.inventories:
        (found,) = in_processes(work.applications, [(kit.options("inventory"),)])
        assert tuple(found) == APPLICATIONS


@clause("H3")
def test_regions_are_what_is_stored(kit: Kit) -> None:
    filled = Filled(kit)
    expected: set[str] = set()
    if kit.registers:
        expected |= {"release", *(f"generation/{number}" for number in Filled.GENERATIONS)}
        expected |= {f"alias/{ALIAS}/{move.number}" for move in filled.moves}
        expected |= {f"state/{sid(number)}" for states in Filled.GENERATIONS.values() for number in states}
    if kit.inventories:
        expected |= {f"application/{name}" for name in APPLICATIONS}
    regions = kit.regions()
    assert {region.item for region in regions} == expected
    for region in regions:
        before = region.load()
        assert before, f"{region.name} is empty"
        changed = bytes([before[0] ^ 1]) + before[1:]
        assert region.store(changed), f"{region.name} does not take as many bytes as it has"
        assert region.load() == changed, f"{region.name} does not change"
        assert region.store(before)
        assert region.load() == before
    filled.check(kit.registry() if kit.registers else None, kit.inventory() if kit.inventories else None)

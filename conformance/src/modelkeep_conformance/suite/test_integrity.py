"""Damage: every stored byte, each way, is noticed, and siblings are not harmed."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import modelkeep
from modelkeep import ConflictError, CorruptedError, Error, Move, Release
from modelkeep_conformance.harness import Region
from modelkeep_conformance.kit import (
    ALIAS,
    APPLICATIONS,
    PROJECT,
    VERSION,
    Filled,
    Kit,
    not_applicable,
    sid,
    tag,
    viewed,
)
from modelkeep_conformance.suite import clause

Mutation = tuple[str, Callable[[bytes], bytes]]


def _flip(position: int, bit: int) -> Callable[[bytes], bytes]:
    def mutate(content: bytes) -> bytes:
        damaged = bytearray(content)
        damaged[position % len(damaged)] ^= 1 << bit
        return bytes(damaged)

    return mutate


def _flips(kit: Kit, region: Region) -> Iterator[Mutation]:
    size = len(region.load())
    positions = {0, 1, 2, size // 3, size // 2, size - 2, size - 1} | set(
        range(0, size, max(size // kit.times(12, 400), 1))
    )
    for number, position in enumerate(sorted(positions)):
        yield f"bit {number % 8} of byte {position % size}", _flip(position, number % 8)


def _cuts(region: Region, others: list[Region]) -> Iterator[Mutation]:
    content = region.load()
    yield "truncated by a byte", lambda content: content[:-1]
    yield "truncated to half", lambda content: content[: len(content) // 2]
    yield "emptied", lambda content: b""
    yield "zeroed", lambda content: b"\0" * len(content)
    yield "extended", lambda content: content + b"x"
    kind = region.item.partition("/")[0]
    for other in others:
        if other.item != region.item and other.item.partition("/")[0] == kind:
            theirs = other.load()
            if theirs != content:
                yield f"exchanged with {other.name}", lambda content, theirs=theirs: theirs


def _check(kit: Kit, filled: Filled, region: Region, what: str) -> None:
    registry = kit.registry() if kit.registers else None
    inventory = kit.inventory() if kit.inventories else None
    wanted = 0
    for item, read, expected in filled.reads(registry, inventory):
        mine = region.item in item.split(" ")
        try:
            got = read()
        except CorruptedError:
            # a state can be read only through the tag that names it
            assert mine, f"{what} of {region.name} ({region.item}) harms {item}"
            continue
        except Error as error:
            raise AssertionError(f"{what} of {region.name} ({region.item}): {item} raises {error!r}") from error
        assert not mine or got == expected, f"{what} of {region.name} ({region.item}): {item} is given back damaged"
        assert got == expected, f"{what} of {region.name} ({region.item}) harms {item}"
        wanted += mine
    assert not wanted, f"{what} of {region.name} is not noticed: {region.item} is read {wanted} times without an error"
    if registry:
        assert registry.projects() == (PROJECT,)
        # a damaged release may have lost its spelling, not its place
        assert registry.releases(PROJECT) == (Release.Key(VERSION),)
        assert registry.generations(PROJECT, VERSION) == (1, 2, 3)
    if registry and filled.moves:
        assert registry.aliases(PROJECT) == (ALIAS,)
    if inventory:
        assert inventory.list() == APPLICATIONS


def _damage(kit: Kit, mutations: Callable[[Region, list[Region]], Iterator[Mutation]], kinds: str = "") -> int:
    """Damage what is stored, all or items of some kinds only, and check what becomes of it; return how often."""
    filled = Filled(kit)
    regions = kit.regions()
    items = {region.item for region in regions}
    if kit.registers:
        expected = {
            "release",
            *(f"generation/{n}" for n in Filled.GENERATIONS),
            *(f"state/{sid(n)}" for n in range(1, 6)),
        }
        expected |= {f"alias/{ALIAS}/{move.number}" for move in filled.moves}
        assert expected <= items, f"the harness does not reach {expected - items}"
    if kit.inventories:
        assert {f"application/{name}" for name in APPLICATIONS} <= items, "the harness does not reach applications"
    count = 0
    for region in regions:
        if not region.item.startswith(kinds):
            continue
        before = region.load()
        for what, mutate in mutations(region, regions):
            after = mutate(before)
            if after == before or not region.store(after):
                continue
            count += 1
            try:
                _check(kit, filled, region, what)
            finally:
                assert region.store(before)
    filled.check(kit.registry() if kit.registers else None, kit.inventory() if kit.inventories else None)
    return count


@clause("M1", "I6")
def test_every_flipped_bit_is_noticed(kit: Kit) -> None:
    assert _damage(kit, lambda region, _: _flips(kit, region)) > 0


@clause("M2", "I6")
def test_what_is_truncated_emptied_or_exchanged_is_noticed(kit: Kit) -> None:
    assert _damage(kit, _cuts) > 0


@clause("A6")
def test_every_flipped_bit_of_a_move_is_noticed(kit: Kit) -> None:
    assert _damage(kit, lambda region, _: _flips(kit, region), "alias/") > 0


@clause("A6")
def test_a_move_that_is_truncated_emptied_or_exchanged_is_noticed(kit: Kit) -> None:
    assert _damage(kit, _cuts, "alias/") > 0


@clause("A6")
def test_an_alias_that_was_damaged_can_be_moved_on(kit: Kit) -> None:
    filled = Filled(kit)
    (newest,) = [region for region in kit.regions() if region.item == f"alias/{ALIAS}/2"]
    newest.store(_flip(90, 4)(newest.load()))
    registry = kit.registry()
    registry.move(PROJECT, "another", Move(1, (VERSION, 2)))
    with pytest.raises(CorruptedError, match=f"{PROJECT}@{ALIAS}"):
        registry.current(PROJECT, ALIAS)
    with pytest.raises(ConflictError):
        registry.move(PROJECT, ALIAS, Move(2, (VERSION, 1)))
    move = Move(3, (VERSION, 1))
    registry.move(PROJECT, ALIAS, move)
    assert kit.registry().current(PROJECT, ALIAS) == move
    with pytest.raises(CorruptedError):
        kit.registry().moves(PROJECT, ALIAS)
    assert len(registry.moves(PROJECT, "another")) == 1
    assert registry.open(PROJECT, VERSION, 3) == filled.tags[3]


@clause("M1", "S3", "C5")
def test_new_data_does_not_share_the_fate_of_old_damage(kit: Kit) -> None:
    """Equal content may be stored once; if that is damaged, who writes it again must not lose it."""
    if not kit.registers:
        not_applicable("the backend has no registry")
    Filled(kit)
    damaged = [region for region in kit.regions() if region.item == f"state/{sid(1)}"]
    for region in damaged:
        region.store(_flip(100, 3)(region.load()))
    registry = kit.registry()
    registry.write(PROJECT, VERSION, sid(51), Filled.state(1))
    registry.close(PROJECT, VERSION, 9, tag(sid(51)))
    assert kit.registry().read(PROJECT, VERSION, 9, sid(51)) == Filled.state(1)


@clause("M1")
def test_a_staged_state_that_goes_bad_is_never_given_back(kit: Kit) -> None:
    if not kit.registers:
        not_applicable("the backend has no registry")
    Filled(kit)
    registry = kit.registry()
    state = b"staged state " * 500
    registry.write(PROJECT, VERSION, sid(61), state)
    reached = [region for region in kit.regions() if region.item == f"state/{sid(61)}"]
    for region in reached:
        region.store(_flip(200, 5)(region.load()))
    try:
        registry.close(PROJECT, VERSION, 9, tag(sid(61)))
    except (CorruptedError, ConflictError):
        assert registry.generations(PROJECT, VERSION) == (1, 2, 3)
        return
    try:
        assert registry.read(PROJECT, VERSION, 9, sid(61)) == state
    except CorruptedError:
        assert reached


@clause("M3")
def test_verify_finds_each_damaged_item_and_names_it(kit: Kit, registry: Any) -> None:
    Filled(kit)
    regions = {region.item: region for region in kit.regions()}
    assert modelkeep.verify(registry).sound
    for item in (f"state/{sid(3)}", "generation/1", "release"):
        regions[item].store(_flip(50, 1)(regions[item].load()))
    release = f"{PROJECT}/{VERSION}"
    for handle in (registry, kit.registry()):
        found = {damage.key: damage for damage in modelkeep.verify(handle).damages}
        # what belongs to the damaged tag can't be known
        assert set(found) == {release, f"{release}/1", f"{release}/2/{sid(3)}", f"{release}/3/{sid(3)}"}
        assert {damage.error for damage in found.values()} == {"CorruptedError"}
        assert release in found[release].message
        assert f"{release}/1" in found[f"{release}/1"].message
        assert str(sid(3)) in found[f"{release}/2/{sid(3)}"].message


@clause("M1")
def test_damage_deep_in_a_large_state_is_noticed(kit: Kit) -> None:
    if not kit.registers:
        not_applicable("the backend has no registry")
    Filled(kit)
    registry = kit.registry()
    state = kit.chance.randbytes(9_000_001)
    registry.write(PROJECT, VERSION, sid(71), state)
    registry.close(PROJECT, VERSION, 9, tag(sid(71)))
    regions = [region for region in kit.regions() if region.item == f"state/{sid(71)}"]
    assert regions, "the harness does not find the state"
    for region in regions:
        before = region.load()
        for position in (len(before) // 2, len(before) - len(before) // 7, len(before) - 1):
            region.store(_flip(position, 6)(before))
            for read in (
                lambda: kit.registry().read(PROJECT, VERSION, 9, sid(71)),
                lambda: viewed(kit.registry(), 9, sid(71)),
            ):
                with pytest.raises(CorruptedError):
                    read()
        region.store(before)
    assert kit.registry().read(PROJECT, VERSION, 9, sid(71)) == state


@clause("M1", "I6")
def test_a_handle_that_read_before_the_damage_gives_no_damaged_bytes(kit: Kit) -> None:
    """It may remember what it read, and give that."""
    filled = Filled(kit)
    registry = kit.registry() if kit.registers else None
    inventory = kit.inventory() if kit.inventories else None
    filled.check(registry, inventory)
    for region in kit.regions():
        before = region.load()
        region.store(_flip(len(before) - 5, 2)(before))
        for item, read, expected in filled.reads(registry, inventory):
            with contextlib.suppress(CorruptedError):
                assert read() == expected, f"{item}, after {region.name} was damaged"
        region.store(before)
    filled.check(registry, inventory)

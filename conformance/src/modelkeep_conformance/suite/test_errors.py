"""Errors: only modelkeep's own, and each names what it is about."""

from collections.abc import Callable
from typing import Any

import pytest

import modelkeep
from modelkeep import ConflictError, InvalidError, MissingError, Move, Tag, UnsupportedError
from modelkeep_conformance.kit import ALIAS, PROJECT, VERSION, Kit, package, sid, tag
from modelkeep_conformance.suite import clause

WRONG: list[Any] = [None, 0, 1.5, b"x", [], {}, object(), "\0", "x" * 10_000, float("nan"), True]


@clause("E1")
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:12])
def test_wrong_arguments_of_a_registry_are_invalid_or_missing(kit: Kit, registry: Any, wrong: Any) -> None:
    registry.push(package())
    registry.close(PROJECT, VERSION, 1, Tag())
    calls = [
        lambda: registry.releases(wrong),
        lambda: registry.generations(wrong, VERSION),
        lambda: registry.generations(PROJECT, wrong),
        lambda: registry.latest(PROJECT, wrong),
        lambda: registry.push(wrong),
        lambda: registry.pull(wrong, wrong),
        lambda: registry.mount(PROJECT, wrong),
        lambda: registry.write(PROJECT, VERSION, wrong, b"x"),
        lambda: registry.read(PROJECT, VERSION, 1, wrong),
        lambda: registry.open(PROJECT, VERSION, wrong),
        lambda: registry.close(PROJECT, VERSION, 2, wrong),
        lambda: registry.close(PROJECT, wrong, 2, Tag()),
    ]
    for call in calls:
        # True is the number 1 for Python, and is no generation for us
        with pytest.raises((InvalidError, MissingError)):
            call()
    assert registry.projects() == (PROJECT,)
    assert registry.generations(PROJECT, VERSION) == (1,)
    assert [str(key) for key in registry.releases(PROJECT)] == [VERSION]


@clause("E1")
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:12])
def test_wrong_arguments_of_an_inventory_are_invalid(inventory: Any, wrong: Any) -> None:
    for call in (
        lambda: inventory.get(wrong),
        lambda: inventory.put(wrong),
        lambda: modelkeep.Descriptor.Handle(wrong),
    ):
        with pytest.raises(InvalidError):
            call()
    assert inventory.list() == ()


@clause("E1")
def test_what_is_unknown_or_taken_raises_what_the_contract_says(kit: Kit, registry: Any) -> None:
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), b"one")
    registry.close(PROJECT, VERSION, 1, tag(sid(1)))
    missing = [
        lambda: registry.releases("unknown"),
        lambda: registry.generations(PROJECT, "2.0"),
        lambda: registry.latest("unknown", VERSION),
        lambda: registry.pull(PROJECT, "2.0"),
        lambda: registry.mount("unknown", VERSION),
        lambda: registry.write(PROJECT, "2.0", sid(2), b"x"),
        lambda: registry.read(PROJECT, VERSION, 2, sid(1)),
        lambda: registry.open(PROJECT, VERSION, 2),
        lambda: registry.close(PROJECT, VERSION, 2, tag(sid(2))),
        lambda: registry.view(PROJECT, VERSION, 1, sid(2)).__enter__(),
    ]
    taken = [
        lambda: registry.push(package()),
        lambda: registry.write(PROJECT, VERSION, sid(1), b"other"),
        lambda: registry.close(PROJECT, VERSION, 1, Tag()),
    ]
    for expected, calls in ((MissingError, missing), (ConflictError, taken)):
        for number, call in enumerate(calls):
            try:
                call()
            except BaseException as error:  # whatever a backend may raise
                assert isinstance(error, expected), f"call {number} raises {error!r}"
            else:
                raise AssertionError(f"call {number} raises nothing")
    with registry.view(PROJECT, VERSION, 1, sid(1)) as view:
        assert view == b"one"


@clause("E4")
def test_what_is_not_declared_is_unsupported_and_what_is_declared_is_not(kit: Kit, registry: Any) -> None:
    registry.push(package())
    registry.close(PROJECT, VERSION, 1, Tag())
    optional: dict[str, list[Callable[[], Any]]] = {
        "aliases": [
            lambda: registry.aliases(PROJECT),
            lambda: registry.moves(PROJECT, ALIAS),
            lambda: registry.current(PROJECT, ALIAS),
            lambda: registry.move(PROJECT, ALIAS, Move(1, (VERSION, 1))),
        ],
        "collectable": [
            lambda: registry.collect(kit.harness.least_age, dry_run=True),
            lambda: registry.collect(kit.harness.least_age),
        ],
        "removable": [
            lambda: registry.remove(PROJECT, VERSION, 1),
            lambda: registry.remove(PROJECT, VERSION),
            lambda: registry.remove(PROJECT),
        ],
    }
    for trait, calls in optional.items():
        for number, call in enumerate(calls):
            if trait not in kit.harness.traits:
                with pytest.raises(UnsupportedError) as caught:
                    call()
                assert repr(registry) in str(caught.value), f"{trait} {number}"
                assert registry.generations(PROJECT, VERSION) == (1,)
                continue
            try:
                call()
            except MissingError:
                # of a project that went with its last release
                assert trait == "removable"


@clause("E1")
def test_an_unknown_application_raises_what_the_contract_says(inventory: Any) -> None:
    try:
        inventory.get("unknown")
    except BaseException as error:  # whatever a backend may raise
        assert isinstance(error, MissingError), repr(error)
    else:
        raise AssertionError("nothing is raised")


@clause("E2")
def test_a_message_names_the_key_and_the_registry(kit: Kit, registry: Any) -> None:
    registry.push(package())
    registry.close(PROJECT, VERSION, 1, Tag())
    registry.write(PROJECT, VERSION, sid(5), b"x")
    cases: list[tuple[Any, type[Exception], list[str]]] = [
        (lambda: registry.releases("unknown"), MissingError, ["unknown"]),
        (lambda: registry.generations("unknown", VERSION), MissingError, ["unknown", VERSION]),
        (lambda: registry.pull(PROJECT, "7.7"), MissingError, [PROJECT, "7.7"]),
        (lambda: registry.write(PROJECT, "7.7", sid(1), b""), MissingError, [PROJECT, "7.7"]),
        (lambda: registry.open(PROJECT, VERSION, 77), MissingError, [PROJECT, VERSION, "77"]),
        (lambda: registry.read(PROJECT, VERSION, 77, sid(1)), MissingError, [PROJECT, VERSION, "77"]),
        (lambda: registry.view(PROJECT, VERSION, 1, sid(4)).__enter__(), MissingError, [PROJECT, VERSION, str(sid(4))]),
        (lambda: registry.push(package()), ConflictError, [PROJECT, VERSION]),
        (lambda: registry.close(PROJECT, VERSION, 1, Tag()), ConflictError, [PROJECT, VERSION, "1"]),
        (lambda: registry.close(PROJECT, VERSION, 2, tag(sid(9))), MissingError, [PROJECT, VERSION, str(sid(9))]),
        (lambda: registry.write(PROJECT, VERSION, sid(5), b"y"), ConflictError, [PROJECT, VERSION, str(sid(5))]),
    ]
    for call, kind, named in cases:
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind
        for each in named:
            assert each in str(caught.value)
        assert repr(registry) in str(caught.value)


@clause("E2")
def test_a_message_names_the_application_and_the_inventory(inventory: Any) -> None:
    with pytest.raises(MissingError) as caught:
        inventory.get("unknown")
    assert "unknown" in str(caught.value)
    assert repr(inventory) in str(caught.value)


@clause("E1", "K1")
def test_a_message_about_a_wrong_name_names_it(registry: Any) -> None:
    with pytest.raises(InvalidError, match="no/name"):
        registry.releases("no/name")
    with pytest.raises(InvalidError, match=r"1\.x"):
        registry.generations(PROJECT, "1.x")

"""Aliases: their logs, moving them, their names."""

import datetime as dt
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from modelkeep import ConflictError, Generation, InvalidError, MissingError, Move, Release
from modelkeep_conformance import work
from modelkeep_conformance.kit import ALIAS, PROJECT, VERSION, Filled, Kit, not_applicable, package, tag
from modelkeep_conformance.processes import forked, in_processes, in_threads
from modelkeep_conformance.suite import clause


def _named(generation: int) -> tuple[Release.Key, Generation.Key]:
    """What a move to a generation names."""
    return Release.Key(VERSION), Generation.Key(generation)


_TOKYO = dt.timezone(dt.timedelta(hours=9))


@pytest.fixture
def generations(registry: Any) -> None:
    """Four generations to name."""
    registry.push(package())
    for number in range(1, 5):
        registry.close(PROJECT, VERSION, number, tag())


@clause("A1")
def test_moves_are_given_back_as_they_were_made(kit: Kit, registry: Any, generations: None) -> None:
    registry.push(package(version="2.0rc1"))
    registry.close(PROJECT, "2.0rc1", 2**53 + 1, tag())
    moves = [
        Move(1, (VERSION, 1)),
        Move(2, ("2.0rc1", 2**53 + 1), dt.datetime(2024, 3, 1, 8, 30, 59, 999_999, _TOKYO)),
        Move(3, None, dt.datetime(2024, 3, 1, tzinfo=dt.UTC), "cleared"),
        Move(4, (VERSION, 4), note='"quoted" \\ = # \U0001f600 \u00e9', undoes=3),
        Move(5, ("v1.0.0", 2), note=""),
        Move(6, None, note="x" * 1000, undoes=4),
    ]
    for number, move in enumerate(moves, 1):
        registry.move(PROJECT, ALIAS, move)
        for handle in (registry, kit.registry()):
            assert handle.current(PROJECT, ALIAS) == move
            assert list(handle.moves(PROJECT, ALIAS)) == moves[:number]
            assert handle.aliases(PROJECT) == (ALIAS,)


@clause("A1")
def test_a_log_only_grows(registry: Any, generations: None) -> None:
    moves = [Move(number, (VERSION, number % 4 + 1), note=f"{number}") for number in range(1, 31)]
    before = registry.moves(PROJECT, ALIAS)
    for move in moves:
        registry.move(PROJECT, ALIAS, move)
    assert list(registry.moves(PROJECT, ALIAS)) == moves
    assert list(before) == []
    # what it names is not changed by naming it
    assert registry.generations(PROJECT, VERSION) == (1, 2, 3, 4)


@clause("A2")
def test_only_the_number_after_the_newest_can_be_had(kit: Kit, registry: Any, generations: None) -> None:
    other = kit.registry()
    for number in (2, 3, 2**63 - 1):
        with pytest.raises(ConflictError, match=f"{PROJECT}@{ALIAS}"):
            registry.move(PROJECT, ALIAS, Move(number, (VERSION, 1)))
    assert registry.aliases(PROJECT) == ()
    made = []
    for newest in range(1, 4):
        made.append(Move(newest, (VERSION, newest)))
        registry.move(PROJECT, ALIAS, made[-1])
        for number in (*range(1, newest + 1), newest + 2, newest + 10):
            for move in (Move(number, (VERSION, 4)), Move(number, None), made[-1]):
                if move.number != newest + 1:
                    with pytest.raises(ConflictError):
                        other.move(PROJECT, ALIAS, move)
        assert list(registry.moves(PROJECT, ALIAS)) == list(other.moves(PROJECT, ALIAS)) == made


def _one_winner(kit: Kit, results: list[list[int]], count: int) -> None:
    moves: Any = kit.registry().moves(PROJECT, ALIAS)
    assert [move.number for move in moves] == list(range(1, count + 1))
    for move in moves:
        (winner,) = [who for who, won in enumerate(results) if move.number in won]
        assert (move.target, move.note) == (_named(winner + 1), f"by {winner}")


@clause("A2")
def test_of_threads_moving_to_one_number_one_wins(kit: Kit, registry: Any, generations: None) -> None:
    barrier = threading.Barrier(4)
    options, count = kit.options("registry"), kit.times(15, 200)
    results = in_threads(
        [lambda who=who: work.move_all(options, count, who, lambda: barrier.wait(30)) for who in range(4)]
    )
    _one_winner(kit, _lists(results), count)


def _lists(results: list[Any]) -> list[list[int]]:
    assert all(isinstance(each, list) for each in results), results
    return results


@clause("A2")
def test_of_processes_moving_to_one_number_one_wins(kit: Kit, registry: Any, generations: None) -> None:
    if "multiprocess" not in kit.harness.traits:
        not_applicable("the backend is not multiprocess")
    options, count = kit.options("registry"), kit.times(20, 300)
    results = in_processes(work.move_all, [(options, count, who) for who in range(4)], meet=True)
    _one_winner(kit, _lists(results), count)


@clause("A2")
def test_who_loses_can_look_and_move_again(kit: Kit, registry: Any, generations: None) -> None:
    options, count = kit.options("registry"), kit.times(8, 100)
    results = in_threads([lambda who=who: work.put_alias(options, count, who) for who in range(4)])
    _one_winner(kit, _lists(results), 4 * count)
    moments = [move.moment for move in registry.moves(PROJECT, ALIAS)]
    assert moments == sorted(moments)


@clause("A3")
def test_what_is_not_there_can_not_be_named(registry: Any, generations: None) -> None:
    registry.push(package("beta"))
    registry.close("beta", VERSION, 9, tag())
    registry.move(PROJECT, ALIAS, Move(1, (VERSION, 1)))
    for target in ((VERSION, 5), (VERSION, 9), ("2.0", 1), (VERSION, 2**63 - 1)):
        for number, alias in ((2, ALIAS), (1, "new")):
            with pytest.raises(MissingError, match=f"{PROJECT}/{target[0]}"):
                registry.move(PROJECT, alias, Move(number, target))
    assert registry.aliases(PROJECT) == (ALIAS,)
    assert len(registry.moves(PROJECT, ALIAS)) == 1
    # once it is there, it can
    registry.close(PROJECT, VERSION, 5, tag())
    registry.move(PROJECT, ALIAS, Move(2, (VERSION, 5)))
    registry.move(PROJECT, "new", Move(1, ("1", 5)))


@clause("A3")
def test_an_unknown_project_is_missing_in_every_method(registry: Any) -> None:
    for name in ("unknown", "alph", "alpha-b"):
        for call in _calls(registry, name):
            with pytest.raises(MissingError, match=name):
                call()
        if not registry.projects():
            registry.push(package())
    assert registry.projects() == (PROJECT,)


def _calls(registry: Any, project: Any = PROJECT, alias: Any = ALIAS) -> list[Callable[[], Any]]:
    return [
        lambda: registry.aliases(project),
        lambda: registry.moves(project, alias),
        lambda: registry.current(project, alias),
        lambda: registry.move(project, alias, Move(1, None)),
        lambda: registry.move(project, alias, Move(1, (VERSION, 1))),
    ]


@clause("A3")
def test_an_alias_that_was_never_moved_is_empty(registry: Any) -> None:
    registry.push(package())
    for _ in range(2):
        assert registry.aliases(PROJECT) == ()
        assert list(registry.moves(PROJECT, ALIAS)) == []
        assert registry.current(PROJECT, ALIAS) is None


@clause("A4")
@pytest.mark.parametrize(
    "wrong", [None, 0, b"x", "", ".", "..", "a/b", "a@b", "../x", "/x", "a b", "a\0", "\u00e9", "x" * 201, "a\n", "-"]
)
def test_an_invalid_name_creates_nothing(registry: Any, generations: None, wrong: Any) -> None:
    calls = _calls(registry, alias=wrong)[1:] + _calls(registry, project=wrong)
    calls += [lambda: registry.move(PROJECT, ALIAS, wrong)]
    for call in calls:
        with pytest.raises(InvalidError):
            call()
    assert registry.aliases(PROJECT) == ()
    assert registry.projects() == (PROJECT,)


@clause("A4")
def test_names_are_kept_apart_and_ascend(kit: Kit, registry: Any, generations: None) -> None:
    names = ["champion", "Champion", "champion-b", "champio", "c", "1.0", "1", "release", "x" * 200, "x" * 199 + "y"]
    for turn in (1, 2):
        for index, name in enumerate(names):
            registry.move(PROJECT, name, Move(turn, (VERSION, index % 4 + 1), note=f"{name} {turn}"))
    handle: Any
    for handle in (registry, kit.registry()):
        assert handle.aliases(PROJECT) == tuple(sorted(names))
        for index, name in enumerate(names):
            assert [move.note for move in handle.moves(PROJECT, name)] == [f"{name} 1", f"{name} 2"]
            assert handle.current(PROJECT, name).target == _named(index % 4 + 1)


@clause("A4")
def test_an_alias_is_of_one_project_and_in_no_other_listing(kit: Kit, registry: Any, generations: None) -> None:
    for project in ("alpha-b", "beta"):
        registry.push(package(project))
        registry.close(project, VERSION, 7, tag())
    registry.move("beta", ALIAS, Move(1, (VERSION, 7)))
    registry.move("beta", "2.0", Move(1, (VERSION, 7)))
    for handle in (registry, kit.registry()):
        assert handle.projects() == (PROJECT, "alpha-b", "beta")
        assert [handle.aliases(each) for each in handle.projects()] == [(), (), ("2.0", ALIAS)]
        assert handle.current(PROJECT, ALIAS) is None
        assert [str(key) for key in handle.releases("beta")] == [VERSION]
        assert handle.generations("beta", VERSION) == (7,)
        assert handle.latest("beta", VERSION) == 7
    registry.move(PROJECT, ALIAS, Move(1, (VERSION, 1)))
    assert registry.current("beta", ALIAS).target == _named(7)


@clause("A4")
def test_looking_at_aliases_creates_nothing(kit: Kit, registry: Any) -> None:
    for call in _calls(registry):
        with pytest.raises(MissingError):
            call()
    assert registry.projects() == ()
    assert "local_files" not in kit.harness.traits or not any(kit.root.iterdir())


@clause("A4")
def test_what_others_left_is_no_alias(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    if not kit.harness.litter(kit.root):
        not_applicable("nothing can be left in the store")
    for handle in (registry, kit.registry()):
        assert handle.aliases(PROJECT) == (ALIAS,)
        filled.check(handle, None)
    registry.move(PROJECT, ALIAS, Move(3, None))


@clause("A5")
def test_another_process_sees_moves(kit: Kit) -> None:
    filled = Filled(kit)
    (found,) = in_processes(work.named, [(kit.options("registry"),)])
    assert found == filled.moves


@clause("A7")
def test_handles_see_each_others_moves_at_once(kit: Kit, registry: Any, generations: None) -> None:
    other = kit.registry()
    assert registry.current(PROJECT, ALIAS) is other.current(PROJECT, ALIAS) is None
    for number in range(1, 9):
        writer, reader = (registry, other) if number % 2 else (other, registry)
        assert len(reader.moves(PROJECT, ALIAS)) == number - 1
        move = Move(number, (VERSION, number % 4 + 1))
        writer.move(PROJECT, ALIAS, move)
        assert reader.current(PROJECT, ALIAS) == move
        assert reader.moves(PROJECT, ALIAS)[-1] == move
        assert reader.aliases(PROJECT) == (ALIAS,)


@clause("A7")
def test_a_pickled_handle_moves(kit: Kit, registry: Any, generations: None) -> None:
    registry.move(PROJECT, ALIAS, Move(1, (VERSION, 1)))
    copy = pickle.loads(pickle.dumps(registry))
    registry.move(PROJECT, ALIAS, Move(2, (VERSION, 2)))
    assert copy.current(PROJECT, ALIAS).target == _named(2)
    copy.move(PROJECT, ALIAS, Move(3, (VERSION, 3)))
    assert registry.current(PROJECT, ALIAS).target == _named(3)


@clause("A7")
def test_a_child_made_by_fork_moves(kit: Kit, registry: Any, generations: None) -> None:
    registry.move(PROJECT, ALIAS, Move(1, (VERSION, 1)))

    def child() -> int:
        assert registry.current(PROJECT, ALIAS).number == 1
        registry.move(PROJECT, ALIAS, Move(2, (VERSION, 2)))
        return len(registry.moves(PROJECT, ALIAS))

    assert forked(child) == 2
    seen = registry.current(PROJECT, ALIAS).number
    assert seen == (2 if "multiprocess" in kit.harness.traits else 1)
    registry.move(PROJECT, ALIAS, Move(seen + 1, (VERSION, 3)))
    assert registry.current(PROJECT, ALIAS).target == _named(3)

from __future__ import annotations

import dataclasses
import datetime as dt
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from modelkeep import (
    Alias,
    ConflictError,
    Directory,
    Generation,
    InvalidError,
    MissingError,
    Move,
    Package,
    Project,
    Registry,
    Release,
    Tag,
    UnsupportedError,
)

NOW = dt.datetime(2024, 3, 1, 12, 30, 15, 123_456, dt.UTC)


# moves


@pytest.mark.parametrize(
    "move",
    [
        Move(1, None, NOW),
        Move(2**63 - 1, ("1.0rc1", 2**63 - 1), NOW, "why", 2**63 - 2),
        Move(2, ("1.0", 1), dt.datetime(1970, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-11))), '"\\ = é', 1),
        Move(2, ("1.0", 1), NOW, ""),
    ],
)
def test_a_move_equals_its_stored_copy(move: Move) -> None:
    assert Move.loads(move.number, move.dumps()) == move
    assert pickle.loads(pickle.dumps(move)) == move
    assert hash(Move.loads(move.number, move.dumps())) == hash(move)


def test_plain_values_become_keys_and_moments_utc() -> None:
    move = Move(1, ("1.0.0", "7"), dt.datetime(2024, 3, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))))
    assert move.target == (Release.Key("1.0"), Generation.Key(7))
    assert str(move.moment) == "2024-02-29 22:00:00+00:00"
    assert move == Move(1, ("1", 7), move.moment)
    before = dt.datetime.now(dt.UTC)
    assert before <= Move(1, None).moment <= dt.datetime.now(dt.UTC)
    with pytest.raises(dataclasses.FrozenInstanceError):
        move.number = 2  # type: ignore[misc]


class Text(str):
    """A text that shows itself as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"


@pytest.mark.parametrize(
    "arguments",
    [
        (0, None),
        (2**63, None),
        (True, None),
        (1.0, None),
        ("1", None),
        (None, None),
        (1, "1.0/7"),
        (1, ("1.0",)),
        (1, ("1.0", 7, 8)),
        (1, ["1.0", 7]),
        (1, ("one", 7)),
        (1, ("1.0", 0)),
        (1, (None, None)),
        (1, None, NOW.replace(tzinfo=None)),
        (1, None, "2024-03-01"),
        (1, None, dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1)))),
        (1, None, NOW, 5),
        (1, None, NOW, b"why"),
        (1, None, NOW, "two\nlines"),
        (1, None, NOW, "\x1b[31m"),
        (1, None, NOW, "\ud800"),
        (1, None, NOW, "x" * 1001),
        (2, None, NOW, None, 2),
        (2, None, NOW, None, 0),
        (2, None, NOW, None, "1"),
    ],
)
def test_what_can_be_no_move(arguments: Any) -> None:
    with pytest.raises(InvalidError):
        Move(*arguments)


def test_the_note_of_a_subclass_is_its_text() -> None:
    assert type(Move(1, None, note=Text("one")).note) is str
    assert Move.loads(1, Move(1, None, note=Text("one")).dumps()).note == "one"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "moment",
        "moment = 5",
        "release = '1.0'\ngeneration = 1",
        "moment = 2024-03-01T00:00:00Z\nrelease = '1.0'",
        "moment = 2024-03-01T00:00:00",
        "moment = 2024-03-01T00:00:00Z\nrelease = '1.0'\ngeneration = 0",
    ],
)
def test_what_is_not_the_text_of_a_move(text: str) -> None:
    with pytest.raises(InvalidError):
        Move.loads(1, text)


# the level


@pytest.fixture
def project(registry: Registry, pack: Callable[..., Package]) -> Project:
    """A project with four generations."""
    project = Directory(registry).get("digits")
    release = project.put(pack())
    for _ in range(4):
        release.put(Tag())
    return project


@pytest.fixture
def alias(project: Project) -> Alias:
    return project.alias("champion")


def test_an_alias_names_what_it_was_moved_to(project: Project, alias: Alias) -> None:
    assert (project.aliases(), alias.list()) == ((), ())
    assert alias.current() is None
    first = alias.put(project.get("1.0").get(1), note="the first")
    second = alias.put(("1.0.0", 2))
    assert (first.number, second.number, first.note) == (1, 2, "the first")
    assert alias.get() == Generation(alias.registry, alias.project, Release.Key("1.0"), Generation.Key(2))
    assert alias.get().tag == Tag(states=())
    assert alias.list() == (first, second)
    assert project.aliases() == ("champion",)
    assert str(alias) == "digits@champion"


def test_what_names_nothing_is_missing(alias: Alias) -> None:
    with pytest.raises(MissingError, match="digits@champion names nothing yet"):
        alias.get()
    alias.put(("1.0", 1))
    alias.put(None)
    with pytest.raises(MissingError, match="names nothing since move 2"):
        alias.get()
    assert [move.target and int(move.target[1]) for move in alias.list()] == [1, None]


def test_an_alias_names_generations_of_its_project(alias: Alias, pack: Callable[..., Package]) -> None:
    other = Directory(alias.registry).get("letters").put(pack(name="letters")).put(Tag())
    with pytest.raises(InvalidError, match="letters"):
        alias.put(other)
    bad: list[Any] = ["1.0/1", 1, ("1.0",), ("x", 1), alias]
    for each in bad:
        with pytest.raises(InvalidError):
            alias.put(each)
    for number in ("x", 1.0, True, -1):
        with pytest.raises(InvalidError):
            alias.put(("1.0", 1), after=number)  # type: ignore[arg-type]  # bad on purpose
    with pytest.raises(MissingError):
        alias.put(("1.0", 5))
    assert alias.list() == ()


def test_who_has_not_seen_the_newest_move_has_a_conflict(alias: Alias) -> None:
    seen = alias.put(("1.0", 1), after=0).number
    alias.put(("1.0", 2))
    acts: list[Callable[[], object]] = [
        lambda: alias.put(("1.0", 3), after=seen),
        lambda: alias.put(("1.0", 3), after=9),
        lambda: alias.undo(after=seen),
        lambda: alias.undo(after=9),
    ]
    for act in acts:
        with pytest.raises(ConflictError, match="digits@champion"):
            act()
    assert alias.get().key == 2
    assert alias.put(("1.0", 3), after=2).number == 3


def test_undoing_goes_back_move_by_move(alias: Alias) -> None:
    for number in (1, 2, 3):
        alias.put(("1.0", number))
    assert alias.undo(note="worse").undoes == 3
    assert alias.get().key == 2
    alias.put(("1.0", 4))
    assert [alias.undo().undoes for _ in range(2)] == [5, 2]
    assert alias.get().key == 1
    last = alias.undo()
    assert (last.undoes, last.target) == (1, None)
    with pytest.raises(MissingError, match="no move that could be taken back"):
        alias.undo()
    assert len(alias.list()) == 8
    alias.put(("1.0", 2))
    alias.put(None)
    alias.undo()
    assert alias.get().key == 2


def test_what_held_when(alias: Alias) -> None:
    days = (1, 10, 10, 20)
    for number, day in enumerate(days, 1):
        moment = dt.datetime(2024, 3, day, tzinfo=dt.UTC)
        alias.registry.move(
            alias.project, alias.key, Move(number, (Release.Key("1.0"), Generation.Key(number)), moment)
        )

    def held(begin: int, end: int) -> list[int]:
        first = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
        return [
            move.number for move in alias.between(*(first + dt.timedelta(begin + 28), first + dt.timedelta(end + 28)))
        ]

    assert held(-5, 0) == []
    assert held(0, 1) == []
    assert held(0, 2) == [1]
    assert held(1, 1) == held(5, 5) == held(5, 10) == [1]
    # the second move held no time at all
    assert held(10, 10) == [3]
    assert held(1, 31) == held(5, 21) == [1, 3, 4]
    assert held(20, 20) == held(100, 200) == [4]
    naive = NOW.replace(tzinfo=None)
    pairs: list[Any] = [(naive, NOW), (NOW, naive), (NOW, "2024")]
    for pair in pairs:
        with pytest.raises(InvalidError):
            alias.between(*pair)


def test_moments_never_go_back(alias: Alias) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    alias.registry.move(alias.project, alias.key, Move(1, None, later))
    assert alias.put(("1.0", 1)).moment == later


@pytest.mark.parametrize("bad", ["", "..", "a/b", "a@b", None, 5])
def test_a_name_that_can_not_be(project: Project, bad: Any) -> None:
    with pytest.raises(InvalidError):
        project.alias(bad)


# a backend without


def _no(*_: Any) -> Any:
    raise AssertionError


#: A backend that implements what it must, and no more.
Bare: Any = type(
    "Bare", (Registry,), {**dict.fromkeys(Registry.__abstractmethods__, _no), "__repr__": lambda _: "Bare()"}
)


def test_a_backend_without_aliases_says_so() -> None:
    alias = Directory(Bare()).get("digits").alias("champion")
    calls: list[Callable[[], object]] = [
        Directory(Bare()).get("digits").aliases,
        alias.list,
        alias.get,
        alias.undo,
        lambda: alias.put(("1.0", 1)),
        lambda: Bare().move(Project.Key("digits"), Alias.Key("champion"), Move(1, None)),
    ]
    for call in calls:
        with pytest.raises(UnsupportedError, match=r"Bare\(\) keeps no aliases.*digits"):
            call()

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelkeep
from modelkeep import Alias, Directory, Move

if TYPE_CHECKING:
    from conftest import Run


@pytest.fixture
def alias(filled: Path) -> Alias:
    """What the commands move."""
    return Directory(modelkeep.registry()).get("digits").alias("champion")


def test_an_alias_is_moved_shown_and_listed(run: Run, alias: Alias) -> None:
    assert (run("alias", "digits").out, run("alias", "digits").code) == ("", 0)
    done = run("alias", "digits", "champion", "1.0/1", "-m", "first of all")
    assert (done.code, done.err) == (0, "")
    assert done.out.split("\t")[:2] == ["champion", "1"]
    assert done.out.split("\t")[3:] == ["1.0", "1", "first of all\n"]
    assert run("alias", "digits", "champion").out == done.out
    run("alias", "digits", "challenger", "1.0/latest")
    assert [line.split("\t")[0] for line in run("alias", "digits").lines] == ["challenger", "champion"]
    assert run("alias", "digits", "champion", "@challenger").code == 0
    assert alias.get().key == 2


def test_a_moved_alias_is_told_as_json(run: Run, alias: Alias) -> None:
    document = run("alias", "digits", "champion", "1.0/2", "--json").document
    (move,) = document["moves"]
    assert document["project"] == "digits"
    assert move.pop("moment").endswith("+00:00")
    assert move == {"alias": "champion", "move": 1, "release": "1.0", "generation": 2, "note": None, "undoes": None}


def test_an_alias_goes_wherever_a_reference_goes(run: Run, alias: Alias, tmp_path: Path) -> None:
    run("alias", "digits", "champion", "1.0/1")
    name = "digits@champion"
    assert run("show", name).out == run("show", "digits/1.0/1").out != ""
    assert run("ls", name).out == run("ls", "digits/1.0/1").out != ""
    assert run("get", name, "-o", tmp_path / "states").code == 0
    assert len(list((tmp_path / "states").iterdir())) == 3
    assert run("verify", name).code == 0
    # where a release is needed, it is the release of what is named
    assert run("tree", name).out == run("tree", "digits/1.0").out != ""
    assert run("history", name).out == run("history", "digits/1.0").out != ""
    assert run("pull", name, "-o", tmp_path / "package").code == 0
    assert run("cp", "dev", "other", name).code == 0
    assert run("ls", "digits/1.0", "-R", "other").out == "1\n"


def test_undo_and_clear(run: Run, alias: Alias) -> None:
    for number in (1, 2):
        run("alias", "digits", "champion", f"1.0/{number}")
    assert run("alias", "digits", "champion", "--undo").out.split("\t")[4] == "1"
    assert run("show", "digits@champion").lines[2] == "generation\t1"
    assert run("alias", "digits", "champion", "--clear", "-m", "withdrawn").code == 0
    done = run("show", "digits@champion")
    assert (done.code, done.out) == (3, "")
    assert "names nothing since move 4" in done.err
    for arguments in (("--clear",), ()):
        assert run("alias", "digits", "champion", *arguments).code == 3
    assert run("alias", "digits", "champion", "--undo").code == 0
    assert alias.get().key == 1
    assert [move.undoes for move in alias.list()] == [None, None, 2, None, 4]


def test_a_conflict_is_told(run: Run, alias: Alias) -> None:
    assert run("alias", "digits", "champion", "1.0/1", "--after", "0").code == 0
    for arguments in (("1.0/2", "--after", "0"), ("--undo", "--after", "7"), ("--clear", "--after", "0")):
        done = run("alias", "digits", "champion", *arguments)
        assert (done.code, done.out) == (5, "")
        assert "digits@champion" in done.err
    assert run("alias", "digits", "champion", "1.0/2", "--after", "1").code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("digits", "champion", "1.0/9"), 3),
        (("digits", "champion", "2.0/1"), 3),
        (("digits", "champion", "@nobody"), 3),
        (("digits", "nobody"), 3),
        (("digits", "nobody", "--undo"), 3),
        (("digits", "nobody", "--clear"), 3),
        (("nothing",), 3),
        (("nothing", "champion", "1.0/1"), 3),
        (("digits", "champion", "1.0"), 4),
        (("digits", "champion", "1.0/x"), 4),
        (("digits", "champion", "1.0/1/2"), 4),
        (("digits", "a b", "1.0/1"), 4),
        (("digits", "champion", "1.0/1", "-m", "two\nlines"), 4),
        (("digits/1.0", "champion", "1.0/1"), 2),
        (("digits@champion", "champion", "1.0/1"), 2),
        (("digits", "champion", "1.0/1", "--undo"), 2),
        (("digits", "champion", "--undo", "--clear"), 2),
        (("digits", "champion", "-m", "why"), 2),
        (("digits", "champion", "--after", "1"), 2),
        (("digits", "--undo"), 2),
        (("digits", "champion", "1.0/1", "--after", "-1"), 2),
        ((), 2),
    ],
)
def test_what_is_wrong_moves_nothing(run: Run, alias: Alias, arguments: tuple[str, ...], code: int) -> None:
    done = run("alias", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err
    assert alias.list() == ()


@pytest.mark.parametrize("text", ["digits@", "@champion", "digits@a/b", "digits/1.0@champion", "digits@a@b"])
def test_what_is_no_reference(run: Run, alias: Alias, text: str) -> None:
    assert run("show", text).code == 4


def test_hints_tell_aliases(run: Run, alias: Alias) -> None:
    run("alias", "digits", "champion", "1.0/1")
    assert "did you mean 'champion'?" in run("show", "digits@champoin").err
    assert "digits has @champion" in run("show", "digits@x").err
    assert "did you mean 'digits'?" in run("show", "digts@champion").err


# what was in production


@pytest.fixture
def moved(alias: Alias) -> Alias:
    """A champion of the spring of 2024."""
    import datetime as dt

    days = [(2, 20), (3, 10), (3, 31), (5, 1)]
    for number, (month, day) in enumerate(days, 1):
        target = ("1.0", number % 2 + 1) if number < 4 else None
        moment = dt.datetime(2024, month, day, 12, tzinfo=dt.UTC)
        alias.registry.move(alias.project, alias.key, Move(number, target, moment, f"move {number}"))
    return alias


@pytest.mark.parametrize(
    ("at", "moves"),
    [
        ((), [1, 2, 3, 4]),
        (("--at", "2024-03"), [1, 2, 3]),
        (("--at", "2024-04"), [3]),
        (("--at", "2024"), [1, 2, 3, 4]),
        (("--at", "2023"), []),
        (("--at", "2024-12"), [4]),
        (("--at", "2024-03-10"), [1, 2]),
        (("--at", "2024-03-10T11:59:59"), [1]),
        (("--at", "2024-03-10T12:00:00"), [2]),
        (("--at", "2024-03-10T12:30:00+01:00"), [1]),
        (("--at", "2024-01-31"), []),
    ],
)
def test_what_was_in_production(run: Run, moved: Alias, at: tuple[str, ...], moves: list[int]) -> None:
    done = run("history", "digits", "--aliases", *at)
    assert done.code == 0
    assert [int(line.split("\t")[1]) for line in done.lines] == moves
    document = run("history", "digits", "--aliases", *at, "--json").document
    assert [move["note"] for move in document["moves"]] == [f"move {number}" for number in moves]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("digits", "--aliases", "--at", "March"), 4),
        (("digits", "--aliases", "--at", "2024-13"), 4),
        (("digits", "--aliases", "--at", "9999-12-31"), 4),
        (("digits", "--aliases", "--at", ""), 4),
        (("digits", "--at", "2024"), 2),
        (("digits/1.0", "--aliases"), 2),
        (("digits", "--aliases", "--html", "x.html"), 2),
        (("nothing", "--aliases"), 3),
    ],
)
def test_what_can_not_be_asked(run: Run, moved: Alias, arguments: tuple[str, ...], code: int) -> None:
    done = run("history", *arguments)
    assert (done.code, done.out) == (code, "")
    assert not Path("x.html").exists()


def test_a_damaged_alias_does_not_hide_another(run: Run, moved: Alias, filled: Path) -> None:
    run("alias", "digits", "stable", "1.0/1")
    path = filled / ".aliases" / "champion" / "4.toml"
    path.write_bytes(path.read_bytes().replace(b"move 4", b"move 5"))
    for arguments in (("alias", "digits"), ("history", "digits", "--aliases")):
        done = run(*arguments)
        assert done.code == 6
        assert [line.split("\t")[0] for line in done.lines] == ["stable"]
        assert "digits@champion" in done.err
    assert run("alias", "digits", "champion", "1.0/1").code == 6
    assert run("alias", "digits", "champion", "1.0/1", "--after", "4").code == 0
    assert run("show", "digits@champion").code == 0

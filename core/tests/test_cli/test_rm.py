from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelkeep
from modelkeep import Directory, MissingError

if TYPE_CHECKING:
    from conftest import Run

Terminal = Callable[..., tuple[int, str]]


def left() -> list[str]:
    """What there is, by its reference."""
    directory = Directory(modelkeep.registry())
    found: list[str] = []
    for project in map(directory.get, directory.list()):
        for release in map(project.get, project.list()):
            found += [f"{release.key}", *(f"{release.key}/{number}" for number in release.list())]
    return found


ALL = ["1.0", "1.0/1", "1.0/2", "1.1"]


@pytest.mark.parametrize(
    ("ref", "kind", "removed", "rest"),
    [
        ("digits/1.0/1", "generation", "digits/1.0/1", ["1.0", "1.0/2", "1.1"]),
        ("digits/1.0/latest", "generation", "digits/1.0/2", ["1.0", "1.0/1", "1.1"]),
        ("digits/v1", "release", "digits/1.0", ["1.1"]),
        ("digits/latest", "release", "digits/1.1", ["1.0", "1.0/1", "1.0/2"]),
        ("digits", "project", "digits", []),
    ],
)
@pytest.mark.usefixtures("filled")
def test_what_is_removed_without_being_asked(run: Run, ref: str, kind: str, removed: str, rest: list[str]) -> None:
    done = run("rm", ref, "--yes", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.document == {"kind": kind, "removed": removed}
    assert left() == rest


@pytest.mark.parametrize("ref", ["digits/1.0/1", "digits/1.0", "digits"])
def test_who_can_not_be_asked_has_to_say_yes(run: Run, filled: Path, ref: str) -> None:
    done = run("rm", ref)
    assert (done.code, done.out) == (2, "")
    assert "--yes" in done.err
    assert left() == ALL


def test_a_generation_is_asked_for_once(on_terminal: Terminal, filled: Path) -> None:
    code, shown = on_terminal("rm", "digits/1.0/1", typed="n\n")
    assert code == 1
    assert "Remove digits/1.0/1 from" in shown
    assert "digits/1.0/1 was left as it is" in shown
    assert left() == ALL
    assert on_terminal("rm", "digits/1.0/1", typed="y\n")[0] == 0
    assert left() == ["1.0", "1.0/2", "1.1"]


@pytest.mark.parametrize("typed", ["n\n", "\n", "y\nno\n", "y\ndigits\n", "y\ndigits/1.0/1\n"])
def test_a_release_is_asked_for_twice(on_terminal: Terminal, filled: Path, typed: str) -> None:
    code, shown = on_terminal("rm", "digits/1.0", typed=typed)
    assert code == 1
    assert "with its 2 generations" in shown
    assert left() == ALL


def test_a_release_or_project_is_removed_by_its_name(on_terminal: Terminal, filled: Path) -> None:
    assert on_terminal("rm", "digits/1", typed="y\ndigits/1.0\n")[0] == 0
    assert left() == ["1.1"]
    code, shown = on_terminal("rm", "digits", typed="y\ndigits\n")
    assert code == 0
    assert "with its 1 release from" in shown
    assert left() == []


@pytest.mark.parametrize(
    ("ref", "code"),
    [("digits/1.0/9", 3), ("digits/2.0", 3), ("nothing", 3), ("digits/1.1/latest", 3), ("digits@x", 3), ("..", 4)],
)
@pytest.mark.parametrize("yes", [True, False])
def test_what_is_not_there(run: Run, filled: Path, ref: str, code: int, *, yes: bool) -> None:
    done = run("rm", ref, *["--yes"] * yes)
    assert (done.code, done.out) == (code, "")
    assert left() == ALL


def test_what_is_damaged_can_be_removed(run: Run, damaged: Path) -> None:
    assert run("verify").code == 1
    for number in (1, 2):
        assert run("rm", f"digits/1.0/{number}", "--yes").code == 0
    assert run("verify").code == 0


def test_what_was_removed_is_not_committed_again(run: Run, filled: Path, states: list[Path]) -> None:
    assert run("rm", "digits/1.0/2", "-y").code == 0
    assert run("commit", "digits/1.0", states[0]).out.strip() == "digits/1.0/3"
    assert run("rm", "digits/1.0", "-y").code == 0
    assert run("commit", "digits/1.0", states[0]).code == 3


def test_an_alias_is_removed_by_what_it_names(run: Run, filled: Path) -> None:
    run("alias", "digits", "champion", "1.0/1")
    assert run("rm", "digits@champion", "-y").out == "digits/1.0/1\n"
    done = run("show", "digits@champion")
    assert done.code == 3
    with pytest.raises(MissingError):
        Directory(modelkeep.registry()).get("digits").alias("champion").get().list()

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

import modelkeep

if TYPE_CHECKING:
    from conftest import Run


def test_an_empty_registry_lists_nothing_and_creates_nothing(run: Run, store: Path) -> None:
    done = run("ls")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert run("ls", "--json").document == {"projects": []}
    assert not (store / "registry").exists()


def test_ls_lists_names(run: Run, filled: Path) -> None:
    assert run("ls").lines == ["digits"]
    assert run("ls", "digits").lines == ["1.0", "1.1"]
    assert run("ls", "digits/1.0").lines == ["1", "2"]
    assert run("ls", "digits/1.1").lines == []


def test_ls_of_a_generation_lists_its_states_in_order(run: Run, filled: Path) -> None:
    lines = [line.split("\t") for line in run("ls", "digits/1.0/1").lines]
    assert [index for index, _ in lines] == ["0", "1", "2"]
    tag = modelkeep.Directory(modelkeep.registry()).get("digits").get("1.0").get(1).tag
    assert tuple(UUID(sid) for _, sid in lines) == tag.states


def test_ls_long(run: Run, filled: Path) -> None:
    assert run("ls", "-l").lines == ["digits\t2\t1.1"]
    assert run("ls", "-l", "digits").lines == ["1.0\t2\t2", "1.1\t0\t"]
    first, second = (line.split("\t") for line in run("ls", "-l", "digits/1.0").lines)
    assert (first[0], first[2], first[4:]) == ("1", "2024-05-01", ["0.97", "3"])
    assert (second[0], second[2], second[3:]) == ("2", "", ["", "", "1"])
    assert [line.split("\t")[2] for line in run("ls", "-l", "digits/1.0/1").lines] == ["5000", "0", "128000"]


def test_latest_stands_for_the_highest(run: Run, filled: Path) -> None:
    assert run("ls", "digits/latest").lines == []
    assert run("ls", "digits/latest", "--json").document["release"] == "1.1"
    assert run("show", "digits/1.0/latest", "--json").document["generation"] == 2


def test_a_release_is_found_by_any_spelling(run: Run, filled: Path) -> None:
    assert run("ls", "digits/v1").lines == ["1", "2"]


def test_json_of_ls(run: Run, filled: Path) -> None:
    assert run("ls", "--json", "-l").document == {"projects": [{"project": "digits", "releases": 2, "latest": "1.1"}]}
    assert run("--json", "ls", "digits").document == {
        "project": "digits",
        "releases": [{"release": "1.0"}, {"release": "1.1"}],
    }
    document = run("ls", "-l", "--json", "digits/1.0").document
    assert {key: document[key] for key in ("project", "release")} == {"project": "digits", "release": "1.0"}
    first, second = document["generations"]
    assert first["generation"] == 1
    assert first["states"] == 3
    assert first["training"]["ordinal"] == "2024-05-01"
    assert first["tuning"]["score"] == 0.97
    assert second["tuning"] == {"timestamp": None, "score": None}


def test_timestamps_are_aware_utc_in_iso_format(run: Run, filled: Path) -> None:
    training = run("show", "digits/1.0/1", "--json").document["training"]
    moment = dt.datetime.fromisoformat(training["timestamp"])
    assert moment.utcoffset() == dt.timedelta(0)
    assert abs(dt.datetime.now(dt.UTC) - moment) < dt.timedelta(minutes=5)


def test_show_a_project(run: Run, filled: Path) -> None:
    assert run("show", "digits").lines == ["project\tdigits", "releases\t2", "latest\t1.1"]


def test_show_a_release(run: Run, filled: Path) -> None:
    document = run("show", "digits/1", "--json").document
    digest = document.pop("digest")
    assert digest == modelkeep.Directory(modelkeep.registry()).get("digits").get("1.0").package().digest
    assert document == {
        "project": "digits",
        "release": "1.0",
        "package": "digits",
        "modules": {"pipeline": ".pipeline"},
        "kind": "file",
        "generations": 2,
        "latest": 2,
    }
    assert "modules.pipeline\t.pipeline" in run("show", "digits/1").lines


def test_show_a_generation(run: Run, filled: Path) -> None:
    tag = modelkeep.Directory(modelkeep.registry()).get("digits").get("1.0").get(1).tag
    document = run("show", "digits/1.0/1", "--json").document
    assert document["states"] == [str(sid) for sid in tag.states]
    assert f"states.2\t{tag.states[2]}" in run("show", "digits/1.0/1").lines


@pytest.mark.parametrize("score", ["nan", "inf", "-inf"])
def test_a_score_that_json_does_not_have_is_a_string(run: Run, filled: Path, states: list[Path], score: str) -> None:
    run("commit", "digits/1.1", states[0], f"--score={score}")
    assert run("show", "--json", "digits/1.1/1").document["tuning"]["score"] == score


def test_what_is_stored_can_not_command_a_terminal(run: Run, filled: Path, states: list[Path]) -> None:
    run("commit", "digits/1.1", states[0], "--ordinal", "\x1b[2Jred\ttab")
    line = run("ls", "-l", "digits/1.1").out
    assert "\\x1b[2Jred\\ttab" in line
    assert "\x1b" not in line
    assert run("show", "--json", "digits/1.1/1").document["training"]["ordinal"] == "\x1b[2Jred\ttab"


def test_a_damaged_item_does_not_hide_its_siblings(run: Run, damaged: Path) -> None:
    done = run("ls", "-l", "digits/1.0")
    assert done.code == 6
    assert done.lines[0] == "1\tdamaged"
    assert done.lines[1].startswith("2\t2")
    assert "digits/1" in done.err
    document = run("ls", "-l", "digits/1.0", "--json").document
    assert "damaged" in document["generations"][0]["error"]
    assert document["generations"][1]["states"] == 1


def test_a_damaged_state_is_told(run: Run, damaged: Path) -> None:
    done = run("ls", "-l", "digits/1.0/2")
    assert done.code == 6
    assert done.lines[0].endswith("\tdamaged")


@pytest.mark.parametrize("ref", ["nope", "digits/9.9", "digits/1.0/9", "digits/1.1/latest", "nope/latest"])
@pytest.mark.parametrize("command", ["ls", "show"])
def test_what_is_not_there(run: Run, filled: Path, command: str, ref: str) -> None:
    done = run(command, ref)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("modelkeep: ")
    assert ref.removesuffix("/latest").split("/")[-1] in done.err


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "/",
        "..",
        "../..",
        "/etc/passwd",
        "digits/..",
        "digits/../..",
        "digits/1.0/..",
        "digits/1.0/0",
        "digits/1.0/-1",
        "digits/1.0/1/2",
        "digits/1.0/1e3",
        "digits/1.0/٣",
        "digits/not a version",
        "digits//1",
        "digits/",
        ".stage",
        "dïgits",
        "a" * 201,
        "\udcff",
        "digits/1.0/9223372036854775808",
        "Latest/LATEST",
    ],
)
def test_hostile_references(run: Run, filled: Path, ref: str) -> None:
    done = run("show", ref)
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("modelkeep: ")
    assert "Traceback" not in done.err

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

import modelkeep
from modelkeep import Directory, Tag, Tuning
from modelkeep._cli._plot import plot

if TYPE_CHECKING:
    from conftest import Run


# tree


def test_tree(run: Run, filled: Path) -> None:
    rows = [line.split("\t") for line in run("tree").lines]
    assert [row[0] for row in rows] == ["digits", "digits/1.0", "digits/1.0/1", "digits/1.0/2", "digits/1.1"]
    assert rows[2][2:] == ["0.97", "3"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", rows[2][1])
    assert rows[0][1:] == rows[4][1:] == ["", "", ""]


def test_an_empty_registry_has_an_empty_tree(run: Run, store: Path) -> None:
    assert (run("tree").out, run("tree").code) == ("", 0)
    assert run("tree", "--json").document == {"projects": []}
    assert not (store / "registry").exists()


def test_sizes(run: Run, filled: Path) -> None:
    rows = {row[0]: row[-1] for row in (line.split("\t") for line in run("tree", "--sizes").lines)}
    package = Directory(modelkeep.registry()).get("digits").get("1.0").package()
    assert rows["digits/1.0"] == str(package.path.stat().st_size)
    assert rows["digits/1.0/1"] == str(5000 + 0 + 128_000)
    assert rows["digits/1.0/2"] == "5000"
    assert rows["digits"] == ""


def test_a_part_of_the_tree(run: Run, filled: Path) -> None:
    assert [line.split("\t")[0] for line in run("tree", "digits/1").lines] == [
        "digits",
        "digits/1.0",
        "digits/1.0/1",
        "digits/1.0/2",
    ]
    assert len(run("tree", "digits").lines) == 5
    assert run("tree", "digits/1.0/1").code == 2


def test_json_of_the_tree(run: Run, filled: Path) -> None:
    (project,) = run("tree", "--json", "-s").document["projects"]
    assert project["project"] == "digits"
    first, second = project["releases"]
    assert second["generations"] == []
    assert second["size"] > 0
    assert [each["generation"] for each in first["generations"]] == [1, 2]
    assert first["generations"][0]["tuning"]["score"] == 0.97
    assert first["generations"][0]["states"] == 3
    assert first["generations"][0]["size"] == 133_000
    assert "size" not in run("tree", "--json").document["projects"][0]["releases"][0]


def test_damage_does_not_hide_siblings(run: Run, damaged: Path) -> None:
    done = run("tree")
    assert done.code == 6
    assert done.lines[2].split("\t")[:2] == ["digits/1.0/1", "damaged"]
    assert done.lines[3].startswith("digits/1.0/2\t2")
    assert "digits/1.0/1" in done.err
    # only who asks for sizes reads states
    assert run("tree", "digits/1.1", "-s").code == 0
    assert len(run("tree", "-s").err.splitlines()) == 2


@pytest.mark.parametrize("command", ["tree", "history"])
def test_a_level_that_can_not_be_listed_is_told(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    listed = modelkeep.Release.list

    def fail(release: modelkeep.Release) -> Any:
        if str(release.key) == "1.0":
            raise modelkeep.CorruptedError("no luck")
        return listed(release)

    monkeypatch.setattr(modelkeep.Release, "list", fail)
    done = run(command, "digits")
    assert (done.code, done.err) == (6, "modelkeep: no luck\n")
    assert any("1.0\t" in line and "\tdamaged" in line for line in done.lines)
    assert run(command, "digits", "--json").code == 6


@pytest.mark.parametrize("ref", ["nope", "digits/9"])
@pytest.mark.parametrize("command", ["tree", "history"])
def test_what_is_not_there(run: Run, filled: Path, command: str, ref: str) -> None:
    done = run(command, ref)
    assert (done.code, done.out) == (3, "")


def test_a_tree_on_a_terminal(on_terminal: Callable[..., tuple[int, str]], filled: Path) -> None:
    _, shown = on_terminal("tree", PYTHONIOENCODING="utf-8")
    names = [line[:12].rstrip() for line in shown.splitlines()]
    assert names[0].startswith("name")
    assert [name[:9].rstrip() for name in names[1:]] == ["digits", "├── 1.0", "│   ├── 1", "│   └── 2", "└── 1.1"]


def test_a_terminal_of_ascii(on_terminal: Callable[..., tuple[int, str]], filled: Path) -> None:
    for command in (["tree"], ["history", "digits"]):
        _, shown = on_terminal(*command, PYTHONIOENCODING="ascii")
        assert shown.isascii()
        assert "\\u" not in shown


# history


@pytest.fixture
def scored(run: Run, filled: Path) -> None:
    """More generations of 1.1, of several scores."""
    release = Directory(modelkeep.registry()).get("digits").get("1.1")
    for score in (0.5, float("nan"), float("inf"), None, 0.75):
        release.put(Tag(tuning=Tuning.now(score)))


def test_history(run: Run, scored: None) -> None:
    rows = [line.split("\t") for line in run("history", "digits").lines]
    assert [row[:2] for row in rows] == [["1.0", "1"], ["1.0", "2"], *(["1.1", str(number)] for number in range(1, 6))]
    assert [row[5] for row in rows] == ["0.97", "", "0.5", "nan", "inf", "", "0.75"]
    assert rows[0][3] == "2024-05-01"
    assert len(run("history", "digits/1.1").lines) == 5


def test_json_of_history(run: Run, scored: None) -> None:
    document = run("history", "digits", "--json").document
    assert document["project"] == "digits"
    assert [each["tuning"]["score"] for each in document["generations"]] == [0.97, None, 0.5, "nan", "inf", None, 0.75]


def test_damage_in_a_history(run: Run, damaged: Path) -> None:
    done = run("history", "digits")
    assert done.code == 6
    assert done.lines[0].split("\t")[:3] == ["1.0", "1", "damaged"]
    assert done.lines[1].startswith("1.0\t2\t2")


def test_a_history_on_a_terminal_has_a_plot(on_terminal: Callable[..., tuple[int, str]], scored: None) -> None:
    code, shown = on_terminal("history", "digits", PYTHONIOENCODING="utf-8")
    assert code == 0
    assert shown.count("●") == 3
    assert "0.97 │●" in shown
    assert "1.0/1" in shown.splitlines()[-1]
    assert "●" not in on_terminal("history", "digits", "--json")[1]


# plots


def test_plot() -> None:
    assert plot([("a", 1.0), ("b", None), ("c", 3.0), ("d", 2.0)], 40, 3, unicode=False) == [
        "3 | *",
        "  |  *",
        "1 |*",
        "  +---",
        "   a  d",
    ]


@pytest.mark.parametrize("scores", [[], [None], [float("nan"), float("inf"), None]])
def test_nothing_to_plot(scores: list[float | None]) -> None:
    assert plot([("x", score) for score in scores], 80, 10, unicode=True) == []


@pytest.mark.parametrize(
    "scores",
    [
        [1.0],
        [0.5] * 7,
        [1e308, -1e308],
        [1e308] * 500,
        [5e-324, 0.0],
        [-0.0, 0.0],
        [float(number) for number in range(1000)],
    ],
)
@pytest.mark.parametrize("width", [0, 10, 80])
@pytest.mark.parametrize("height", [1, 2, 12])
def test_whatever_the_scores_are(scores: list[float], width: int, height: int) -> None:
    lines = plot([("x", score) for score in scores], width, height, unicode=True)
    assert len(lines) == height + 2
    points = sum(line.count("●") for line in lines)
    assert 1 <= points <= len(scores)
    assert all(len(line) <= max(width, 8 + 12) for line in lines)


# pages


def _page(run: Run, *arguments: object) -> tuple[str, ET.Element]:
    done = run("history", "digits", "--html", "page.html", *arguments)
    assert (done.code, done.out) == (0, "page.html\n")
    text = Path("page.html").read_text("utf-8")
    svg = re.search(r"<svg.*?</svg>", text, re.DOTALL)
    assert svg is not None
    return text, ET.fromstring(svg[0])


def test_a_page(run: Run, scored: None) -> None:
    text, svg = _page(run)
    circles = svg.findall("circle")
    assert [circle.findtext("title") for circle in circles] == ["1.0/1: 0.97", "1.1/1: 0.5", "1.1/5: 0.75"]
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert heights[0] < heights[2] < heights[1]
    for circle in circles:
        assert 0 <= float(circle.attrib["cx"]) <= 960
        assert 0 <= float(circle.attrib["cy"]) <= 320
    assert text.count("<tr>") == 8
    # nothing is fetched and nothing runs
    assert not re.search(r"https?:|src=|href=|url\(|@import|<script|<link|\bon\w+=", text)


def test_what_is_stored_is_no_html(run: Run, filled: Path, states: list[Path]) -> None:
    run("commit", "digits/1.1", states[0], "--ordinal", "<script>alert(1)</script>&\"'\x1b", "--score", "1")
    text, _ = _page(run)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in text
    assert "<script" not in text
    assert "\x1b" not in text


def test_a_page_without_scores(run: Run, filled: Path) -> None:
    assert run("history", "digits/1.1", "--html", "page.html").code == 0
    assert "No generation has a score" in Path("page.html").read_text()


@pytest.mark.parametrize("scores", [[1.0], [1e308, -1e308], [0.1, 0.1]])
def test_a_page_of_odd_scores(run: Run, filled: Path, scores: list[float]) -> None:
    release = Directory(modelkeep.registry()).get("digits").get("1.1")
    for score in scores:
        release.put(Tag(tuning=Tuning(None, score)))
    text, _ = _page(run)
    assert not re.search(r'="[^"]*(nan|inf)', text)


def test_a_page_replaces_nothing_unasked(run: Run, scored: None) -> None:
    Path("page.html").write_text("mine")
    assert run("history", "digits", "--html", "page.html").code == 5
    assert Path("page.html").read_text() == "mine"
    _page(run, "--force")
    assert run("history", "digits", "--html", "nowhere/page.html").code == 4
    assert [path.name for path in Path().glob(".*.partial")] == []


def test_a_page_shows_damage(run: Run, damaged: Path) -> None:
    done = run("history", "digits", "--html", "page.html")
    assert (done.code, done.out) == (6, "page.html\n")
    assert "<td>damaged</td>" in Path("page.html").read_text()


def test_nobody_reads(scored: None, spawn: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for command in (["tree"], ["history", "digits"]):
        assert spawn(*command, stdout=writer).code == 141
    os.close(writer)


def test_the_place_is_no_html(run: Run, filled: Path, store: Path) -> None:
    config = store / "modelkeep.toml"
    config.write_text(config.read_text().replace('path = "registry"', 'path = "<b>&"'))
    (store / "registry").rename(store / "<b>&")
    text, _ = _page(run)
    assert "&lt;b&gt;&amp;" in text
    assert "<b>" not in text

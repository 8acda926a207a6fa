"""The benchmarks say what they measured, and nothing else. No test here depends on how long anything takes."""

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from modelkeep import MissingError
from modelkeep_conformance.bench import __main__ as command
from modelkeep_conformance.bench import growth, large, peers, processes, reports
from modelkeep_conformance.bench.measure import (
    Curve,
    Figure,
    Point,
    Skipped,
    Took,
    Work,
    clock,
    duration,
    figure,
    race,
    ratio,
)
from modelkeep_conformance.bench.peer import FORML, Peer, Recipe, ours
from modelkeep_conformance.bench.place import Bench
from modelkeep_conformance.bench.stores import serve

HOSTILE = "<script>alert('a & b')</script> | x\n\"y\""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder, cache = tmp_path / "folder", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    return Bench(folder, cache, quick=True)


# measuring


def test_a_race_turns_and_leaves_the_first_round_out() -> None:
    order: list[str] = []

    def contestant(name: str) -> Callable[[], Work]:
        return lambda: lambda: order.append(name)

    times = race({name: contestant(name) for name in "abc"}, 3)
    assert [len(times[name]) for name in "abc"] == [3, 3, 3]
    assert "".join(order) == "abcacbcabcba"


def test_the_clock_of_another_process_counts() -> None:
    assert clock(lambda: Took(12.5)) == 12.5
    assert clock(lambda: None) < 12.5


def test_a_figure_is_the_median_and_the_quartiles() -> None:
    found = figure("it", [5, 1, 2, 4, 3], "ms", 2.9)
    assert (found.low, found.value, found.high, found.met) == (2, 3, 4, False)
    assert figure("it", [7.0], "ms").met is None
    assert figure("it", [7.0], "ms", 6, least=True).met is True
    assert Point.of(10, [5, 1, 2, 4, 3]) == (10, 2, 3, 4)


def test_a_ratio_is_the_median_of_ratios_and_a_share_is_turned_over() -> None:
    times = {"ours": [1.0, 2.0, 8.0], "theirs": [1.0, 1.0, 2.0]}
    assert ratio("it", times, "ours", "theirs").value == 2
    assert ratio("it", times, "ours", "theirs", 0.5, share=True).value == 0.5
    assert ratio("it", times, "ours", "theirs", 0.5, share=True).met
    assert ratio("it", times, "ours", "theirs").samples == times


@pytest.mark.parametrize(("seconds", "said"), [(2, "2.00 s"), (0.0025, "2.50 ms"), (0.000002, "2.0 us")])
def test_a_duration_has_a_unit_that_suits_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# peers


class Kept:
    """A store of the peers, in a file."""

    def __init__(self, place: Path, *, forgets: bool = False, lies: bool = False) -> None:
        place.mkdir(exist_ok=True)
        self.path, self.forgets, self.lies = place / "states", forgets, lies

    def commit(self, states: list[bytes]) -> None:
        if not self.forgets:
            with self.path.open("a") as file:
                file.write(states[0].hex() + "\n")

    def list(self) -> int:
        return len(self.path.read_text().split()) if self.path.exists() else 0

    def load(self) -> bytes:
        return bytes(100) if self.lies else bytes.fromhex(self.path.read_text().split()[-1])


def test_what_a_peer_lists_and_loads_is_compared(tmp_path: Path) -> None:
    server = serve.Server(Kept, tmp_path)
    assert server.fill("many", "3") >= 0
    assert server.commit("many", "2", "100") >= 0
    assert server.list("many") >= 0
    assert server.load("many") >= 0
    server.remove("many")
    assert not (tmp_path / "many").exists()
    forgetful = serve.Server(lambda place: Kept(place, forgets=True), tmp_path)
    forgetful.fill("lost", "3")
    with pytest.raises(RuntimeError, match="0 generations are listed, and 3 were committed"):
        forgetful.list("lost")
    liar = serve.Server(lambda place: Kept(place, lies=True), tmp_path)
    liar.fill("other", "1")
    with pytest.raises(RuntimeError, match="not what was committed"):
        liar.load("other")


def test_ours_answers_as_a_peer_does_and_a_new_process_loads(bench: Bench) -> None:
    folder = bench.new()
    with Peer.start(ours("local"), bench.cache, folder) as peer:
        assert peer.call("fill", "many", 3) > 0
        assert peer.call("commit", "many", 2, 1000) > 0
        assert peer.call("list", "many") > 0
    with Peer.start(ours("local"), bench.cache, folder) as peer:
        assert peer.call("load", "many") > 0


def test_a_peer_that_can_not_be_installed_is_left_out_with_a_word(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(bench.folder))
    recipe = Recipe("a peer", "forml", "syncs nothing", ("a-peer-that-is-nowhere==1.0",))
    with pytest.raises(Skipped, match=r"^a peer can not be installed here: .*a-peer-that-is-nowhere"):
        next(peers.measure(bench, recipe, peers.Aims()))


def test_a_peer_that_needs_another_python_or_fails_is_left_out_with_a_word(bench: Bench) -> None:
    with (
        pytest.raises(Skipped, match=r"ForML needs Python 2\.6, which is not here"),
        Peer.start(dataclasses.replace(FORML, pythons=("2.6",)), bench.cache, bench.new()),
    ):
        pass
    with (
        Peer.start(ours("local"), bench.cache, bench.new()) as peer,
        pytest.raises(Skipped, match="local does not run"),
    ):
        peer.call("load", "nothing")


# what all backends are asked


def test_a_release_is_filled_with_generations(bench: Bench) -> None:
    release = bench.release("memory")
    growth.fill(release, 3)
    assert [release.get(number).get(0) for number in release.list()] == [b"state 1", b"state 2", b"state 3"]


def test_a_store_that_is_asked_for_after_another_replaces_it(bench: Bench) -> None:
    stores = bench.stores("local")
    first, second = next(stores), next(stores)
    assert second.get().get(0)
    with pytest.raises(MissingError):
        first.get()


def test_growth_gives_figures_and_one_curve(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_QUICK", (5, 10, 120))
    found = list(growth.measure(bench, "local", growth.Aims()))
    (curve,) = [each for each in found if isinstance(each, Curve)]
    assert set(curve.lines) == {"get", "load the latest", "list", "open and load, cold", "put"}
    assert all([point.at for point in points] == [5, 10, 120] for points in curve.lines.values())


def test_processes_commit_together_and_a_lost_commit_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "COUNTS", (1, 2))
    found = list(processes.measure(bench, "local"))
    assert [each.unit for each in found] == ["/s", "/s", "/s"]
    release = bench.release("memory")
    growth.fill(release, 2)
    with pytest.raises(AssertionError, match="not what was committed"):
        processes._verify(release, [[b"state 1", b"state 2", b"state 3"]])
    with pytest.raises(Skipped, match="not reached"):
        next(processes.measure(bench, "memory"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the anonymous memory of a process")
def test_memory_is_watched_for_each_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "_QUICK", (1, 16))
    *figures, curve = large.measure(bench, "local", 64)
    assert [each.unit for each in figures if isinstance(each, Figure)] == ["MB", "MB"]
    assert isinstance(curve, Curve)
    assert {name: [point.at for point in points] for name, points in curve.lines.items()} == {
        "write": [1, 16],
        "view": [1, 16],
    }


# the report


def report() -> dict[str, Any]:
    """A report with everything in it that may be there."""
    figures = [
        figure(f"met {HOSTILE}", [1.0, 1.2, 1.3], "x", 1.5, note=HOSTILE),
        figure("missed", [1.0, 1.2, 1.3], "x", 1.5, least=True),
        figure("nothing at all", [0.0], "MB", 1),
        figure("no target", [2000.0], "us"),
    ]
    curves = [
        Curve(f"curve {HOSTILE}", HOSTILE, "ms", {f"line {HOSTILE}": [Point(10, 1, 2, 3), Point(1000, 0, 0, 0)]}),
        Curve("one point", "processes", "/s", {"commits": [Point(1, 5, 5, 5)]}),
    ]
    return {
        "time": "2026-11-24T12:00:00+00:00",
        "quick": True,
        "python": "3.11",
        "system": "Linux",
        "processors": 2,
        "processor": HOSTILE,
        "memory": 1 << 33,
        "load_before": [0.5, 0, 0],
        "load_after": [1.5, 0, 0],
        "versions": {"modelkeep": "0.1"},
        "peers": {"ForML": "forml==0.93"},
        "durability": {"ForML": "syncs nothing"},
        "figures": [
            *({"name": "a", **dataclasses.asdict(each), "met": each.met} for each in figures),
            {"name": "b", "skipped": HOSTILE},
            {"name": "c", "failed": HOSTILE},
        ],
        "curves": [{"name": "d", **dataclasses.asdict(each)} for each in curves],
    }


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_escapes_what_it_shows_and_loads_nothing() -> None:
    page = reports.page(report())
    tags = Tags()
    tags.feed(page)
    assert not {"script", "img", "link", "iframe", "object"} & set(tags.tags)
    assert not {"src", "href", "xlink:href", "onclick", "style"} & {name for name, _ in tags.attributes}
    assert "url(" not in page
    assert "@import" not in page
    assert "alert('a & b')" in tags.text
    assert tags.tags.count("svg") == 3


def test_the_plots_are_well_formed_and_stay_in_their_place() -> None:
    page = reports.page(report())
    plots = [ET.fromstring("<svg" + part.partition("</svg>")[0] + "</svg>") for part in page.split("<svg")[1:]]
    for plot in plots:
        _, _, width, height = map(float, plot.attrib["viewBox"].split())
        for mark in plot.iter():
            for name, value in mark.attrib.items():
                if name in {"x", "x1", "x2", "cx", "width"}:
                    assert 0 <= float(value) <= width
                elif name in {"y", "y1", "y2", "cy", "height"}:
                    assert 0 <= float(value) <= height
                elif name == "points":
                    assert all(math.isfinite(float(each)) for each in value.replace(",", " ").split())


def test_the_page_and_the_table_tell_what_was_missed_and_not_measured() -> None:
    for text in (reports.page(report()), reports.markdown(report())):
        assert "2 targets met, 1 MISSED" in text
        assert "syncs nothing" in text
        assert "b: &lt;script&gt;" in text
        assert "c FAILED: &lt;script&gt;" in text


def test_the_table_has_as_many_cells_in_each_line() -> None:
    lines = [line for line in reports.markdown(report()).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert {line.replace("\\|", "").count("|") for line in lines} == {7}


# the command


def test_every_part_has_a_name_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    names = capsys.readouterr().out.split()
    assert len(names) == len(set(names))
    assert {"start.import", "peers.mlflow", "local.growth", "archive.forest", "lmdb.processes"} <= set(names)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "nothing"])


def test_one_that_fails_or_is_left_out_does_not_take_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def good(_: Bench) -> Any:
        yield figure("good", [1.0], "x", 1)

    def failing(_: Bench) -> Any:
        yield figure("before", [1.0], "x", 1)
        raise ValueError("broken")

    def missing(bench: Bench) -> Any:
        if bench.folder:
            raise Skipped("not here")
        yield

    monkeypatch.setattr(command, "parts", lambda: {"failing": failing, "missing": missing, "good": good})
    assert command.main(["--report", str(tmp_path)]) == 1
    found = json.loads(next(tmp_path.glob("bench-*.json")).read_text())
    told = [(each["name"], each.get("what") or each.get("failed") or each.get("skipped")) for each in found["figures"]]
    assert told == [
        ("failing", "before"),
        ("failing", "ValueError('broken')"),
        ("missing", "not here"),
        ("good", "good"),
    ]
    assert "missing: left out: not here" in capsys.readouterr().out


def test_a_quick_figure_from_end_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelkeep_conformance.bench", "--quick", "--only", "lmdb.space"]
    done = subprocess.run([*command, "--report", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (data,) = tmp_path.glob("bench-*.json")
    (found,) = json.loads(data.read_text())["figures"]
    assert found["what"] == "lmdb: space beside the bytes stored"
    assert found["value"] > 0.9
    for path in (data.with_suffix(".html"), tmp_path / "bench.md"):
        assert "lmdb: space beside the bytes stored" in path.read_text()

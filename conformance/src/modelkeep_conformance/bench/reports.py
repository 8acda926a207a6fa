"""What was measured in the forms that people and programs read: JSON, one page that needs nothing else, Markdown."""

from __future__ import annotations

import html
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_VERDICTS: Final = {True: "met", False: "MISSED", None: ""}
_COLOURS: Final = {True: "#2e7d32", False: "#c62828", None: "#546e7a"}
#: Of the lines of a plot.
_LINES: Final = ("#1565c0", "#c62828", "#2e7d32", "#ef6c00", "#6a1b9a", "#00838f")
_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #212121 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .2rem .6rem; vertical-align: top }
tr:nth-child(even) { background: #f5f5f5 } td.number { text-align: right; white-space: nowrap }
.missed { color: #c62828; font-weight: 600 } .met { color: #2e7d32 } .note { color: #616161; font-size: 13px }
svg { max-width: 100%; height: auto; margin: .5rem 0 } svg text { font: 12px system-ui, sans-serif }
"""


def write(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write bench-YYYYMMDD.json and .html, and bench.md; say where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"bench-{report['time'][:10].replace('-', '')}"
    files = {
        f"{stem}.json": json.dumps(report, indent=2) + "\n",
        f"{stem}.html": page(report),
        "bench.md": markdown(report),
    }
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return [folder / name for name in files]


def markdown(report: Mapping[str, Any]) -> str:
    """A table of all figures, and what to know of them."""
    head, rule = "| figure | median | quartiles | target | | details |", "|---|--:|--:|--:|---|---|"
    lines = [*(f"- {each}" for each in _about(report)), "", head, rule]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in _rows(report)]
    if left := [f"- {_cell(each)}" for each in _left(report)]:
        lines += ["", "Not measured:", "", *left]
    return "\n".join(lines) + "\n"


def page(report: Mapping[str, Any]) -> str:
    """One page of HTML with its plots in it; it loads nothing."""
    rows = "".join(_row(row) for row in _rows(report))
    left = _left(report)
    parts = [
        f"<h1>modelkeep: benchmarks{' (quick: rough figures)' if report['quick'] else ''}</h1>",
        _items(_about(report)),
        "<h2>Ratios with a target</h2>",
        "<p>Bars: the median of all rounds; lines: the quartiles; marks: the target. The scale is logarithmic.</p>",
        _bars([each for each in _figures(report) if each["unit"] == "x" and each["target"] is not None]),
        "<h2>Growth</h2>",
        "<p>Medians, and around them the quartiles; both scales are logarithmic.</p>" if report["curves"] else "",
        *map(_plot, report["curves"]),
        "<h2>All figures</h2>",
        f"<table><tr>{''.join(f'<th>{each}</th>' for each in _HEADS)}</tr>{rows}</table>",
        f"<h2>Not measured</h2>{_items(left)}" if left else "",
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>modelkeep: benchmarks</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


_HEADS: Final = ("figure", "median", "quartiles", "target", "", "details")


def _about(report: Mapping[str, Any]) -> Iterator[str]:
    processor = f"{report['processors']} processors ({report['processor']})"
    yield f"{report['time']}, {report['system']}, {processor}, {report['memory'] / 2**30:.0f} GiB of memory"
    before, after = report["load_before"][0], report["load_after"][0]
    yield f"Load {before:.1f} when it began, {after:.1f} when it ended: others may have been at work"
    # all distributions of modelkeep share one version
    named = {name: each for name, each in report["versions"].items() if not name.startswith("modelkeep-")}
    versions = ", ".join(f"{name} {version}" for name, version in named.items())
    yield f"Python {report['python']}, {versions}"
    yield f"Peers: {', '.join(report['peers'].values())}"
    yield "modelkeep flushes each commit to disk before it returns, unless a line says sync=false"
    yield "; ".join(f"{name} {durability}" for name, durability in report["durability"].items())
    counts = [each["met"] for each in _figures(report)]
    yield f"{counts.count(True)} targets met, {counts.count(False)} MISSED"


def _figures(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in report["figures"] if "value" in each]


def _left(report: Mapping[str, Any]) -> list[str]:
    """What could not be measured, and why."""
    skipped = [f"{each['name']}: {each['skipped']}" for each in report["figures"] if "skipped" in each]
    return skipped + [f"{each['name']} FAILED: {each['failed']}" for each in report["figures"] if "failed" in each]


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for each in _figures(report):
        unit = each["unit"]
        spread = "" if each["low"] == each["high"] else f"{_number(each['low'])} to {_number(each['high'])}"
        target = "" if each["target"] is None else f"{'≥' if each['least'] else '≤'} {each['target']:g} {unit}"
        yield each["what"], f"{_number(each['value'])} {unit}", spread, target, _VERDICTS[each["met"]], each["note"]


def _row(cells: tuple[str, ...]) -> str:
    *_, verdict, _ = cells
    kinds = ("", "number", "number", "number", verdict.lower(), "note")
    return (
        "<tr>"
        + "".join(f'<td class="{kind}">{html.escape(text)}</td>' for kind, text in zip(kinds, cells, strict=True))
        + "</tr>\n"
    )


def _items(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in lines)}</ul>"


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class _Scale:
    """A logarithmic scale from some values to pixels, from one whole power of ten to another."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        kept = [value for value in values if value > 0] or [1.0]
        self._low = math.floor(math.log10(min(kept)))
        self._high = max(math.ceil(math.log10(max(kept))), self._low + 1)
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        # what is nothing has no place on it, and is shown at its beginning
        log = math.log10(value) if value > 0 else self._low
        share = (max(log, self._low) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _bars(figures: Sequence[Mapping[str, Any]]) -> str:
    """A bar for each, its spread, and its target."""
    if not figures:
        return "<p>None was measured.</p>"
    text, right, line = 560, 1060, 22
    height = line * len(figures) + 30
    scale = _Scale([each[key] for each in figures for key in ("low", "high", "value", "target")], text + 10, right)
    marks = [
        f'<line x1="{scale(tick)}" y1="0" x2="{scale(tick)}" y2="{height - 24}" stroke="#e0e0e0"/>'
        f'<text x="{scale(tick)}" y="{height - 8}" text-anchor="middle">{tick:g}x</text>'
        for tick in scale.ticks()
    ]
    for number, each in enumerate(figures):
        top, colour = number * line + 4, _COLOURS[each["met"]]
        middle, begin = top + 7, scale(scale.ticks()[0])
        what = html.escape(each["what"])
        told = html.escape(f"{_number(each['value'])}x, {_VERDICTS[each['met']]}. {each['note']}")
        marks.append(
            f"<g><title>{what}: {told}</title>"
            f'<text x="{text}" y="{middle + 4}" text-anchor="end">{_short(each["what"], 84)}</text>'
            f'<rect x="{begin}" y="{top}" width="{max(scale(each["value"]) - begin, 1):.1f}" height="14" '
            f'fill="{colour}" fill-opacity="0.55"/>'
            f'<line x1="{scale(each["low"])}" y1="{middle}" x2="{scale(each["high"])}" y2="{middle}" '
            f'stroke="#212121" stroke-width="2"/>'
            f'<line x1="{scale(each["target"])}" y1="{top - 2}" x2="{scale(each["target"])}" y2="{top + 16}" '
            f'stroke="#212121" stroke-dasharray="3 2" stroke-width="2"/></g>'
        )
    return _svg("ratios and their targets", 1080, height, marks)


def _plot(curve: Mapping[str, Any]) -> str:
    """Lines, the quartiles around them."""
    left, right, top, bottom, width, height = 70, 620, 16, 300, 840, 350
    every = [point for points in curve["lines"].values() for point in points]
    across, up = _Scale([point[0] for point in every], left, right), _Scale(_heights(every), bottom, top)
    unit = curve["unit"]
    marks = [
        f'<line x1="{left}" y1="{up(tick)}" x2="{right}" y2="{up(tick)}" stroke="#e0e0e0"/>'
        f'<text x="{left - 8}" y="{up(tick) + 4}" text-anchor="end">{tick:g}</text>'
        for tick in up.ticks()
    ]
    marks += [
        f'<line x1="{across(at)}" y1="{top}" x2="{across(at)}" y2="{bottom}" stroke="#eeeeee"/>'
        f'<text x="{across(at)}" y="{bottom + 18}" text-anchor="middle">{at:,.0f}</text>'
        for at in sorted({point[0] for point in every})
    ]
    marks.append(
        f'<text x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">{html.escape(curve["axis"])}</text>'
        f'<text x="{left}" y="12">{html.escape(unit)}</text>'
    )
    for number, ((name, points), colour) in enumerate(
        zip(curve["lines"].items(), itertools.cycle(_LINES), strict=False)
    ):
        line = " ".join(f"{across(at)},{up(middle)}" for at, _, middle, _ in points)
        above = [f"{across(at)},{up(high)}" for at, _, _, high in points]
        below = [f"{across(at)},{up(low)}" for at, low, _, _ in reversed(points)]
        marks.append(
            f'<polygon points="{" ".join(above + below)}" fill="{colour}" fill-opacity="0.15"/>'
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        marks += [
            f'<circle cx="{across(at)}" cy="{up(middle)}" r="3.5" fill="{colour}">'
            f"<title>{html.escape(f'{name}: {_number(middle)} {unit} at {at:,.0f}')}</title></circle>"
            for at, _, middle, _ in points
        ]
        y = top + 14 + number * 20
        marks.append(
            f'<rect x="{right + 20}" y="{y - 10}" width="12" height="12" fill="{colour}"/>'
            f'<text x="{right + 38}" y="{y}">{html.escape(name)}</text>'
        )
    return f"<h3>{html.escape(curve['what'])}</h3>" + _svg(curve["what"], width, height, marks)


def _heights(points: Iterable[Sequence[float]]) -> Iterator[float]:
    for _, *quartiles in points:
        yield from quartiles


def _short(text: str, most: int) -> str:
    return html.escape(text if len(text) <= most else text[: most - 1] + "…")


def _svg(label: str, width: int, height: int, marks: Iterable[str]) -> str:
    head = f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {width} {height}" width="{width}">'
    return head + "\n".join(marks) + "</svg>"

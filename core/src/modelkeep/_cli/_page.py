"""A page with the history of a project that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from modelkeep._cli._output import cell
from modelkeep._cli._plot import finite, fraction
from modelkeep._html import table

_WIDTH: Final = 960
_HEIGHT: Final = 320
#: The room for labels around the plot, at the left and right, above and below it.
_MARGIN: Final = 70
_EDGE: Final = 30
#: How many lines across the plot have a label.
_LINES: Final = 5

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
svg { width: 100%; height: auto; font-size: 12px; }
svg text { fill: currentColor; }
svg .line { stroke: currentColor; opacity: .15; }
svg .path { fill: none; stroke: #3478c6; stroke-width: 2; }
svg circle { fill: #3478c6; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8884; padding: .25rem .75rem .25rem 0; text-align: left; }
"""


def page(
    title: str,
    place: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    scores: Sequence[tuple[str, float | None]],
) -> str:
    """Write the page.

    Args:
        title: What it is about.
        place: The registry that it is from.
        columns: The heads of the table.
        rows: Its cells.
        scores: The scores to plot, each with the name of its generation.
    """
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>{escape(place)}</p>\n"
        f"{_svg(finite(scores))}\n{table(columns, [[cell(each) for each in row] for row in rows])}\n</html>\n"
    )


def _svg(points: Sequence[tuple[str, float]]) -> str:
    if not points:
        return "<p>No generation has a score.</p>"
    values = [value for _, value in points]
    low, high = min(values), max(values)
    right, bottom = _WIDTH - _EDGE, _HEIGHT - _EDGE
    step = (right - _MARGIN) / max(1, len(points) - 1)

    def height(part: float) -> float:
        return bottom - part * (bottom - _EDGE)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="scores of the generations">']
    for index in range(_LINES):
        part = index / (_LINES - 1)
        # weighted, since the difference of two large floats may be infinite
        label, y = f"{low * (1 - part) + high * part:.4g}", f"{height(part):.1f}"
        parts.append(f'<line class="line" x1="{_MARGIN}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_MARGIN - 8}" y="{y}" text-anchor="end" dominant-baseline="middle">{label}</text>')
    spots = [
        (f"{_MARGIN + index * step:.1f}", f"{height(fraction(value, low, high)):.1f}")
        for index, value in enumerate(values)
    ]
    parts.append(f'<polyline class="path" points="{" ".join(f"{x},{y}" for x, y in spots)}"/>')
    for (x, y), (name, value) in zip(spots, points, strict=True):
        parts.append(f'<circle cx="{x}" cy="{y}" r="3"><title>{escape(name)}: {value!r}</title></circle>')
    for (x, _), (name, _), anchor in ((spots[0], points[0], "start"), (spots[-1], points[-1], "end")):
        parts.append(f'<text x="{x}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"])

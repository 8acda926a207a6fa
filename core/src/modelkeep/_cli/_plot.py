"""Drawing scores with characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

#: The fewest columns that points take, however narrow the terminal is.
_LEAST: Final = 8


def finite(scores: Sequence[tuple[str, float | None]]) -> list[tuple[str, float]]:
    """The scores that can be drawn."""
    return [(name, score) for name, score in scores if score is not None and math.isfinite(score)]


def plot(scores: Sequence[tuple[str, float | None]], width: int, height: int, *, unicode: bool) -> list[str]:
    """Draw scores with characters, the first one at the left.

    Args:
        scores: What each is of, and the score.
        width: How many columns there are. Where there are more scores, a column shows the mean of neighbours.
        height: How many lines the points may take.
        unicode: Whether more than ASCII can be shown.

    Returns:
        The lines; none if there is nothing to draw.
    """
    points = finite(scores)
    if not points:
        return []
    low, high = min(score for _, score in points), max(score for _, score in points)
    labels = f"{high:.4g}", f"{low:.4g}"
    margin = max(map(len, labels))
    columns = _binned([score for _, score in points], max(_LEAST, width - margin - 3))
    rows = [round((1 - fraction(value, low, high)) * (height - 1)) for value in columns]
    point, side, corner, floor = "●│└─" if unicode else "*|+-"
    lines = []
    for row in range(height):
        label = labels[0] if row == 0 else labels[1] if row == height - 1 else ""
        lines.append(f"{label:>{margin}} {side}" + "".join(point if each == row else " " for each in rows).rstrip())
    lines.append(" " * margin + f" {corner}" + floor * len(rows))
    first, last = points[0][0], points[-1][0]
    gap = max(2, len(rows) - len(first) - len(last))
    lines.append(" " * (margin + 2) + first + " " * gap + last)
    return lines


def fraction(value: float, low: float, high: float) -> float:
    """Where a value lies between others: 0 at the lowest, 1 at the highest; in the middle if all are equal."""
    # halves, since the difference of two large floats may be infinite
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.5


def _binned(values: list[float], most: int) -> list[float]:
    size = math.ceil(len(values) / most)
    bins = [values[start : start + size] for start in range(0, len(values), size)]
    return [math.fsum(value / len(each) for value in each) for each in bins]

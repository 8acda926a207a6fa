"""Timing ways to do the same in turn, and telling their ratio."""

from __future__ import annotations

import dataclasses
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeAlias

#: What is timed.
Work: TypeAlias = Callable[[], object]
#: Prepares one piece of work; this is not timed.
Contestant: TypeAlias = Callable[[], Work]
#: Contestant -> the seconds of each round.
Times: TypeAlias = dict[str, list[float]]


class Skipped(Exception):  # noqa: N818  # no error: the figure can not be had here, and the message says why
    """Says in plain words why a figure can not be had here."""


class Took(float):
    """The seconds that a work took by its own clock, in another process say: they count instead of ours."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        what: What was measured.
        value: The median.
        low: The lower quartile of all rounds.
        high: The upper quartile.
        unit: x for a ratio, ms, us, MB, /s.
        target: What it should be at most, or at least if `least`; None if it is there to be looked at.
        least: Whether more is better.
        note: The single medians behind a ratio, and what else a reader needs.
        samples: Who -> the seconds of each round.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str
    target: float | None = None
    least: bool = False
    note: str = ""
    samples: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.least else self.value <= self.target


class Point(NamedTuple):
    """A point of a line: the quartiles of what was measured there."""

    at: float
    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, at: float, values: Sequence[float]) -> Self:
        """Make a point of what the rounds gave."""
        return cls(at, *_quartiles(values))


@dataclasses.dataclass(frozen=True)
class Curve:
    """How something grows with something else.

    Attributes:
        what: What was measured.
        axis: What it grows with.
        unit: Of what was measured: ms, MB, /s.
        lines: The name of each line -> its points, ascending.
    """

    what: str
    axis: str
    unit: str
    lines: Mapping[str, Sequence[Point]]


def race(contestants: Mapping[str, Contestant], rounds: int, *, settle: bool = False) -> Times:
    """Let each do its work once in each round. Every round begins with another one, every second goes backwards.

    So nobody always comes after the same one. One more round comes before, to warm up, and does not count.

    Args:
        contestants: Who takes part.
        rounds: How many rounds count.
        settle: Whether to let the system write out what others left in its caches before each work, so that nobody
            pays for the one before.
    """
    names = list(contestants)
    times: Times = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in (names[first:] + names[:first])[:: -1 if number % 2 else 1]:
            work = contestants[name]()
            if settle:
                os.sync()
            seconds = clock(work)
            if number:
                times[name].append(seconds)
    return times


def clock(work: Work) -> float:
    """Time one call, in seconds, without the garbage collector.

    What it returns is freed after the time is taken, so that work whose competitor frees large results returns none.
    """
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - begin
    finally:
        gc.enable()
    return float(result) if isinstance(result, Took) else seconds


def figure(
    what: str, values: Sequence[float], unit: str, target: float | None = None, *, least: bool = False, note: str = ""
) -> Figure:
    """Make a figure of what the rounds gave."""
    low, middle, high = _quartiles(values)
    return Figure(what, middle, low, high, unit, target, least, note)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(
    what: str,
    times: Times,
    ours: str,
    theirs: str,
    target: float | None = None,
    *,
    share: bool = False,
    note: str = "",
) -> Figure:
    """Tell how long one took beside another, round by round; the median of ratios, not the ratio of medians.

    Args:
        what: What is compared.
        times: What `race` gave.
        ours: Whose time is divided.
        theirs: By whose time.
        target: The highest ratio wanted; with `share`, the lowest.
        share: Turn the ratio over: which share of their speed we reach.
        note: More to say.
    """
    pairs = list(zip(times[ours], times[theirs], strict=True))
    values = [their / our if share else our / their for our, their in pairs]
    medians = (
        f"{ours} {duration(statistics.median(times[ours]))}, {theirs} {duration(statistics.median(times[theirs]))}"
    )
    found = figure(what, values, "x", target, least=share, note=f"{medians}; {note}" if note else medians)
    return dataclasses.replace(found, samples={name: times[name] for name in (ours, theirs)})


def duration(seconds: float) -> str:
    """Write seconds in a unit that suits them."""
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"


def anonymous(pid: int | str = "self") -> int:
    """The anonymous memory of a process that is resident, in bytes: what it holds itself, files and maps left out.

    Raises:
        Skipped: This system does not tell.
    """
    if not sys.platform.startswith("linux"):
        raise Skipped("only Linux tells the anonymous memory of a process")
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    kilobytes: Final = int(status.partition("RssAnon:")[2].split()[0])
    return kilobytes * 1024

"""Timing two ways of doing the same in turn, and telling the ratio."""

from __future__ import annotations

import dataclasses
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

#: How many rounds are counted.
ROUNDS: Final = 9


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: What was measured.
        value: The median.
        low: The smallest of all rounds.
        high: The largest.
        unit: x for a ratio, ms, us, MB.
        target: What it should be at most, or at least if `least`; None if there is no target.
        least: Whether more is better.
        detail: The single times behind a ratio.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    target: float | None = None
    least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.least else self.value <= self.target


def clock(work: Callable[[], Any]) -> float:
    """Time one call, in seconds, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin
    finally:
        gc.enable()


def ratio(
    name: str,
    ours: Callable[[], Any],
    raw: Callable[[], Any],
    target: float | None = None,
    *,
    inverse: bool = False,
    rounds: int = ROUNDS,
) -> Figure:
    """Time both in turn; the figure is ours / raw, or raw / ours if `inverse` (a share of the raw speed).

    Each is called once to warm up.
    """
    ours()
    raw()
    pairs = [(clock(ours), clock(raw)) if number % 2 else (clock(raw), clock(ours))[::-1] for number in range(rounds)]
    ratios = [theirs / mine if inverse else mine / theirs for mine, theirs in pairs]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    detail = f"{mine * 1e3:.3f} ms, raw {theirs * 1e3:.3f} ms"
    return Figure(name, statistics.median(ratios), min(ratios), max(ratios), "x", target, inverse, detail)


def single(name: str, work: Callable[[], Any], unit: str, target: float | None = None, *, number: int = 1) -> Figure:
    """Time one thing; `number` says how many it does in a call."""
    work()
    scale = {"ms": 1e3, "us": 1e6}[unit] / number
    times = [clock(work) * scale for _ in range(ROUNDS)]
    return Figure(name, statistics.median(times), min(times), max(times), unit, target)


def anonymous() -> int:
    """The anonymous memory of this process that is resident, in bytes."""
    if not sys.platform.startswith("linux"):
        return 0
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def drop(path: Path) -> None:
    """Remove a file if it is there."""
    path.unlink(missing_ok=True)


def sync_file(path: Path, content: bytes | memoryview, *, sync: bool = True) -> None:
    """Write a file plainly, and flush it."""
    with path.open("wb", buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
        if sync:
            os.fsync(file.fileno())

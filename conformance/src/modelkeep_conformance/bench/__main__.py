"""`python -m modelkeep_conformance.bench`: measures, prints a table, and writes a report.

Each figure is measured beside the raw engine doing the same, in turn and in the same run; it is the median of all
rounds, and the spread is from the lower to the upper quartile. A target that is missed is told, and is no failure; a
figure that fails is. The report is a JSON file, a page and a table in Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import functools
import os
import platform
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distributions, entry_points
from pathlib import Path
from typing import Any, Final, TypeAlias

from modelkeep_conformance.bench import (
    archive,
    growth,
    large,
    lmdb,
    local,
    memory,
    object,
    peers,
    processes,
    reports,
    start,
)
from modelkeep_conformance.bench.measure import Curve, Figure, Skipped
from modelkeep_conformance.bench.place import Bench

_Part: TypeAlias = Callable[[Bench], Iterator[Figure | Curve]]

#: What does not depend on a backend.
_GENERAL: Final[Mapping[str, Mapping[str, _Part]]] = {"start": start.FIGURES, "peers": peers.FIGURES}
#: The figures of one backend only; what is wanted of the growth that all are asked for; and the most memory, in MB,
#: that a large state may need.
_OWN: Final[Mapping[str, tuple[Mapping[str, _Part], growth.Aims, float | None]]] = {
    "memory": (memory.FIGURES, memory.AIMS, None),
    "local": (local.FIGURES, local.AIMS, local.LARGE),
    "lmdb": (lmdb.FIGURES, lmdb.AIMS, lmdb.LARGE),
    "archive": (archive.FIGURES, archive.AIMS, None),
    "object": (object.FIGURES, object.AIMS, object.LARGE),
}


def parts() -> dict[str, _Part]:
    """Name everything that can be measured here."""
    found: dict[str, _Part] = {f"{head}.{name}": part for head, own in _GENERAL.items() for name, part in own.items()}
    present = [entry.name for entry in entry_points(group="modelkeep.registry")]
    for provider in sorted(present, key=lambda name: ([*_OWN, name].index(name), name)):
        own, aims, most = _OWN.get(provider, ({}, growth.Aims(), None))
        every: dict[str, _Part] = {
            "growth": functools.partial(growth.measure, provider=provider, aims=aims),
            "processes": functools.partial(processes.measure, provider=provider),
            "large": functools.partial(large.measure, provider=provider, target=most),
        }
        if provider == "memory":
            # it keeps what it is given in memory, and in that of one process
            del every["large"], every["processes"]
        found |= {f"{provider}.{name}": part for name, part in {**every, **own}.items()}
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 if a figure failed, else 0."""
    known = parts()
    parser = argparse.ArgumentParser(prog="python -m modelkeep_conformance.bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="measure this, or all that it begins; repeatable"
    )
    parser.add_argument("--list", action="store_true", help="print the names, and measure nothing")
    parser.add_argument("--quick", action="store_true", help="few rounds of less: rough figures, to see that it works")
    parser.add_argument(
        "--report", default=".", metavar="DIR", help="where to write bench-YYYYMMDD.json and .html, and bench.md"
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="where environments of peers are kept, by default a temporary one"
    )
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(known))
        return 0
    wanted = options.only or [""]
    if lost := [name for name in wanted if not any(_begins(each, name) for each in known)]:
        parser.error(f"nothing is named {', '.join(lost)}. There are: {', '.join(known)}")
    chosen = {name: part for name, part in known.items() if any(_begins(name, each) for each in wanted)}
    cache = Path(options.cache or Path(tempfile.gettempdir()) / "modelkeep-bench").absolute()
    report = _about(quick=options.quick)
    report |= {"figures": [], "curves": []}
    written: list[Path] = []
    for name, part in chosen.items():
        for told in _measured(name, part, cache, quick=options.quick):
            report["curves" if "lines" in told else "figures"].append(told)
        # after each, since who waits for long may not wait for all
        report["load_after"] = os.getloadavg()
        written = reports.write(report, Path(options.report))
    print("\nwrote", *written)
    return 1 if any("failed" in each for each in report["figures"]) else 0


def _begins(name: str, beginning: str) -> bool:
    return not beginning or name == beginning or name.startswith(f"{beginning}.")


def _measured(name: str, part: _Part, cache: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Measure one part in a folder of its own, and print a line of the table for each figure as it comes."""
    all_told: list[dict[str, Any]] = []
    folder = Path(tempfile.mkdtemp(prefix="modelkeep-bench-"))
    try:
        with contextlib.closing(part(Bench(folder, cache, quick))) as figures:  # type: ignore[type-var]  # generators
            for found in figures:
                told = {"name": name, **dataclasses.asdict(found)}
                if isinstance(found, Figure):
                    print(_line(found), flush=True)
                    told["met"] = found.met
                all_told.append(told)
    except Skipped as reason:
        print(f"{name}: left out: {reason}", flush=True)
        all_told.append({"name": name, "skipped": str(reason)})
    except Exception as error:  # one figure that fails must not take the others with it
        traceback.print_exc()
        print(f"{name}: FAILED: {error!r}", flush=True)
        all_told.append({"name": name, "failed": repr(error)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return all_told


def _line(figure: Figure) -> str:
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    wanted = "" if figure.target is None else f"{'>=' if figure.least else '<='} {figure.target:g} {figure.unit}"
    spread = f"{figure.low:.2f} to {figure.high:.2f}"
    return (
        f"{figure.what:84} {figure.value:9.2f} {figure.unit:2}  {spread:18} {wanted:10} {verdict:6}  {figure.note}"
    ).rstrip()


def _about(*, quick: bool) -> dict[str, Any]:
    print(f"{'figure':84} {'median':>9}     {'spread':18} {'target':10} {'':6}  details")
    ours = ("modelkeep", "blake3", "lmdb", "zstandard", "obstore", "scikit-learn")
    versions = {each.name: each.version for each in distributions() if each.name.startswith(ours)}
    return {
        "format": 2,
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "processor": _processor(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "peers": {each.title: each.requirements[0] for each in peers.RECIPES},
        "durability": {each.title: each.durability for each in peers.RECIPES},
        "load_before": os.getloadavg(),
        "versions": dict(sorted(versions.items())),
    }


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or "unknown"


if __name__ == "__main__":
    sys.exit(main())

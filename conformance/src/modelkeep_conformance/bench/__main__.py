"""`python -m modelkeep_conformance.bench`: measures, prints a table, and writes a JSON file.

Each figure is measured beside the raw engine doing the same, in turn and in the same run; it is the median of all
rounds, and the spread is from the lower to the upper quartile. A target that is missed is told, and is no failure; a
figure that fails is.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import functools
import json
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

from modelkeep_conformance.bench import growth, large, lmdb, local, memory, object, start
from modelkeep_conformance.bench.measure import Figure, Skipped
from modelkeep_conformance.bench.place import Bench

_Part: TypeAlias = Callable[[Bench], Iterator[Figure]]

#: What does not depend on a backend.
_GENERAL: Final = {"start": start.FIGURES}
#: The figures of one backend only, and what is wanted of those that all get: growth as a ratio, large in MB.
_OWN: Final[Mapping[str, tuple[Mapping[str, _Part], Mapping[str, float]]]] = {
    "memory": (memory.FIGURES, {"growth": 2.0}),
    "local": (local.FIGURES, {"growth": 2.0, "large": 64.0}),
    "lmdb": (lmdb.FIGURES, lmdb.TARGETS),
    "object": (object.FIGURES, object.TARGETS),
}


def parts() -> dict[str, _Part]:
    """Name everything that can be measured here."""
    found: dict[str, _Part] = {f"{head}.{name}": part for head, own in _GENERAL.items() for name, part in own.items()}
    present = [entry.name for entry in entry_points(group="modelkeep.registry")]
    for provider in sorted(present, key=lambda name: ([*_OWN, name].index(name), name)):
        own, targets = _OWN.get(provider, ({}, {}))
        every: dict[str, _Part] = {
            "growth": functools.partial(growth.measure, provider=provider, target=targets.get("growth", 2.0)),
            "large": functools.partial(large.measure, provider=provider, target=targets.get("large")),
        }
        if provider == "memory":
            # it keeps what it is given in memory
            del every["large"]
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
    parser.add_argument("--report", default=".", metavar="DIR", help="where to write bench-YYYYMMDD.json")
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
    found = [_measured(name, part, cache, quick=options.quick) for name, part in chosen.items()]
    report |= {"load_after": os.getloadavg(), "figures": [each for some in found for each in some]}
    folder = Path(options.report)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench-{dt.datetime.now(dt.UTC):%Y%m%d}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"\nwrote {path}")
    return 1 if any("failed" in each for each in report["figures"]) else 0


def _begins(name: str, beginning: str) -> bool:
    return not beginning or name == beginning or name.startswith(f"{beginning}.")


def _measured(name: str, part: _Part, cache: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Measure one part in a folder of its own, and print a line of the table for each figure as it comes."""
    found: list[dict[str, Any]] = []
    folder = Path(tempfile.mkdtemp(prefix="modelkeep-bench-"))
    try:
        with contextlib.closing(part(Bench(folder, cache, quick))) as figures:  # type: ignore[type-var]  # generators
            for figure in figures:
                print(_line(figure), flush=True)
                found.append({"name": name, **dataclasses.asdict(figure), "met": figure.met})
    except Skipped as reason:
        print(f"{name}: left out: {reason}", flush=True)
        found.append({"name": name, "skipped": str(reason)})
    except Exception as error:  # one figure that fails must not take the others with it
        traceback.print_exc()
        print(f"{name}: FAILED: {error!r}", flush=True)
        found.append({"name": name, "failed": repr(error)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _line(figure: Figure) -> str:
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    wanted = "" if figure.target is None else f"{'>=' if figure.least else '<='} {figure.target:g} {figure.unit}"
    spread = f"{figure.low:.2f} to {figure.high:.2f}"
    return (
        f"{figure.what:84} {figure.value:9.2f} {figure.unit:2}  {spread:18} {wanted:10} {verdict:6}  {figure.note}"
    ).rstrip()


def _about(*, quick: bool) -> dict[str, Any]:
    print(f"{'figure':84} {'median':>9}     {'spread':18} {'target':10} {'':6}  details")
    ours = ("modelkeep", "blake3", "lmdb", "zstandard")
    versions = {each.name: each.version for each in distributions() if each.name.startswith(ours)}
    return {
        "format": 1,
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_before": os.getloadavg(),
        "versions": dict(sorted(versions.items())),
    }


if __name__ == "__main__":
    sys.exit(main())

"""`python -m modelkeep_conformance.bench`: measures, prints a table, and writes a JSON file."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Final

from modelkeep_conformance.bench import general, growth, lmdb, local
from modelkeep_conformance.bench.measure import Figure
from modelkeep_conformance.bench.place import Place, place


def _memory(at: Place) -> Iterator[Figure]:
    yield from growth.measure(at, "memory", 2)


_PARTS: Final[Mapping[str, Callable[[Place], Iterator[Figure]]]] = {
    "general": general.measure,
    "memory": _memory,
    "local": local.measure,
    "lmdb": lmdb.measure,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; a target that is missed is told, and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m modelkeep_conformance.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(_PARTS), help="measure this part; may be repeated")
    parser.add_argument("--report", default=".", metavar="DIR", help="where to write the JSON file")
    options = parser.parse_args(arguments)
    present = {entry.name for entry in entry_points(group="modelkeep.registry")} | {"general"}
    figures: list[Figure] = []
    for name, part in _PARTS.items():
        if name not in (options.only or _PARTS):
            continue
        if name not in present:
            sys.stdout.write(f"{name} is not installed, its figures are left out\n")
            continue
        with place() as at:
            for figure in part(at):
                figures.append(figure)
                sys.stdout.write(_line(figure) + "\n")
                sys.stdout.flush()
    now = dt.datetime.now(dt.UTC)
    path = Path(options.report) / f"bench-{now:%Y%m%d-%H%M%S}.json"
    about = {"modelkeep": version("modelkeep"), "python": platform.python_version(), "platform": platform.platform()}
    found = [{**dataclasses.asdict(figure), "met": figure.met} for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "time": now.isoformat(), "figures": found}, indent=2), "utf-8")
    sys.stdout.write(f"wrote {path}\n")
    return 0


def _line(figure: Figure) -> str:
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    wanted = "" if figure.target is None else f"{'at least' if figure.least else 'at most'} {figure.target:g}"
    spread = f"({figure.low:.2f} to {figure.high:.2f})"
    return f"{figure.name:72} {figure.value:9.2f} {figure.unit:2} {spread:22} {wanted:14} {verdict:7} {figure.detail}"


if __name__ == "__main__":
    sys.exit(main())

"""The command of the suite; `python -m modelkeep_conformance --help` tells its uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelkeep_conformance import backends, clauses, golden, script, verdict
from modelkeep_conformance.mutants import matrix

_USES = """
python -m modelkeep_conformance [NAME ...] [--report DIR] [--profile soak] [--seed N]   test backends
python -m modelkeep_conformance verify report.json                              recompute a verdict
python -m modelkeep_conformance contract                                        print the contract as Markdown
python -m modelkeep_conformance differ [NAME ...]                               one script of calls on several backends
python -m modelkeep_conformance mutants                                         the matrix of broken backends
python -m modelkeep_conformance record NAME                                     print that script, with its outcomes
python -m modelkeep_conformance golden NAME FILE                                write a store for later versions
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match arguments:
        case ["verify", path]:
            return _verify(Path(path))
        case ["mutants"]:
            return matrix.show()
        case ["differ", *names]:
            return _differ(names or backends.installed())
        case ["contract"]:
            text = clauses.page()
        case ["record", name]:
            text = script.record(name)
        case ["golden", name, path]:
            golden.make(name, Path(path))
            text = f"wrote {path}\n"
        case _:
            return _test(arguments)
    sys.stdout.write(text)
    return 0


def _test(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m modelkeep_conformance",
        usage=_USES,
        description=f"Says whether a backend may be trusted. Installed: {', '.join(backends.installed()) or 'none'}.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all that are installed")
    parser.add_argument("--report", metavar="DIR")
    parser.add_argument("--profile", choices=("fast", "soak"), default="fast")
    parser.add_argument("--seed", type=int)
    options, rest = parser.parse_known_args(arguments)
    command = ["--pyargs", "modelkeep_conformance", "--import-mode=importlib", *rest]
    command.append(f"--conformance-profile={options.profile}")
    command += [f"--backend={name}" for name in options.names or backends.installed()]
    if options.seed is not None:
        command.append(f"--conformance-seed={options.seed}")
    if options.report:
        command.append(f"--conformance-report={options.report}")
    return int(pytest.main(command))


def _differ(names: Sequence[str]) -> int:
    """Show where backends differ from what was recorded; return 1 if any does."""
    found = {name: list(script.differences(name)) for name in names}
    for name, differences in found.items():
        sys.stdout.write(f"{name}: {len(differences)} differences\n")
        for call, owed, outcome in differences[:20]:
            sys.stdout.write(f"  {call}\n    owed: {owed}\n    gave: {outcome}\n")
    return int(any(found.values()))


def _verify(path: Path) -> int:
    try:
        found = verdict.recompute(path)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for name, each in found.items():
        sys.stdout.write(f"{name}: {each}\n")
    return 0 if found and set(found.values()) == {verdict.CONFORMS} else 1


if __name__ == "__main__":
    sys.exit(main())

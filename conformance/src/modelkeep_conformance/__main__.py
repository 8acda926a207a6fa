"""The command of the suite; `python -m modelkeep_conformance --help` tells its uses."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from modelkeep_conformance import backends, clauses, golden, verdict

_USES = """
python -m modelkeep_conformance NAME [NAME ...] [--report DIR] [--profile soak]   test backends
python -m modelkeep_conformance verify report.json                              recompute a verdict
python -m modelkeep_conformance contract                                        print the contract as Markdown
python -m modelkeep_conformance golden NAME FILE                                write a store for later versions
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match arguments:
        case ["verify", path]:
            return _verify(Path(path))
        case ["contract"]:
            sys.stdout.write(clauses.page())
            return 0
        case ["golden", name, path]:
            golden.make(name, Path(path))
            return 0
    parser = argparse.ArgumentParser(
        prog="python -m modelkeep_conformance",
        usage=_USES,
        description=f"Says whether a backend may be trusted. Installed: {', '.join(backends.installed()) or 'none'}.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--report", metavar="DIR")
    parser.add_argument("--profile", choices=("fast", "soak"), default="fast")
    options, rest = parser.parse_known_args(arguments)
    command = ["--pyargs", "modelkeep_conformance", "--import-mode=importlib", f"--profile={options.profile}", *rest]
    command += [f"--backend={name}" for name in options.names]
    if options.report:
        command.append(f"--conformance-report={options.report}")
    return int(pytest.main(command))


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

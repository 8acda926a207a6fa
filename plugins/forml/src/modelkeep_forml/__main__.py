"""The command line: `python -m modelkeep_forml migrate SRC DST` and `python -m modelkeep_forml check FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

import modelkeep
from modelkeep_forml import Step, check, migrate, migrate_inventory

_WHERE = (
    "a folder of ForML (its path has a '/', or begins with '.' or '~'), BACKEND:PATH, such as lmdb:/srv/models, "
    "or a name of modelkeep's configuration"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0, or 1 when something is wrong.
    """
    parser = argparse.ArgumentParser("python -m modelkeep_forml", description="From ForML to modelkeep, and back.")
    commands = parser.add_subparsers(required=True, dest="command")
    command = commands.add_parser("migrate", help="copy a registry into another one, digests and numbering kept")
    command.add_argument("source", metavar="SRC", help=f"{_WHERE}; nothing is written there")
    command.add_argument("target", metavar="DST", help="the same")
    command.add_argument("--verify", action="store_true", help="read back what is there and compare digests")
    command.add_argument("--inventory", action="store_true", help="copy the applications of an inventory instead")
    command = commands.add_parser("check", help="tell what is damaged or half-written in a folder of ForML")
    command.add_argument("folder", metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        return _check(options) if options.command == "check" else _migrate(options)
    except modelkeep.Error as error:
        _say(f"Error: {error}", file=sys.stderr)
        return 1


def _migrate(options: argparse.Namespace) -> int:
    if options.inventory:
        steps = migrate_inventory(options.source, options.target, report=_tell)
    else:
        steps = migrate(options.source, options.target, verify=options.verify, report=_tell)
    count = Counter(step.outcome for step in steps)
    _say(f"{count['copied']} copied, {count['there']} there already, {count['failed']} failed")
    return 1 if count["failed"] else 0


def _tell(step: Step) -> None:
    if step.outcome == "failed":
        _say(f"{step.key}: {step.reason}", file=sys.stderr)
    else:
        _say(f"{step.key}: {step.outcome}")


def _check(options: argparse.Namespace) -> int:
    problems = check(options.folder)
    for problem in problems:
        _say(str(problem))
    _say(f"problems: {len(problems)}" if problems else "all is well")
    return 1 if problems else 0


def _say(line: str, file: TextIO | None = None) -> None:
    print(line, file=file, flush=True)  # what the commands are for


if __name__ == "__main__":
    sys.exit(main())

"""Looks after an LMDB store: `python -m modelkeep_lmdb stat PATH`, `python -m modelkeep_lmdb compact PATH TARGET`."""

import argparse
import sys

from modelkeep import Error
from modelkeep_lmdb._engine import Engine


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelkeep_lmdb", description="Looks after an LMDB store.")
    commands = parser.add_subparsers(dest="command", required=True)
    stat = commands.add_parser("stat", help="tell bytes, pages in use and free, entries and readers")
    compact = commands.add_parser("compact", help="write a copy without free pages into a new folder")
    for command in (stat, compact):
        command.add_argument("path", help="the folder of the store")
    compact.add_argument("target", help="the folder to make")
    options = parser.parse_args(arguments)
    engine = Engine(options.path, limit=None, sync=True)
    try:
        if options.command == "stat":
            for name, value in engine.stat().items():
                print(f"{name:12} {value}")  # noqa: T201  # what the command is for
        else:
            engine.compact(options.target)
    except Error as error:
        print(f"modelkeep_lmdb: {error}", file=sys.stderr)  # noqa: T201  # same
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Looks after an object store: `python -m modelkeep_object collect URL [--option NAME=VALUE] [--days N] [--delete]`."""

import argparse
import sys
from datetime import timedelta

from modelkeep import Error
from modelkeep_object import collect


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelkeep_object", description="Looks after an object store.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("collect", help="list what no release and no generation names, or delete it")
    command.add_argument("url", help="the place, s3://bucket/prefix for example")
    command.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option, endpoint say")
    command.add_argument("--days", type=float, default=7, help="how old an orphan has to be; at least 2 (default: 7)")
    command.add_argument("--delete", action="store_true", help="delete them")
    given = parser.parse_args(arguments)
    try:
        options = dict(option.split("=", 1) for option in given.option)
        found = collect(given.url, options, age=timedelta(days=given.days), delete=given.delete)
    except ValueError as error:
        print(f"modelkeep_object: {error}", file=sys.stderr)  # noqa: T201  # what the command is for
        return 2
    except Error as error:
        print(f"modelkeep_object: {error}", file=sys.stderr)  # noqa: T201  # same
        return 1
    for key in found.keys:
        print(key)  # noqa: T201  # same
    return 0


if __name__ == "__main__":
    sys.exit(main())

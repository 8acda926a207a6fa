"""Looks after an archive: `python -m modelkeep_archive pack PATH`."""

import argparse
import sys
from pathlib import Path

from modelkeep import Error
from modelkeep_archive._backend import Registry


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelkeep_archive", description="Looks after an archive.")
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser(
        "pack", help="collect what has waited for a week, and write the archive anew in its place"
    )
    pack.add_argument("path", help="the file")
    options = parser.parse_args(arguments)
    path = Path(options.path).expanduser()
    try:
        registry = Registry(path)
        before = path.stat().st_size if path.exists() else 0
        registry.pack()
        for name, value in (("before", before), ("bytes", path.stat().st_size)):
            print(f"{name:12} {value}")  # noqa: T201  # what the command is for
    except (Error, OSError) as error:
        print(f"modelkeep_archive: {error}", file=sys.stderr)  # noqa: T201  # same
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the command line: `python -m modelkeep`."""

import sys

from modelkeep._cli import main

if __name__ == "__main__":
    sys.exit(main())

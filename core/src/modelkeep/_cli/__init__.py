"""The command line of modelkeep.

Everything here but `main` needs the extra `cli`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the name of the program, by default those of this process.

    Returns:
        The exit code; `modelkeep --help` lists them.
    """
    try:
        from modelkeep._cli import _run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        # the code of UnsupportedError: what tells the codes needs click too
        sys.stderr.write("modelkeep: the command line needs 'click'. Install it: pip install 'modelkeep[cli]'\n")
        return 8
    except KeyboardInterrupt:
        return 130
    return _run.run(sys.argv[1:] if arguments is None else arguments)

"""Runs a command with a server: `python -m modelkeep_object.testing {seaweed,ceph} COMMAND ...`."""

import argparse
import contextlib
import os
import subprocess
import sys

from modelkeep_object.testing.ceph import Ceph
from modelkeep_object.testing.seaweed import SeaweedFS
from modelkeep_object.testing.servers import VARIABLE

_KINDS: dict[str, type[SeaweedFS | Ceph]] = {"seaweed": SeaweedFS, "ceph": Ceph}


def main(arguments: list[str] | None = None) -> int:
    """Start a server, run the command with its address in the environment, stop it; return the command's exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelkeep_object.testing", description=__doc__)
    parser.add_argument("server", choices=_KINDS)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="a program and its arguments")
    given = parser.parse_args(arguments)
    if not given.command:
        parser.error("a command is needed")
    with contextlib.closing(_KINDS[given.server]()) as started:
        environment = {**os.environ, VARIABLE: started.user.dumps()}
        return subprocess.run(given.command, env=environment, check=False).returncode  # noqa: S603  # as told


if __name__ == "__main__":
    sys.exit(main())

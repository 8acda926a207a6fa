"""Keeping a server for as long as the process that started it, and no longer."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

#: Ends the server when its standard input ends: so when the process that started it is gone, however it went. When the
#: server has ended, removes what it leaves.
_KEEPER: Final = """
import json, os, shutil, subprocess, sys, threading
grace, leaves, command = json.loads(sys.argv[1])
server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
def end():
    sys.stdin.read()
    if grace:
        server.terminate()
        try:
            server.wait(grace)
        except subprocess.TimeoutExpired:
            pass
    server.kill()
threading.Thread(target=end, daemon=True).start()
server.wait()
for path in leaves:
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.unlink(path)
"""
#: For how long a server may take to end, in seconds.
_PATIENCE: Final = 30.0


class Keeper:
    """One server that runs."""

    def __init__(self, command: Sequence[str], log: Path, *, leaves: Iterable[Path] = (), grace: float = 10.0) -> None:
        """Start a server.

        Args:
            command: Its program and the arguments.
            log: The file for what it prints; it works in the folder of that.
            leaves: What is removed when it has ended.
            grace: How long it may take to end before it is killed, in seconds; 0: it is killed at once.
        """
        told = json.dumps([grace, [str(path) for path in leaves], list(command)])
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own
                [sys.executable, "-c", _KEEPER, told],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=log.parent,
                # who interrupts the tests by a key means the server only by way of them
                start_new_session=True,
            )

    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it, and wait for that."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(_PATIENCE)


def free_ports(number: int) -> list[int]:
    """Find ports of loopback that nobody listens on; all different."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()

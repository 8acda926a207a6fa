"""The servers that the tests start, and the proxy before them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from modelkeep_object.testing import Server
from modelkeep_object.testing.servers import VARIABLE

_KILLED = """
import os, signal
from modelkeep_object.testing.seaweed import SeaweedFS
weed = SeaweedFS()
print(weed._folder, weed._keeper._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def gone(folder: Path, keeper: int) -> bool:
    return not folder.exists() and not Path(f"/proc/{keeper}").exists()


def test_a_server_ends_with_who_started_it_even_by_a_kill() -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder, keeper = done.stdout.split()
    until = time.monotonic() + 30
    while not gone(Path(folder), int(keeper)):
        assert time.monotonic() < until, f"{folder} or process {keeper} is still there"
        time.sleep(0.1)


def test_a_command_is_run_with_a_server_and_its_exit_code_returned() -> None:
    code = (
        f"import os; from modelkeep_object.testing import server; assert {VARIABLE!r} in os.environ; server().wait(9)"
    )
    run = [sys.executable, "-m", "modelkeep_object.testing", "seaweed", sys.executable, "-c"]
    assert subprocess.run([*run, code], timeout=100, check=False).returncode == 0
    assert subprocess.run([*run, "raise SystemExit(7)"], timeout=100, check=False).returncode == 7


def test_a_server_is_written_and_read() -> None:
    server = Server("http://127.0.0.1:80", "key", "se/cr:et@", "bucket")
    assert Server.loads(server.dumps()) == server

"""Looking at the system calls of a child, and meddling with them, by strace.

It attaches to a child made by fork before its work begins, so that one look costs some milliseconds. A call is met
just before the kernel carries it out: killing there leaves exactly what the calls before it did.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from modelkeep_conformance.processes import PATIENCE, forked

#: What writes into files.
WRITES: Final = ("write", "pwrite64", "pwritev", "pwritev2", "writev", "ftruncate", "fallocate", "copy_file_range",
                 "sendfile")  # fmt: skip
#: What gives files their names.
NAMES: Final = ("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat")
#: What takes names away.
REMOVALS: Final = ("unlink", "unlinkat", "rmdir")
#: What makes all of it last.
FLUSHES: Final = ("fsync", "fdatasync", "sync", "syncfs", "msync", "sync_file_range")
#: All after which a store is another one; a file that is made by opening it is told by the call after that.
CHANGES: Final = (*WRITES, *NAMES, *REMOVALS, *FLUSHES)

#: Why a test that needs strace could not run.
UNAVAILABLE: Final = "strace is not installed, or may not trace"

_LINE: Final = re.compile(r"(\d+) +(\w+)\(")


@dataclasses.dataclass(frozen=True)
class Call:
    """A system call that a child made.

    Attributes:
        name: What was called.
        number: Which one it is of the calls of that name, counted from 1.
        line: How strace shows it.
        before: How many calls of each name there were before it.
    """

    name: str
    number: int
    line: str
    before: Counter[str] = dataclasses.field(repr=False)


@functools.cache
def available() -> bool:
    """Whether system calls of a child can be traced here."""
    if not shutil.which("strace"):
        return False
    try:
        return forked(lambda: True, beside=lambda pid: _attached(pid, ["-e", "trace=fsync"])) is True
    except (AssertionError, OSError):
        return False


def traced(work: Callable[[], Any], calls: Sequence[str]) -> list[str]:
    """Run a function in a child; return how strace shows the calls that it made.

    Raises:
        Error: What the function raised.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        log = Path(folder, "log")
        options = ["-y", "-s", "4096", "-e", "signal=none", "-e", f"trace={','.join(calls)}", "-o", str(log)]
        result = forked(work, beside=lambda pid: _attached(pid, options))
        if isinstance(result, Exception):
            raise result
        return log.read_text("utf-8", "replace").splitlines()


def changes(work: Callable[[], Any], root: Path, calls: Sequence[str] = CHANGES) -> list[Call]:
    """Run a function in a child; tell which calls of its main thread were about something below a folder."""
    lines = traced(work, calls)
    found: list[Call] = []
    seen: Counter[str] = Counter()
    main = lines[0].partition(" ")[0] if lines else ""
    for line in lines:
        hit = _LINE.match(line)
        if not hit or hit[1] != main:
            continue
        before = seen.copy()
        seen[hit[2]] += 1
        if os.path.realpath(root) in line:
            found.append(Call(hit[2], seen[hit[2]], line, before))
    return found


def meddled(work: Callable[[], Any], call: Call, what: str, *, calls: Sequence[str] = ()) -> Any:
    """Run a function in a child, and meddle with one of its calls.

    Args:
        work: The function.
        call: Which one, as `changes` found it.
        what: What to do there: `signal=KILL`, or `error=ENOSPC`.
        calls: If given, the same is done to all calls of these names that come after it.

    Returns:
        The result, modelkeep's error, or `KILLED`.
    """
    options = ["-e", "signal=none", "-e", f"trace={','.join(calls or [call.name])}", "-o", os.devnull]
    # each name is counted by itself
    for name in calls or [call.name]:
        options += ["-e", f"inject={name}:{what}:when={call.before[name] + 1}{'+' if calls else ''}"]
    return forked(work, beside=lambda pid: _attached(pid, options))


@contextlib.contextmanager
def _attached(pid: int, options: list[str]) -> Iterator[None]:
    """Trace a process while a block lasts, in which it ends."""
    command = ["strace", "-f", "-p", str(pid), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as tracer:
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        if "attached" not in told:
            tracer.kill()
            raise OSError(f"strace does not trace: {told.strip()}")
        try:
            yield
        finally:
            # it ends with the process that it traces
            tracer.communicate(timeout=PATIENCE)

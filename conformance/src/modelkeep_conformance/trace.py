"""What a commit writes and flushes, seen by the system calls of a process that makes it.

A file that was written has to be flushed by its own fsync or fdatasync (or a sync of all) before the call returns, and
so has the folder in which a name appeared (by creation, link or rename) that is there when the call returns. Files that
were removed again don't count, nor does what the harness names as expendable.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from modelkeep_conformance import syscalls

_CALLS: Final = ("openat", "open", "creat", *syscalls.CHANGES)
_LINE: Final = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_OPENED: Final = re.compile(r"= (\d+)<([^>]*)>")
_BY_DESCRIPTOR: Final = frozenset({*syscalls.WRITES, "fsync", "fdatasync"})
_FD: Final = re.compile(r"\b(\d+)<([^>]*)>")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclasses.dataclass(frozen=True)
class Event:
    """A system call that succeeded.

    Attributes:
        call: Its name.
        paths: The files or folders that it is about.
    """

    call: str
    paths: tuple[str, ...]


def unflushed(work: Callable[[], object], root: Path, expendable: Sequence[str]) -> set[str]:
    """Run a function in a child; find what it wrote below a folder, or gave a name, and did not flush after that.

    Args:
        work: The function.
        root: The folder.
        expendable: See `Harness.expendable`.
    """
    inside = os.path.realpath(root)
    existing = {os.path.realpath(path) for path in root.rglob("*")}
    found = _unflushed(_events(syscalls.traced(work, _CALLS), root, existing))
    # what was expendable and is gone, or lies in a folder that holds nothing of the commit, was no part of it
    return {
        path
        for path in found
        if os.path.lexists(path)
        and not any(fnmatch(part, each) for part in Path(os.path.relpath(path, inside)).parts for each in expendable)
    }


def _events(lines: list[str], root: Path, existing: set[str]) -> list[Event]:
    """Pick the calls that are about files below a folder."""
    inside = f"{os.path.realpath(root)}/"
    events: list[Event] = []
    # descriptors whose writes the kernel flushes by itself
    synchronous: set[str] = set()
    for line in lines:
        hit = _LINE.match(line)
        if not hit or int(hit[3]) < 0:
            continue
        call, arguments = hit[1], hit[2]
        descriptors = _FD.findall(arguments)
        if call in ("openat", "open", "creat"):
            opened = _OPENED.search(line)
            if not opened:
                continue
            (synchronous.add if "O_DSYNC" in arguments or "O_SYNC" in arguments else synchronous.discard)(opened[1])
            paths = (opened[2],) if "O_CREAT" in arguments and opened[2] not in existing else ()
        elif call in _BY_DESCRIPTOR and descriptors:
            # copy_file_range names first where it reads
            number, path = descriptors[-1 if call == "copy_file_range" else 0]
            paths = (path,) if number not in synchronous else ()
        else:
            paths = tuple(path for path in _QUOTED.findall(arguments) if path.startswith("/"))
        if call in ("sync", "syncfs") or any(f"{path}/".startswith(inside) for path in paths):
            events.append(Event(call, paths))
    return events


def _unflushed(events: list[Event]) -> set[str]:
    content: set[str] = set()
    names: set[str] = set()
    for event in events:
        match event.call, event.paths:
            case call, (path, *_) if call in syscalls.WRITES:
                content.add(path)
            case "openat" | "open" | "creat", (path, *_):
                names.add(os.path.dirname(path))
            case "mkdir" | "mkdirat" | "symlink" | "symlinkat", (*_, path):
                names.add(os.path.dirname(path))
            case "fsync" | "fdatasync", (path, *_):
                content.discard(path)
                names.discard(path)
            case "sync" | "syncfs", _:
                content.clear()
                names.clear()
            case "rename" | "renameat" | "renameat2" | "link" | "linkat", (old, new, *_):
                moved = {path for path in content if f"{path}/".startswith(f"{old}/")}
                if event.call.startswith("rename"):
                    content -= moved
                    names = {
                        new + path.removeprefix(old) if f"{path}/".startswith(f"{old}/") else path for path in names
                    }
                content |= {new + path.removeprefix(old) for path in moved}
                names.add(os.path.dirname(new))
            case "unlink" | "unlinkat" | "rmdir", (path, *_):
                content = {each for each in content if not f"{each}/".startswith(f"{path}/")}
            case _:
                pass
    return content | names

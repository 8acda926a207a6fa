"""What a commit writes and flushes, seen by the system calls of a process that makes it.

A file that was written has to be flushed by its own fsync or fdatasync (or a sync of all) before the call returns, and
so has the folder in which a name appeared (by creation, link or rename) that is there when the call returns. Files that
were removed again don't count, nor do files of a staging area that the harness names as expendable.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from modelkeep_conformance.kit import Kit

_CALLS: Final = (
    "openat,open,creat,write,pwrite64,pwritev,writev,fsync,fdatasync,sync,syncfs,msync,rename,renameat,renameat2,"
    "link,linkat,mkdir,mkdirat,unlink,unlinkat,rmdir,ftruncate,copy_file_range,sendfile"
)
_LINE: Final = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_OPENED: Final = re.compile(r"= (\d+)<([^>]*)>")
_BY_DESCRIPTOR: Final = frozenset({"write", "pwrite64", "pwritev", "writev", "fsync", "fdatasync", "ftruncate"})
_FD: Final = re.compile(r"^(\d+)<([^>]*)>")
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


@functools.cache
def available() -> bool:
    """Whether system calls can be traced here."""
    if not shutil.which("strace"):
        return False
    done = subprocess.run(["strace", "-e", "trace=openat", "true"], capture_output=True, check=False)
    return done.returncode == 0


def run(kit: Kit, name: str) -> list[Event]:
    """Trace a process that makes one commit on the filled store of a kit."""
    script = (
        "import pickle, sys; from modelkeep_conformance.trace import commit; "
        "commit(*pickle.loads(sys.stdin.buffer.read()))"
    )
    existing = {os.path.realpath(path) for path in kit.root.rglob("*")}
    job = pickle.dumps(
        (name, kit.options("registry") if kit.registers else {}, kit.options("inventory") if kit.inventories else {})
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        command = [
            "strace",
            "-f",
            "-qq",
            "-y",
            "-s",
            "4096",
            "-e",
            f"trace={_CALLS}",
            "-e",
            "signal=none",
            "-o",
            str(log),
        ]
        subprocess.run([*command, sys.executable, "-c", script], input=job, check=True)
        lines = log.read_text("utf-8", "replace").splitlines()
    return _events(lines, kit.root, existing)


def commit(name: str, registry: dict[str, object], inventory: dict[str, object]) -> None:
    """What the traced process does."""
    import modelkeep
    from modelkeep_conformance.kit import PROJECT, VERSION, content, package, sid, tag

    with tempfile.TemporaryDirectory() as folder:
        handle = modelkeep.registry(**registry) if name != "put" else None
        if handle:
            # of a project that is new, too: its folders may be
            handle.push(package("traced"))
            handle.push(package(version="2.0"))
        if handle and name == "close":
            for project in (PROJECT, "traced"):
                handle.write(project, VERSION, sid(41), content(41, 50_000))
                handle.write(project, VERSION, sid(42), content(42))
                handle.close(project, VERSION, 4, tag(sid(41), sid(42)))
        if name == "put":
            module = Path(folder, "traced.py")
            module.write_text("x = 1\n")
            modelkeep.inventory(**inventory).put(modelkeep.Descriptor.Handle(module))


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
        fd = _FD.match(arguments)
        if call in ("openat", "open", "creat"):
            opened = _OPENED.search(line)
            if not opened:
                continue
            (synchronous.add if "O_DSYNC" in arguments or "O_SYNC" in arguments else synchronous.discard)(opened[1])
            paths = (opened[2],) if "O_CREAT" in arguments and opened[2] not in existing else ()
        elif call in _BY_DESCRIPTOR:
            paths = (fd[2],) if fd and fd[1] not in synchronous else ()
        else:
            paths = tuple(path for path in _QUOTED.findall(arguments) if path.startswith("/"))
        if call in ("sync", "syncfs") or any(f"{path}/".startswith(inside) for path in paths):
            events.append(Event(call, paths))
    return events


def unflushed(events: list[Event], root: Path) -> set[str]:
    """Find what was written, or got a name, and was not flushed after that."""
    content: set[str] = set()
    names: set[str] = set()
    for event in events:
        match event.call, event.paths:
            case "write" | "pwrite64" | "pwritev" | "writev" | "ftruncate" | "copy_file_range" | "sendfile", (path, *_):
                content.add(path)
            case "openat" | "open" | "creat", (path, *_):
                names.add(os.path.dirname(path))
            case "mkdir" | "mkdirat", (path, *_):
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
    # what was expendable and is gone, or lies in a folder that holds nothing of the commit, was no part of it
    return {path for path in content | names if os.path.lexists(path) and not _expendable(path, root)}


def _expendable(path: str, root: Path) -> bool:
    """Staging areas and lock files hold nothing that a commit promised."""
    parts = Path(path).relative_to(os.path.realpath(root)).parts if Path(path) != Path(os.path.realpath(root)) else ()
    return any(
        part in (".stage", "stage") or part.endswith((".stage", ".lock")) or part == "lock.mdb" for part in parts
    )

"""Private temporary folders, removed when the process exits."""

from __future__ import annotations

import atexit
import contextlib
import os
from pathlib import Path


def scratch() -> Path:
    """Make an empty folder that only this process uses; a child made by fork gets folders of its own."""
    import tempfile

    return Path(tempfile.mkdtemp(dir=_Root.of_process()))


def discard_scratch(folder: Path) -> None:
    """Remove a folder that `scratch` made in this process; leave any other one alone."""
    from modelkeep._content import discard

    if _Root.path is not None and folder.parent == Path(_Root.path):
        discard(folder)


class _Root:
    path: str | None = None
    pid: int | None = None

    @classmethod
    def of_process(cls) -> str:
        import tempfile

        # something may have cleaned the temporary folder up meanwhile
        if cls.path is None or cls.pid != os.getpid() or not Path(cls.path).is_dir():
            cls.path, cls.pid = tempfile.mkdtemp(prefix="modelkeep-"), os.getpid()
            atexit.register(_remove, cls.path, cls.pid)
        return cls.path


def _remove(path: str, pid: int) -> None:
    from modelkeep._content import discard

    if os.getpid() == pid:
        with contextlib.suppress(OSError):
            discard(Path(path))

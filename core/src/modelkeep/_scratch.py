"""Private temporary folders, removed when the process exits."""

from __future__ import annotations

import atexit
import os
from pathlib import Path


def scratch() -> Path:
    """Make an empty folder that only this process uses; a child made by fork gets folders of its own."""
    import tempfile

    return Path(tempfile.mkdtemp(dir=_Root.of_process()))


class _Root:
    path: str | None = None
    pid: int | None = None

    @classmethod
    def of_process(cls) -> str:
        import tempfile

        if cls.path is None or cls.pid != os.getpid():
            cls.path, cls.pid = tempfile.mkdtemp(prefix="modelkeep-"), os.getpid()
            atexit.register(_remove, cls.path, cls.pid)
        return cls.path


def _remove(path: str, pid: int) -> None:
    import shutil

    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)

"""Telling what can have been lost with the power."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def boot() -> str:
    """The id of the boot that this machine runs since; empty where the kernel does not tell.

    What a process wrote and did not flush is whole for every other process as long as the machine runs.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""

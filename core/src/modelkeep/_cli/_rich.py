"""The one place that imports rich: late, because it takes longer than most commands do."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from modelkeep._errors import UnsupportedError


def rich(module: str) -> Any:
    """Import a module of rich, which only a terminal needs.

    Raises:
        UnsupportedError: It is not installed.
    """
    need_rich()
    return importlib.import_module(f"rich.{module}")


def need_rich() -> None:
    """Make sure, before anything is done, that rich can be imported once it is needed.

    Raises:
        UnsupportedError: It is not installed.
    """
    if importlib.util.find_spec("rich") is None:
        raise UnsupportedError(
            "Tables and progress bars on a terminal need 'rich'. Install it: pip install 'modelkeep[cli]'"
        )

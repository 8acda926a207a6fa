"""ForML 0.93 on any backend of modelkeep, and the way from a folder of ForML to any backend and back.

`Registry` and `Inventory` are providers for ForML's configuration; `migrate`, `migrate_inventory` and `check` do
without ForML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelkeep_forml._check import Problem, check
from modelkeep_forml._migrate import Step, migrate, migrate_inventory

if TYPE_CHECKING:
    from modelkeep_forml._backend import Inventory, Registry

__all__ = ["Inventory", "Problem", "Registry", "Step", "check", "migrate", "migrate_inventory"]


def __getattr__(name: str) -> Any:
    if name not in ("Inventory", "Registry"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # not before it is asked for: merely importing ForML begins a log file in the working folder
    from modelkeep_forml import _backend

    return getattr(_backend, name)

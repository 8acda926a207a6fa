"""ForML 0.93 on any backend of modelkeep, and the way from a folder of ForML to any backend and back.

`Registry` and `Inventory` are providers for ForML's configuration; `migrate`, `migrate_inventory` and `check` do
without ForML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelkeep_forml._check import Problem, check
from modelkeep_forml._migrate import Step, migrate, migrate_inventory

if TYPE_CHECKING:
    from modelkeep_forml._inventory import Inventory
    from modelkeep_forml._registry import Registry

__all__ = ["Inventory", "Problem", "Registry", "Step", "check", "migrate", "migrate_inventory"]


def __getattr__(name: str) -> Any:
    # not before it is asked for: merely importing ForML begins a log file in the working folder
    if name == "Registry":
        from modelkeep_forml._registry import Registry as found
    elif name == "Inventory":
        from modelkeep_forml._inventory import Inventory as found
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found

"""The registry and the inventory."""

from __future__ import annotations

import os

from modelkeep import keyvalue
from modelkeep_memory._engine import Engine


class Registry(keyvalue.Registry):
    """A registry in memory."""

    def __init__(self, name: str = "default", staging: str | os.PathLike[str] | None = None) -> None:
        """Open the store of a name.

        Args:
            name: All handles of this process with the same name share one store, an inventory of that name too.
            staging: See `modelkeep.Registry`.
        """
        super().__init__(Engine.named(name), staging)


class Inventory(keyvalue.Inventory):
    """An inventory in memory."""

    def __init__(self, name: str = "default") -> None:
        """Open the store of a name; see `Registry`."""
        super().__init__(Engine.named(name))

"""The registry and the inventory."""

from __future__ import annotations

import os

from modelkeep import keyvalue
from modelkeep_lmdb._engine import Engine


class Registry(keyvalue.Registry):
    """A registry in an LMDB environment."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        staging: str | os.PathLike[str] | None = None,
        limit: int | None = None,
        sync: bool = True,
    ) -> None:
        """Open an environment; its folder is made by the first write.

        Args:
            path: The folder of the environment. All handles of a process on one folder share the environment.
            staging: See `modelkeep.Registry`.
            limit: The most that the store may hold, in bytes; by default what the address space allows, up to 1 TiB.
            sync: Whether commits survive power loss. Without, it may undo the last ones; the store stays sound.
        """
        super().__init__(Engine(path, limit=limit, sync=sync), staging)


class Inventory(keyvalue.Inventory):
    """An inventory in an LMDB environment."""

    def __init__(self, path: str | os.PathLike[str], limit: int | None = None, sync: bool = True) -> None:
        """Open an environment; see `Registry`. It may be that of a registry."""
        super().__init__(Engine(path, limit=limit, sync=sync))

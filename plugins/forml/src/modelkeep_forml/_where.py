"""Opening what a person names on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import modelkeep

Where = str | os.PathLike[str]


def opened_registry(where: Where | modelkeep.Registry, *, existing: bool = False) -> modelkeep.Registry:
    """Open a registry.

    Args:
        where: The path of a folder that ForML or modelkeep's `local` wrote, recognised by a `/`, a leading `.` or `~`;
            `BACKEND:PATH`, such as `lmdb:/srv/models`; or a name of modelkeep's configuration. What is open already
            is given back.
        existing: Refuse a path where nothing is: it is mistyped, and an empty registry is not what is meant.

    Raises:
        modelkeep.Error: It can't be opened.
    """
    if isinstance(where, modelkeep.Registry):
        return where
    name, options = _parsed(where, existing=existing)
    return modelkeep.registry(name, **options)


def opened_inventory(where: Where | modelkeep.Inventory, *, existing: bool = False) -> modelkeep.Inventory:
    """Open an inventory, as `opened_registry` opens a registry."""
    if isinstance(where, modelkeep.Inventory):
        return where
    name, options = _parsed(where, existing=existing)
    return modelkeep.inventory(name, **options)


def _parsed(where: Where, *, existing: bool) -> tuple[str | None, dict[str, Any]]:
    text = os.fspath(where)
    backend, colon, path = text.partition(":")
    if not isinstance(where, str) or "/" in backend or text.startswith((".", "~")):
        backend, path = "local", text
    elif not colon:
        return text, {}
    if existing and not Path(path).expanduser().exists():
        raise modelkeep.InvalidError(f"There is nothing at {path!r}")
    return None, {"provider": backend, "path": path}

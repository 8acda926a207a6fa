"""Opening what a person names on the command line."""

from __future__ import annotations

import os
from typing import TypeVar

import modelkeep

_Kind = TypeVar("_Kind", modelkeep.Registry, modelkeep.Inventory)
_OPENERS = {modelkeep.Registry: modelkeep.registry, modelkeep.Inventory: modelkeep.inventory}


def opened(kind: type[_Kind], where: str | os.PathLike[str] | _Kind) -> _Kind:
    """Open a registry or inventory.

    Args:
        kind: Which of the two.
        where: The path of a folder that ForML or modelkeep's `local` wrote, recognised by a `/`, a leading `.` or `~`;
            `BACKEND:PATH`, such as `lmdb:/srv/models`; or a name of modelkeep's configuration. What is open already
            is given back.

    Raises:
        modelkeep.Error: It can't be opened.
    """
    if isinstance(where, kind):
        return where
    opener = _OPENERS[kind]
    text = os.fspath(where)  # type: ignore[arg-type]  # what is open was given back
    backend, colon, path = text.partition(":")
    if not isinstance(where, str) or "/" in backend or text.startswith((".", "~")):
        return opener(provider="local", path=text)  # type: ignore[return-value]  # the opener of that kind
    if colon:
        return opener(provider=backend, path=path)  # type: ignore[return-value]  # same
    return opener(text)  # type: ignore[return-value]  # same

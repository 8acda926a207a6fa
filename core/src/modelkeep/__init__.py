"""A registry for the artifacts of machine-learning projects that is a folder, a file or a bucket, and no server."""

from __future__ import annotations

__version__ = "0.1.0"

from typing import TYPE_CHECKING

from modelkeep._artifact import Artifact
from modelkeep._collected import Collected
from modelkeep._descriptor import Descriptor
from modelkeep._directory import Alias, Directory, Generation, Project, Release
from modelkeep._errors import (
    ConflictError,
    CorruptedError,
    Error,
    InvalidError,
    MissingError,
    StorageError,
    UnsupportedError,
)
from modelkeep._inventory import Inventory
from modelkeep._manifest import Manifest
from modelkeep._move import Move
from modelkeep._package import Package
from modelkeep._provider import inventory, registry
from modelkeep._registry import Registry
from modelkeep._tag import Tag, Training, Tuning

if TYPE_CHECKING:
    from modelkeep._copy import Copied, copy
    from modelkeep._verify import Damage, Verification, verify

__all__ = [
    "Alias",
    "Artifact",
    "Collected",
    "ConflictError",
    "Copied",
    "CorruptedError",
    "Damage",
    "Descriptor",
    "Directory",
    "Error",
    "Generation",
    "InvalidError",
    "Inventory",
    "Manifest",
    "MissingError",
    "Move",
    "Package",
    "Project",
    "Registry",
    "Release",
    "StorageError",
    "Tag",
    "Training",
    "Tuning",
    "UnsupportedError",
    "Verification",
    "copy",
    "inventory",
    "registry",
    "verify",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # most programs copy and verify nothing, and these modules would be a tenth of the time that importing takes
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = "_copy" if name in ("Copied", "copy") else "_verify"
        return getattr(import_module(f"{__name__}.{module}"), name)

    def __dir__() -> list[str]:
        return [*globals(), *__all__]

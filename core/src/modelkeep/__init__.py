"""A registry for the artifacts of machine-learning projects that is a folder, a file or a bucket, and no server."""

__version__ = "0.1.0"

from modelkeep._artifact import Artifact
from modelkeep._descriptor import Descriptor
from modelkeep._directory import Directory, Generation, Project, Release
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
from modelkeep._package import Package
from modelkeep._provider import inventory, registry
from modelkeep._registry import Registry
from modelkeep._tag import Tag, Training, Tuning

__all__ = [
    "Artifact",
    "ConflictError",
    "CorruptedError",
    "Descriptor",
    "Directory",
    "Error",
    "Generation",
    "InvalidError",
    "Inventory",
    "Manifest",
    "MissingError",
    "Package",
    "Project",
    "Registry",
    "Release",
    "StorageError",
    "Tag",
    "Training",
    "Tuning",
    "UnsupportedError",
    "inventory",
    "registry",
]

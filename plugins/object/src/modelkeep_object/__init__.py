"""Keeps a registry and an inventory in a bucket of S3, Google Cloud Storage or Azure, for any number of machines."""

from modelkeep_object._backend import Inventory, Registry

__all__ = ["Inventory", "Registry"]

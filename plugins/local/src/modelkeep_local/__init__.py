"""Keeps a registry and an inventory in a folder that people can read, laid out as ForML's own provider does."""

from modelkeep_local._backend import Inventory, Registry

__all__ = ["Inventory", "Registry"]

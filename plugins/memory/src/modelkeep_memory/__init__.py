"""Keeps a registry and an inventory in the memory of one process: for tests, trials and speed."""

from modelkeep_memory._backend import Inventory, Registry

__all__ = ["Inventory", "Registry"]

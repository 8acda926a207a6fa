"""Keeps a registry and an inventory in one file that is a .tar.zst to the rest of the world."""

from modelkeep_archive._backend import Inventory, Registry

__all__ = ["Inventory", "Registry"]

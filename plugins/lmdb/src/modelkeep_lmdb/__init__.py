"""Keeps a registry and an inventory in one LMDB environment: for one machine with many processes."""

from modelkeep_lmdb._backend import Inventory, Registry

__all__ = ["Inventory", "Registry"]

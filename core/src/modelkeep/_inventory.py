"""The contract of an inventory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from modelkeep._descriptor import Descriptor
from modelkeep._key import ApplicationKey


class Inventory(ABC):
    """Keeps the descriptors of the applications that serve models.

    What `Registry` says of authors and of what every method owes holds here too.
    """

    @abstractmethod
    def list(self) -> Iterable[str]:
        """List the names of the applications, ascending. No stored code runs."""

    @abstractmethod
    def get(self, application: ApplicationKey) -> Descriptor:
        """Get the descriptor of an application, verified. No stored code runs.

        Raises:
            MissingError: There is no such application.
        """

    @abstractmethod
    def put(self, descriptor: Descriptor.Handle) -> None:
        """Publish a descriptor, durably; an earlier one of that name is replaced atomically."""

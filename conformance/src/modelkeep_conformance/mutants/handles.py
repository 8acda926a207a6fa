"""Handles that can not be pickled, are not equal, show too little or too much."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from modelkeep_conformance.mutants import reference
from modelkeep_conformance.mutants.define import Harness, VolatileHarness, mutant
from modelkeep_conformance.mutants.reference import Engine, Inventory, Registry, Volatile


@mutant("P1", "a handle holds a lock, which can not be pickled")
@mutant("P1", "a handle holds a lock, which can not be pickled", kind="inventory")
class HoldsLock(Engine):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.lock = threading.Lock()


@mutant("P1", "a pickled handle opens a new and empty store")
@mutant("P1", "a pickled handle opens a new and empty store", kind="inventory")
class OpensAnother(Engine):
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.place = tempfile.mkdtemp()


@mutant("P1", "a pickle names an object of this process")
@mutant("P1", "a pickle names an object of this process", kind="inventory")
class NamesAnObject(Engine):
    known: ClassVar[dict[int, Engine]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        self.known[id(self)] = self
        return _known, (id(self),)


def _known(number: int) -> Engine:
    return NamesAnObject.known[number]


@mutant("P1", "a pickle holds the path as seen from the working directory of a process")
class RelativePath(Engine):
    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "pid": os.getpid()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.place = state["place"] if state["pid"] == os.getpid() else f"{state['place']}/{Path(state['place']).name}"


@mutant("P1", "once a handle was used, its pickle can not be loaded")
class NotOnceUsed(Engine):
    used = False

    def get(self, key: str) -> bytes | None:
        self.used = self.used or key.startswith("generation/")
        return super().get(key)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.get("used"):
            raise TypeError("This handle was in use")
        vars(self).update(state)


@mutant("P2", "a handle equals only itself")
@mutant("P2", "a handle equals only itself", kind="inventory")
class OnlyItself(Engine):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@mutant("P2", "all handles are equal")
class AllEqual(Engine):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Engine)

    def __hash__(self) -> int:
        return 1


@mutant("P2", "equal handles have different hashes")
@mutant("P2", "equal handles have different hashes", kind="inventory")
class HashOfObject(Engine):
    __eq__ = Engine.__eq__

    def __hash__(self) -> int:
        return id(self)


@mutant("P2", "equality looks at the name of the folder, and not at its path")
class EqualByName(Registry):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry)

    def __hash__(self) -> int:
        return hash(Path(self._engine.place).parent.name[:3])


@mutant("P2", "a hash changes as the store is used")
class HashOfContent(Engine):
    __eq__ = Engine.__eq__

    def __hash__(self) -> int:
        return hash((self.place, len(self.keys("generation/"))))


@mutant("P3", "what is shown is an address")
class ShowsAddress(Registry):
    __repr__ = object.__repr__


@mutant("P3", "what is shown does not tell the place")
class ShowsNoPlace(Registry):
    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}()"


@mutant("P3", "what is shown does not tell the backend")
class ShowsNoBackend(Inventory):
    def __repr__(self) -> str:
        return f"Inventory({self._engine.place!r})"


class SecretHarness(Harness):
    """A backend that takes a secret."""

    def recipe(self, root: Path) -> Mapping[str, Any]:
        """The folder of the test, and a password."""
        return {**super().recipe(root), "password": "correct-horse"}


@mutant("P3", "a message shows the password", harness=SecretHarness)
@mutant("E2", "a message shows the password", harness=SecretHarness)
class ShowsPassword(Registry):
    def __init__(self, path: str, password: str, staging: str | None = None) -> None:
        super().__init__(path, staging)
        self.password = password

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, password={self.password!r})"


@mutant("P4", "in another process a store in memory is empty", harness=VolatileHarness)
class EmptyElsewhere(Volatile):
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.place,)


@mutant("P4", "to another process goes a copy of a store in memory", harness=VolatileHarness)
class CopiedElsewhere(Volatile):
    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (type(self), self.place, self.values)


def _copied(kind: type[Volatile], place: str, values: dict[str, bytes]) -> Volatile:
    kind.stores.setdefault(place, values)
    return kind(place)


@mutant("P4", "in another process a store in memory fails without a word", harness=VolatileHarness)
@mutant("P4", "in another process a store in memory fails without a word", harness=VolatileHarness, kind="inventory")
class FailsElsewhere(Volatile):
    def __reduce__(self) -> tuple[Any, ...]:
        return _failed, (type(self), self.place, os.getpid())


def _failed(kind: type[Volatile], place: str, pid: int) -> Volatile:
    try:
        return reference._here(kind, place, pid)
    except Exception:
        raise KeyError(place) from None


@mutant("P2", "stores are told apart by the names of their folders")
@mutant("P2", "stores are told apart by the names of their folders", kind="inventory")
class ByFolderName(Engine):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByFolderName) and Path(self.place).name == Path(other.place).name

    def __hash__(self) -> int:
        return hash(Path(self.place).name)

"""Harnesses that do not tell the truth of a backend that is sound."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from modelkeep_conformance.harness import Region
from modelkeep_conformance.mutants.define import Harness, mutant
from modelkeep_conformance.mutants.reference import Inventory, Registry


class OneForAll(Harness):
    def recipe(self, root: Path) -> Mapping[str, Any]:
        return super().recipe(root.parent / "one")


class NewEachTime(Harness):
    def recipe(self, root: Path) -> Mapping[str, Any]:
        return super().recipe(root / uuid4().hex)


class Unknown(Harness):
    traits = Harness.traits | {"fast"}


class Unpicklable(Harness):
    def recipe(self, root: Path) -> Mapping[str, Any]:
        return {**super().recipe(root), "staging": threading.Lock()}


class OfAnotherKind(Harness):
    def recipe(self, root: Path) -> Mapping[str, Any]:
        return {**super().recipe(root), "staging": object()}


class FindsTooLittle(Harness):
    def regions(self, root: Path, project: str, version: str) -> Sequence[Region]:
        return super().regions(root, project, version)[:-1]


class ChangesNothing(Harness):
    def regions(self, root: Path, project: str, version: str) -> Sequence[Region]:
        return [_Idle(each) for each in super().regions(root, project, version)]


class _Idle(Region):
    def __init__(self, region: Region) -> None:
        self.name, self.item, self._content = region.name, region.item, region.load()

    def load(self) -> bytes:
        return self._content

    def store(self, content: bytes) -> bool:
        return True


@mutant("H1", "all roots are one store", harness=OneForAll)
class OneStore(Registry):
    pass


@mutant("H1", "all roots are one store", harness=OneForAll)
class OneStoreOfApplications(Inventory):
    pass


@mutant("H1", "a root is a new store whenever it is asked for", harness=NewEachTime)
class NewStore(Registry):
    pass


@mutant("H1", "a trait is none that the contract knows", harness=Unknown)
class UnknownTrait(Registry):
    pass


@mutant("H2", "the options can't be pickled", harness=Unpicklable)
class UnpicklableOptions(Registry):
    pass


@mutant("H2", "the options are not equal when they were pickled", harness=OfAnotherKind)
class OptionsOfAnotherKind(Registry):
    pass


@mutant("H3", "a stored item is not found", harness=FindsTooLittle)
class TooLittle(Registry):
    pass


@mutant("H3", "a stored item is not found", harness=FindsTooLittle)
class TooFewApplications(Inventory):
    pass


@mutant("H3", "what is changed is a copy", harness=ChangesNothing)
class ChangedCopy(Registry):
    pass

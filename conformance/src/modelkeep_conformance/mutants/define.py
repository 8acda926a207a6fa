"""How a mutant is defined: a class with one defect, and a decorator that names the clause that it breaks."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from modelkeep import keyvalue
from modelkeep.backend import seal
from modelkeep_conformance import golden
from modelkeep_conformance.backends import MUTANT, Mutant
from modelkeep_conformance.harness import FileHarness, FileRegion, Region, keyvalue_items
from modelkeep_conformance.mutants import reference

_Broken = TypeVar("_Broken", bound=type)

#: The mutants by name, as they are defined.
found: Final[dict[str, Mutant]] = {}


@dataclasses.dataclass(frozen=True)
class Harness(FileHarness):
    """All traits, for a registry or an inventory on the reference engine.

    Attributes:
        kind: registry or inventory.
        provider: The class, as `module:Class`.
    """

    traits = FileHarness.traits | {"aliases", "removable", "collectable"}
    expendable: ClassVar[tuple[str, ...]] = (".stage",)
    #: what the levers use; that of a mutant may be broken
    engine: ClassVar[type[reference.Engine]] = reference.Engine

    kind: str
    provider: str

    @property
    def provides(self) -> frozenset[str]:  # type: ignore[override]  # each instance has one of the two
        """What the class is."""
        return frozenset({self.kind})

    def recipe(self, root: Path) -> Mapping[str, Any]:
        """The folder of the test."""
        return {"provider": self.provider, "path": str(root)}

    def regions(self, root: Path, project: str, version: str) -> Sequence[Region]:
        """The file of each key."""
        engine = self.engine(str(root))
        if self.kind == "inventory":
            items = {key: key for key in engine.keys("application/")}
        else:
            items = keyvalue_items(engine, project, version)
        return [FileRegion(item, engine.path(key)) for key, item in items.items()]

    def newer_format(self, root: Path) -> bool:
        """A marker of a format to come."""
        self.engine(str(root)).replace("format", seal("format", b"%d" % (keyvalue.FORMAT + 1)))
        return True

    def golden(self, root: Path) -> Path:
        """What the reference writes."""
        golden.fill(Harness(self.kind, f"{reference.__name__}:{self.kind.capitalize()}"), root)
        return root

    def litter(self, root: Path) -> bool:
        """What people, editors and other programs leave behind."""
        for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            for name in (".DS_Store", "note.txt~", "#note#", "10.bak", "#9.value"):
                (folder / name).write_text("litter")
        (root / ".git" / "1.0").mkdir(parents=True)
        return True


class VolatileHarness(Harness):
    """No traits."""

    traits = frozenset()


def mutant(
    clause: str, defect: str, *, kind: str = "", harness: type[Harness] = Harness
) -> Callable[[_Broken], _Broken]:
    """Define a mutant by its class: a registry, an inventory, or an engine for either.

    Args:
        clause: The clause that it breaks.
        defect: What is wrong with it, in a line.
        kind: registry or inventory, for an engine; by default a registry.
        harness: How to reach it.
    """

    def define(broken: _Broken) -> _Broken:
        name, suffix, is_a = broken.__qualname__, "", kind or "registry"
        if issubclass(broken, reference.Engine):
            base = reference.Registry if is_a == "registry" else reference.Inventory
            suffix = is_a.capitalize()
            attributes = {"engine": broken, "__module__": broken.__module__, "__qualname__": f"{name}.{suffix}"}
            setattr(broken, suffix, type(suffix, (base,), attributes))
            suffix = f".{suffix}"
        elif issubclass(broken, reference.Inventory):
            is_a = "inventory"
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
        full = f"{clause}-{words}" + ("-inventory" if suffix == ".Inventory" else "")
        assert full not in found, full
        found[full] = Mutant(clause, harness(is_a, f"{broken.__module__}:{name}{suffix}"), defect)
        return broken

    return define


#: The reference itself, unbroken.
REFERENCES: Final = {
    f"{MUTANT}none-{kind}": Harness(kind, f"{reference.__name__}:{kind.capitalize()}")
    for kind in ("registry", "inventory")
}


def gap() -> None:
    """Stay for a moment where no one should, so that others find what is not finished."""
    time.sleep(0.003)

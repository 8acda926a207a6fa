"""An installed package, from which a project's modules can be loaded."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Final

from modelkeep._errors import InvalidError, MissingError
from modelkeep._key import shown
from modelkeep._manifest import Manifest

_importing: Final = threading.RLock()
#: The folder that modules were loaded from last, if any.
_entered: Final[set[str]] = set()


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A package installed in a folder.

    Attributes:
        path: The folder.
        manifest: What the package says of itself.
    """

    path: Path
    manifest: Manifest

    def load(self, module: str) -> ModuleType:
        """Import a module of the package: the one place where a project's code runs.

        The folder goes to the front of `sys.path`, in place of that of another release. Modules that came from there,
        and modules of the same name from elsewhere, are forgotten first, so that what is loaded is of this release;
        objects made of them stay valid.

        Args:
            module: A component named by the manifest, or a module of the package relative to it.

        Raises:
            MissingError: The package has no such module.
            InvalidError: The package would hide a module of the standard library.
        """
        if not isinstance(module, str) or not module:
            raise InvalidError(f"A module is asked for by its name, not by {shown(module)}")
        package = self.manifest.package
        name = self.manifest.modules.get(module, f".{module}")
        name = f"{package}{name}" if name.startswith(".") else name
        folder = self.path.absolute()
        roots = {path.name.partition(".")[0] for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
        if hidden := roots & sys.stdlib_module_names:
            raise InvalidError(
                f"{self.manifest.name} {self.manifest.version} would hide standard modules: {', '.join(sorted(hidden))}"
            )
        with _importing:
            _enter(str(folder), roots)
            try:
                return importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name and f"{name}.".startswith(f"{error.name}."):
                    raise MissingError(
                        f"{self.manifest.name} {self.manifest.version} has no module {name!r} for {module!r}; "
                        f"its manifest names {sorted(self.manifest.modules) or 'none'}"
                    ) from error
                raise


def _enter(folder: str, roots: set[str]) -> None:
    """Let a folder be the one that modules of these names are imported from."""
    left = _entered - {folder}
    _entered.clear()
    _entered.add(folder)
    sys.path[:] = [folder, *(path for path in sys.path if path not in left and path != folder)]
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None) or ""
        strange = name.partition(".")[0] in roots and not _below(origin, folder)
        if strange or any(_below(origin, each) for each in left):
            del sys.modules[name]
    importlib.invalidate_caches()


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")

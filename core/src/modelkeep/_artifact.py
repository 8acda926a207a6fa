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
from modelkeep._manifest import Manifest

_importing: Final = threading.RLock()


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

        The folder goes to the front of `sys.path`. Modules of the same Python package that were imported from
        elsewhere (another release, say) are forgotten first, so that what is loaded is of this release; objects
        made of them stay valid.

        Args:
            module: A component named by the manifest, or a module of the package relative to it.

        Raises:
            MissingError: The package has no such module.
            InvalidError: The package would hide a module of the standard library.
        """
        package = self.manifest.package
        name = self.manifest.modules.get(module, f".{module}")
        name = f"{package}{name}" if name.startswith(".") else name
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            raise InvalidError(f"{self.manifest.name} {self.manifest.version} would hide the standard module {top!r}")
        with _importing:
            path = str(self.path)
            _forget(top, path)
            if path not in sys.path[:1]:
                sys.path.insert(0, path)
            importlib.invalidate_caches()
            try:
                return importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name and f"{name}.".startswith(f"{error.name}."):
                    raise MissingError(
                        f"{self.manifest.name} {self.manifest.version} has no module {name!r} for {module!r}; "
                        f"its manifest names {sorted(self.manifest.modules) or 'none'}"
                    ) from error
                raise


def _forget(top: str, path: str) -> None:
    """Drop the modules below a top-level name unless they came from this folder."""
    here = f"{path}/"
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{top}.")]:
        module = sys.modules[name]
        origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        if not origin.startswith(here):
            del sys.modules[name]

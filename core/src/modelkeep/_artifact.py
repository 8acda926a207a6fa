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
        try:
            roots = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
        except OSError as error:
            raise MissingError(
                f"The installation of {self.manifest.name} {self.manifest.version} can not be read: {error}. "
                "Mount the release again"
            ) from error
        if hidden := roots & sys.stdlib_module_names:
            raise InvalidError(
                f"{self.manifest.name} {self.manifest.version} would hide standard modules: {', '.join(sorted(hidden))}"
            )
        with _importing:
            top = name.partition(".")[0]
            _enter(str(folder), top if top in roots or (folder / top).is_dir() else None)
            try:
                return importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name and f"{name}.".startswith(f"{error.name}."):
                    raise MissingError(
                        f"{self.manifest.name} {self.manifest.version} has no module {name!r} for {module!r}; "
                        f"its manifest names {sorted(self.manifest.modules) or 'none'}"
                    ) from error
                raise


def _enter(folder: str, top: str | None) -> None:
    """Let a folder be the one that modules are imported from; the package of a top name comes from nowhere else."""
    left = _entered - {folder}
    _entered.clear()
    _entered.add(folder)
    sys.path[:] = [folder, *(path for path in sys.path if path not in left and path != folder)]
    for name, module in list(sys.modules.items()):
        origin = _origin(module)
        strange = name.partition(".")[0] == top and not _below(origin, folder)
        if strange or any(_below(origin, each) for each in left):
            del sys.modules[name]
    importlib.invalidate_caches()


def _origin(module: object) -> str:
    """Where a module was loaded from; what is there instead of a module, or is loaded on demand, is not touched."""
    known = getattr(module, "__dict__", {}) if isinstance(module, ModuleType) else {}
    path = known.get("__file__")
    if path is None:
        try:
            path = next(iter(known.get("__path__", ())), None)
        except Exception:  # whatever a strange module has there
            path = None
    return path if isinstance(path, str) else ""


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")

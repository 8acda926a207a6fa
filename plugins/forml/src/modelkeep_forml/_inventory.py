"""The inventory, as ForML 0.93 sees it (forml/io/asset/_persistent.py)."""
# ForML has no type hints to be found, so that what is derived from it is of type Any
# mypy: disable-error-code="import-untyped,import-not-found,misc"

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from forml import application as appmod
from forml.io import asset

import modelkeep
from modelkeep_forml._errors import translated
from modelkeep_forml._place import Place, resolved


class Inventory(Place, asset.Inventory):
    """An inventory of ForML that is any inventory of modelkeep."""

    # see Registry
    __module__ = "modelkeep_forml"

    def __init__(self, name: str | None = None, backend: str | None = None, **options: Any) -> None:
        """Open an inventory of modelkeep; arguments and errors are those of `Registry`."""
        name, options = resolved(name, backend, options)
        with translated():
            self._inner = modelkeep.inventory(name, **options)

    def list(self) -> tuple[str, ...]:
        with translated():
            return tuple(map(str, self._inner.list()))

    def get(self, application: str) -> appmod.Descriptor:
        """Get a descriptor: its module is run, in the way that ForML runs one."""
        with translated():
            found = self._inner.get(application)
        # one folder for each content, so that neither a replaced descriptor nor its byte code is met again
        folder = Path(asset.TMPDIR, "modelkeep", found.digest.rpartition(":")[2])
        # named as the application is; a dot would make ForML look for a package
        module = folder / f"{found.name.replace('.', '_')}.py"
        if not module.exists():
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{uuid4().hex}.partial"
            partial.write_bytes(found.source)
            partial.replace(module)
        return appmod.Descriptor.Handle(module).descriptor

    def put(self, descriptor: appmod.Descriptor.Handle) -> None:
        """Publish a descriptor under the name that it has for ForML; an earlier one is replaced atomically."""
        with translated():
            self._inner.put(modelkeep.Descriptor.Handle(descriptor.path, descriptor.descriptor.name))

"""Application descriptors: the module that tells how an application is served, kept as source."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias
from uuid import uuid4

from modelkeep._digest import digest
from modelkeep._errors import InvalidError
from modelkeep._key import ApplicationKey, shown

#: The largest descriptor module, in bytes.
LIMIT: Final = 16 << 20


class DescriptorHandle:
    """Refers to the module file of a descriptor that is to be published, known as `Descriptor.Handle`.

    Attributes:
        path: The file.
        descriptor: What is in it now.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Read a module file; nothing of it runs.

        Args:
            path: A Python source file.
            name: The name of the application, by default that of the file without its suffix.

        Raises:
            InvalidError: The file can't be read, or the name is no application name.
        """
        try:
            self.path = Path(path)
            source = self.path.read_bytes()
        except (OSError, TypeError, ValueError) as error:
            raise InvalidError(f"The module of an application can not be read from {shown(path)}: {error}") from error
        self.descriptor = Descriptor(ApplicationKey(self.path.stem if name is None else name), source)

    def __repr__(self) -> str:
        return f"Descriptor.Handle({str(self.path)!r}, {str(self.descriptor.name)!r})"


class _DescriptorTypes:
    # not in the dataclass itself, which would take an annotated alias for a field
    Key: TypeAlias = ApplicationKey
    Handle: TypeAlias = DescriptorHandle


@dataclasses.dataclass(frozen=True, init=False)
class Descriptor(_DescriptorTypes):
    """What an application is served by.

    Attributes:
        name: The name of the application.
        source: Its module, byte for byte as it was published.
    """

    name: ApplicationKey
    source: bytes = dataclasses.field(repr=False)

    def __init__(self, name: str, source: bytes) -> None:
        """Check the attributes.

        Raises:
            InvalidError: The name is no application name, or the source is not bytes or longer than 16 MiB.
        """
        if not isinstance(source, bytes) or len(source) > LIMIT:
            raise InvalidError(f"The source of application {shown(name)} must be bytes, at most {LIMIT} of them")
        vars(self).update(name=ApplicationKey(name), source=source)

    @property
    def digest(self) -> str:
        """The digest of the source."""
        return digest(self.source)

    def load(self) -> ModuleType:
        """Run the source as a new module and return it; the only method that runs code of an application.

        Raises:
            InvalidError: The source is not Python.
        """
        module = ModuleType(f"modelkeep.application.{self.name}.{uuid4().hex}")
        module.__file__ = f"<application {self.name}>"
        try:
            code = compile(self.source, module.__file__, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise InvalidError(f"The module of application {self.name!r} is not Python: {error}") from error
        # dataclasses, pickle and others look a module up by the name that its classes have
        sys.modules[module.__name__] = module
        try:
            exec(code, vars(module))  # noqa: S102  # what this method is for
        except BaseException:
            del sys.modules[module.__name__]
            raise
        return module

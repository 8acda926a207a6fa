"""Applications that are bent, lost, mixed up or run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from modelkeep import Descriptor, InvalidError, MissingError
from modelkeep._key import ApplicationKey
from modelkeep_conformance.mutants.define import gap, mutant
from modelkeep_conformance.mutants.reference import Inventory


@mutant("I1", "line ends are translated")
class LineEnds(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        return Descriptor(application, super().get(application).source.replace(b"\r\n", b"\n"))


@mutant("I1", "the source is taken for UTF-8, and what is not is replaced")
class OnlyUTF8(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        return Descriptor(application, super().get(application).source.decode("utf-8", "replace").encode())


@mutant("I1", "a byte order mark is dropped")
class MarkDropped(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        return Descriptor(application, super().get(application).source.removeprefix(b"\xef\xbb\xbf"))


@mutant("I1", "a source without a line feed at its end is given one")
class LineFeedAdded(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        source = super().get(application).source
        return Descriptor(application, source if source.endswith(b"\n") else source + b"\n")


@mutant("I1", "an empty source is refused")
class NoEmptySource(Inventory):
    def put(self, descriptor: Descriptor.Handle) -> None:
        if not descriptor.descriptor.source:
            raise InvalidError(f"The module of {descriptor.descriptor.name} is empty")
        super().put(descriptor)


@mutant("I1", "what is no Python is refused")
class OnlyPython(Inventory):
    def put(self, descriptor: Descriptor.Handle) -> None:
        try:
            compile(descriptor.descriptor.source, "", "exec")
        except (SyntaxError, ValueError) as error:
            raise InvalidError(f"The module of {descriptor.descriptor.name} is no Python") from error
        super().put(descriptor)


@mutant("I1", "the module is read again when it is given back")
class ReadAgain(Inventory):
    def put(self, descriptor: Descriptor.Handle) -> None:
        super().put(descriptor)
        key = f"path/{descriptor.descriptor.name}"
        self._engine.replace(key, str(descriptor.path.absolute()).encode())

    def get(self, application: ApplicationKey) -> Descriptor:
        found = super().get(application)
        path = Path((self._engine.get(f"path/{application}") or b"").decode())
        with contextlib.suppress(OSError):
            return Descriptor(application, path.read_bytes())
        return found


@mutant("I1", "only ten applications are listed")
class TenListed(Inventory):
    def list(self) -> list[Any]:
        return super().list()[:10]


@mutant("I2", "an application that is there is not replaced")
class FirstStays(Inventory):
    def put(self, descriptor: Descriptor.Handle) -> None:
        if descriptor.descriptor.name not in super().list():
            super().put(descriptor)


@mutant("I2", "a new source is put before the old one")
class Appended(Inventory):
    def put(self, descriptor: Descriptor.Handle) -> None:
        name, source = descriptor.descriptor.name, descriptor.descriptor.source
        with contextlib.suppress(MissingError):
            source += self.get(name).source
        descriptor.descriptor = Descriptor(name, source[: 1 << 20])
        super().put(descriptor)


@mutant("I3", "an unknown application is empty")
class UnknownIsEmpty(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        try:
            return super().get(application)
        except MissingError:
            return Descriptor(application, b"")


@mutant("I3", "an application is found by the beginning of its name")
class FoundByBeginning(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        names = [name for name in super().list() if name.startswith(application)]
        return super().get(ApplicationKey(names[0]) if names else application)


@mutant("I3", "an application is found whatever the case of its name")
class FoundInAnyCase(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        names = [name for name in super().list() if name.casefold() == application.casefold()]
        return super().get(ApplicationKey(names[0]) if names else application)


@mutant("I3", "an unknown application is an error of the storage")
@mutant("E1", "an unknown application is an error of the storage")
class ApplicationIsKeyError(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        try:
            return super().get(application)
        except MissingError:
            raise KeyError(application) from None


@mutant("I4", "what is listed stands in an index, which is read, changed and written")
class Index(Inventory):
    def put(self, descriptor: Descriptor.Handle) -> None:
        super().put(descriptor)
        names = {*self.list(), descriptor.descriptor.name}
        gap()
        self._engine.replace("index", "\n".join(sorted(names)).encode())

    def list(self) -> list[Any]:
        return [ApplicationKey(name) for name in (self._engine.get("index") or b"").decode().split()]


@mutant("I5", "applications are run when they are listed")
class RunWhenListed(Inventory):
    def list(self) -> list[Any]:
        found = super().list()
        for name in found:
            with contextlib.suppress(Exception):
                self.get(ApplicationKey(name)).load()
        return found


@mutant("I5", "an application is run when it is asked for")
class RunWhenAsked(Inventory):
    def get(self, application: ApplicationKey) -> Descriptor:
        found = super().get(application)
        with contextlib.suppress(Exception):
            found.load()
        return found


@mutant("I5", "an application is run when it is put")
class RunWhenPut(Inventory):
    def put(self, descriptor: Descriptor.Handle) -> None:
        with contextlib.suppress(Exception):
            descriptor.descriptor.load()
        super().put(descriptor)

"""Release packages: a zip file, or a folder, with a manifest in its root."""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

from modelkeep import _content, _manifest
from modelkeep._artifact import Artifact
from modelkeep._content import Member
from modelkeep._errors import InvalidError, StorageError
from modelkeep._key import shown
from modelkeep._manifest import Manifest
from modelkeep._scratch import scratch

#: What is never packed: byproducts of running the code.
_BYPRODUCT: Final = "__pycache__"
#: Below this many bytes unpacked no ratio makes a bomb.
_SMALL: Final = 64 << 20


class Package:
    """A release package on disk: the code of one version of a project.

    Opening one reads its table of contents and its manifest; no code of it runs. Refused are members that would be
    written outside of the folder it is installed into, links and other special files, duplicate names, encryption,
    and bombs: more than `LIMIT` bytes or `MEMBERS` files unpacked, or more than `RATIO` times the packed size.

    Attributes:
        path: Where it lies.
        manifest: What it says of itself.
    """

    #: The most that a package may hold when unpacked, in bytes.
    LIMIT = 4 << 30
    #: The most files and folders.
    MEMBERS = 100_000
    #: The largest ratio of unpacked to packed size, once the unpacked size is more than 64 MiB.
    RATIO = 200

    path: Path
    manifest: Manifest

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a package.

        Args:
            path: A zip file of any name, or a folder.

        Raises:
            InvalidError: There is no such file, it is no package, or a hostile one.
        """
        self.path = _path(path)
        with self._members() as members:
            self.manifest = _read_manifest(members, self.path)

    @classmethod
    def create(
        cls,
        source: str | os.PathLike[str],
        path: str | os.PathLike[str],
        manifest: Manifest | None = None,
    ) -> Self:
        """Pack a folder. Equal content gives equal bytes; `__pycache__` is left out.

        Args:
            source: The folder that holds the project's Python package.
            path: The zip file to write; an existing one is replaced. It may lie in the folder, and is left out then.
            manifest: What the package says of itself; by default the manifest that the folder has.

        Raises:
            InvalidError: The folder can't be packed, or has no manifest and none was given.
        """
        import zipfile

        folder, target = _path(source), _path(path).absolute()
        if manifest is not None and not isinstance(manifest, Manifest):
            raise InvalidError(f"A Manifest is needed, not {type(manifest).__name__}")
        partial = target.with_name(f".{uuid.uuid4().hex}.partial")
        try:
            members = _content.of_folder(folder)
            manifest = manifest or _read_manifest(members, folder)
            itself = os.path.relpath(target.parent.resolve() / target.name, folder.resolve())
            left_out = {_manifest.NATIVE, itself.replace(os.sep, "/")}
            kept = [m for m in members if m.name not in left_out and _BYPRODUCT not in m.name.split("/")]
            _content.pack(kept, partial, zipfile.ZIP_DEFLATED, [(_manifest.NATIVE, manifest.dumps().encode())])
            cls(partial)
            partial.replace(target)
        except OSError as error:
            raise InvalidError(f"The folder {source} can not be packed as {path}: {error}") from error
        finally:
            _content.discard(partial)
        return cls(target)

    @classmethod
    def receive(cls, fill: Callable[[Path], object]) -> Self:
        """Open a package that a registry delivers: a private copy, removed when the process exits.

        Args:
            fill: Called with a path that does not exist, to write the package there.
        """
        path = scratch() / "package.4ml"
        try:
            fill(path)
            return cls(path)
        except BaseException:
            _content.discard(path.parent)
            raise

    @property
    def folder(self) -> bool:
        """Whether the package is a folder."""
        return self.path.is_dir()

    @property
    def size(self) -> int:
        """How many bytes the file has, or the files of the folder."""
        with self._members() as members:
            return sum(member.size for member in members) if self.folder else self.path.stat().st_size

    @functools.cached_property
    def digest(self) -> str:
        """The digest of the content: of a file its bytes, of a folder its names, modes and bytes.

        Raises:
            StorageError: The package can't be read any more.
        """
        try:
            return _content.digest_content(self.path)
        except OSError as error:
            raise StorageError(f"The package {self.path} can not be read: {error}") from error

    def copy(self, path: str | os.PathLike[str]) -> Self:
        """Copy the package as it is, file or folder, to a path that does not exist.

        Raises:
            InvalidError: It changed since it was opened, or there is something at the path.
            StorageError: It can't be read, or not be written there.
        """
        target = _path(path)
        if os.path.lexists(target):
            raise InvalidError(f"The package {self.path} can not be copied: {target} exists already")
        try:
            self._copy(target)
            copied = type(self)(target)
            if copied.manifest != self.manifest:
                raise InvalidError(f"The package {self.path} changed since it was opened; open it again")
        except BaseException:
            _content.discard(target)
            raise
        return copied

    def _copy(self, target: Path) -> None:
        try:
            _content.copy_content(self.path, target)
        except OSError as error:
            raise StorageError(f"The package {self.path} can not be copied to {target}: {error}") from error

    def archive(self, path: Path) -> None:
        """Pack all of a folder package into an uncompressed zip that `unarchive` turns into an equal folder."""
        import zipfile

        with self._members() as members:
            _content.pack(members, path, zipfile.ZIP_STORED)

    @classmethod
    def unarchive(cls, archive: Path, path: Path) -> None:
        """Restore the folder package that `archive` packed."""
        cls(archive).install(path)

    def install(self, path: str | os.PathLike[str]) -> Artifact:
        """Unpack into a new folder, which appears whole or not at all.

        Raises:
            InvalidError: The package is hostile or broken, or the folder exists already.
        """
        target = _path(path)
        partial = target.with_name(f".{uuid.uuid4().hex}.partial")
        try:
            _make_folder(partial)
            with self._members() as members:
                _content.unpack(members, partial)
            if os.path.lexists(target):
                raise InvalidError(f"The package {self.path} can not be installed: {target} exists already")
            partial.rename(target)
        finally:
            _content.discard(partial)
        return Artifact(target, self.manifest)

    @contextlib.contextmanager
    def _members(self) -> Iterator[list[Member]]:
        """List the members after checking them; they can be read until the block ends."""
        import zipfile
        import zlib

        try:
            if self.path.is_dir():
                members = _content.of_folder(self.path)
                _content.check(members, self.path, self.LIMIT, self.MEMBERS)
                yield members
                return
            with zipfile.ZipFile(self.path) as archive:
                members = _content.of_zip(archive)
                size = _content.check(members, self.path, self.LIMIT, self.MEMBERS)
                if size > max(_SMALL, self.RATIO * self.path.stat().st_size):
                    raise InvalidError(f"The package {self.path} is a bomb: {size} bytes when unpacked")
                yield members
        except FileNotFoundError as error:
            raise InvalidError(f"There is no package at {self.path}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
            raise InvalidError(f"{self.path} is not a usable zip package: {error}") from error
        except OSError as error:
            raise StorageError(
                f"The package {self.path} can not be read, or not be written elsewhere: {error}"
            ) from error

    def __eq__(self, other: object) -> bool:
        return self.path == other.path if isinstance(other, Package) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Package({str(self.path)!r})"


def _path(path: str | os.PathLike[str]) -> Path:
    """Turn what a caller passes for the path of a package into a path that has a name.

    Raises:
        InvalidError: It is none.
    """
    try:
        found = Path(path)
        os.fsencode(found)
    except (TypeError, ValueError) as error:
        raise InvalidError(f"The path of a package is a str or Path, not {shown(path)}: {error}") from error
    try:
        name = found.absolute().name
    except OSError as error:
        raise StorageError(f"The working folder is gone, so {shown(path)} is nowhere: {error}") from error
    if "\0" in str(found) or name in ("", ".."):
        raise InvalidError(f"Not the path of a package: {shown(path)}")
    return found


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"A package can not be installed below {path.parent}: {error}") from error


def _read_manifest(members: list[Member], where: Path) -> Manifest:
    named = {member.name: member for member in members}
    for name, loads in ((_manifest.NATIVE, Manifest.loads), (_manifest.FORML, Manifest.loads_forml)):
        member = named.get(name)
        if member is None or member.open is None:
            continue
        if member.size > _manifest.LIMIT:
            raise InvalidError(f"The manifest {name} in {where} has more than {_manifest.LIMIT} bytes")
        with member.open() as file:
            source = file.read(_manifest.LIMIT + 1)
        try:
            # a mark of the byte order is no part of the text; some editors put one
            return loads(source.decode("utf-8-sig"))
        except (InvalidError, UnicodeDecodeError) as error:
            raise InvalidError(f"The package {where} has no usable manifest: {error}") from error
    raise InvalidError(
        f"The package {where} has no manifest: neither {_manifest.NATIVE} nor {_manifest.FORML} in its root"
    )

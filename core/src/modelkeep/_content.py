"""What is inside a package: its members, alike for a zip and a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from modelkeep import _digest
from modelkeep._errors import InvalidError

# what is imported in the functions below would make `import modelkeep` noticeably slower
if TYPE_CHECKING:
    import zipfile

CHUNK: Final = 1 << 20
#: The oldest time that a zip can tell, so that equal content gives equal bytes.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_ENCRYPTED: Final = 0x1
#: Stored and deflated: what every tool reads.
_METHODS: Final = (0, 8)
#: The longest name of a file, in bytes, that file systems in use take.
_LONGEST: Final = 255


@dataclasses.dataclass(frozen=True)
class Member:
    """A file or folder inside of a package.

    Attributes:
        name: Its path from the root, parts joined by `/`.
        mode: Its permission bits.
        size: Its size in bytes, 0 for a folder.
        open: Opens the file for reading; None for a folder.
    """

    name: str
    mode: int
    size: int
    open: Callable[[], IO[bytes]] | None


def of_folder(root: Path) -> list[Member]:
    """List what a folder holds, ordered by name.

    Raises:
        InvalidError: There is a link, a device or a name that is not Unicode.
    """
    found: list[Member] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(root / prefix) as scanned:
            entries = list(scanned)
        for entry in entries:
            name = prefix + entry.name
            status = entry.stat(follow_symlinks=False)
            permissions = status.st_mode & 0o777
            if stat.S_ISDIR(status.st_mode):
                found.append(Member(name, permissions, 0, None))
                pending.append(f"{name}/")
            elif stat.S_ISREG(status.st_mode):
                found.append(Member(name, permissions, status.st_size, _opener(root / name)))
            else:
                raise InvalidError(f"The package {root} has a member that is neither file nor folder: {name!r}")
    return sorted(found, key=lambda member: member.name)


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def of_zip(archive: zipfile.ZipFile) -> list[Member]:
    """List what a zip holds, in its own order.

    Raises:
        InvalidError: There is a link, a device, or an encrypted member.
    """
    return [_of_info(archive, info) for info in archive.infolist()]


def _of_info(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or info.flag_bits & _ENCRYPTED:
        raise InvalidError(
            f"The package {archive.filename} has a member that is a link, special or encrypted: {info.orig_filename!r}"
        )
    if info.compress_type not in _METHODS:
        raise InvalidError(
            f"The package {archive.filename} has a member that is neither stored nor deflated: {info.orig_filename!r}"
        )
    # zipfile cuts a name at NUL and turns separators, so that its own idea of a name could hide what was meant
    if info.orig_filename != info.filename:
        raise InvalidError(f"The package {archive.filename} has a member with an unusable name: {info.orig_filename!r}")
    if info.is_dir():
        return Member(info.filename.removesuffix("/"), mode & 0o777 if mode else 0o755, 0, None)
    return Member(info.filename, mode & 0o777 if mode else 0o644, info.file_size, lambda: archive.open(info))


def check(members: Iterable[Member], where: Path, size: int, count: int) -> int:
    """Check that the members can be unpacked without harm.

    Args:
        members: What a package holds.
        where: The package, for messages.
        size: The most bytes allowed.
        count: The most members allowed.

    Returns:
        The bytes when unpacked.

    Raises:
        InvalidError: A name leads outside, stands twice or lies below a file, or there is too much.
    """
    names: set[str] = set()
    files: set[str] = set()
    total = 0
    for member in members:
        parts = member.name.split("/")
        if any(part in ("", ".", "..") or not _portable(part) for part in parts):
            raise InvalidError(f"The package {where} has a member with a harmful name: {member.name!r:.200}")
        if member.name in names:
            raise InvalidError(f"The package {where} has two members named {member.name!r:.200}")
        names.add(member.name)
        if member.open:
            files.add(member.name)
        total += member.size
        if total > size or len(names) > count:
            raise InvalidError(f"The package {where} holds more than {size} bytes or {count} members when unpacked")
    for name in names:
        if any(parent in files for parent in _parents(name)):
            raise InvalidError(f"The package {where} has a member below a file: {name!r:.200}")
    return total


def _portable(part: str) -> bool:
    return part.isprintable() and not set(part) & set("\\:") and len(os.fsencode(part)) <= _LONGEST


def _parents(name: str) -> Iterable[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def unpack(members: Sequence[Member], target: Path) -> None:
    """Write checked members into an existing folder."""
    import shutil

    for member in members:
        path = target / member.name
        if member.open is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, path.open("xb") as file:
            shutil.copyfileobj(source, file, CHUNK)
        path.chmod(member.mode)
    # deepest first, and after the files: a folder may be read-only
    for member in sorted((m for m in members if m.open is None), key=lambda m: m.name, reverse=True):
        (target / member.name).chmod(member.mode)


def pack(members: Iterable[Member], target: Path, method: int, first: Iterable[tuple[str, bytes]] = ()) -> None:
    """Write a new zip; equal members give equal bytes.

    Args:
        members: What to pack.
        target: The file to make.
        method: How to compress, `zipfile.ZIP_DEFLATED` or `zipfile.ZIP_STORED`.
        first: Names and contents of files to put before the others.
    """
    import shutil
    import zipfile

    with zipfile.ZipFile(target, "x", method) as archive:
        for name, content in first:
            archive.writestr(_info(name, stat.S_IFREG | 0o644, method), content)
        for member in members:
            if member.open is None:
                archive.writestr(_info(f"{member.name}/", stat.S_IFDIR | member.mode, zipfile.ZIP_STORED), b"")
                continue
            info = _info(member.name, stat.S_IFREG | member.mode, method)
            info.file_size = member.size
            with member.open() as source, archive.open(info, "w") as file:
                shutil.copyfileobj(source, file, CHUNK)


def _info(name: str, mode: int, method: int) -> zipfile.ZipInfo:
    import zipfile

    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = mode << 16
    info.compress_type = method
    return info


def digest_content(path: Path) -> str:
    """The digest of a package: of a file its bytes, of a folder its names, modes and bytes.

    Raises:
        InvalidError: The folder holds links or special files.
    """
    return digest_tree(of_folder(path)) if path.is_dir() else digest_stream(path.open("rb"))


def copy_content(source: Path, target: Path) -> None:
    """Copy a package, file or folder, to a path that does not exist; the modes inside of a folder are kept.

    Raises:
        InvalidError: The folder holds links or special files.
    """
    import shutil

    if source.is_dir():
        target.mkdir()
        unpack(of_folder(source), target)
    else:
        shutil.copyfile(source, target)


def digest_tree(members: Iterable[Member]) -> str:
    """The digest of a folder: BLAKE3 over one line `mode digest name` a member, ordered by name.

    The mode is three octal digits; the digest of a folder is `-`; a line ends with NUL.
    """
    tree = _digest.Hasher()
    for member in sorted(members, key=lambda member: member.name):
        content = "-" if member.open is None else digest_stream(member.open())
        tree.update(f"{member.mode:03o} {content} {member.name}\0".encode())
    return _digest.PREFIX + tree.hexdigest()


def digest_stream(stream: IO[bytes]) -> str:
    """The digest of all that is left to read of a stream, which is closed then."""
    hasher = _digest.Hasher()
    with stream:
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
    return _digest.PREFIX + hasher.hexdigest()


def discard(path: Path) -> None:
    """Remove a file or folder, if it is there, read-only folders in it included."""
    import shutil

    if not path.is_dir():
        with contextlib.suppress(NotADirectoryError):
            path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    for folder, names, _ in os.walk(path):
        for name in names:
            # before it is listed; a link is not followed
            if not Path(folder, name).is_symlink():
                Path(folder, name).chmod(0o700)
    shutil.rmtree(path)

"""What no commit has taken yet: the blobs of states and packages, compressed, and the records of states.

They wait as files in `<archive>.stage`, named by the hash of their key and never flushed. The file of a blob ends with
what tells where its frames are, that of a record begins with its key in a line. A file appears whole or not at all;
only a loss of power can damage it, so that of a blob carries the id of the boot it was written in, and what is from an
earlier one is not trusted unseen.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from modelkeep import keyvalue
from modelkeep.backend import UNFINISHED, Hasher, boot
from modelkeep_archive._blobs import Blob
from modelkeep_archive._format import DamagedError
from modelkeep_archive._frames import Frames, compress
from modelkeep_archive._index import Source


class Staged:
    """A blob in the stage.

    Attributes:
        blob: Where it is: whole, in a file that is open.
        trusted: Whether no power can have been lost since it was written.

    Raises:
        DamagedError: It is none.
    """

    def __init__(self, path: Path) -> None:
        source = Source(str(path))
        size = source.size
        length = int.from_bytes(source.read(max(size - 4, 0), 4), "little")
        if length > size - 4:
            raise DamagedError
        try:
            record = json.loads(source.read(size - 4 - length, length))
            self.blob = Blob(str(record["key"]), source, Frames.of(record, size))
            self.trusted = bool(record["boot"]) and record["boot"] == boot()
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise DamagedError from error


class Stage:
    """The folder beside an archive."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def record(self, key: str) -> bytes | None:
        """Look a record up."""
        try:
            return self._file(key).read_bytes().partition(b"\n")[2]
        except (FileNotFoundError, NotADirectoryError):
            return None

    def blob(self, key: str) -> Staged | None:
        """Look a blob up; one that is damaged is not there."""
        try:
            found = Staged(self._file(key))
        except (FileNotFoundError, NotADirectoryError, DamagedError):
            return None
        return found if found.blob.key == key else None

    def put(self, key: str, value: memoryview, level: int, threads: int) -> None:
        """Compress a blob."""
        with self.partial() as (path, file):
            record = compress(value, file.write, level, threads).asdict()
            trailer = json.dumps({**record, "key": key, "boot": boot()}).encode()
            file.write(trailer + len(trailer).to_bytes(4, "little"))
            file.close()
            path.replace(self._file(key))

    def spill(self, key: str, value: memoryview) -> Blob:
        """Keep bytes, which are compressed already, in a file that goes with what is returned."""
        with self.partial() as (path, file):
            frames = compress(value, file.write, level=1, threads=1)
            file.flush()
            return Blob(key, Source(str(path)), frames)

    def create(self, key: str, value: bytes) -> bool:
        """Keep a record, unless there is one."""
        with self.partial() as (path, file):
            file.write(key.encode() + b"\n" + value)
            file.close()
            try:
                self._file(key).hardlink_to(path)
            except FileExistsError:
                return False
            return True

    @contextlib.contextmanager
    def partial(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Make a file for the length of a block, unless it is renamed."""
        path = self.path / f".{uuid4().hex}"
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            # another process may remove the empty folder
            with contextlib.suppress(FileNotFoundError):
                file = path.open("x+b")
                break
        try:
            with file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)

    def remove(self, keys: Iterable[str]) -> None:
        """Forget what was committed; the folder stays, since to make it again costs as much as a commit."""
        for key in keys:
            self._file(key).unlink(missing_ok=True)

    def has(self, key: str) -> bool:
        """Whether there is a file for a key."""
        return self._file(key).exists()

    def stored(self) -> Iterator[keyvalue.Stored]:
        """Tell what is there; what is neither a blob nor a record is called by its path. Folders are none of ours."""
        with contextlib.suppress(FileNotFoundError):
            for file in list(self.path.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    # not what a link leads to: the link would be removed
                    status = file.lstat()
                    if not stat.S_ISDIR(status.st_mode):
                        key = self._key(file) if stat.S_ISREG(status.st_mode) else str(file)
                        partial = UNFINISHED if file.name.startswith(".") else 0
                        yield keyvalue.Stored(key, status.st_size, status.st_mtime + partial)

    def _key(self, file: Path) -> str:
        with contextlib.suppress(DamagedError, PermissionError):
            with file.open("rb") as head:
                key = head.readline(1000).rstrip(b"\n").decode(errors="replace")
            if self._file(key) != file:
                key = Staged(file).blob.key
            if self._file(key) == file:
                return key
        return str(file)

    def clear(self) -> None:
        """Remove the folder, if nothing is there."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _file(self, key: str) -> Path:
        # what is none of ours goes by its path
        return Path(key) if key.startswith("/") else self.path / Hasher(key.encode()).hexdigest()

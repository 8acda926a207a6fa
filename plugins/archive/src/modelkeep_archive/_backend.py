"""The registry and the inventory."""

from __future__ import annotations

import os

from modelkeep import keyvalue
from modelkeep_archive._engine import Engine


class Registry(keyvalue.Registry):
    """A registry in an archive."""

    _engine: Engine

    def __init__(
        self,
        path: str | os.PathLike[str],
        staging: str | os.PathLike[str] | None = None,
        level: int = 3,
        threads: int | None = None,
        sync: bool = True,
    ) -> None:
        """Open an archive; the first write makes it.

        Args:
            path: The file, best named `.tar.zst`. While states wait for their generation there is a folder
                `<path>.stage` beside it.
            staging: See `modelkeep.Registry`.
            level: The compression level of zstd, from -7 to 22. Archives with values of different levels are fine.
            threads: How many threads compress and decompress a large value; by default one for each processor.
            sync: Whether commits survive power loss. Without, they survive the death of the process only.
        """
        super().__init__(Engine(path, level=level, threads=threads, sync=sync), staging)

    def pack(self) -> None:
        """Write the archive anew, without what nothing refers to and without old indexes.

        It appears in the place of the old one at once. Writers wait meanwhile; who reads the old file goes on.

        Raises:
            StorageError: There is no archive.
            CorruptedError: The index, or a record of a blob, is damaged; the archive was left as it is.
        """
        self._engine.pack()


class Inventory(keyvalue.Inventory):
    """An inventory in an archive."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        level: int = 3,
        threads: int | None = None,
        sync: bool = True,
    ) -> None:
        """Open an archive; see `Registry`. It may be that of a registry."""
        super().__init__(Engine(path, level=level, threads=threads, sync=sync))

"""The registry and the inventory."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final

from modelkeep import CorruptedError, keyvalue
from modelkeep.backend import PREFIX
from modelkeep_archive._blobs import BLOB
from modelkeep_archive._engine import Engine

#: For how long `pack` lets a state wait for its generation.
_WAIT: Final = timedelta(days=7)


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
        *,
        delta: bool = False,
    ) -> None:
        """Open an archive; the first write makes it.

        Args:
            path: The file, best named `.tar.zst`. While states wait for their generation there is a folder
                `<path>.stage` beside it.
            staging: See `modelkeep.Registry`.
            level: The compression level of zstd, from -7 to 22. Archives with values of different levels are fine.
            threads: How many threads compress and decompress a large value; by default one for each processor.
            sync: Whether commits survive power loss. Without, they survive the death of the process only.
            delta: Whether a state is stored as its difference from the one at its position in the generation before,
                if that is smaller. Such states are read whatever this says.
        """
        super().__init__(Engine(path, level=level, threads=threads, sync=sync, delta=delta), staging)

    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        try:
            super()._verify(content, name, what)
        except CorruptedError as error:
            base = self._engine.lost_base(BLOB + name.removeprefix(PREFIX))
            if base is None:
                raise
            raise CorruptedError(
                f"{error}. They are kept as the difference from {base}, which is damaged: if you have the bytes of "
                "that, writing them again heals both"
            ) from None

    def pack(self) -> None:
        """Collect what has been waiting for a week, and write the archive anew without old indexes.

        It appears in the place of the old one at once. Writers wait meanwhile; who reads the old file goes on.

        Raises:
            StorageError: There is no archive.
            CorruptedError: The index, or a record of a blob, is damaged; the archive was left as it is.
        """
        before = self._engine.identity()
        self.collect(_WAIT)
        # it may have been written anew already
        if self._engine.identity() == before:
            self._engine.pack()


class Inventory(keyvalue.Inventory):
    """An inventory in an archive."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        level: int = 3,
        threads: int | None = None,
        sync: bool = True,
        *,
        delta: bool = False,
    ) -> None:
        """Open an archive; see `Registry`. It may be that of a registry, and has the same options."""
        super().__init__(Engine(path, level=level, threads=threads, sync=sync, delta=delta))

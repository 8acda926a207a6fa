"""The index of an archive: from keys to the places of their records.

Each commit lists its keys. Every `FAN` commits these lists become a *run*: a sorted table and a list of names. `FAN`
runs of a level become one of the next level. So a commit writes its own keys and, from time to time, a run; opening
reads the last commit and less than `FAN` before it, and a lookup searches some tables. All of it can be made again from
the lists of the commits, which is done when a run is damaged.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from modelkeep import CorruptedError
from modelkeep.backend import Hasher
from modelkeep_archive import _format
from modelkeep_archive._format import DamagedError

#: How many commits become a run, and how many runs become one.
FAN: Final = 16
#: The level whose runs stay as they are: those of a million commits.
_TOP: Final = 4
#: More of them are a hostile archive, or four thousand million commits.
_MOST_RUNS: Final = 4096
_HASH: Final = struct.Struct("<QQ")

Hash = tuple[int, int]


class Source:
    """An archive that is open for reading.

    Attributes:
        identity: Device and number of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._fd)
        self.identity = status.st_dev, status.st_ino

    def __del__(self) -> None:
        # whoever reads at the moment holds a reference
        if hasattr(self, "_fd"):
            os.close(self._fd)

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, start: int, length: int) -> bytes:
        """Read some bytes; less if the file ends before."""
        found = os.pread(self._fd, length, start)
        if len(found) in (0, length):
            return found
        parts = [found]
        while found and length > (done := sum(map(len, parts))):
            found = os.pread(self._fd, length - done, start + done)
            parts.append(found)
        return b"".join(parts)

    def into(self, start: int, memory: memoryview) -> int:
        """Read as many bytes into memory as fit, or as the file has; tell how many."""
        done = 0
        while done < len(memory) and (found := os.preadv(self._fd, [memory[done:]], start + done)):
            done += found
        return done

    def box(self, kind: bytes, start: int, end: int) -> bytes | None:
        """Read the content of a box that ends before a place; None if it is damaged."""
        if type(start) is not int or not len(_format.HEAD) <= start < end:
            return None
        # most are short, and read at once
        box = self.read(start, min(1024, end - start))
        length = _format.length(box)
        if not _format.OVERHEAD <= length <= end - start:
            return None
        if length > len(box):
            box += self.read(start + len(box), length - len(box))
        return _format.unpack(kind, start, box[:length])


class _Run:
    """Sorted hashes of keys with the places of their records, and the names of those that are listed."""

    def __init__(self, source: Source, end: int, table: int, names: int) -> None:
        self._source, self._end = source, end
        self._table, self._names = table, names
        self._columns: tuple[array[int], ...] | None = None
        self._listed: list[str] | None = None

    @property
    def columns(self) -> tuple[array[int], ...]:
        if self._columns is None:
            content = self._source.box(_format.TABLE, self._table, self._end)
            if content is None or len(content) % 24:
                raise DamagedError
            third = len(content) // 3
            columns = tuple(array("Q", content[start : start + third]) for start in (0, third, 2 * third))
            if sys.byteorder == "big":
                for column in columns:
                    column.byteswap()
            self._columns = columns
        return self._columns

    @property
    def listed(self) -> list[str]:
        if self._listed is None:
            content = self._source.box(_format.NAMES, self._names, self._end)
            if content is None:
                raise DamagedError
            self._listed = content.decode("ascii", "replace").split("\n") if content else []
        return self._listed

    def find(self, sought: Hash) -> int | None:
        first, second, places = self.columns
        position = bisect_left(first, sought[0])
        while position < len(first) and first[position] == sought[0]:
            if second[position] == sought[1]:
                return places[position]
            position += 1
        return None

    def items(self) -> Iterator[tuple[Hash, int]]:
        first, second, places = self.columns
        return zip(zip(first, second, strict=True), places, strict=True)

    def within(self, prefix: str) -> list[str]:
        listed = self.listed
        return listed[bisect_left(listed, prefix) : bisect_left(listed, _after(prefix))]


class Index:
    """The index after a commit; it does not change when others commit.

    Attributes:
        source: The archive.
        start: Where the commit begins.
        commit: The place of its record; 0 if there is none yet.
        end: Where it ends.
    """

    def __init__(self, source: Source, commit: int, end: int, before: Index | None = None) -> None:
        self.source, self.start, self.commit, self.end = source, end, commit, end
        #: commits that are in no run -> what they list
        self._lists: dict[int, Mapping[str, int]] = {}
        self._runs: dict[tuple[int, int, int], _Run] = {}
        self._recent: dict[str, int] = {}
        #: where a commit was lost
        self._lost: int | None = None
        if not commit:
            return
        record = self._read(commit)
        if record is None:
            self._replay()
            return
        self.start = record["start"]
        lists, runs = before.parts if before else ({}, {})
        for place in record["recent"]:
            self._add(place, lists.get(place))
        self._add(commit, record["items"])
        for level, table, names in record["runs"]:
            run = level, table, names
            self._runs[run] = runs.get(run) or _Run(source, end, table, names)

    @property
    def parts(self) -> tuple[Mapping[int, Mapping[str, int]], Mapping[tuple[int, int, int], _Run]]:
        """The lists and the runs that are read already, for the index after the next commit."""
        return self._lists, self._runs

    def _read(self, place: int) -> Any:
        content = self.source.box(_format.COMMIT, place, self.end)
        try:
            record = json.loads(content or b"")
            if len(record["recent"]) >= FAN or len(record["runs"]) > _MOST_RUNS:
                return None
            if not len(_format.HEAD) <= record["start"] < place or record["start"] % _format.ALIGNMENT:
                return None
            return {
                "start": int(record["start"]),
                "recent": [int(recent) for recent in record["recent"]],
                "runs": [(int(level), int(table), int(names)) for level, table, names in record["runs"]],
                "items": {str(key): int(offset) for key, offset in record["items"]},
            }
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            return None

    def _add(self, place: int, known: Mapping[str, int] | None = None) -> None:
        if known is None:
            record = self._read(place)
            if record is None:
                self._lost = place
                return
            known = record["items"]
        self._lists[place] = known
        self._recent.update(known)

    def _replay(self) -> None:
        """Make the index again from the lists of all commits."""
        whole = Index(self.source, 0, self.end)
        for commit, _ in follow(self.source, len(_format.HEAD), self.end):
            whole._add(commit, self._lists.get(commit))
        # the runs last, since they are looked at first: a thread that sees them still comes here itself
        self._lost, self._lists, self._recent = whole._lost, whole._lists, whole._recent
        self._runs = {}

    def _missing(self, what: str) -> None:
        if self._lost is not None:
            raise CorruptedError(
                f"{self.source.path}: the commit at byte {self._lost} is damaged, and may have had {what}. "
                "Restore the archive from a copy; what is found in it is not affected"
            )

    def place(self, key: str) -> int | None:
        """Find where the record of a key is; None if there is none.

        Raises:
            CorruptedError: There may have been one.
        """
        runs = self._runs
        found = self._recent.get(key)
        if found is None and runs:
            sought = _hash(key)
            try:
                for run in reversed(runs.values()):
                    found = run.find(sought)
                    if found is not None:
                        break
            except DamagedError:
                self._replay()
                return self.place(key)
        if found is None:
            self._missing(key)
        return found

    def get(self, key: str) -> bytes | None:
        """Look a record up; one that is damaged is empty, which whoever sealed it notices."""
        place = self.place(key)
        return None if place is None else self.source.box(_format.RECORD, place, self.end) or b""

    def keys(self, prefix: str) -> list[str]:
        """List the keys that begin with a prefix; those of states and blobs are not listed."""
        try:
            found = {key for run in self._runs.values() for key in run.within(prefix)}
        except DamagedError:
            self._replay()
            return self.keys(prefix)
        found.update(key for key in self._recent if key.startswith(prefix) and listed(key))
        self._missing(f"one of {prefix}")
        return list(found)

    def unlisted(self, start: int = len(_format.HEAD)) -> set[str]:
        """List the keys of states and blobs, by reading the list of each commit from a place on.

        Raises:
            CorruptedError: One of them is damaged.
        """
        found: set[str] = set()
        for commit, _ in follow(self.source, start, self.end):
            record = self._read(commit)
            if record is None:
                self._lost = commit
                self._missing("the key of a state")
            found.update(key for key in record["items"] if not listed(key))
        return found

    def last(self, prefix: str) -> str | None:
        """Find the greatest of the keys that begin with a prefix."""
        try:
            ends = ((run.listed, bisect_left(run.listed, _after(prefix))) for run in self._runs.values())
            found = [listed[end - 1] for listed, end in ends if end]
        except DamagedError:
            self._replay()
            return self.last(prefix)
        found += self._recent
        self._missing(f"one of {prefix}")
        return max((key for key in found if key.startswith(prefix)), default=None)

    def grow(self, items: Mapping[str, int], start: int) -> tuple[list[bytes], bytes]:
        """Add keys to the index.

        Args:
            items: The keys and the places of their records.
            start: Where what is added to the file will be.

        Returns:
            The boxes of a new run, if it is time for one, and the record of the commit.
        """
        self._missing("a key like one of those")
        boxes: list[bytes] = []
        runs = list(self._runs)
        recent = list(self._lists)
        if len(self._lists) + 1 >= FAN:
            recent = []
            try:
                level, merged, names = self._merge(runs, items)
            except DamagedError:
                self._replay()
                return self.grow(items, start)
            places = []
            for kind, content in ((_format.TABLE, _table(merged)), (_format.NAMES, "\n".join(sorted(names)).encode())):
                places.append(start)
                boxes.append(_format.pack(kind, start, content))
                start += len(boxes[-1])
            runs.append((level, *places))  # type: ignore[arg-type]
        record = {
            "start": self.end,
            "recent": [] if recent is None else recent,
            "runs": runs,
            "items": list(items.items()),
        }
        return boxes, _format.pack(_format.COMMIT, start, json.dumps(record, separators=(",", ":")).encode())

    def _merge(
        self, runs: list[tuple[int, int, int]], items: Mapping[str, int]
    ) -> tuple[int, dict[Hash, int], set[str]]:
        recent = {**self._recent, **items}
        level = 0
        newest = {_hash(key): place for key, place in recent.items()}
        names = {key for key in recent if listed(key)}
        older: list[_Run] = []
        while level < _TOP and len(runs) >= FAN - 1 and all(run[0] == level for run in runs[1 - FAN :]):
            older = [self._runs[run] for run in runs[1 - FAN :]] + older
            del runs[1 - FAN :]
            level += 1
        merged: dict[Hash, int] = {}
        for run in older:
            merged.update(run.items())
            names.update(run.listed)
        merged.update(newest)
        return level, merged, names


def listed(key: str) -> bool:
    """Whether a key is ever listed: those of states and blobs are only looked up."""
    return not key.startswith(("blob/", "state/"))


def follow(source: Source, end: int, limit: int | None = None) -> Iterator[tuple[int, int]]:
    """Go from commit to commit.

    Args:
        source: The archive.
        end: Where a commit ends.
        limit: Where to stop.

    Yields:
        The place of the record of each later commit, and where that commit ends.

    Raises:
        CorruptedError: What is there is neither a commit nor the end.
    """
    while end != limit:
        tries = 0
        while True:
            head = source.read(end, _format.ANNOUNCEMENT)
            if len(head) < _format.ANNOUNCEMENT or head.startswith(_format.ZEROS):
                return
            found = _format.announced(end, head)
            if found is not None:
                break
            # seen while it was written, perhaps; the next look tells
            tries += 1
            if tries == 3:  # noqa: PLR2004
                raise CorruptedError(
                    f"{source.path} is damaged at byte {end}, where a commit or the end of the archive should be. "
                    "Restore it from a copy"
                )
        if found[1] <= end or found[1] > source.size:
            return
        yield found
        end = found[1]


def _table(places: Mapping[Hash, int]) -> bytes:
    rows = sorted(places.items())
    columns: Sequence[Iterable[int]] = (
        [row[0][0] for row in rows],
        [row[0][1] for row in rows],
        [row[1] for row in rows],
    )
    return b"".join(struct.pack(f"<{len(rows)}Q", *column) for column in columns)


def _hash(key: str) -> Hash:
    first, second = _HASH.unpack(Hasher(key.encode()).digest(length=_HASH.size))
    return first, second


def _after(prefix: str) -> str:
    """The first string after all that begin with a prefix."""
    return "\x7f" if not prefix else f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"

"""What the author of a backend writes: a harness, named in the entry-point group `modelkeep.conformance`."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import json
import resource
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelkeep import Release

if TYPE_CHECKING:
    from modelkeep.keyvalue import Engine


@dataclasses.dataclass(frozen=True)
class Gap:
    """A known deviation: its tests are expected to fail, and an unexpected success fails the run.

    Attributes:
        clause: The id of the clause.
        error: The exception that its tests show.
        reason: Why it is so, for the report.
    """

    clause: str
    error: type[BaseException]
    reason: str


class Region(abc.ABC):
    """Bytes that a store keeps, reached behind its API.

    Attributes:
        name: Where they are, for messages.
        item: What they belong to: `release`, `generation/<number>`, `state/<sid>`, `alias/<name>/<number>` or
            `application/<name>`.
    """

    name: str
    item: str

    @abc.abstractmethod
    def load(self) -> bytes:
        """Read the bytes."""

    @abc.abstractmethod
    def store(self, content: bytes) -> bool:
        """Write other bytes in their place; return False if that is not possible for bytes of this length."""


@dataclasses.dataclass(frozen=True)
class FileRegion(Region):
    """Bytes of a file from `start` on: `size` of them, or all, which may become more or less."""

    item: str
    path: Path
    start: int = 0
    size: int | None = None

    @property
    def name(self) -> str:  # type: ignore[override]  # a property will do
        """The file and the offset."""
        return f"{self.path}:{self.start}"

    def load(self) -> bytes:
        """Read the bytes."""
        content = self.path.read_bytes()[self.start :]
        return content if self.size is None else content[: self.size]

    def store(self, content: bytes) -> bool:
        """Write other bytes in their place; as many if they are a part of the file."""
        if self.size not in (None, len(content)):
            return False
        with self.path.open("r+b") as file:
            file.seek(self.start)
            file.write(content)
            if self.size is None:
                file.truncate()
        return True


class Harness:
    """Tells the suite how to reach a backend. Authors derive from it; the tests can't be overridden.

    Attributes:
        provides: What the backend has: registry, inventory, or both.
        traits: See `modelkeep_conformance.clauses.TRAITS`.
        gaps: Known deviations.
        expendable: Patterns for the names of files and folders in the store that hold nothing of an acknowledged call,
            as locks and what is staged: they need no flush.
        least_age: The least age that `collect` takes.
        clock: How much older than it is a state may look, where times are kept in whole seconds, say.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"registry", "inventory"})
    traits: ClassVar[frozenset[str]] = frozenset()
    gaps: ClassVar[tuple[Gap, ...]] = ()
    expendable: ClassVar[tuple[str, ...]] = ("*.lock",)
    least_age: ClassVar[timedelta] = timedelta(0)
    clock: ClassVar[timedelta] = timedelta(0)

    def recipe(self, root: Path) -> Mapping[str, Any]:
        """Return the options that open the store of a folder.

        They are picklable, and passed to `modelkeep.registry` and `modelkeep.inventory` (an option that only one of
        them takes is left out for the other). The same folder is the same store, also in another process if the
        backend is durable.

        Args:
            root: An existing folder of the test; a new one is a new, empty store.
        """
        raise NotImplementedError

    def regions(self, root: Path, project: str, version: str) -> Sequence[Region]:
        """Find the stored bytes of a release, its generations, their states, its project's aliases, all applications.

        The suite damages them, one at a time, and expects CorruptedError.
        """
        return ()

    def newer_format(self, root: Path) -> bool:
        """Make the store say that it was written by a newer version; return False if that is not possible."""
        return False

    def golden(self, root: Path) -> Path | None:
        """Unpack a store that an earlier version wrote into a folder, and return the store's; None if there is none.

        `python -m modelkeep_conformance golden NAME FILE` makes such a store.
        """
        return None

    def litter(self, root: Path) -> bool:
        """Put into the store what the backend did not write; return False if that is not possible."""
        return False

    @contextlib.contextmanager
    def no_room(self, root: Path) -> Iterator[bool]:
        """Let writes of more than some bytes fail while the block lasts; yield False if that is not possible."""
        yield False

    @contextlib.contextmanager
    def read_only(self, root: Path) -> Iterator[bool]:
        """Let nobody write to the store while the block lasts; yield False if that is not possible."""
        yield False

    @contextlib.contextmanager
    def collecting(self, root: Path) -> Iterator[timedelta]:
        """Let `collect` take what was stored just now while the block lasts; yield the age that it has to be told.

        Only for backends with a `least_age`: it may be lowered behind the API. Only this process and those that it
        forks collect so, and what handles remember from before it need not hold after it.
        """
        yield self.least_age

    def forget(self, root: Path) -> None:
        """Free what a store occupies besides its folder, at the end of a test."""


class FileHarness(Harness):
    """For backends whose store is files in the folder of the test."""

    traits = frozenset({"durable", "multiprocess", "corruptible", "local_files"})

    @contextlib.contextmanager
    def no_room(self, root: Path) -> Iterator[bool]:
        """Let no file grow beyond the largest that is there, plus 64 KiB."""
        largest = max((path.stat().st_size for path in root.rglob("*") if path.is_file()), default=0)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + (64 << 10), before[1]))
        try:
            yield True
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    @contextlib.contextmanager
    def read_only(self, root: Path) -> Iterator[bool]:
        """Take write permissions away; the suite becomes another user for the test if it runs as root."""
        paths = [root, *root.rglob("*")]
        modes = {path: path.stat().st_mode for path in paths}
        for path in paths:
            path.chmod(modes[path] & 0o7777 & ~0o222 | 0o444 | (0o111 if path.is_dir() else 0))
        try:
            yield True
        finally:
            for path in paths:
                if path.exists():
                    path.chmod(modes[path] & 0o7777)


@dataclasses.dataclass(frozen=True)
class PatchRegion(Region):
    """Bytes that stand in a file at some places, all of which are changed alike; their number can't change."""

    item: str
    path: Path
    content: bytes
    places: tuple[int, ...]

    @property
    def name(self) -> str:  # type: ignore[override]  # a property will do
        """The file and the first place."""
        return f"{self.path}:{self.places[0]}"

    def load(self) -> bytes:
        """Read the bytes."""
        with self.path.open("rb") as file:
            file.seek(self.places[0])
            return file.read(len(self.content))

    def store(self, content: bytes) -> bool:
        """Write as many other bytes in their places."""
        if len(content) != len(self.content):
            return False
        with self.path.open("r+b") as file:
            for place in self.places:
                file.seek(place)
                file.write(content)
        return True


def find_patches(item: str, path: Path, content: bytes) -> PatchRegion:
    """Find where bytes stand in a file, outdated copies of them included."""
    whole = path.read_bytes()
    places = []
    place = whole.find(content)
    while place >= 0:
        places.append(place)
        place = whole.find(content, place + 1)
    return PatchRegion(item, path, content, tuple(places))


def keyvalue_items(engine: Engine, project: str, version: str) -> dict[str, str]:
    """Tell which item of `Harness.regions` each key of a store on `modelkeep.keyvalue` belongs to."""

    def record(key: str) -> Any:
        return json.loads((engine.get(key) or b"").partition(b"\n")[2])

    canonical = Release.Key(version).canonical
    items = {f"release/{project}/{canonical}": "release"}
    items[f"blob/{record(f'release/{project}/{canonical}')['blob'].partition(':')[2]}"] = "release"
    for key in engine.keys(f"generation/{project}/{canonical}/"):
        items[key] = f"generation/{int(key.rpartition('/')[2])}"
        for sid, (digest, _) in record(key).get("states", {}).items():
            items[f"blob/{digest.partition(':')[2]}"] = f"state/{sid}"
    for key in engine.keys(f"alias/{project}/"):
        _, _, alias, number = key.split("/")
        items[key] = f"alias/{alias}/{int(number)}"
    return items | {key: key for key in engine.keys("application/")}

"""Reading everything that is stored, to find what went bad while nobody looked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

from modelkeep._directory import Alias, Directory, Generation, Project, Release
from modelkeep._errors import CorruptedError, Error
from modelkeep._inventory import Inventory
from modelkeep._key import ApplicationKey
from modelkeep._registry import Registry
from modelkeep._tag import Tag
from modelkeep._work import Advance, Level, Meter, aliases, crew, level_of, ordered, place_of, pulled, walk

if TYPE_CHECKING:
    from concurrent.futures import Executor

Kind: TypeAlias = Literal["store", "project", "release", "package", "generation", "state", "alias", "application"]
_LISTED: Final[dict[type, Kind]] = {
    Directory: "store",
    Project: "project",
    Release: "release",
    Generation: "generation",
}


@dataclasses.dataclass(frozen=True)
class Damage:
    """An item that can not be read.

    Attributes:
        kind: What it is: the package of a release, the tag of a generation, a state, the log of an alias or an
            application; or a store, project or release that can not be listed.
        key: Which one: `project/release/generation/state` as far as that goes, `project@alias`, or the name of the
            application.
        place: The registry or inventory, as its repr shows it.
        error: The name of the error that reading it raises, `CorruptedError` say.
        message: The message of that error.
    """

    kind: Kind
    key: str
    place: str
    error: str
    message: str


@dataclasses.dataclass(frozen=True)
class Verification:
    """What reading everything has shown.

    Attributes:
        items: How many packages, tags, states, aliases and applications there are, what is damaged included.
        size: How many bytes the packages, states and applications have that can be read.
        damages: What can not be read, in the order of the listings.
    """

    items: int
    size: int
    damages: tuple[Damage, ...]

    @property
    def sound(self) -> bool:
        """Whether everything can be read."""
        return not self.damages


def verify(what: Registry | Inventory | Level, *, threads: int = 4, advance: Advance | None = None) -> Verification:
    """Read every package, tag, state and alias, or every application; each read compares the bytes with their digest.

    What is damaged does not keep the rest from being read. Nothing is written, and no stored code runs.

    Args:
        what: A registry, an inventory, or a level: a project, release or generation, with all that is below it.
        threads: How many items are read at once. As many states are in memory, where a backend can not show one
            without a copy.
        advance: Is called with the bytes read since its last call, and about how many are left.

    Raises:
        MissingError: There is no such project, release or generation.
        StorageError: The store can not be listed.
        UnsupportedError: The store has a format of a newer version.
        InvalidError: An argument is of another kind.
    """
    with crew(threads) as pool:
        items = _applications(what) if isinstance(what, Inventory) else _items(level_of(what), pool, 2 * threads)
        meter = Meter(advance, len(items))
        size, damages = 0, []
        for _, found in ordered(pool, _read, items, 2 * threads):
            if isinstance(found, Damage):
                damages.append(found)
            else:
                size += found
            meter.end(0 if isinstance(found, Damage) else found)
    return Verification(len(items), size, tuple(damages))


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    """What is read at a time; see `Damage` for the kinds."""

    kind: Kind
    of: Level | Alias | Inventory
    name: UUID | str = ""

    def size(self) -> int:
        """Read it, and return how many bytes it has."""
        if self.kind == "state" and isinstance(self.of, Generation) and isinstance(self.name, UUID):
            with self.of.view(self.name) as view:
                return view.nbytes
        if self.kind == "package" and isinstance(self.of, Release):
            with pulled(self.of) as package:
                return package.size
        if isinstance(self.of, Alias):
            self.of.list()
        if isinstance(self.of, Inventory):
            return len(self.of.get(ApplicationKey(str(self.name))).source)
        return 0

    def damage(self, error: Error) -> Damage:
        """Say that it can not be read."""
        place, above = (self.of, "") if isinstance(self.of, Inventory) else (self.of.registry, place_of(self.of))
        key = "/".join(filter(None, (above, str(self.name))))
        return Damage(self.kind, key, repr(place), type(error).__name__, str(error))


def _items(top: Level, pool: Executor, ahead: int) -> list[_Item | Damage]:
    """Find all that has to be read, which includes to read the tags."""
    items: list[_Item | Damage] = []

    def failed(level: Level, error: Error) -> None:
        # damage is a finding at the top too, anything else there means that nothing can be found out
        if level is top and not isinstance(error, CorruptedError):
            raise error
        items.append(_Item(_LISTED[type(level)], level).damage(error))

    for level, tag in ordered(pool, _tag, walk(top, failed), ahead):
        if isinstance(tag, Error):
            failed(level, tag)
        elif tag is None:
            items.append(_Item("package", level))
        else:
            items.append(_Item("generation", level))
            items += (_Item("state", level, sid) for sid in dict.fromkeys(tag.states))
    items += (_Item("alias", alias) for alias in aliases(top, failed))
    return items


def _tag(level: Release | Generation) -> Tag | Error | None:
    try:
        return level.tag if isinstance(level, Generation) else None
    except Error as error:
        return error


def _applications(inventory: Inventory) -> list[_Item | Damage]:
    try:
        return [_Item("application", inventory, name) for name in inventory.list()]
    except CorruptedError as error:
        return [_Item("store", inventory).damage(error)]


def _read(item: _Item | Damage) -> int | Damage:
    """Read an item, unless it is known to be damaged; returns how many bytes it has."""
    if isinstance(item, Damage):
        return item
    try:
        return item.size()
    except Error as error:
        return item.damage(error)

"""Calls that are cut short, and what must hold after that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from modelkeep import ConflictError, MissingError, Move
from modelkeep_conformance.kit import APPLICATIONS, PROJECT, VERSION, Filled, Kit, content, not_applicable, package, sid
from modelkeep_conformance.kit import tag as make_tag
from modelkeep_conformance.processes import Steps

if TYPE_CHECKING:
    from modelkeep._guard import GuardedInventory, GuardedRegistry

_Step = TypeVar("_Step")

#: A push of a file and of a folder, the first push to a store, the first move of an alias, and so on; each is a name
#: of a `Job`.
JOBS: Final = (
    "push",
    "push-folder",
    "push-first",
    "write",
    "close",
    "move",
    "move-new",
    "remove",
    "remove-release",
    "collect",
    "put",
    "put-first",
)
#: The size of the states that are written, in bytes.
SIZE: Final = 70_000
#: The alias that is moved.
_ALIAS: Final = "challenger"
#: What making a call again raises that did its work, of a removal and of others.
_MADE: Final = {True: MissingError, False: ConflictError}
#: The project in which something is removed.
_GONE: Final = "gone"


class Job:
    """A call that is cut short, on a store of its own.

    Attributes:
        name: One of `JOBS`.
        root: The folder of the store.
        filled: What was acknowledged before; None in a store that is new.
        package: What is pushed.
    """

    def __init__(self, kit: Kit, name: str, root: Path) -> None:
        _check_applies(kit, name)
        self.kit, self.name, self.root = kit, name, root
        # in a store of its own if this one is to be new: what is loaded at first use is not to be cut short
        self.filled: Filled | None = Filled(kit, kit.folder(f"beside-{root.name}") if name.endswith("first") else root)
        if name.endswith("first"):
            kit.remove(kit.folder(f"beside-{root.name}"))
            self.filled = None
        self._tag = make_tag(sid(21), sid(22), score=4.0)
        self._descriptor = kit.handle(APPLICATIONS[0], "x = 'new'\n" * 30)
        #: what is pushed, and what is pushed after it; not made where a fault is
        self.package = package(version="2.0" if self.filled else VERSION, folder=name == "push-folder")
        self._next = package(version="3.0")
        if name.startswith("remove") or (name == "collect" and kit.removes):
            self._fill_gone()
        if name == "collect":
            self._litter()
        #: what was moved before, and what is
        self._moves = (Move(1, (VERSION, 1)),) if name == "move" else ()
        self._move = Move(len(self._moves) + 1, (VERSION, 2), note="why")
        for move in self._moves:
            self.registry().move(PROJECT, _ALIAS, move)
        if name == "close":
            for number in (21, 22):
                self.registry().write(PROJECT, VERSION, sid(number), content(number, SIZE))

    def _fill_gone(self) -> None:
        """Make a project of which something is removed."""
        self.registry().push(package(_GONE))
        for number in (1, 2):
            self.registry().write(_GONE, VERSION, sid(number), content(number))
            self.registry().close(_GONE, VERSION, number, make_tag(sid(number)))

    def _litter(self) -> None:
        """Make what is collected, some of it equal to what is committed, and to each other."""
        if self.kit.removes:
            self.registry().remove(_GONE)
        for number, state in enumerate((content(51, SIZE), Filled.state(1), content(53), content(53)), 51):
            self.registry().write(PROJECT, VERSION, sid(number), state)

    def registry(self) -> GuardedRegistry:
        """A new handle."""
        return self.kit.registry(self.root)

    def inventory(self) -> GuardedInventory:
        """A new handle."""
        return self.kit.inventory(self.root)

    def handle(self) -> Any:
        """A new handle of what is called."""
        return self.inventory() if self.name.startswith("put") else self.registry()

    def call(self, handle: Any = None) -> None:
        """What is cut short, through a new handle unless one is given."""
        handle = handle or self.handle()
        if self.name.startswith("push"):
            handle.push(self.package)
        elif self.name == "write":
            handle.write(PROJECT, VERSION, sid(21), content(21, SIZE))
        elif self.name == "close":
            handle.close(PROJECT, VERSION, 4, self._tag)
        elif self.name == "remove":
            handle.remove(_GONE, VERSION, 2)
        elif self.name == "remove-release":
            handle.remove(_GONE, VERSION)
        elif self.name.startswith("move"):
            handle.move(PROJECT, _ALIAS, self._move)
        elif self.name == "collect":
            with self.kit.collecting(self.root) as age:
                handle.collect(age)
        else:
            handle.put(self._descriptor)

    def steps(self) -> int:
        """Call it, and tell how many steps it has; for a child."""
        with Steps(0, lambda: None) as steps:
            self.call()
        return steps.seen

    def check(self, *, acknowledged: bool = False) -> None:
        """All or nothing, all if it was acknowledged, and what was there before is intact."""
        done = self._done()
        assert done or not acknowledged or self.name == "write", "what was acknowledged is not there"
        if self.filled:
            # an application that was replaced has been looked at
            inventory = self.inventory() if self.kit.inventories and not self.name.startswith("put") else None
            self.filled.check(self.registry() if self.kit.registers else None, inventory)

    def _done(self) -> bool:
        """Whether the call did its work; if so, all of it."""
        if self.name.startswith("put"):
            return self._put()
        return self._committed() | self._moved() | self._removed() | self._collected()

    def _collected(self) -> bool:
        """Whether nothing is left to collect."""
        if self.name != "collect":
            return False
        with self.kit.collecting(self.root) as age:
            return not self.registry().collect(age, dry_run=True).items

    def _removed(self) -> bool:
        """Whether it was removed; if so, all of it, and otherwise nothing."""
        if not self.name.startswith("remove"):
            return False
        registry = self.registry()
        if _GONE not in registry.projects():
            assert self.name == "remove-release"
            for call in (registry.releases, lambda _: registry.generations(_GONE, VERSION)):
                with contextlib.suppress(MissingError):
                    raise AssertionError(f"{call(_GONE)} are left of what was removed")
            return True
        assert [str(key) for key in registry.releases(_GONE)] == [VERSION]
        left = registry.generations(_GONE, VERSION)
        assert left in ((1, 2), (1,))
        assert registry.latest(_GONE, VERSION) == left[-1]
        for number in left:
            assert registry.open(_GONE, VERSION, number).states == (sid(number),)
            assert registry.read(_GONE, VERSION, number, sid(number)) == content(number)
        if 2 in left:
            return False
        assert self.name == "remove"
        return True

    def _moved(self) -> bool:
        """Whether the alias was moved; if so, the move is whole."""
        if not self.name.startswith("move"):
            return False
        registry = self.registry()
        moves = registry.moves(PROJECT, _ALIAS)
        assert moves in (self._moves, (*self._moves, self._move))
        assert registry.current(PROJECT, _ALIAS) == (moves[-1] if moves else None)
        assert (_ALIAS in registry.aliases(PROJECT)) == bool(moves)
        return moves != self._moves

    def _put(self) -> bool:
        """Whether the application is the new one; if not, it is the old one."""
        inventory = self.inventory()
        if not self.filled and not inventory.list():
            return False
        assert inventory.list() == (APPLICATIONS if self.filled else APPLICATIONS[:1])
        if self.filled:
            assert inventory.get(APPLICATIONS[1]).source == Filled.source(APPLICATIONS[1])
        source = inventory.get(APPLICATIONS[0]).source
        assert source == self._descriptor.descriptor.source or (
            self.filled and source == Filled.source(APPLICATIONS[0])
        ), f"neither the old nor the new source: {source[:100]!r}"
        return source == self._descriptor.descriptor.source

    def _committed(self) -> bool:
        """Whether the commit is there; if so, it is whole."""
        registry = self.registry()
        if not self.filled and not registry.projects():
            return False
        assert [each for each in registry.projects() if each != _GONE] == [PROJECT]
        versions = [str(key) for key in registry.releases(PROJECT)]
        new = str(self.package.manifest.version)
        assert versions in ([VERSION], [VERSION, new])
        if new in versions and self.name.startswith("push"):
            assert registry.pull(PROJECT, new).digest == self.package.digest
            assert registry.generations(PROJECT, new) == ()
            return True
        # 6 is what `again` closes
        generations = tuple(key for key in registry.generations(PROJECT, VERSION) if key != 6)
        assert generations in ((1, 2, 3), (1, 2, 3, 4))
        if 4 not in generations:
            return False
        assert self.name == "close"
        assert registry.open(PROJECT, VERSION, 4) == self._tag
        for number in (21, 22):
            assert registry.read(PROJECT, VERSION, 4, sid(number)) == content(number, SIZE)
        return True

    def again(self, handle: Any = None) -> None:
        """The same call succeeds, unless it had done its work before; then it is a conflict that names it done."""
        if self.name in ("write", "collect"):
            self._close_what_was_cut(handle, 21 if self.name == "write" else 51)
        done = self._done()
        try:
            self.call(handle)
        except _MADE[self.name.startswith("remove")]:
            assert done, "a call that did not do its work can not be made again"
        else:
            assert not done or self.name.startswith(("put", "collect")), "what was done is done once more"
        self.check(acknowledged=True)
        if self.name == "write":
            registry = handle or self.registry()
            registry.close(PROJECT, VERSION, 5, make_tag(sid(21)))
            assert self.registry().read(PROJECT, VERSION, 5, sid(21)) == content(21, SIZE)

    def _close_what_was_cut(self, handle: Any, number: int) -> None:
        """A state that was cut short is either not there or whole."""
        registry = handle or self.registry()
        try:
            registry.close(PROJECT, VERSION, 6, make_tag(sid(number)))
        except MissingError:
            assert 6 not in self.registry().generations(PROJECT, VERSION)
            return
        assert self.registry().read(PROJECT, VERSION, 6, sid(number)) == content(number, SIZE)

    def follow(self, handle: Any = None) -> None:
        """Whatever others do next succeeds."""
        if self.name.startswith("put"):
            inventory = handle or self.inventory()
            inventory.put(self.kit.handle("third"))
            assert "third" in self.inventory().list()
            return
        registry = handle or self.registry()
        registry.push(self._next)
        registry.write(PROJECT, "3.0", sid(1), content(1))
        registry.close(PROJECT, "3.0", 1, make_tag(sid(1)))
        registry.close(PROJECT, VERSION, 9, make_tag())
        if self.name.startswith("remove"):
            for generation in (2, 1)[: 2 if self.name == "remove-release" else 1]:
                with contextlib.suppress(MissingError):
                    raise AssertionError(f"{registry.open(_GONE, VERSION, generation)} is left")
            registry.push(package(_GONE, "2.0"))
            registry.remove(_GONE)
            assert _GONE not in self.registry().projects()
        if self.name == "collect":
            registry.write(PROJECT, VERSION, sid(52), content(99))
            registry.write(PROJECT, VERSION, sid(53), content(53))
            registry.close(PROJECT, VERSION, 10, make_tag(sid(52), sid(53)))
            assert self.registry().read(PROJECT, VERSION, 10, sid(53)) == content(53)
        if self.name.startswith("move"):
            for number, alias in ((self._move.number + 1, _ALIAS), (1, "another")):
                registry.move(PROJECT, alias, Move(number, (VERSION, 3)))
                assert self.registry().current(PROJECT, alias) == registry.moves(PROJECT, alias)[-1]
        assert self.registry().read(PROJECT, "3.0", 1, sid(1)) == content(1)
        assert 9 in self.registry().generations(PROJECT, VERSION)

    def remove(self) -> None:
        """Free the store, of which there may be many in a test."""
        self.kit.remove(self.root)


def _check_applies(kit: Kit, name: str) -> None:
    """End a test of a call that the backend does not have."""
    if not (kit.inventories if name.startswith("put") else kit.registers):
        not_applicable(f"the backend has no {'inventory' if name.startswith('put') else 'registry'}")
    optional = {"move": ("aliases", kit.names_generations), "remove": ("removable", kit.removes)}
    trait, has = {**optional, "collect": ("collectable", kit.collects)}.get(name.partition("-")[0], ("", True))
    if not has:
        not_applicable(f"the backend is not {trait}")


def some(kit: Kit, name: str, steps: Iterable[_Step], few: int) -> list[_Step]:
    """Pick so many steps of a call, see `Kit.some`; a collection does the same again and again: a third will do."""
    return kit.some(steps, max(few // 3, 3) if name == "collect" else few)

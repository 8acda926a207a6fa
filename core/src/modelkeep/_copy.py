"""Copying from one store into another one, whatever backends they are."""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar
from uuid import UUID

from modelkeep._descriptor import Descriptor
from modelkeep._digest import digest
from modelkeep._directory import Alias, Generation, Release
from modelkeep._errors import ConflictError, CorruptedError, Error, InvalidError, MissingError
from modelkeep._inventory import Inventory
from modelkeep._key import ApplicationKey, shown
from modelkeep._move import Move
from modelkeep._registry import Registry
from modelkeep._scratch import discard_scratch, scratch
from modelkeep._tag import Tag
from modelkeep._work import Advance, Level, Meter, aliases, crew, level_of, ordered, place_of, pulled, walk

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Fail: TypeAlias = Callable[[Error], object]
Outcome: TypeAlias = Literal["copied", "there", "would be copied"]


@dataclasses.dataclass(frozen=True)
class Copied:
    """What became of a release, generation, alias or application.

    Attributes:
        kind: Which of these it is.
        key: `project/release`, `project/release/generation`, `project@alias`, or the name of the application.
        outcome: It was `copied`, the target had an equal one (`there`), or it `would be copied` if this were no trial.
        size: How many bytes were copied: of a generation those of its states, of an alias none.
    """

    kind: Literal["release", "generation", "alias", "application"]
    key: str
    outcome: Outcome
    size: int = 0


def copy(
    source: Registry | Inventory | Level,
    target: Registry | Inventory,
    *,
    dry_run: bool = False,
    compare: bool = False,
    replace: bool = False,
    threads: int = 4,
    advance: Advance | None = None,
    failed: Callable[[Error], object] | None = None,
) -> tuple[Copied, ...]:
    """Copy releases, generations and aliases into another registry, or applications into another inventory.

    What is copied keeps its number, spelling, tag, ids and bytes, and is durable when this returns. What the target has
    already is left alone if it is equal. So a copy that was interrupted, at whatever instruction, is completed by
    making it again, and one that is made twice copies nothing the second time. All that conflicts is found before
    anything is written, unless others write to the target meanwhile.

    Of an alias the moves that the target does not have are made there, as they were made here; a log that does not
    begin like that of the target is a conflict.

    Packages are equal if their digests are, generations if their tags are: each id of a state is drawn at random when
    the state is dumped, so that it stands for its bytes.

    Args:
        source: What to copy: all of a registry or inventory, or a level: a project with its aliases, a release with its
            generations, or a generation, whose release is copied as well.
        target: Where to.
        dry_run: Whether to find out only what would be copied, and to write nothing.
        compare: Whether to compare also the bytes of states that the target has, which reads all of them twice.
        replace: Whether an application of the target that has another source is replaced.
        threads: How many states of a generation are copied at once. As many are in memory, where the backends can not
            do without.
        advance: Is called with the bytes copied since its last call, and about how many are left; by several threads,
            one at a time.
        failed: Is told what could not be copied, and the rest is. Without it the first error is raised.

    Returns:
        What became of each item, in the order of the listings, what failed left out.

    Raises:
        ConflictError: The target has something else under the key of an item. Nothing of it was overwritten.
        MissingError: There is no such project, release or generation, or none that an alias was moved to.
        UnsupportedError: There are aliases, and the target keeps none.
        CorruptedError: An item of the source is damaged, or one of the target that it is compared with.
        InvalidError: An argument is of another kind, or both stores are one.
        StorageError: The source can not be read, or the target not be written to.
    """

    def fail(error: Error) -> None:
        if failed is None:
            raise error
        failed(error)

    with crew(threads) as pool:
        job = _job(source, target, functools.partial(ordered, pool, ahead=threads), compare=compare, replace=replace)
        plan = list(_plan(job, fail))
        if dry_run:
            return tuple(job.told(item, "there" if pieces is None else "would be copied") for item, pieces in plan)
        meter = Meter(advance, sum(pieces or 0 for _, pieces in plan))
        return tuple(_copied(job, plan, meter, fail))


def _job(
    source: Registry | Inventory | Level, target: Registry | Inventory, spread: _Spread, *, compare: bool, replace: bool
) -> _Job[Any]:
    if isinstance(source, Inventory) != isinstance(target, Inventory):
        raise InvalidError(
            "A registry is copied into a registry and an inventory into an inventory, "
            f"not {type(source).__name__} into {type(target).__name__}"
        )
    if isinstance(source, Inventory) and isinstance(target, Inventory):
        job: _Job[Any] = _Applications(source, target, spread, replace=replace)
    elif isinstance(target, Registry):
        job = _Levels(level_of(source), target, spread, compare=compare)
    else:
        raise InvalidError(f"What is copied goes into a registry or inventory, not into {shown(target)}")
    if job.source == target:
        raise InvalidError(f"Source and target are one store: {target!r}. Name another target")
    return job


def _plan(job: _Job[_Item], fail: _Fail) -> Iterator[tuple[_Item, int | None]]:
    """Look at each item: of how many pieces it has to be copied; None if the target has an equal one."""
    lost: set[object] = set()

    def look(item: _Item) -> int | Error | None:
        try:
            return job.pieces(item)
        except Error as error:
            return error

    for item, pieces in job.spread(look, job.items(fail)):
        if job.above(item) in lost:
            continue
        if isinstance(pieces, Error):
            lost.add(item)
            fail(pieces)
        else:
            yield item, pieces


def _copied(job: _Job[_Item], plan: Iterable[tuple[_Item, int | None]], meter: Meter, fail: _Fail) -> Iterator[Copied]:
    lost: set[object] = set()
    for item, pieces in plan:
        if job.above(item) in lost:
            continue
        try:
            yield job.told(item, "there") if pieces is None else _made(job, item, meter)
        except Error as error:
            lost.add(item)
            fail(error)


def _made(job: _Job[_Item], item: _Item, meter: Meter) -> Copied:
    try:
        return job.told(item, "copied", job.make(item, meter))
    except ConflictError:
        # somebody else may have copied the same meanwhile
        if job.pieces(item) is not None:
            raise
        return job.told(item, "there")


class _Spread(Protocol):
    """`ordered` in the threads of this copy."""

    def __call__(
        self, do: Callable[[_Item], _Result], items: Iterable[_Item], /
    ) -> Iterator[tuple[_Item, _Result]]: ...


class _Job(ABC, Generic[_Item]):
    """What differs between a registry and an inventory.

    Attributes:
        source: Where the items are.
        spread: Does something to many items at once.
    """

    source: Registry | Inventory
    spread: _Spread

    @abstractmethod
    def items(self, fail: _Fail) -> Iterator[_Item]:
        """List what is to be copied."""

    @abstractmethod
    def above(self, item: _Item) -> object:
        """The item that has to be there before."""

    @abstractmethod
    def pieces(self, item: _Item) -> int | None:
        """In how many pieces an item has to be copied; None if the target has an equal one.

        Raises:
            ConflictError: The target has another one.
        """

    @abstractmethod
    def make(self, item: _Item, meter: Meter) -> int:
        """Copy an item and return its bytes."""

    @abstractmethod
    def told(self, item: _Item, outcome: Outcome, size: int = 0) -> Copied:
        """Tell what became of an item."""


_KINDS: Final[dict[type, Literal["release", "generation", "alias"]]] = {
    Release: "release",
    Generation: "generation",
    Alias: "alias",
}


class _Levels(_Job[Release | Generation | Alias]):
    source: Registry

    def __init__(self, top: Level, target: Registry, spread: _Spread, *, compare: bool) -> None:
        self.source, self.spread = top.registry, spread
        self._top, self._target, self._compare = top, target, compare

    def items(self, fail: _Fail) -> Iterator[Release | Generation | Alias]:
        if isinstance(self._top, Generation):
            yield _release_of(self._top)
        yield from walk(self._top, lambda _, error: fail(error))
        yield from aliases(self._top, lambda _, error: fail(error))

    def above(self, item: Release | Generation | Alias) -> Release | None:
        return _release_of(item) if isinstance(item, Generation) else None

    def pieces(self, item: Release | Generation | Alias) -> int | None:
        if isinstance(item, Release):
            return None if self._has_release(item) else 1
        if isinstance(item, Alias):
            return 1 if self._left(item) else None
        tag = item.tag
        return None if self._has_generation(item, tag) else len(set(tag.states))

    def _has_release(self, release: Release) -> bool:
        try:
            self._target.latest(release.project, release.key)
        except MissingError:
            return False
        with pulled(release) as ours, pulled(dataclasses.replace(release, registry=self._target)) as theirs:
            if ours.digest != theirs.digest:
                raise ConflictError(
                    f"{self._target!r} has another package of {release.project}/{release.key} than {self.source!r}; "
                    "leave that release out, or copy into another place"
                )
        return True

    def _has_generation(self, generation: Generation, tag: Tag) -> bool:
        copy = dataclasses.replace(generation, registry=self._target)
        try:
            there = copy.tag
        except MissingError:
            return False
        differs = "another tag" if there != tag else self._differing(generation, copy, tag) if self._compare else None
        if differs:
            raise ConflictError(
                f"{self._target!r} has another generation {place_of(generation)} than {self.source!r}, with {differs}; "
                "leave that generation out, or copy into another place"
            )
        return True

    def _differing(self, generation: Generation, copy: Generation, tag: Tag) -> str | None:
        for sid in dict.fromkeys(tag.states):
            with generation.view(sid) as ours, copy.view(sid) as theirs:
                if digest(ours) != digest(theirs):
                    return f"other bytes of state {sid}"
        return None

    def _left(self, alias: Alias) -> tuple[Move, ...]:
        """The moves that the target does not have."""
        ours, theirs = alias.list(), self._log(alias)
        if ours[: len(theirs)] != theirs[: len(ours)]:
            raise ConflictError(
                f"{self._target!r} has other moves of {alias} than {self.source!r}; leave out the aliases by copying "
                "releases, or copy into another place"
            )
        return ours[len(theirs) :]

    def _log(self, alias: Alias) -> tuple[Move, ...]:
        try:
            return dataclasses.replace(alias, registry=self._target).list()
        except MissingError:
            # a project that is about to be copied
            return ()

    def make(self, item: Release | Generation | Alias, meter: Meter) -> int:
        if isinstance(item, Alias):
            self._move(item)
            meter.end(0)
            return 0
        return self._push(item, meter) if isinstance(item, Release) else self._commit(item, meter)

    def _move(self, alias: Alias) -> None:
        left = self._left(alias)
        while left:
            try:
                self._target.move(alias.project, alias.key, left[0])
            except ConflictError:
                # somebody else may be copying the same
                rest = self._left(alias)
                if rest[:1] == left[:1]:
                    raise
                left = rest
            else:
                left = left[1:]

    def _push(self, release: Release, meter: Meter) -> int:
        with pulled(release) as package:
            manifest, size = package.manifest, package.size
            if (manifest.name, manifest.version) != (release.project, release.key):
                raise InvalidError(
                    f"{self.source!r}: the package of {release.project}/{release.key} says that it is of "
                    f"{manifest.name}/{manifest.version}, under which name it can not be copied"
                )
            meter.begin(size)
            self._target.push(package)
        meter.end(size)
        return size

    def _commit(self, generation: Generation, meter: Meter) -> int:
        tag = generation.tag

        def write(sid: UUID) -> int:
            with generation.view(sid) as state:
                size = state.nbytes
                meter.begin(size)
                self._target.write(generation.project, generation.release, sid, state)
            meter.end(size)
            return size

        size = sum(size for _, size in self.spread(write, dict.fromkeys(tag.states)))
        self._target.close(generation.project, generation.release, generation.key, tag)
        return size

    def told(self, item: Release | Generation | Alias, outcome: Outcome, size: int = 0) -> Copied:
        return Copied(_KINDS[type(item)], place_of(item), outcome, size)


class _Applications(_Job[ApplicationKey]):
    source: Inventory

    def __init__(self, source: Inventory, target: Inventory, spread: _Spread, *, replace: bool) -> None:
        self.source, self.spread = source, spread
        self._target, self._replace = target, replace

    def items(self, fail: _Fail) -> Iterator[ApplicationKey]:
        try:
            yield from map(ApplicationKey, self.source.list())
        except Error as error:
            fail(error)

    def above(self, item: ApplicationKey) -> None:  # noqa: ARG002  # an application needs no other one
        return None

    def pieces(self, item: ApplicationKey) -> int | None:
        descriptor = self.source.get(item)
        try:
            if self._target.get(item) == descriptor:
                return None
        except MissingError:
            return 1
        except CorruptedError:
            if not self._replace:
                raise
        if not self._replace:
            raise ConflictError(
                f"{self._target!r} has another source of application {item} than {self.source!r}; replace it, "
                "or copy into another place"
            )
        return 1

    def make(self, item: ApplicationKey, meter: Meter) -> int:
        source = self.source.get(item).source
        folder = scratch()
        try:
            (folder / "application.py").write_bytes(source)
            self._target.put(Descriptor.Handle(folder / "application.py", item))
        finally:
            discard_scratch(folder)
        meter.end(len(source))
        return len(source)

    def told(self, item: ApplicationKey, outcome: Outcome, size: int = 0) -> Copied:
        return Copied("application", item, outcome, size)


def _release_of(generation: Generation) -> Release:
    return Release(generation.registry, generation.project, generation.release)

"""What jobs over all items of a registry share: finding the items, doing them in threads, telling how far they are."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from modelkeep._directory import Alias, Directory, Generation, Project, Release
from modelkeep._errors import Error, InvalidError, MissingError, UnsupportedError
from modelkeep._key import shown
from modelkeep._package import Package
from modelkeep._registry import Registry
from modelkeep._scratch import discard_scratch

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Level: TypeAlias = Directory | Project | Release | Generation
#: Takes the bytes that were moved since the last call, and about how many are left.
Advance: TypeAlias = Callable[[int, int], object]


def level_of(what: object) -> Level:
    """Take a registry for its directory, and a level as it is.

    Raises:
        InvalidError: It is neither.
    """
    if isinstance(what, Registry):
        return Directory(what)
    if isinstance(what, Level):
        return what
    raise InvalidError(
        f"A registry, an inventory, or a project, release or generation is needed, not {type(what).__name__}: "
        f"{shown(what)}"
    )


def walk(level: Level, failed: Callable[[Level, Error], object]) -> Iterator[Release | Generation]:
    """Find the releases and generations at and below a level, a release before its generations.

    Args:
        level: Where to begin.
        failed: Is told a level that could not be listed, and why; the walk goes on unless it raises.
    """
    if isinstance(level, Release | Generation):
        yield level
    if isinstance(level, Generation):
        return
    try:
        below = level.list()
    except Error as error:
        failed(level, error)
        return
    for key in below:
        yield from walk(level.get(key), failed)  # type: ignore[arg-type]  # a key of the level's own


def aliases(level: Level, failed: Callable[[Level, Error], object]) -> Iterator[Alias]:
    """Find the aliases of a project, or of all; none where the backend keeps none.

    Args:
        level: Where to begin; there are none below a release.
        failed: Is told a project whose aliases could not be listed, unless `walk` tells it too.
    """
    projects = [level] if isinstance(level, Project) else []
    with contextlib.suppress(Error):
        if isinstance(level, Directory):
            projects = [level.get(key) for key in level.list()]
    for project in projects:
        try:
            names = project.aliases()
        except (MissingError, UnsupportedError):
            continue
        except Error as error:
            failed(project, error)
            continue
        yield from map(project.alias, names)


def place_of(level: Level | Alias) -> str:
    """Write a level as a reference; the directory is empty."""
    match level:
        case Directory():
            return ""
        case Project():
            return str(level.key)
        case Release():
            return f"{level.project}/{level.key}"
        case Generation():
            return f"{level.project}/{level.release}/{level.key}"
        case Alias():
            return str(level)


@contextlib.contextmanager
def pulled(release: Release) -> Iterator[Package]:
    """Pull a package for a moment: the copies of a thousand of them would wait for the process to exit."""
    package = release.package()
    try:
        yield package
    finally:
        discard_scratch(package.path.parent)


@contextlib.contextmanager
def crew(threads: int) -> Iterator[Executor]:
    """Hold threads for `ordered`; what waits in them is dropped when the block fails.

    Raises:
        InvalidError: It is no number of threads.
    """
    from concurrent.futures import ThreadPoolExecutor

    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InvalidError(f"The number of threads is an integer of at least 1, not {shown(threads)}")
    pool = ThreadPoolExecutor(threads, "modelkeep")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def ordered(
    pool: Executor, do: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[tuple[_Item, _Result]]:
    """Do something to each item in threads; give the results back in the order of the items.

    Args:
        pool: The threads.
        do: What to do; what it raises is raised here.
        items: Taken one after the other, as they are needed.
        ahead: How many items may be under way or done before their turn, so that results do not pile up.
    """
    from concurrent.futures import wait

    pending: deque[tuple[_Item, Future[_Result]]] = deque()
    rest = iter(items)
    try:
        while True:
            pending += ((item, pool.submit(do, item)) for item in itertools.islice(rest, ahead + 1 - len(pending)))
            if not pending:
                return
            item, future = pending.popleft()
            yield item, future.result()
    finally:
        # what still runs must not go on after the failure of its siblings was told
        for _, future in pending:
            future.cancel()
        wait([future for _, future in pending])


class Meter:
    """Tells how far a job is. How many bytes are left is estimated from how many items are. Threads may share it."""

    def __init__(self, advance: Advance | None, items: int) -> None:
        """Begin.

        Args:
            advance: Whom to tell.
            items: How many items there are.
        """
        self._advance, self._left = advance, items
        self._items = self._size = self._begun = 0
        self._lock = threading.Lock()

    def begin(self, size: int) -> None:
        """Tell that an item of a known size is under way; this may be left out."""
        with self._lock:
            self._begun += size
            self._tell(0)

    def end(self, size: int) -> None:
        """Tell that an item is done."""
        with self._lock:
            self._items += 1
            self._left -= 1
            self._size += size
            self._begun = max(0, self._begun - size)
            self._tell(size)

    def _tell(self, moved: int) -> None:
        if self._advance is not None:
            mean = self._size // self._items if self._items else 0
            self._advance(moved, max(self._begun, mean * self._left))

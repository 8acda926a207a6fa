"""An archive as an engine."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from modelkeep import CorruptedError, InvalidError, MissingError, StorageError, keyvalue
from modelkeep.backend import lend
from modelkeep_archive import _blobs, _format, _tree
from modelkeep_archive._blobs import BLOB, Blob
from modelkeep_archive._commit import Draft, locked
from modelkeep_archive._format import DamagedError
from modelkeep_archive._frames import Frames, cut
from modelkeep_archive._index import Index, Source, follow
from modelkeep_archive._memory import spare
from modelkeep_archive._stage import Stage

if TYPE_CHECKING:
    from typing_extensions import Buffer

_Found = TypeVar("_Found")

#: How many records are in one commit of a packed archive.
_BATCH: Final = 1000


class Engine(keyvalue.Engine):
    """An archive: one file, and a stage beside it while there is something in it."""

    verifies = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        level: int = 3,
        threads: int | None = None,
        sync: bool = True,
        delta: bool = False,
    ) -> None:
        try:
            self.place = str(Path(path).expanduser().resolve())
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidError(f"The path of an archive is the path of a file, not {path!r:.100}") from error
        if type(level) is not int or not -7 <= level <= 22:  # noqa: PLR2004  # the levels of zstd
            raise InvalidError(f"The level of an archive is a number from -7 to 22, not {level!r:.100}")
        if threads is not None and (type(threads) is not int or not 1 <= threads <= 256):  # noqa: PLR2004
            raise InvalidError(f"The threads of an archive are a number from 1 to 256, not {threads!r:.100}")
        for option, value in (("sync", sync), ("delta", delta)):
            if type(value) is not bool:
                raise InvalidError(f"The option {option} of an archive is true or false, not {value!r:.100}")
        self._level, self._threads, self._sync, self._delta = level, threads or _cores(), sync, delta
        self._stage = Stage(f"{self.place}.stage")
        self._index: Index | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_index": None}

    def get(self, key: str) -> bytes | None:
        if not key.startswith(BLOB):
            return self._look(lambda index: index.get(key), lambda: self._stage.record(key))
        try:
            found = self._blob(key)
            return None if found is None else found.verified(self._threads)
        except DamagedError:
            return b""

    @contextlib.contextmanager
    def view(self, key: str) -> Iterator[memoryview | None]:
        """Look at a value: a large blob in memory of its own, which goes back to the system with the view."""
        value: Buffer | None
        try:
            found = self._blob(key) if key.startswith(BLOB) else None
            if found is None:
                value = None if key.startswith(BLOB) else self.get(key)
            elif found.base is None:
                value = memoryview(spare(found.frames.size))[: found.frames.size]
                found.fill(value, self._threads)
            else:
                value = found.verified(self._threads)
        except DamagedError:
            value = b""
        if value is None:
            yield None
            return
        with lend(value) as view:
            yield view

    def part(self, key: str, start: int, stop: int) -> bytes | None:
        """Get a part of a blob, decompressing no more than the frames that it is in, unless it is a difference.

        Raises:
            CorruptedError: One of them is damaged.
        """
        try:
            found = self._blob(key)
            if found is None or found.base is None:
                return None if found is None else cut(found.source.into, found.frames, start, stop)
            return found.content(self._threads)[start:stop]
        except DamagedError:
            raise CorruptedError(f"The bytes of {key} in the archive {self.place} are damaged") from None

    def locate(self, key: str) -> tuple[int, int]:
        """Tell where the bytes of a value are in the file, and how many.

        Raises:
            MissingError: There is none.
            CorruptedError: The record of where they are is damaged.
        """
        index = self._now()
        place = None if index is None else index.place(key)
        if index is None or place is None:
            raise MissingError(f"The archive {self.place} has no {key}")
        if not key.startswith(BLOB):
            return place, _format.length(index.source.read(place, 8))
        try:
            blob = _blobs.find(index, key)
        except DamagedError:
            blob = None
        if blob is None:
            raise CorruptedError(f"The record of {key} in the archive {self.place} is damaged")
        return blob.frames.at, blob.frames.length

    def lost_base(self, key: str) -> str | None:
        """Tell what a blob is the difference from, if that is damaged: its name in the tar, or else its key."""
        index = self._now()
        base = found = None
        with contextlib.suppress(DamagedError):
            base = None if index is None else _blobs.member(_blobs.record(index, key))[1]
        if index is None or base is None:
            return None
        name = base
        with contextlib.suppress(DamagedError):
            name = _blobs.member(_blobs.record(index, base))[0]
            found = _blobs.find(index, base)
        return None if found is not None and found.sound(self._threads) else name

    def _blob(self, key: str) -> Blob | None:
        """Find a blob in the archive, or in the stage."""

        def staged() -> Blob | None:
            blob = self._stage.blob(key)
            return None if blob is None else blob.blob

        return self._look(lambda index: _blobs.find(index, key), staged)

    def _look(self, stored: Callable[[Index], _Found | None], staged: Callable[[], _Found | None]) -> _Found | None:
        index = self._now()
        found = None if index is None else stored(index)
        if found is None:
            found = staged()
        if found is None and (later := self._now()) is not index and later is not None:
            # a commit may have taken it from the stage before we looked there
            found = stored(later)
        return found

    def put(self, key: str, value: memoryview) -> None:
        self._stage.put(key, value, self._level, self._threads)

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        if not durable:
            return self._create_staged(key, value, needs)
        smaller = self._differences(key, value) if self._delta and key.startswith(_tree.GENERATION) else {}
        with self._writing() as (fd, index):
            if index.place(key) is not None:
                return False
            self._append(fd, index, key, value, needs=needs, smaller=smaller)
        self._stage.remove(needs)
        return True

    def stage(self, blob: str, content: memoryview, key: str, value: bytes) -> bool:
        self.put(blob, content)
        if not self._create_staged(key, value):
            return False
        # from here on a sweep sees the record; what it deleted before is stored again
        if not self._has(blob):
            self.put(blob, content)
        return True

    def _create_staged(self, key: str, value: bytes, needs: Sequence[str] = ()) -> bool:
        if not self._stage.create(key, value):
            return False
        # a commit takes it out of the stage: look there after the name was free here
        index = self._now()
        if index is not None and index.place(key) is not None:
            self._stage.remove([key])
            return False
        for need in needs:
            if not self._has(need):
                self._stage.remove([key])
                raise self._lost(need)
        return True

    def _has(self, key: str) -> bool:
        """Whether the stage has a key, or the archive, into which a commit may have taken it from there."""
        if self._stage.has(key):
            return True
        index = self._now()
        return index is not None and index.place(key) is not None

    def replace(self, key: str, value: bytes) -> None:
        with self._writing() as (fd, index):
            self._append(fd, index, key, value)

    def _differences(self, key: str, value: bytes) -> dict[str, Blob]:
        """Make the differences of a generation's new blobs from those of the newest one, where they save something.

        Each has a base that is stored whole: reading it reads one other blob, and no more.
        """
        index = self._now()
        last = None if index is None else index.last(key.rpartition("/")[0] + "/")
        if index is None or last is None or index.place(key) is not None:
            return {}
        found = {}
        pairs = zip(_tree.blobs(key, value), _tree.blobs(last, index.get(last) or b""), strict=False)
        for new, old in pairs:
            # what is there already and damaged is healed as it is: it may be the base of others
            if index.place(new) is None and (blob := self._difference(index, new, old)) is not None:
                found[new] = blob
        return found

    def _difference(self, index: Index, new: str, old: str) -> Blob | None:
        staged = self._stage.blob(new)
        try:
            known = _blobs.find(index, old)
            if staged is None or known is None:
                return None
            base = known.base or known
            if not all(_blobs.LEAST <= each.frames.size <= _blobs.MOST for each in (staged.blob, base)):
                return None
            content, below = staged.blob.verified(self._threads), base.verified(self._threads)
            difference = _blobs.difference(content, below, self._level)
            if not _blobs.worth(len(difference), staged.blob.frames.length):
                return None
            if _blobs.restore(difference, below) != content:
                return None
        except DamagedError:
            return None
        return self._stage.spill(new, memoryview(difference))._replace(base=base)

    def _append(
        self,
        fd: int,
        index: Index,
        key: str,
        value: bytes,
        *,
        needs: Sequence[str] = (),
        smaller: Mapping[str, Blob] = MappingProxyType({}),
    ) -> None:
        """Commit a record together with what it needs from the stage, or with what was made smaller of that."""
        blobs: dict[str, Blob] = {}
        records: dict[str, bytes] = {}
        for need in dict.fromkeys(needs):
            if need.startswith(BLOB):
                staged = self._stage.blob(need)
                if staged is not None and not self._sound(index, need):
                    if not staged.trusted and not staged.blob.sound(self._threads):
                        raise self._lost(need)
                    blobs[need] = _rebased(index, smaller.get(need)) or staged.blob
                    continue
            elif index.place(need) is None and (record := self._stage.record(need)) is not None:
                records[need] = record
                continue
            if index.place(need) is None:
                raise self._lost(need)
        draft = Draft(index, self._level)
        _fill(draft, index, key, value, blobs=blobs, get=index.get)
        for need, record in records.items():
            draft.record(need, record)
        draft.append(fd, sync=self._sync)

    def _sound(self, index: Index, key: str) -> bool:
        """Whether the archive has a blob, undamaged: it is also in the stage, so somebody missed it."""
        try:
            found = _blobs.find(index, key)
        except DamagedError:
            return False
        return found is not None and found.sound(self._threads)

    def _lost(self, key: str) -> CorruptedError:
        return CorruptedError(f"The archive {self.place} has lost {key}. Write it again")

    def keys(self, prefix: str) -> list[str]:
        index = self._now()
        return [] if index is None else index.keys(prefix)

    def last(self, prefix: str) -> str | None:
        index = self._now()
        return None if index is None else index.last(prefix)

    def sweep(self, choose: Callable[[Iterable[keyvalue.Stored]], Iterable[str]]) -> None:
        # most of it while others go on
        early = self._now()
        kept = None if early is None else _Kept(early)
        with self._writing() as (_, index):
            if kept is None or kept.index.source.identity != index.source.identity:
                kept = _Kept(index)
            else:
                kept.follow(index)
            stored = {value.key: value for value in self._stage.stored()}
            seen = set(stored)
            # what was committed once, and is not named any more, waits for nobody
            for key, size in kept.sizes.items():
                staged = stored.get(key, keyvalue.Stored(key, 0, 0))
                stored[key] = staged._replace(size=staged.size + size)
            bases = set(kept.bases.values())
            chosen = set(choose(value for key, value in stored.items() if key not in bases))
            # a base goes with the last difference from it
            bases.difference_update(base for key, base in kept.bases.items() if key not in chosen)
            if bases:
                chosen |= set(choose(stored[key] for key in bases))
            # records first: no state waits whose bytes are gone
            records = {key for key in chosen if key.startswith(_tree.STATE)}
            self._stage.remove(records)
            if not chosen.isdisjoint(kept.sizes):
                self._rewrite(index, kept.sizes.keys() - chosen)
            # they may be there again
            self._stage.remove(chosen - records - self._renewed(index, seen - records, chosen))
        self._stage.clear()

    def _renewed(self, index: Index, seen: Collection[str], chosen: Collection[str]) -> set[str]:
        """Keep what states need that were written since we looked, and that was still there when they were.

        Args:
            index: The archive before.
            seen: What was in the stage when what to delete was chosen.
            chosen: What was chosen.

        Returns:
            The keys of what is in the stage and has to stay there.
        """
        needed: set[str] = set()
        for value in self._stage.stored():
            if value.key.startswith(_tree.STATE) and value.key not in seen:
                needed.update(_tree.state(value.key, self._stage.record(value.key) or b""))
        needed.intersection_update(chosen)
        for key in needed:
            with contextlib.suppress(DamagedError):
                if self._stage.blob(key) is None and (found := _blobs.find(index, key)) is not None:
                    self._stage.put(key, memoryview(found.verified(self._threads)), self._level, self._threads)
        return needed

    def pack(self) -> None:
        """Write the archive anew without old indexes and what was damaged and written again.

        It appears in the place of the old one. Writers wait meanwhile; who reads the old file goes on.

        Raises:
            StorageError: There is no archive.
            CorruptedError: A record or its index is damaged; the archive was left as it is.
        """
        if self._now() is None:
            raise StorageError(f"There is no archive at {self.place}")
        with self._writing() as (_, index):
            self._rewrite(index, index.unlisted())

    def identity(self) -> tuple[int, int] | None:
        """Device and number of the file; None if there is none."""
        index = self._now()
        return None if index is None else index.source.identity

    def _rewrite(self, index: Index, unlisted: Collection[str]) -> None:
        """Write the archive anew: what is named, and of states and blobs these also if nothing names them."""
        with self._stage.partial() as (path, file):
            file.write(_format.HEAD + _format.EMPTY)
            file.flush()
            target = Index(Source(str(path)), 0, len(_format.HEAD))
            keys = sorted(index.keys(""), key=lambda key: (key.startswith(_tree.GENERATION), key))
            keys += sorted(unlisted)
            for start in range(0, len(keys), _BATCH):
                draft = Draft(target, self._level)
                for key in keys[start : start + _BATCH]:
                    _move(draft, index, target, key)
                draft.append(file.fileno(), sync=False)
                for commit, end in follow(target.source, target.end):
                    target = Index(target.source, commit, end, target)
            status = Path(self.place).stat()
            # root may do this for who trains
            with contextlib.suppress(PermissionError):
                os.chown(path, status.st_uid, status.st_gid)
            path.chmod(status.st_mode & 0o7777)
            os.fsync(file.fileno())
            path.replace(self.place)
            _flush_folder(Path(self.place).parent)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[int, Index]]:
        """Lock the archive, which is made if there is none, and find its last commit."""
        if not Path(self.place).exists():
            self._make()
        with locked(self.place) as fd:
            index = self._now()
            if index is None:
                raise FileNotFoundError(self.place)
            yield fd, index

    def _make(self) -> None:
        place = Path(self.place)
        missing = [folder for folder in place.parents if not folder.exists()]
        with self._stage.partial() as (path, file):
            file.write(_format.HEAD + _format.EMPTY)
            file.flush()
            if self._sync:
                os.fsync(file.fileno())
            # another process may be as far
            with contextlib.suppress(FileExistsError):
                place.hardlink_to(path)
        if self._sync:
            for folder in [place.parent, *(folder.parent for folder in missing)]:
                _flush_folder(folder)

    def _now(self) -> Index | None:
        """The index after the last commit; None if there is no archive."""
        try:
            status = os.stat(self.place)  # noqa: PTH116  # at every call, and a Path costs three times as much
        except (FileNotFoundError, NotADirectoryError):
            self._index = None
            return None
        index = self._index
        if index is None or index.source.identity != (status.st_dev, status.st_ino):
            index = _opened(self.place)
        for commit, end in list(follow(index.source, index.end))[-1:]:
            index = Index(index.source, commit, end, index)
        self._index = index
        return index


def _opened(path: str) -> Index:
    """Find a commit, most often the last one."""
    source = Source(path)
    _format.check_head(source.read(0, len(_format.HEAD)), path)
    size = source.size
    found = _format.pointed(size, source.read(max(size - _format.TAIL, 0), _format.TAIL))
    # what was announced is committed; what was not, but has a footer, was copied or lost power in that moment
    if found is None or source.read(found[0], len(_format.ZEROS)) == _format.ZEROS:
        return Index(source, 0, len(_format.HEAD))
    return Index(source, *found[1:])


def _rebased(index: Index, blob: Blob | None) -> Blob | None:
    """Return a difference that was made before the lock was taken, if it is still one from a blob that is whole."""
    try:
        base = None if blob is None or blob.base is None else _blobs.find(index, blob.base.key)
    except DamagedError:
        return None
    if blob is None or base is None or base.base is not None or index.place(blob.key) is not None:
        return None
    return blob._replace(base=base)


def _fill(
    draft: Draft,
    index: Index,
    key: str,
    value: bytes,
    *,
    blobs: dict[str, Blob],
    get: Callable[[str], bytes | None],
) -> None:
    """Put a record into a draft, its members and blobs that are new."""
    for name, content in _tree.members(key, value, get):
        if isinstance(content, bytes):
            draft.file(name, content)
            continue
        with contextlib.suppress(DamagedError):
            _show(draft, index, name, content, blobs)
    for blob in blobs:
        if blob not in draft.records:
            _show(draft, index, _tree.BLOBS + blob.removeprefix(BLOB), blob, blobs)
    draft.record(key, value)


def _show(draft: Draft, index: Index, name: str, key: str, blobs: dict[str, Blob]) -> None:
    """Put a blob into the tar under a name, or under two: a difference, and beside it what it is one from.

    Raises:
        DamagedError: It is in the archive already, and it is not known where.
    """
    blob = blobs.get(key)
    if blob is not None and key not in draft.records:
        if blob.base is None:
            draft.blob(name, blob)
            return
        _show(draft, index, name + _tree.BASE, blob.base.key, blobs)
        draft.blob(name + _tree.DELTA, blob)
        return
    found = draft.records.get(key)
    target, base = _blobs.member(_blobs.record(index, key) if found is None else json.loads(found))
    if base is not None:
        _show(draft, index, name + _tree.BASE, base, blobs)
        name += _tree.DELTA
    draft.link(name, target)


class _Kept:
    """The records of states and the blobs that an archive has, by reading it from the beginning.

    Attributes:
        index: The archive.
        sizes: How many bytes each has, by their keys.
        bases: The keys of blobs that are differences -> those of what they are from.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self.sizes: dict[str, int] = {}
        self.bases: dict[str, str] = {}
        self._add(index.unlisted())

    def follow(self, index: Index) -> None:
        """Add what was committed since."""
        start, self.index = self.index.end, index
        self._add(index.unlisted(start))

    def _add(self, keys: Iterable[str]) -> None:
        source = self.index.source
        for key in keys:
            place = self.index.place(key)
            if place is None:
                continue
            self.sizes[key] = _format.length(source.read(place, 8))
            self.bases.pop(key, None)
            if key.startswith(BLOB):
                # what is damaged has the size of its record, or of what that says
                with contextlib.suppress(DamagedError):
                    record = _blobs.record(self.index, key)
                    base = _blobs.member(record)[1]
                    if base is not None:
                        self.bases[key] = base
                    self.sizes[key] += Frames.of(record, self.index.end).length
        # a hostile record may name what there is none of
        self.bases = {key: base for key, base in self.bases.items() if base in self.sizes}


def _move(draft: Draft, index: Index, target: Index, key: str) -> None:
    """Put a record and what it refers to into the draft of a new archive, or a blob."""
    # first, since most states and blobs came with their generations
    if key in draft.records or target.place(key) is not None or (value := index.get(key)) is None:
        return
    if key.startswith(BLOB):
        # nothing names it, but what waits may: if it is damaged, there is nothing to keep
        with contextlib.suppress(CorruptedError):
            wanted = _wanted(draft, index, target, key, key)
            _show(draft, target, _tree.BLOBS + key.removeprefix(BLOB), key, wanted)
        return
    blobs: dict[str, Blob] = {}
    for need in _tree.needs(key, value):
        if need in draft.records or target.place(need) is not None:
            continue
        if need.startswith(BLOB):
            blobs |= _wanted(draft, index, target, need, key)
        elif (record := index.get(need)) is not None:
            draft.record(need, record)
    _fill(draft, target, key, value, blobs=blobs, get=index.get)


def _wanted(draft: Draft, index: Index, target: Index, blob: str, key: str) -> dict[str, Blob]:
    """Find a blob that a new archive needs for a key, and its base, unless they are there."""
    try:
        found = _blobs.find(index, blob)
    except DamagedError:
        found = None
    if found is None:
        raise CorruptedError(f"The archive {index.source.path} has lost {blob}, which {key} needs")
    both = [each for each in (found.base, found) if each is not None]
    return {each.key: each for each in both if each.key not in draft.records and target.place(each.key) is None}


def _cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _flush_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

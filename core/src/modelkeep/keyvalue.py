"""An optional base for backends whose engine maps keys to values.

An author writes an `Engine`, a handful of primitives, and gets both ABCs, every digest included:

    class Registry(keyvalue.Registry):
        def __init__(self, path, staging=None):
            super().__init__(MyEngine(path), staging)

What is stored, `/` joining the parts of a key, the version spelled canonically:

    format                                  the version of this layout
    blob/<hex of its digest>                the bytes of states and packages, equal ones once
    state/<project>/<version>/<sid>         created by `write`: digest and size
    generation/<project>/<version>/<number> created by `close`, which commits: tag, digest and size of each state
    release/<project>/<version>             created by `push`, which commits: manifest, version as pushed, digests
    alias/<project>/<alias>/<number>        created by `move`, which commits: what the alias names from then on
    removed/<key>                           tells where to look for one of the above that was removed
    application/<name>                      replaced by `put`, which commits: the source

What is removed is replaced by a record that says so, which commits: who reads it finds that in the place of what was,
with no second lookup, and nothing can be created there again.

All but blobs are sealed records (a digest over key and value), so that no flipped bit and no exchange goes unnoticed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import mmap
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar
from uuid import UUID

import modelkeep
from modelkeep import _content
from modelkeep._collected import Collected
from modelkeep._descriptor import Descriptor
from modelkeep._digest import PREFIX, digest, octets
from modelkeep._errors import ConflictError, CorruptedError, InvalidError, MissingError, UnsupportedError
from modelkeep._inventory import Inventory as _Inventory
from modelkeep._key import AliasKey, ApplicationKey, GenerationKey, ProjectKey, ReleaseKey
from modelkeep._move import Move
from modelkeep._package import Package
from modelkeep._record import seal, unseal
from modelkeep._registry import Registry as _Registry
from modelkeep._scratch import scratch
from modelkeep._tag import Tag

if TYPE_CHECKING:
    import datetime as dt
    import os

    from typing_extensions import Buffer

_Result = TypeVar("_Result")
_Key = TypeVar("_Key", ProjectKey, ReleaseKey, GenerationKey, AliasKey, ApplicationKey)

# made once: json.dumps makes an encoder at each call that is not all defaults
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_decode: Final = json.JSONDecoder().decode

#: How many separators the key of a generation, or of a move, has.
_DEPTH: Final = 3

#: The body of the record of what was removed.
_REMOVED: Final = b'{"removed":true}'

#: The version of the layout that is written.
FORMAT: Final = 1


class Stored(NamedTuple):
    """A value that may be collected.

    Attributes:
        key: Its key: that of a blob, of the record of a state, or any other of what the engine itself has left over.
        size: How many bytes it takes where it is stored.
        time: When it was stored, in seconds since 1970; 0 if that is not known, since it was needed once. Of what is
            half written, `modelkeep.backend.UNFINISHED` later, so that nobody's work is taken from under their hands.
    """

    key: str
    size: int
    time: float


class Engine(ABC):
    """What an author writes: an ordered map from keys to values.

    Keys are ASCII strings of at most 460 characters that use `/` between their parts. Values are bytes of any length:
    records of some hundred bytes, blobs as large as the states. Every method may be called by any number of threads
    and processes at once, before and after a fork, and may raise whatever the engine raises. An engine can be pickled.

    Attributes:
        place: Where the values are: engines of one class and place are equal. It is shown, so it holds no secret.
        verifies: Whether `get` and `view` have compared a blob with the digest in its key already, and give no bytes,
            `b""`, in the place of damaged ones. So who decompresses can hash on the way, and it is not done twice.
    """

    place: str
    verifies: ClassVar[bool] = False

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return the value of a key, None when there is none."""

    def view(self, key: str) -> AbstractContextManager[memoryview | None]:
        """Look at the value of a key. Engines that can do it without a copy override this."""
        value = self.get(key)
        return contextlib.nullcontext(None if value is None else memoryview(value))

    def reading(self) -> AbstractContextManager[object]:
        """Read as of one moment: what this thread gets, views and lists for the length of a block.

        A view that is entered there may be left after it. Engines that find some values more cheaply together than one
        by one override this.
        """
        return contextlib.nullcontext()

    @abstractmethod
    def put(self, key: str, value: memoryview) -> None:
        """Store a blob. An equal one may be there, or a damaged one, which is replaced.

        It has to be whole when a reader sees it, but not durable until a `create` needs it.
        """

    @abstractmethod
    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        """Store a record unless the key exists, atomically: of many callers exactly one is told True.

        Args:
            key: The key.
            value: The record.
            needs: Keys put or created before that have to be durable before this one is.
            durable: Whether the record itself has to survive power loss when this returns.

        Returns:
            False if the key exists; nothing was changed then.

        Raises:
            CorruptedError: What it needs is not there, or damaged; nothing was changed. While it is not to be durable,
                an engine may leave that to a later `create`.
        """

    def stage(self, blob: str, content: memoryview, key: str, value: bytes) -> bool:
        """Put a blob and create a record that needs it and is not durable; engines that do both at once override this.

        Returns:
            False if the record exists.
        """
        self.put(blob, content)
        return self.create(key, value, needs=[blob], durable=False)

    @abstractmethod
    def replace(self, key: str, value: bytes) -> None:
        """Store a record over whatever the key has, atomically and durably."""

    @abstractmethod
    def keys(self, prefix: str) -> Iterable[str]:
        """List the keys that begin with a prefix, which ends with `/`, in any order.

        What is created meanwhile may be left out; what was there before must not be.
        """

    def last(self, prefix: str) -> str | None:
        """Return the greatest of the keys that begin with a prefix, which ends with `/`.

        Engines with order override this.
        """
        return max(self.keys(prefix), default=None)

    def together(self, function: Callable[[str], _Result], keys: Iterable[str]) -> Iterable[_Result]:
        """Call a function that reads for each key. Engines that wait for a network do it for some at a time."""
        return map(function, keys)

    def sweep(self, choose: Callable[[Iterable[Stored]], Iterable[str]]) -> None:
        """Delete blobs and records of states. Engines that offer `Registry.collect` override this.

        From the call of `choose` to the end no `create` may succeed that needs what is deleted: it waits until then and
        raises, or what it needs is renewed.

        Args:
            choose: Is given all blobs and records of states, what is staged included, and what other leftovers of its
                own the engine has. Gives back the keys of those to delete, in that order: whoever is killed has deleted
                the first of them.
        """
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.place == other.place

    def __hash__(self) -> int:
        return hash((type(self), self.place))


class _Store:
    """What registry and inventory share: an engine with a format marker, and records in it."""

    _engine: Engine
    _known: bool

    def _use(self, engine: Engine) -> None:
        self._engine, self._known = engine, False

    def _check(self, *, create: bool = False) -> None:
        """Refuse a store of a newer format; before the first write, mark a new one."""
        if self._known:
            return
        record = self._engine.get("format")
        if record is None and create:
            self._engine.create("format", seal("format", b"%d" % FORMAT))
            record = self._engine.get("format")
        if record is not None:
            number = int(unseal(self, "format", record, "format"))
            if number > FORMAT:
                raise UnsupportedError(
                    f"{self!r} has format {number}, this version of modelkeep ({modelkeep.__version__}) knows "
                    f"formats up to {FORMAT}: upgrade modelkeep to open it"
                )
            self._known = True

    def _record(self, key: str, kind: str, *keys: object) -> Any:
        """Read a record; None if there is none. What it is of goes into the message if it is damaged."""
        record = self._engine.get(key)
        if record is None:
            return None
        try:
            return _opened(key, record)
        except CorruptedError:
            # once more, for a message that says whose it is
            return _decode(unseal(self, key, record, kind, *keys).decode())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._engine == other._engine

    def __hash__(self) -> int:
        return hash((type(self), self._engine))

    def __repr__(self) -> str:
        return f"{type(self).__module__.partition('.')[0]}.{type(self).__qualname__}({self._engine.place!r})"


@functools.lru_cache(maxsize=256)
def _opened(key: str, record: bytes) -> Any:
    """Read a sealed record; equal bytes have an equal seal, so that a known one is as good as verified.

    What is returned is shared: nobody changes it.
    """
    return _decode(unseal(None, key, record, "record").decode())


def _dump(key: str, **record: object) -> bytes:
    return seal(key, _encode(record).encode())


class Registry(_Store, _Registry):
    """A registry over an engine.

    Attributes:
        removes: Whether `remove` is offered; without it listings and `latest` need one lookup less. An engine that
            remembers records can't offer it.
    """

    removes: ClassVar[bool] = True

    def __init__(self, engine: Engine, staging: str | os.PathLike[str] | None = None) -> None:
        """Stand on an engine; see `modelkeep.Registry` for `staging`."""
        super().__init__(staging)
        self._use(engine)

    def projects(self) -> list[ProjectKey]:
        self._check()
        found = {key.split("/")[1] for key in self._keys("release/") if _released(key)}
        return sorted(map(ProjectKey, found))

    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        self._check()
        found = [release for key in self._keys(f"release/{project}/") if (release := _released(key))]
        if not found:
            raise MissingError(f"{self!r} has no project {project}; push a package of it first")
        return sorted(self._spelled(project, release) for release in found)

    def _spelled(self, project: ProjectKey, release: ReleaseKey) -> ReleaseKey:
        # a damaged release is listed all the same, canonically: its siblings must stay reachable
        with contextlib.suppress(CorruptedError, LookupError):
            return ReleaseKey(
                self._record(f"release/{project}/{release.canonical}", "record", project, release)["version"]
            )
        return release

    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        return sorted(self._numbers(self._released(project, release)))

    def latest(self, project: ProjectKey, release: ReleaseKey) -> GenerationKey | None:
        with self._engine.reading():
            return self._last(self._released(project, release))

    def _numbers(self, prefix: str) -> Iterator[GenerationKey]:
        return (number for key in self._keys(prefix) if (number := _number(key)))

    def _keys(self, prefix: str) -> list[str]:
        """List the keys that begin with a prefix, less those of what was removed."""
        keys = list(self._engine.keys(prefix))
        if not self.removes:
            return keys
        # what is removed is told here first, so that its record may still be as it was
        removed = {key.removeprefix("removed/") for key in self._engine.keys(f"removed/{prefix}")}
        return [key for key in keys if key not in removed or not _removed(self._engine.get(key))]

    def _last(self, prefix: str) -> GenerationKey | None:
        key = self._engine.last(prefix)
        if key is None:
            return None
        if (number := _number(key)) and not (self.removes and _removed(self._engine.get(key))):
            return number
        # what somebody else put there, or what was removed, is the last key
        return max(self._numbers(prefix), default=None)

    def _released(self, project: ProjectKey, release: ReleaseKey) -> str:
        """Return the prefix of a release's generations, after making sure that there is such a release."""
        self._check()
        record = self._engine.get(f"release/{project}/{release.canonical}")
        if record is None or _removed(record):
            raise MissingError(f"{self!r} has no release {project}/{release}; push its package first")
        return f"generation/{project}/{release.canonical}/"

    def push(self, package: Package) -> None:
        self._check(create=True)
        manifest = package.manifest
        key = f"release/{manifest.name}/{manifest.version.canonical}"
        conflict = ConflictError(
            f"{self!r} has a release {manifest.name}/{manifest.version} already, and releases never change: "
            "raise the version"
        )
        if (known := self._engine.get(key)) is not None:
            raise conflict if not _removed(known) else self._gone(f"{manifest.name}/{manifest.version}", "version")
        # a copy of our own: what is stored must be what was hashed, whoever edits the source meanwhile
        folder = scratch()
        try:
            copy = package.copy(folder / "package")
            file = copy.path
            if copy.folder:
                file = folder / "archive"
                copy.archive(file)
            with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
                size = len(content)
                with memoryview(content) as view:
                    blob = digest(view)
                    self._keep(blob, view)
            record = _dump(
                key,
                version=str(manifest.version),
                manifest=manifest.dumps(),
                digest=copy.digest,
                folder=copy.folder,
                blob=blob,
                size=size,
            )
        finally:
            _content.discard(folder)
        if not self._engine.create(key, record, needs=[_blob(blob)]):
            raise conflict

    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        self._check()
        record = self._record(f"release/{project}/{release.canonical}", "record", project, release)
        if record is None or "removed" in record:
            raise MissingError(f"{self!r} has no release {project}/{release}; push its package first")

        def fill(path: Path) -> None:
            with _Verified(self, lambda: record["blob"], f"the package of {project}/{release}") as content:
                if not record["folder"]:
                    path.write_bytes(content)
                    return
                archive = path.with_suffix(".zip")
                archive.write_bytes(content)
            Package.unarchive(archive, path)
            archive.unlink()

        return Package.receive(fill)

    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Buffer) -> None:
        state = octets(state)
        name = digest(state)
        blob = _blob(name)
        key = f"state/{project}/{release.canonical}/{sid}"
        with self._engine.reading():
            self._released(project, release)
            known = self._record(key, "record", project, release, sid)
            # when it is known, too: what is not committed yet may have been lost
            kept = (known is None or known["digest"] == name) and self._kept(name)
        if known is None:
            record = _dump(key, digest=name, size=len(state))
            if self._stage(blob, state, key, record, kept=kept):
                return
            known = self._record(key, "record", project, release, sid)
            if known is None:
                # what another writer of the id had created was collected before we saw it
                self.write(project, release, sid, state)
                return
        elif known["digest"] == name and not kept:
            self._engine.put(blob, state)
        if known["digest"] != name:
            raise ConflictError(
                f"{self!r}: state {sid} of {project}/{release} has other bytes already; write under a new id"
            )

    def _stage(self, blob: str, state: memoryview, key: str, record: bytes, *, kept: bool) -> bool:
        if kept:
            # unless a collection has deleted the bytes since they were seen
            with contextlib.suppress(CorruptedError):
                return self._engine.create(key, record, needs=[blob], durable=False)
        return self._engine.stage(blob, state, key, record)

    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        with self._engine.reading():
            state = self._states(project, release, generation).get(str(sid))
            if state is None:
                return b""
            content = self._engine.get(_blob(state[0]))
        self._verify(content, state[0], f"state {sid} of {project}/{release}/{generation}")
        return content or b""

    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> AbstractContextManager[memoryview]:
        text = str(sid)

        def name() -> str:
            state = self._states(project, release, generation).get(text)
            if state is None:
                raise MissingError(f"{self!r}: generation {project}/{release}/{generation} names no state {sid}")
            return state[0]

        return _Verified(self, name, f"state {text} of {project}/{release}/{generation}")

    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        return Tag.loads(self._generation(project, release, generation)["tag"])

    def _states(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey
    ) -> dict[str, tuple[str, int]]:
        states: dict[str, tuple[str, int]] = self._generation(project, release, generation)["states"]
        return states

    def _generation(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Any:
        self._check()
        record = self._record(_numbered(project, release, generation), "tag", project, release, generation)
        if record is None or "removed" in record:
            self._released(project, release)
            raise MissingError(f"{self!r} has no generation {project}/{release}/{generation}")
        return record

    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        key = _numbered(project, release, generation)
        needs: list[str] = []
        states: dict[str, tuple[str, int]] = {}
        with self._engine.reading():
            self._released(project, release)
            for sid in tag.states:
                name = f"state/{project}/{release.canonical}/{sid}"
                state = self._record(name, "record", project, release, sid)
                if state is None:
                    raise MissingError(
                        f"{self!r}: state {sid} of {project}/{release} was never written; write it, then close"
                    )
                states[str(sid)] = state["digest"], state["size"]
                needs += name, _blob(state["digest"])
        if not self._engine.create(key, _dump(key, tag=tag.dumps(), states=states), needs=needs):
            if _removed(self._engine.get(key)):
                raise self._gone(f"{project}/{release}/{generation}", "number")
            raise ConflictError(
                f"{self!r} has a generation {project}/{release}/{generation} already, and generations never change: "
                "close under another number"
            )

    def remove(
        self, project: ProjectKey, release: ReleaseKey | None = None, generation: GenerationKey | None = None
    ) -> None:
        if not self.removes:
            super().remove(project, release, generation)
        self._check()
        if release is None:
            for each in reversed(self.releases(project)):
                with contextlib.suppress(MissingError):
                    self.remove(project, each)
            return
        if generation is None:
            removed = self._remove(f"release/{project}/{release.canonical}")
            # they could be read by who knows their numbers; also what another remover did not come to
            for key in self._keys(f"generation/{project}/{release.canonical}/"):
                self._remove(key)
        else:
            self._released(project, release)
            removed = self._remove(_numbered(project, release, generation))
        if not removed:
            what = "release" if generation is None else "generation"
            key = "/".join(map(str, filter(None, (project, release, generation))))
            raise MissingError(f"{self!r} has no {what} {key} that could be removed")

    def _remove(self, key: str) -> bool:
        """Put in the place of a record that it was removed; tell whether there was one."""
        record = self._engine.get(key)
        if record is None or _removed(record):
            return False
        # listings look there first
        self._engine.create(f"removed/{key}", seal(f"removed/{key}", _REMOVED))
        self._engine.replace(key, seal(key, _REMOVED))
        return True

    def collect(self, older_than: dt.timedelta, *, dry_run: bool = False) -> Collected:
        if type(self._engine).sweep is Engine.sweep:
            return super().collect(older_than, dry_run=dry_run)
        self._check()
        before = time.time() - older_than.total_seconds()
        found: dict[str, int] = {}
        seen: set[str] = set()
        named: set[str] = set()

        def choose(stored: Iterable[Stored]) -> Iterable[str]:
            # what was committed since we looked
            self._note_named(seen, named)
            old: dict[str, int] = {}
            for value in stored:
                if value.time < before:
                    old[value.key] = value.size
                elif value.key.startswith("state/"):
                    named.update(self._waiting(value.key))
            # records of states before the blobs that they name
            found.update((key, old[key]) for key in sorted(old, reverse=True) if key not in named)
            return () if dry_run else found

        if self._known:
            # most of it while others go on
            self._note_named(seen, named)
            self._engine.sweep(choose)
        return Collected(tuple(sorted(found)), sum(found.values()))

    def _note_named(self, seen: set[str], named: set[str]) -> None:
        """Note which keys the records of releases and generations name that were not seen yet."""
        found = filter(_released, self._engine.keys("release/")), filter(_number, self._engine.keys("generation/"))
        new = [key for keys in found for key in keys if key not in seen]
        seen.update(new)
        named.update(*self._engine.together(self._names, new))

    def _names(self, key: str) -> set[str]:
        """Tell what the record of a release or generation names."""
        kind, *place = key.split("/")
        record = self._record(key, "tag" if kind == "generation" else "record", *place) or {}
        names = {_blob(record["blob"])} if "blob" in record else set()
        for sid, (name, _) in record.get("states", {}).items():
            names |= {_blob(name), f"state/{place[0]}/{place[1]}/{sid}"}
        return names

    def _waiting(self, key: str) -> Iterator[str]:
        """What the record of a state names that waits for its generation; a damaged one can't be committed."""
        with contextlib.suppress(CorruptedError):
            if record := self._record(key, "record"):
                yield _blob(record["digest"])

    def _gone(self, what: str, kind: str) -> ConflictError:
        return ConflictError(
            f"{self!r}: {what} was removed, and its {kind} is never given out again: take another {kind}"
        )

    def aliases(self, project: ProjectKey) -> list[AliasKey]:
        keys = self._engine.keys(self._moved(project))
        names = {key.split("/")[2] for key in keys if _number(key)}
        return sorted(alias for name in names if (alias := _key(AliasKey, name)))

    def moves(self, project: ProjectKey, alias: AliasKey) -> list[Move]:
        numbers = sorted(self._numbers(self._moved(project, alias)))
        return [self._move(project, alias, number) for number in numbers]

    def current(self, project: ProjectKey, alias: AliasKey) -> Move | None:
        newest = self._last(self._moved(project, alias))
        return None if newest is None else self._move(project, alias, newest)

    def move(self, project: ProjectKey, alias: AliasKey, move: Move) -> None:
        prefix = self._moved(project, alias)
        if move.target is not None:
            self._generation(project, *move.target)
        expected = (self._last(prefix) or 0) + 1
        key = _padded(prefix, move.number)
        if move.number != expected or not self._engine.create(key, seal(key, move.dumps().encode())):
            raise ConflictError(
                f"{self!r}: {project}@{alias} can not get a move {move.number}, its newest one is not "
                f"{move.number - 1}; look at that, then move it again"
            )

    def _moved(self, project: ProjectKey, alias: AliasKey | None = None) -> str:
        """Return the prefix of an alias's moves, or of all, after making sure that there is such a project."""
        self._check()
        if not any(map(_released, self._keys(f"release/{project}/"))):
            raise MissingError(f"{self!r} has no project {project}; push a package of it first")
        return f"alias/{project}/" if alias is None else f"alias/{project}/{alias}/"

    def _move(self, project: ProjectKey, alias: AliasKey, number: int) -> Move:
        key = _padded(f"alias/{project}/{alias}/", number)
        body = unseal(self, key, self._engine.get(key) or b"", "move", f"{project}@{alias}", number)
        return Move.loads(number, body.decode())

    def _keep(self, name: str, content: memoryview) -> None:
        """Store bytes under their digest, unless they are there and sound."""
        if not self._kept(name):
            self._engine.put(_blob(name), content)

    def _kept(self, name: str) -> bool:
        """Tell whether the bytes of a digest are there and sound."""
        with self._engine.view(_blob(name)) as kept:
            return self._sound(kept, name)

    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if not self._sound(content, name):
            fate = "are lost" if content is None else "do not match their digest"
            raise CorruptedError(f"{self!r}: the bytes of {what} {fate} ({name}). Restore them from a copy")

    def _sound(self, content: bytes | memoryview | None, name: str) -> bool:
        if content is None:
            return False
        return (self._engine.verifies and len(content) > 0) or digest(content) == name


class _Verified:
    """The bytes of a digest for the length of a block.

    Not a generator, which would cost as much as to find them.
    """

    __slots__ = ("_content", "_lent", "_name", "_registry", "_what")

    def __init__(self, registry: Registry, name: Callable[[], str], what: str) -> None:
        """Say what to look at.

        Args:
            registry: The registry.
            name: Finds the digest.
            what: What it is of, for the message.
        """
        self._registry, self._name, self._what = registry, name, what

    def __enter__(self) -> memoryview:
        registry = self._registry
        engine = registry._engine  # noqa: SLF001  # one module
        with engine.reading():
            name = self._name()
            self._content = engine.view(_blob(name))
            content = self._content.__enter__()
            try:
                registry._verify(content, name, self._what)  # noqa: SLF001  # one module
            except BaseException:
                self._content.__exit__(None, None, None)
                raise
            self._lent = memoryview(content or b"").toreadonly()
            return self._lent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # what the caller made of the view, an array say, keeps the memory alive beyond that; it is not an error
        with contextlib.suppress(BufferError):
            self._lent.release()
        self._content.__exit__(kind, error, trace)


class Inventory(_Store, _Inventory):
    """An inventory over an engine."""

    def __init__(self, engine: Engine) -> None:
        """Stand on an engine."""
        self._use(engine)

    def list(self) -> list[str]:
        self._check()
        names = [key.removeprefix("application/") for key in self._engine.keys("application/")]
        return sorted(name for each in names if (name := _key(ApplicationKey, each)))

    def get(self, application: ApplicationKey) -> Descriptor:
        self._check()
        key = f"application/{application}"
        record = self._engine.get(key)
        if record is None:
            raise MissingError(f"{self!r} has no application {application}; put its descriptor first")
        return Descriptor(application, unseal(self, key, record, "source", application))

    def put(self, descriptor: Descriptor.Handle) -> None:
        self._check(create=True)
        key = f"application/{descriptor.descriptor.name}"
        self._engine.replace(key, seal(key, descriptor.descriptor.source))


def _removed(record: bytes | None) -> bool:
    # no other record ends with this line
    return record is not None and record.endswith(b"\n" + _REMOVED)


def _blob(name: str) -> str:
    return f"blob/{name.removeprefix(PREFIX)}"


def _numbered(project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> str:
    return _padded(f"generation/{project}/{release.canonical}/", generation)


def _padded(prefix: str, number: int) -> str:
    # so that the order of keys is that of numbers
    return f"{prefix}{number:019d}"


def _key(kind: type[_Key], name: str) -> _Key | None:
    """Turn a name into a key; None for what we can not have written."""
    try:
        return kind(name)
    except InvalidError:
        return None


def _released(key: str) -> ReleaseKey | None:
    """The version of the key of a release; None for a key of somebody else."""
    _, project, *rest = key.split("/")
    release = _key(ReleaseKey, rest[0]) if len(rest) == 1 and _key(ProjectKey, project) else None
    return release if release and release.canonical == rest[0] else None


def _number(key: str) -> GenerationKey | None:
    """The number of the key of a generation or a move; None for a key of somebody else."""
    prefix, slash, name = key.rpartition("/")
    number = _key(GenerationKey, name) if key.count("/") == _DEPTH else None
    return number if number and _padded(prefix + slash, number) == key else None

"""The registry and the inventory.

    <root>/.modelkeep.toml                        the version of this layout
    <root>/<project>/<version>/package.4ml        a release: zip file or folder
    <root>/<project>/<version>/release.toml       its version as pushed, and its digest
    <root>/<project>/<version>/<number>/tag.toml  a generation, with the digests of its states
    <root>/<project>/<version>/<number>/<sid>.bin a state
    <root>/<project>/<version>/.stage/<sid>.bin   the same file, or one not committed yet
    <root>/<project>/<version>/.stage/<sid>.toml  the digest of its bytes, and the boot in which it was made
    <root>/<project>/<version>/.stage/.complete   tells that every id of the release has a file here
    <root>/<project>/.aliases/<alias>/<n>.toml    what an alias of the project names from its n-th move on
    <root>/<application>.py                       a descriptor
    <root>/.digests/<application>.toml            its digest

This is the tree of ForML's posix provider (forml 0.93, forml/provider/registry/filesystem/posix.py) with some files of
our own that it does not look at. What it wrote has no digests and is taken as it is.

A release and a generation are made in `.stage` and appear by one rename of a complete folder. They are removed by
another rename, of the package to `removed.4ml` or of the tag to `removed.toml`: without these a folder is neither of
them, and still keeps its place from being taken again. A collection empties it but for that.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import time
import tomllib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

import modelkeep
from modelkeep import (
    Alias,
    Collected,
    ConflictError,
    CorruptedError,
    Descriptor,
    Generation,
    InvalidError,
    MissingError,
    Move,
    Package,
    Project,
    Release,
    Tag,
    UnsupportedError,
)
from modelkeep.backend import boot, copy_content, digest, digest_content, lend, lines, octets, seal, table, unseal
from modelkeep_local import _collect
from modelkeep_local._engine import UNLINKABLE, Disk, entries, locked

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: The version of the layout that is written.
FORMAT: Final = 1
_MARKER: Final = ".modelkeep.toml"
_PACKAGE: Final = "package.4ml"
_RELEASE: Final = "release.toml"
_TAG: Final = "tag.toml"
#: What these two are called once they were removed.
_REMOVED_PACKAGE: Final = "removed.4ml"
_REMOVED_TAG: Final = "removed.toml"
_STAGE: Final = ".stage"
_DIGESTS: Final = ".digests"
_ALIASES: Final = ".aliases"
#: Lies in a stage that has every id of its release, so that looking there is enough.
_IDS: Final = ".complete"
#: The table of a tag that is ours; ForML ignores it.
_TABLE: Final = "modelkeep.states"
_PLAIN: Final = re.compile(r"[1-9][0-9]{0,18}\Z").match
#: The largest number of a generation.
LAST: Final = 2**63 - 1
#: The tables that every tag of ForML has.
_TABLES: Final = re.compile(rb"^[ \t]*\[[ \t]*(?:training|tuning)[ \t]*\]", re.MULTILINE)
_MODES: Final = 2
_DIGEST: Final = re.compile(rb'^([0-9a-f-]{36}) = "(blake3:[0-9a-f]{64})"$', re.MULTILINE)


class _Note(NamedTuple):
    """What is noted of a state.

    Attributes:
        digest: The digest of its bytes; empty if the note is torn.
        trusted: Whether no power can have been lost since, so that the bytes are whole, though nobody flushed them.
    """

    digest: str
    trusted: bool


class _Place:
    """What registry and inventory share: a root folder with a format marker."""

    _root: Path
    _disk: Disk
    _known: bool

    def _use(self, path: str | os.PathLike[str], *, sync: bool) -> None:
        try:
            self._root = Path(path).expanduser().resolve()
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidError(f"The path of a local store is the path of a folder, not {path!r:.100}") from error
        if not isinstance(sync, bool):
            raise InvalidError(f"The option sync of a local store is true or false, not {sync!r:.100}")
        self._disk, self._known = Disk(sync=sync), False

    def _check(self, *, create: bool = False) -> None:
        """Refuse a store of a newer format; before the first write, mark a new one."""
        if self._known:
            return
        marker = self._root / _MARKER
        try:
            record = marker.read_bytes()
        except FileNotFoundError:
            if not create:
                return
            self._disk.folder(self._root)
            record = seal(_MARKER, lines([("format", FORMAT)]).encode())
            self._disk.replace(marker, record)
        number = tomllib.loads(unseal(self, _MARKER, record, "format").decode())["format"]
        if number > FORMAT:
            raise UnsupportedError(
                f"{self!r} has format {number}, this version of modelkeep ({modelkeep.__version__}) knows formats "
                f"up to {FORMAT}: upgrade modelkeep-local to open it"
            )
        self._known = True

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._root == other._root

    def __hash__(self) -> int:
        return hash((type(self), self._root))

    def __repr__(self) -> str:
        return f"modelkeep_local.{type(self).__qualname__}({str(self._root)!r})"


class Registry(_Place, modelkeep.Registry):
    """A registry in a folder."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        staging: str | os.PathLike[str] | None = None,
        sync: bool = True,
    ) -> None:
        """Open a folder; it is made by the first push.

        Args:
            path: The folder.
            staging: See `modelkeep.Registry`.
            sync: Whether commits survive power loss; without, they survive the death of the process only.
        """
        super().__init__(staging)
        self._use(path, sync=sync)

    def projects(self) -> list[Project.Key]:
        self._check()
        found: list[Project.Key] = []
        for entry in entries(self._root):
            with contextlib.suppress(InvalidError):
                project = Project.Key(entry.name)
                if entry.is_dir() and any(self._versions(project)):
                    found.append(project)
        return sorted(found)

    def releases(self, project: Project.Key) -> list[Release.Key]:
        self._check()
        found = {key: self._spelled(project, key) for key in self._versions(project)}
        if not found:
            raise MissingError(f"{self!r} has no project {project}; push a package of it first")
        return sorted(found.values())

    def _versions(self, project: Project.Key, package: str = _PACKAGE) -> Iterator[Release.Key]:
        """The releases of a project, or those that were removed, each spelled as its folder is named."""
        for entry in entries(self._root / project):
            with contextlib.suppress(InvalidError):
                key = Release.Key(entry.name)
                # as ForML rebuilds the path from the parsed version, so do we
                if str(key.version) == entry.name and os.path.lexists(f"{entry.path}/{package}"):
                    yield key

    def _spelled(self, project: Project.Key, release: Release.Key) -> Release.Key:
        # a damaged release is listed all the same, as its folder is named: its siblings must stay reachable
        with contextlib.suppress(CorruptedError):
            record = self._release_record(self._root / project / str(release.version), project, release)
            if record is not None:
                return Release.Key(record["version"])
        return release

    def _release_record(self, folder: Path, project: Project.Key, release: Release.Key) -> dict[str, str] | None:
        """What we noted of a release; None for one that ForML wrote."""
        try:
            record = (folder / _RELEASE).read_bytes()
        except FileNotFoundError:
            return None
        return tomllib.loads(unseal(self, _place(project, release), record, "record", project, release).decode())

    def _folder(self, project: Project.Key, release: Release.Key) -> Path:
        """Find the folder of a release, however the version is spelled."""
        self._check()
        exact = self._root / project / str(release.version)
        if os.path.lexists(f"{exact}/{_PACKAGE}"):
            return exact
        for key in self._versions(project):
            if key == release:
                return self._root / project / str(key.version)
        raise MissingError(f"{self!r} has no release {project}/{release}; push its package first")

    def generations(self, project: Project.Key, release: Release.Key) -> list[Generation.Key]:
        folder = self._folder(project, release)
        return sorted(key for key in _numbers(folder) if (folder / str(key) / _TAG).is_file())

    def latest(self, project: Project.Key, release: Release.Key) -> Generation.Key | None:
        folder = self._folder(project, release)
        # with names only, and no look at what is behind them: at 10,000 generations that is ten times as quick
        names = os.listdir(folder)  # noqa: PTH208  # same
        numbers = list(map(int, filter(str.isdecimal, names)))
        while numbers:
            latest = max(numbers)
            if latest <= LAST and os.path.isfile(f"{folder}/{latest}/{_TAG}"):  # noqa: PTH113  # same
                return Generation.Key(latest)
            numbers.remove(latest)
        return None

    def push(self, package: Package) -> None:
        self._check(create=True)
        manifest = package.manifest
        project, release = manifest.name, manifest.version
        self._disk.folder(self._root / project / _STAGE)
        with self._disk.partial(self._root / project / _STAGE) as partial:
            partial.mkdir()
            copy = package.copy(partial / _PACKAGE)
            record = lines([("version", str(release)), ("digest", copy.digest)])
            (partial / _STAGE).mkdir()
            (partial / _STAGE / _IDS).touch()
            self._disk.create(partial / _RELEASE, seal(_place(project, release), record.encode()))
            self._disk.flush_tree(copy.path)
            self._disk.flush(partial)
            with locked(self._root / project):
                if any(key == release for key in self._versions(project)):
                    raise ConflictError(
                        f"{self!r} has a release {project}/{release} already, and releases never change: "
                        "raise the version"
                    )
                if any(key == release for key in self._versions(project, _REMOVED_PACKAGE)):
                    raise ConflictError(
                        f"{self!r}: {project}/{release} was removed, and its version is never given out again: "
                        "raise the version"
                    )
                self._appear(partial, self._root / project / str(release.version))
        self._disk.flush(self._root / project)

    def _appear(self, partial: Path, folder: Path) -> None:
        """Commit a release; the caller holds the lock."""
        try:
            partial.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # ForML makes the folder of a release that has no package when a state is written: complete it
            for name in (_RELEASE, _PACKAGE):
                (partial / name).rename(folder / name)
            self._disk.flush(folder)

    def pull(self, project: Project.Key, release: Release.Key) -> Package:
        folder = self._folder(project, release)
        record = self._release_record(folder, project, release)

        def fill(path: Path) -> None:
            try:
                copy_content(folder / _PACKAGE, path)
                sound = record is None or digest_content(path) == record["digest"]
            except (InvalidError, FileNotFoundError):
                # it may have been removed meanwhile
                self._folder(project, release)
                sound = False
            if not sound:
                raise CorruptedError(
                    f"{self!r}: the package of {project}/{release} is damaged, its bytes do not match their digest. "
                    f"Restore {folder / _PACKAGE} from a copy"
                )

        try:
            return Package.receive(fill)
        except InvalidError as error:
            raise CorruptedError(
                f"{self!r}: the package of {project}/{release} is damaged: {error}. "
                f"Restore {folder / _PACKAGE} from a copy"
            ) from error

    def write(self, project: Project.Key, release: Release.Key, sid: UUID, state: Buffer) -> None:
        content = octets(state)
        folder = self._folder(project, release)
        stage = folder / _STAGE
        stage.mkdir(exist_ok=True)
        path = stage / f"{sid}.bin"
        note, there = self._note(folder, sid), os.path.lexists(path)
        # ForML takes a state out of the stage when it commits, and leaves our note of it; or it has made some
        # generations, or the stage was not copied with them: then all have to be looked into
        if (note and not there) or not os.path.lexists(f"{stage}/{_IDS}"):
            known = self._committed(folder, sid)
            if known is not None and digest_content(known) != digest(content):
                raise self._taken(project, release, sid)
        with self._disk.partial(stage) as partial:
            # `close` flushes it
            name = self._disk.create(partial, content, flush=False)
            if note is None and not there:
                # whose note it is has the id, so it is made before the file: after a loss of power there is no file
                # without one
                note = self._claim(folder, sid, name)
            noted = note.digest if note else ""
            try:
                sound = there and digest_content(path) == name
            except FileNotFoundError:
                # it was collected since we looked
                self.write(project, release, sid, content)
                return
            if noted not in ("", name) or (note is None and not sound):
                raise self._taken(project, release, sid)
            if note and not noted:
                self._disk.replace(stage / f"{sid}.toml", self._noted(sid, name))
            if not sound:
                partial.replace(path)

    def _claim(self, folder: Path, sid: UUID, name: str) -> _Note:
        """Note the digest of a state, unless somebody else did; return what is noted."""
        stage = folder / _STAGE
        with self._disk.partial(stage) as partial:
            self._disk.create(partial, self._noted(sid, name), flush=False)
            with contextlib.suppress(FileExistsError):
                self._place(partial, f"{stage}/{sid}.toml")
        return self._note(folder, sid) or _Note(name, trusted=True)

    def _taken(self, project: Project.Key, release: Release.Key, sid: UUID) -> ConflictError:
        return ConflictError(
            f"{self!r}: state {sid} of {project}/{release} has other bytes already; write under a new id"
        )

    def _place(self, partial: Path, staged: str) -> None:
        """Give a file its name, unless another one has it."""
        try:
            os.link(partial, staged)
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            with locked(partial.parent):
                if os.path.lexists(staged):
                    raise FileExistsError(staged) from error
                partial.rename(staged)

    def _noted(self, sid: UUID, name: str) -> bytes:
        return seal(f"{sid}", f"{name} {boot()}".encode())

    def _note(self, folder: Path, sid: UUID) -> _Note | None:
        """Read what was noted of a state when it was written; None for one that ForML wrote."""
        try:
            record = (folder / _STAGE / f"{sid}.toml").read_bytes()
            name, _, made = unseal(self, f"{sid}", record, "digest", sid).decode().partition(" ")
        except FileNotFoundError:
            return None
        except CorruptedError:
            return _Note("", trusted=False)
        return _Note(name, trusted=bool(made) and made == boot())

    def _staged(self, folder: Path, sid: UUID) -> Path | None:
        """Find the file of a state that was written for a release, committed or not."""
        path = folder / _STAGE / f"{sid}.bin"
        return path if path.exists() else self._committed(folder, sid)

    def _committed(self, folder: Path, sid: UUID) -> Path | None:
        """Look into all generations for the file of a state: ForML moves it there from the stage."""
        committed = (folder / str(key) / f"{sid}.bin" for key in _numbers(folder))
        return next((path for path in committed if path.exists()), None)

    def close(self, project: Project.Key, release: Release.Key, generation: Generation.Key, tag: Tag) -> None:
        folder = self._folder(project, release)
        target = folder / str(generation)
        conflict = ConflictError(
            f"{self!r} has a generation {project}/{release}/{generation} already, and generations never change: "
            "close under another number"
        )
        if (target / _TAG).exists():
            raise conflict
        stage = folder / _STAGE
        stage.mkdir(exist_ok=True)
        with self._disk.partial(stage) as partial:
            partial.mkdir()
            digests: dict[str, object] = {}
            for sid in dict.fromkeys(tag.states):
                state = self._staged(folder, sid)
                if state is None:
                    raise MissingError(
                        f"{self!r}: state {sid} of {project}/{release} was never written; write it, then close"
                    )
                try:
                    self._disk.link(state, partial / f"{sid}.bin")
                except FileNotFoundError:
                    raise MissingError(
                        f"{self!r}: state {sid} of {project}/{release} was collected; write it again, then close"
                    ) from None
                digests[str(sid)] = self._whole(project, release, sid, folder, partial / f"{sid}.bin")
            body = tag.dumps() + table(_TABLE, digests)
            self._disk.create(partial / _TAG, seal(_place(project, release, generation), body.encode()))
            self._disk.flush(partial)
            try:
                partial.rename(target)
            except OSError as error:
                if (target / _REMOVED_TAG).exists():
                    raise ConflictError(
                        f"{self!r}: {project}/{release}/{generation} was removed, and its number is never given out "
                        "again: close under another number"
                    ) from error
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise conflict from error
                raise
        self._disk.flush(folder)

    def _whole(self, project: Project.Key, release: Release.Key, sid: UUID, folder: Path, path: Path) -> str:
        """Make sure that the bytes of a state are those that were written; return their digest."""
        note = self._note(folder, sid)
        if note and note.trusted:
            return note.digest
        found = digest_content(path)
        # the note is never flushed, but the tag of a generation that has the state
        if note and found != note.digest and found != self._recorded(project, release, sid):
            raise MissingError(
                f"{self!r}: bytes of state {sid} of {project}/{release} were lost with the power, or have been damaged "
                "since it was written; write it again, then close"
            )
        return found

    def _recorded(self, project: Project.Key, release: Release.Key, sid: UUID) -> str | None:
        """Look into all tags for the digest of a state."""
        for number in self.generations(project, release):
            with contextlib.suppress(CorruptedError, MissingError):
                if (found := self._digest(project, release, number, sid)) and found[1]:
                    return found[1]
        return None

    def open(self, project: Project.Key, release: Release.Key, generation: Generation.Key) -> Tag:
        return self._open(project, release, generation)[1]

    def _open(self, project: Project.Key, release: Release.Key, generation: Generation.Key) -> tuple[Path, Tag]:
        folder, body, ours = self._body(project, release, generation)
        try:
            # ForML writes its tag in place; one cut short can look like a shorter one
            if not ours and not (body.endswith(b"\n") and len(_TABLES.findall(body)) == _MODES):
                raise InvalidError("its end is missing")
            return folder, Tag.loads(body.decode())
        except (InvalidError, UnicodeDecodeError) as error:
            raise CorruptedError(
                f"{self!r}: the tag of {project}/{release}/{generation} is damaged: {error}. "
                f"Restore {folder / _TAG} from a copy"
            ) from error

    def _body(self, project: Project.Key, release: Release.Key, generation: Generation.Key) -> tuple[Path, bytes, bool]:
        """Read the tag file of a generation: its folder, its text, and whether we wrote it."""
        folder = self._folder(project, release) / str(generation)
        try:
            record = (folder / _TAG).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MissingError(f"{self!r} has no generation {project}/{release}/{generation}") from None
        if record.startswith(b"# blake3:") or f"[{_TABLE}]".encode() in record:
            place = _place(project, release, generation)
            return folder, unseal(self, place, record, "tag", project, release, generation), True
        return folder, record, False

    def _digest(
        self, project: Project.Key, release: Release.Key, generation: Generation.Key, sid: UUID
    ) -> tuple[Path, str | None] | None:
        """Find the file of a state, and its digest unless ForML wrote it; None if the generation does not name it."""
        folder, body, ours = self._body(project, release, generation)
        path = folder / f"{sid}.bin"
        if ours:
            known = {hit[1]: hit[2] for hit in _DIGEST.finditer(body)}.get(str(sid).encode())
            return None if known is None else (path, known.decode())
        return (path, None) if sid in self._open(project, release, generation)[1].states else None

    def read(self, project: Project.Key, release: Release.Key, generation: Generation.Key, sid: UUID) -> bytes:
        found = self._digest(project, release, generation, sid)
        if found is None:
            return b""
        path, known = found
        with self._damage(path, f"{sid} of {project}/{release}/{generation}"):
            content = path.read_bytes()
            _verify(content, known)
        return content

    @contextlib.contextmanager
    def _viewing(
        self, project: Project.Key, release: Release.Key, generation: Generation.Key, sid: UUID
    ) -> Iterator[memoryview]:
        found = self._digest(project, release, generation, sid)
        if found is None:
            raise MissingError(f"{self!r}: generation {project}/{release}/{generation} names no state {sid}")
        path, known = found
        with self._damage(path, f"{sid} of {project}/{release}/{generation}"), path.open("rb") as file:
            # an empty file can not be mapped
            empty = os.fstat(file.fileno()).st_size == 0
            content = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            _verify(content, known)
        # the map ends with the last reference to it
        with lend(content) as view:
            yield view

    @contextlib.contextmanager
    def _damage(self, path: Path, what: str) -> Iterator[None]:
        """Say which state it is that turned out damaged."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, CorruptedError) as error:
            if not (path.parent / _TAG).exists():
                raise MissingError(f"{self!r}: the generation of state {what} was removed") from None
            fate = "do not match their digest" if isinstance(error, CorruptedError) else "are lost"
            raise CorruptedError(f"{self!r}: the bytes of state {what} {fate}. Restore {path} from a copy") from None

    def remove(
        self, project: Project.Key, release: Release.Key | None = None, generation: Generation.Key | None = None
    ) -> None:
        if release is None:
            for each in reversed(self.releases(project)):
                with contextlib.suppress(MissingError):
                    self.remove(project, each)
            return
        folder = self._folder(project, release)
        names = _PACKAGE, _REMOVED_PACKAGE
        if generation is not None:
            folder, names = folder / str(generation), (_TAG, _REMOVED_TAG)
        try:
            (folder / names[0]).rename(folder / names[1])
        except (FileNotFoundError, NotADirectoryError):
            what = _place(project, release, generation)
            raise MissingError(f"{self!r} has no {what} that could be removed") from None
        self._disk.flush(folder)

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        self._check()
        before = time.time() - older_than.total_seconds()
        doomed: list[Path] = []
        found: Iterable[tuple[Path, int | None]]
        for entry in entries(self._root):
            with contextlib.suppress(InvalidError):
                doomed += self._unnamed(Project.Key(entry.name), before)
        if dry_run:
            found = zip(doomed, _collect.sizes(doomed, _STAGE), strict=True)
        else:
            _collect.check_links(doomed, _STAGE)
            found = ((path, _collect.delete(path, _STAGE, _REMOVED_PACKAGE)) for path in doomed)
        freed = {path: size for path, size in found if size is not None}
        return Collected(tuple(sorted(str(path.relative_to(self._root)) for path in freed)), sum(freed.values()))

    def _unnamed(self, project: Project.Key, before: float) -> Iterator[Path]:
        """Find what to delete, in that order."""
        yield from _collect.staged(self._root / project / _STAGE, set(), set(), before)
        for alias in entries(self._root / project / _ALIASES):
            yield from _collect.partials(Path(alias.path), before)
        for release in self._versions(project):
            folder = self._root / project / str(release.version)
            kept: set[str] = set()
            gone: set[str] = set()
            for number in _numbers(folder):
                generation = folder / str(number)
                states = {entry.name for entry in entries(generation) if entry.name.endswith(_collect.STATE)}
                if (generation / _TAG).is_file():
                    kept |= states
                elif (generation / _REMOVED_TAG).is_file():
                    gone |= states
                    yield from (generation / name for name in sorted(states))
            yield from _collect.staged(folder / _STAGE, kept, gone, before)
        for release in self._versions(project, _REMOVED_PACKAGE):
            yield from _collect.tombs(self._root / project / str(release.version), _REMOVED_PACKAGE)

    def aliases(self, project: Project.Key) -> list[Alias.Key]:
        found: list[Alias.Key] = []
        for entry in entries(self._aliases(project)):
            with contextlib.suppress(InvalidError):
                if _move_numbers(Path(entry.path)):
                    found.append(Alias.Key(entry.name))
        return sorted(found)

    def moves(self, project: Project.Key, alias: Alias.Key) -> list[Move]:
        folder = self._aliases(project) / alias
        return [self._move(folder, project, alias, number) for number in sorted(_move_numbers(folder))]

    def current(self, project: Project.Key, alias: Alias.Key) -> Move | None:
        folder = self._aliases(project) / alias
        newest = max(_move_numbers(folder), default=None)
        return None if newest is None else self._move(folder, project, alias, newest)

    def move(self, project: Project.Key, alias: Alias.Key, move: Move) -> None:
        folder = self._aliases(project) / alias
        if move.target is not None:
            self._body(project, *move.target)
        expected = max(_move_numbers(folder), default=0) + 1
        conflict = ConflictError(
            f"{self!r}: {project}@{alias} can not get a move {move.number}, its newest one is not {move.number - 1}; "
            "look at that, then move it again"
        )
        if move.number != expected:
            raise conflict
        self._disk.folder(folder)
        with self._disk.partial(folder) as partial:
            self._disk.create(partial, seal(_moved(project, alias, move.number), move.dumps().encode()))
            try:
                self._place(partial, f"{folder}/{move.number}.toml")
            except FileExistsError:
                raise conflict from None
        # all of them: who made a folder may not have come to flush it
        for changed in (folder, folder.parent, folder.parent.parent):
            self._disk.flush(changed)

    def _aliases(self, project: Project.Key) -> Path:
        """Find the folder of a project's aliases, after making sure that there is such a project."""
        self._check()
        if not any(self._versions(project)):
            raise MissingError(f"{self!r} has no project {project}; push a package of it first")
        return self._root / project / _ALIASES

    def _move(self, folder: Path, project: Project.Key, alias: Alias.Key, number: int) -> Move:
        record = (folder / f"{number}.toml").read_bytes()
        body = unseal(self, _moved(project, alias, number), record, "move", f"{project}@{alias}", number)
        return Move.loads(number, body.decode())


class Inventory(_Place, modelkeep.Inventory):
    """An inventory in a folder."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        sync: bool = True,
    ) -> None:
        """Open a folder; it is made by the first put.

        Args:
            path: The folder; it may be that of a registry.
            sync: Whether what was put survives power loss.
        """
        self._use(path, sync=sync)

    def list(self) -> list[str]:
        self._check()
        found: list[str] = []
        for entry in entries(self._root):
            name, dot, suffix = entry.name.rpartition(".")
            with contextlib.suppress(InvalidError):
                if dot + suffix == ".py" and entry.is_file():
                    found.append(Descriptor.Key(name))
        return sorted(found)

    def get(self, application: Descriptor.Key) -> Descriptor:
        self._check()
        before = None
        while True:
            try:
                source = (self._root / f"{application}.py").read_bytes()
            except (FileNotFoundError, IsADirectoryError):
                raise MissingError(f"{self!r} has no application {application}; put its descriptor first") from None
            known = self._digests(application)
            if not known or digest(source) in known:
                return Descriptor(application, source)
            # it may have been replaced between the two reads, but then it is another one now
            if source == before:
                raise CorruptedError(
                    f"{self!r}: the source of application {application} does not match its digest. If another program "
                    "has rewritten it, put it again; otherwise restore it from a copy"
                )
            before = source

    def _digests(self, application: Descriptor.Key) -> tuple[str, ...]:
        """The digests of the source that is there and of the one before or after it; none if ForML wrote it."""
        try:
            record = (self._root / _DIGESTS / f"{application}.toml").read_bytes()
        except FileNotFoundError:
            return ()
        return tuple(
            tomllib.loads(unseal(self, f"application/{application}", record, "digest", application).decode())["digests"]
        )

    def put(self, descriptor: Descriptor.Handle) -> None:
        self._check(create=True)
        application, source = descriptor.descriptor.name, descriptor.descriptor.source
        self._disk.folder(self._root / _DIGESTS)
        path = self._root / f"{application}.py"
        with locked(self._root / _DIGESTS):
            digests = [digest(source), *([digest_content(path)] if path.exists() else [])]
            record = seal(f"application/{application}", lines([("digests", digests)]).encode())
            self._disk.replace(self._root / _DIGESTS / f"{application}.toml", record)
            self._disk.replace(path, source)


def _place(project: Project.Key, release: Release.Key, generation: Generation.Key | None = None) -> str:
    """Name what a record is of, so that a record in a wrong place is noticed."""
    return f"{project}/{release.canonical}" + ("" if generation is None else f"/{generation}")


def _moved(project: Project.Key, alias: Alias.Key, number: int) -> str:
    return f"{project}/{_ALIASES}/{alias}/{number}"


def _move_numbers(folder: Path) -> list[int]:
    """The moves of an alias, in no order."""
    names = (
        entry.name.removesuffix(".toml")
        for entry in entries(folder)
        if entry.name.endswith(".toml") and entry.is_file()
    )
    return [number for number in map(int, filter(_PLAIN, names)) if number <= LAST]


def _numbers(folder: Path) -> Iterator[Generation.Key]:
    """The folders that are named as generations are."""
    for entry in entries(folder):
        with contextlib.suppress(InvalidError):
            key = Generation.Key(entry.name)
            if str(key) == entry.name and entry.is_dir():
                yield key


def _verify(content: bytes | mmap.mmap, known: str | None) -> None:
    if known is not None and digest(content) != known:
        raise CorruptedError

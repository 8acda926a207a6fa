"""States that are seen too early, overwritten, mixed up, cut or lent badly."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from modelkeep import ConflictError, InvalidError, MissingError, Tag
from modelkeep._digest import digest
from modelkeep._key import GenerationKey, ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import mutant
from modelkeep_conformance.mutants.reference import SUFFIX, Engine, Registry


def _staged(self: Registry, project: ProjectKey, release: ReleaseKey, sid: UUID) -> bytes:
    record = self._record(f"state/{project}/{release.canonical}/{sid}", "record")
    return (self._engine.get(f"blob/{record['digest'].partition(':')[2]}") or b"") if record else b""


class _Reading(Registry):
    """Reads and views a state through one method."""

    @contextlib.contextmanager
    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> Iterator[memoryview]:
        if sid not in self.open(project, release, generation).states:
            raise MissingError(f"{self!r}: generation {project}/{release}/{generation} names no state {sid}")
        yield memoryview(self.read(project, release, generation, sid))


@mutant("S1", "a staged state can be read through any generation")
@mutant("C8", "a state can be read through any generation of its release")
@mutant("S7", "a state can be read through any generation of its release")
class ReadThroughAny(Registry):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        return super().read(project, release, generation, sid) or _staged(self, project, release, sid)


@mutant("S1", "a staged state can be viewed through any generation")
@mutant("C8", "a state can be viewed through any generation of its release")
class ViewedThroughAny(Registry):
    @contextlib.contextmanager
    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> Iterator[memoryview]:
        with contextlib.suppress(MissingError), super()._viewing(project, release, generation, sid) as view:
            yield view
            return
        if not (found := _staged(self, project, release, sid)):
            raise MissingError(f"{self!r} has no state {project}/{release}/{generation}/{sid}")
        yield memoryview(found)


@mutant("S1", "a staged state can be read through the generation that is to come")
@mutant("S8", "an unknown generation reads as what is staged")
class NextIsReadable(Registry):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        try:
            return super().read(project, release, generation, sid)
        except MissingError:
            self._released(project, release)
            return _staged(self, project, release, sid)


@mutant("S2", "whatever release is written to is there from then on")
class WriteMakesTheRelease(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        self._engine.create(f"release/{project}/{release.canonical}", b"")
        super().write(project, release, sid, state)


@mutant("S2", "the bytes are kept before the release is looked for")
class KeptBeforeCheck(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        self._keep(digest(state), state)
        super().write(project, release, sid, state)


@mutant("S2", "what is written to an unknown release waits for it")
class WaitsForRelease(Registry):
    def _released(self, project: ProjectKey, release: ReleaseKey) -> str:
        return f"generation/{project}/{release.canonical}/"

    def generations(self, project: ProjectKey, release: ReleaseKey) -> list[GenerationKey]:
        super()._released(project, release)
        return super().generations(project, release)


@mutant("S3", "an id that is written again gets the new bytes")
@mutant("C5", "an id that is written again gets the new bytes")
class Overwritten(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        self._released(project, release)
        self._engine.path(f"state/{project}/{release.canonical}/{sid}").unlink(missing_ok=True)
        super().write(project, release, sid, state)


@mutant("S3", "the same bytes again are a conflict")
class SameBytesRefused(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        if self._engine.get(f"state/{project}/{release.canonical}/{sid}") is not None:
            raise ConflictError(f"{self!r} has a state {project}/{release}/{sid} already")
        super().write(project, release, sid, state)


@mutant("S3", "bytes of the same length are taken for the same")
class SameLength(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        known = self._record(f"state/{project}/{release.canonical}/{sid}", "record")
        if known is None or known["size"] != len(state):
            super().write(project, release, sid, state)


@mutant("S3", "an empty state counts as none yet")
class EmptyIsNone(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        key = f"state/{project}/{release.canonical}/{sid}"
        known = self._record(key, "record")
        if known is not None and known["size"] == 0:
            self._engine.path(key).unlink()
        super().write(project, release, sid, state)


@mutant("S3", "what has been committed may be overwritten by other bytes without a word")
class SilentWhenCommitted(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        try:
            super().write(project, release, sid, state)
        except ConflictError:
            last = self.latest(project, release)
            if last is None or sid not in self.open(project, release, last).states:
                raise


@mutant("S4", "states are kept by their id alone")
class ByIdAlone(Engine):
    def path(self, key: str) -> Path:
        kind, *rest = key.split("/")
        return super().path(f"{kind}/{rest[-1]}" if kind == "state" else key)


@mutant("S4", "states are kept by project and id")
class ByProjectAndId(Engine):
    def path(self, key: str) -> Path:
        kind, *rest = key.split("/")
        return super().path(f"{kind}/{rest[0]}/{rest[-1]}" if kind == "state" else key)


@mutant("S5", "of more than 64 KiB the last block is dropped if it is not full")
class LastBlockDropped(_Reading):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        state = super().read(project, release, generation, sid)
        return state[: len(state) // 4096 * 4096] if len(state) > 65536 else state


@mutant("S5", "zeros at the end are cut off")
class ZerosCut(_Reading):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        return super().read(project, release, generation, sid).rstrip(b"\0")


@mutant("S5", "line feeds are translated")
class LinesTranslated(_Reading):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        return super().read(project, release, generation, sid).replace(b"\r\n", b"\n")


@mutant("S5", "more than 32 MiB are cut")
class LargeCut(_Reading):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        return super().read(project, release, generation, sid)[: 32 << 20]


@mutant("S5", "what begins as a record does is taken for one")
class RecordInside(_Reading):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        state = super().read(project, release, generation, sid)
        return state.partition(b"\n")[2] if state.startswith(b"# blake3:") else state


@mutant("S6", "the buffer is kept, and written when it is committed")
class BufferKept(Registry):
    least: ClassVar[int] = 0

    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        if len(state) < self.least:
            super().write(project, release, sid, state)
            return
        self._released(project, release)
        self.__dict__.setdefault("kept", {})[project, release, sid] = state

    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        for (name, version, sid), state in self.__dict__.pop("kept", {}).items():
            super().write(name, version, sid, state)
        super().close(project, release, generation, tag)


@mutant("S6", "a buffer of more than a MiB is kept, and written when it is committed")
class LargeBufferKept(BufferKept):
    least = 1 << 20


@mutant("S6", "only bytes are taken, no other buffer")
class OnlyBytes(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        if not isinstance(memoryview(state.obj).obj, bytes):
            raise InvalidError(f"{self!r}: bytes are needed for state {sid}")
        super().write(project, release, sid, state)


def _whole(state: Any) -> Any:
    while isinstance(state, memoryview):
        state = state.obj
    return state if isinstance(state, bytes | bytearray) else memoryview(state)


@mutant("S6", "the whole object behind a view is written")
class WholeObject(Registry):
    def write(self, project: ProjectKey, release: ReleaseKey, sid: UUID, state: Any) -> None:
        super().write(project, release, sid, memoryview(bytes(_whole(memoryview(state.obj)))))


@mutant("S7", "reading an id that the generation does not name is an error")
class UnnamedIsMissing(Registry):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        if sid not in self.open(project, release, generation).states:
            raise MissingError(f"{self!r}: generation {project}/{release}/{generation} names no state {sid}")
        return super().read(project, release, generation, sid)


@mutant("S7", "the view of an id that the generation does not name is empty")
class UnnamedViewIsEmpty(Registry):
    @contextlib.contextmanager
    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> Iterator[memoryview]:
        yield memoryview(self.read(project, release, generation, sid))


@mutant("S7", "an empty state can not be viewed")
class EmptyIsMissing(Registry):
    @contextlib.contextmanager
    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> Iterator[memoryview]:
        with super()._viewing(project, release, generation, sid) as view:
            if not view:
                raise MissingError(f"{self!r} has no state {project}/{release}/{generation}/{sid}")
            yield view


@mutant("S8", "an unknown generation is taken for the latest")
class UnknownIsLatest(Registry):
    def _generation(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Any:
        try:
            return super()._generation(project, release, generation)
        except MissingError:
            last = self.latest(project, release)
            if last is None:
                raise
            return super()._generation(project, release, last)


@mutant("S8", "an unknown generation has an empty tag")
class UnknownHasTag(Registry):
    def open(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey) -> Tag:
        with contextlib.suppress(MissingError):
            return super().open(project, release, generation)
        return Tag()


@mutant("S8", "an unknown generation reads as nothing")
class UnknownReadsEmpty(Registry):
    def read(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID) -> bytes:
        with contextlib.suppress(MissingError):
            return super().read(project, release, generation, sid)
        return b""


class _Viewing(Registry):
    def _lent(self, state: bytes) -> memoryview:
        raise NotImplementedError

    @contextlib.contextmanager
    def _viewing(
        self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> Iterator[memoryview]:
        with super()._viewing(project, release, generation, sid) as view:
            state = bytes(view)
        yield self._lent(state)


@mutant("S9", "a view can be written to")
class WritableView(_Viewing):
    def _lent(self, state: bytes) -> memoryview:
        return memoryview(bytearray(state))


@mutant("S9", "all views share a buffer")
class SharedBuffer(_Viewing):
    buffer: ClassVar[bytearray] = bytearray(8 << 20)

    def _lent(self, state: bytes) -> memoryview:
        self.buffer[: len(state)] = state
        return memoryview(self.buffer).toreadonly()[: len(state)]


@mutant("S9", "a view is of wider items than bytes where the length allows it")
class WideItems(_Viewing):
    def _lent(self, state: bytes) -> Any:
        return memoryview(state).cast("d") if state and len(state) % struct.calcsize("d") == 0 else memoryview(state)


@mutant("S9", "a view ends when something else is committed through any handle")
class EndsWithCommit(_Viewing):
    lent: ClassVar[list[memoryview]] = []

    def _lent(self, state: bytes) -> memoryview:
        self.lent.append(view := memoryview(state))
        return view

    def close(self, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, tag: Tag) -> None:
        super().close(project, release, generation, tag)
        while self.lent:
            self.lent.pop().release()


@mutant("S9", "a view of a large state begins a page early")
class ViewOffByPage(_Viewing):
    def _lent(self, state: bytes) -> memoryview:
        return memoryview(b"\0" * 4096 + state)[: len(state)] if len(state) > 1 << 20 else memoryview(state)


@mutant("S3", "an id counts by half of its digits")
@mutant("S4", "an id counts by half of its digits")
class HalfOfTheId(Engine):
    def path(self, key: str) -> Path:
        return super().path(key.rpartition("-")[0] if key.startswith("state/") else key)


@mutant("S4", "states of all stores are staged in one place")
class StagedForAll(Engine):
    def path(self, key: str) -> Path:
        place = Path(self.place).parent if key.startswith("state/") else Path(self.place)
        return Path(place, f"{key}{SUFFIX}")

"""What loading by name returns: the one place for checks that hold for every backend."""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from modelkeep import hooks
from modelkeep._artifact import Artifact
from modelkeep._collected import Collected
from modelkeep._descriptor import Descriptor
from modelkeep._digest import octets
from modelkeep._errors import Error, InvalidError, StorageError
from modelkeep._inventory import Inventory
from modelkeep._key import AliasKey, ApplicationKey, GenerationKey, ProjectKey, ReleaseKey, shown
from modelkeep._move import Move
from modelkeep._package import Package
from modelkeep._provider import blotted, redacted
from modelkeep._registry import Registry
from modelkeep._tag import Tag

if TYPE_CHECKING:
    import pluggy
    from typing_extensions import Buffer

_Kind = TypeVar("_Kind")
_Backend = TypeVar("_Backend", Registry, Inventory)
_log: Final = logging.getLogger(__name__)


def _a(kind: type[_Kind], value: _Kind) -> _Kind:
    if not isinstance(value, kind):
        raise InvalidError(f"A {kind.__name__} is needed, not {type(value).__name__}: {shown(value)}")
    return value


class _Guard(Generic[_Backend]):
    """Stands before a backend, equal to it and shown as it."""

    inner: _Backend
    _secrets: frozenset[str]

    def _call(self, action: str, **keys: Any) -> _Call:
        return _Call(self, action, keys)

    def redact(self, text: str) -> str:
        """Blot out the secrets of the configuration."""
        return redacted(text, self._secrets) if self._secrets else text

    def __eq__(self, other: object) -> bool:
        return bool(self.inner == (other.inner if isinstance(other, _Guard) else other))

    def __hash__(self) -> int:
        return hash(self.inner)

    def __repr__(self) -> str:
        return self.redact(repr(self.inner))


class _Call:
    """One call to a backend: hooks before and after it, and foreign exceptions made StorageErrors."""

    __slots__ = ("action", "guard", "keys")

    def __init__(self, guard: _Guard[Any], action: str, keys: dict[str, Any]) -> None:
        self.guard, self.action, self.keys = guard, action, keys

    def __enter__(self) -> None:
        if before := hooks.wanted(f"before_{self.action}"):
            before(event=self._event())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if after := hooks.wanted(f"after_{self.action}"):
                self._observe(after)
        elif isinstance(error, Error):
            if (told := blotted(error, self.guard._secrets)) is not error:  # noqa: SLF001  # one module
                raise told from None
        elif isinstance(error, Exception) and not isinstance(error, MemoryError):
            key = "/".join(str(self.keys[name]) for name in _KEYS if name in self.keys)
            what = f"{self.action} {key}".rstrip()
            message = self.guard.redact(f"{what} failed in {self.guard!r}: {type(error).__name__}: {error}")
            # the cause would show its text unredacted
            raise StorageError(message) from (None if self.guard._secrets else error)  # noqa: SLF001  # one module

    def _observe(self, hook: pluggy.HookCaller) -> None:
        """Tell each observer by itself, so that one that fails does not keep another one from being told."""
        event = self._event()
        for each in reversed(hook.get_hookimpls()):
            try:
                each.function(*([event] if each.argnames else []))
            except Exception:
                _log.exception("A hook failed after %s in %r; what was done stands", self.action, self.guard)

    def _event(self) -> hooks.Event:
        return hooks.Event(action=self.action, place=repr(self.guard), **self.keys)


#: What an error message names, in this order.
_KEYS: Final = ("project", "alias", "release", "generation", "sid", "application")


class GuardedRegistry(_Guard[Registry], Registry):
    """A registry that is loaded by name.

    Takes plain strings and integers for keys, refuses what is of a wrong type, fires the hooks, and lets nothing but
    modelkeep's errors pass.
    """

    def __init__(self, inner: Registry, secrets: frozenset[str] = frozenset()) -> None:
        self.inner, self._secrets = inner, secrets

    def projects(self) -> tuple[ProjectKey, ...]:
        with self._call("projects"):
            return tuple(self.inner.projects())

    def releases(self, project: str) -> tuple[ReleaseKey, ...]:
        project = ProjectKey(project)
        with self._call("releases", project=project):
            return tuple(self.inner.releases(project))

    def generations(self, project: str, release: str | ReleaseKey) -> tuple[GenerationKey, ...]:
        project, release = ProjectKey(project), ReleaseKey(release)
        with self._call("generations", project=project, release=release):
            return tuple(self.inner.generations(project, release))

    def latest(self, project: str, release: str | ReleaseKey) -> GenerationKey | None:
        project, release = ProjectKey(project), ReleaseKey(release)
        with self._call("latest", project=project, release=release):
            return self.inner.latest(project, release)

    def push(self, package: Package) -> None:
        manifest = _a(Package, package).manifest
        with self._call("push", project=manifest.name, release=manifest.version):
            self.inner.push(package)

    def pull(self, project: str, release: str | ReleaseKey) -> Package:
        project, release = ProjectKey(project), ReleaseKey(release)
        with self._call("pull", project=project, release=release):
            return self.inner.pull(project, release)

    def mount(self, project: str, release: str | ReleaseKey) -> Artifact:
        project, release = ProjectKey(project), ReleaseKey(release)
        with self._call("mount", project=project, release=release):
            return self.inner.mount(project, release)

    def write(self, project: str, release: str | ReleaseKey, sid: UUID, state: Buffer) -> None:
        project, release, state = ProjectKey(project), ReleaseKey(release), octets(state)
        with self._call("write", project=project, release=release, sid=_a(UUID, sid), size=len(state)):
            self.inner.write(project, release, sid, state)

    def read(self, project: str, release: str | ReleaseKey, generation: int | str, sid: UUID) -> bytes:
        project, release, generation = ProjectKey(project), ReleaseKey(release), GenerationKey(generation)
        with self._call("read", project=project, release=release, generation=generation, sid=_a(UUID, sid)):
            return self.inner.read(project, release, generation, sid)

    def view(
        self, project: str, release: str | ReleaseKey, generation: int | str, sid: UUID
    ) -> AbstractContextManager[memoryview]:
        return _View(self, ProjectKey(project), ReleaseKey(release), GenerationKey(generation), _a(UUID, sid))

    def open(self, project: str, release: str | ReleaseKey, generation: int | str) -> Tag:
        project, release, generation = ProjectKey(project), ReleaseKey(release), GenerationKey(generation)
        with self._call("open", project=project, release=release, generation=generation):
            return self.inner.open(project, release, generation)

    def close(self, project: str, release: str | ReleaseKey, generation: int | str, tag: Tag) -> None:
        project, release, generation = ProjectKey(project), ReleaseKey(release), GenerationKey(generation)
        with self._call("close", project=project, release=release, generation=generation, tag=_a(Tag, tag)):
            self.inner.close(project, release, generation, tag)

    def aliases(self, project: str) -> tuple[AliasKey, ...]:
        project = ProjectKey(project)
        with self._call("aliases", project=project):
            return tuple(self.inner.aliases(project))

    def moves(self, project: str, alias: str) -> tuple[Move, ...]:
        project, alias = ProjectKey(project), AliasKey(alias)
        with self._call("moves", project=project, alias=alias):
            return tuple(self.inner.moves(project, alias))

    def current(self, project: str, alias: str) -> Move | None:
        project, alias = ProjectKey(project), AliasKey(alias)
        with self._call("current", project=project, alias=alias):
            return self.inner.current(project, alias)

    def move(self, project: str, alias: str, move: Move) -> None:
        project, alias = ProjectKey(project), AliasKey(alias)
        with self._call("move", project=project, alias=alias, move=_a(Move, move)):
            self.inner.move(project, alias, move)

    def remove(
        self, project: str, release: str | ReleaseKey | None = None, generation: int | str | None = None
    ) -> None:
        keys: dict[str, Any] = {"project": ProjectKey(project)}
        if release is not None:
            keys["release"] = ReleaseKey(release)
        if generation is not None:
            if release is None:
                raise InvalidError(f"A generation is removed together with its release's name, not {generation} alone")
            keys["generation"] = GenerationKey(generation)
        with self._call("remove", **keys):
            self.inner.remove(*keys.values())

    def collect(self, older_than: dt.timedelta, *, dry_run: bool = False) -> Collected:
        if _a(dt.timedelta, older_than) < dt.timedelta(0):
            raise InvalidError(f"The age from which on states are collected is 0 or more, not {older_than}")
        with self._call("collect", dry_run=_a(bool, dry_run)):
            return self.inner.collect(older_than, dry_run=dry_run)


class _View:
    """A view of a registry for the length of a block.

    Not a generator, which costs more than the rest of it.
    """

    __slots__ = ("_guard", "_keys", "_view")

    def __init__(
        self, guard: GuardedRegistry, project: ProjectKey, release: ReleaseKey, generation: GenerationKey, sid: UUID
    ) -> None:
        self._guard = guard
        self._keys: dict[str, Any] = {"project": project, "release": release, "generation": generation, "sid": sid}

    def __enter__(self) -> memoryview:
        with _Call(self._guard, "read", self._keys):
            self._view = self._guard.inner.view(*self._keys.values())
            return self._view.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._view.__exit__(None, None, None)
        except BaseException as failure:
            # what the caller's block raised passes as it is
            if error is None or not isinstance(failure, Exception):
                with _Call(self._guard, "leave view", self._keys):
                    raise


class GuardedInventory(_Guard[Inventory], Inventory):
    """An inventory that is loaded by name; see `GuardedRegistry`."""

    def __init__(self, inner: Inventory, secrets: frozenset[str] = frozenset()) -> None:
        self.inner, self._secrets = inner, secrets

    def list(self) -> tuple[ApplicationKey, ...]:
        with self._call("list"):
            return tuple(ApplicationKey(name) for name in self.inner.list())

    def get(self, application: str) -> Descriptor:
        application = ApplicationKey(application)
        with self._call("get", application=application):
            return self.inner.get(application)

    def put(self, descriptor: Descriptor.Handle) -> None:
        name = _a(Descriptor.Handle, descriptor).descriptor.name
        with self._call("put", application=name):
            self.inner.put(descriptor)

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

import modelkeep
from modelkeep import (
    Alias,
    Artifact,
    ConflictError,
    CorruptedError,
    Descriptor,
    Generation,
    InvalidError,
    Inventory,
    MissingError,
    Move,
    Package,
    Project,
    Registry,
    Release,
    StorageError,
    Tag,
    UnsupportedError,
)
from modelkeep._guard import GuardedInventory, GuardedRegistry

SID = UUID(int=7)
MOVE = Move(1, ("1.0", 3))


class Recorder(Registry):
    """Notes what it is called with, and raises or returns what it was told to."""

    def __init__(self, outcome: object = None, place: str = "somewhere") -> None:
        super().__init__()
        self.outcome, self.place = outcome, place
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def _did(self, name: str, *arguments: Any) -> Any:
        self.calls.append((name, arguments))
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def projects(self) -> Iterable[Project.Key]:
        self._did("projects")
        return iter([Project.Key("a")])

    def releases(self, project: Project.Key) -> Iterable[Release.Key]:
        self._did("releases", project)
        return iter([Release.Key("1.0")])

    def generations(self, project: Project.Key, release: Release.Key) -> Iterable[Generation.Key]:
        self._did("generations", project, release)
        return iter([Generation.Key(1)])

    def push(self, package: Package) -> None:
        self._did("push", package)

    def pull(self, project: Project.Key, release: Release.Key) -> Package:
        return self._did("pull", project, release)  # type: ignore[no-any-return]

    def mount(self, project: Project.Key, release: Release.Key) -> Artifact:
        return self._did("mount", project, release)  # type: ignore[no-any-return]

    def write(self, project: Project.Key, release: Release.Key, sid: UUID, state: Any) -> None:
        self._did("write", project, release, sid, bytes(state))

    def read(self, project: Project.Key, release: Release.Key, generation: Generation.Key, sid: UUID) -> bytes:
        self._did("read", project, release, generation, sid)
        return b"abc"

    def view(
        self, project: Project.Key, release: Release.Key, generation: Generation.Key, sid: UUID
    ) -> AbstractContextManager[memoryview]:
        self._did("view", project, release, generation, sid)
        return contextlib.nullcontext(memoryview(b"abc"))

    def open(self, project: Project.Key, release: Release.Key, generation: Generation.Key) -> Tag:
        self._did("open", project, release, generation)
        return Tag()

    def close(self, project: Project.Key, release: Release.Key, generation: Generation.Key, tag: Tag) -> None:
        self._did("close", project, release, generation, tag)

    def aliases(self, project: Project.Key) -> Iterable[Alias.Key]:
        self._did("aliases", project)
        return iter([Alias.Key("champion")])

    def moves(self, project: Project.Key, alias: Alias.Key) -> Sequence[Move]:
        self._did("moves", project, alias)
        return [MOVE]

    def current(self, project: Project.Key, alias: Alias.Key) -> Move | None:
        self._did("current", project, alias)
        return MOVE

    def move(self, project: Project.Key, alias: Alias.Key, move: Move) -> None:
        self._did("move", project, alias, move)

    def remove(self, *key: Any) -> None:
        self._did("remove", *key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recorder) and self.place == other.place

    def __hash__(self) -> int:
        return hash(self.place)

    def __repr__(self) -> str:
        return f"Recorder({self.place!r})"


class Shelf(Inventory):
    """The same for an inventory."""

    def __init__(self, outcome: object = None) -> None:
        self.outcome = outcome
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def _did(self, name: str, *arguments: Any) -> Any:
        self.calls.append((name, arguments))
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def list(self) -> Iterable[str]:
        self._did("list")
        return iter(["a"])

    def get(self, application: Descriptor.Key) -> Descriptor:
        return self._did("get", application)  # type: ignore[no-any-return]

    def put(self, descriptor: Descriptor.Handle) -> None:
        self._did("put", descriptor)

    def __repr__(self) -> str:
        return "Shelf()"


def view(registry: Any, *arguments: Any) -> bytes:
    with registry.view(*arguments) as seen:
        return bytes(seen)


CALLS: dict[str, Callable[[Any], object]] = {
    "projects": lambda r: r.projects(),
    "releases": lambda r: r.releases("digits"),
    "generations": lambda r: r.generations("digits", "1.0"),
    "latest": lambda r: r.latest("digits", "1.0"),
    "pull": lambda r: r.pull("digits", "1.0"),
    "mount": lambda r: r.mount("digits", "1.0"),
    "write": lambda r: r.write("digits", "1.0", SID, b"abc"),
    "read": lambda r: r.read("digits", "1.0", 3, SID),
    "view": lambda r: view(r, "digits", "1.0", 3, SID),
    "open": lambda r: r.open("digits", "1.0", 3),
    "close": lambda r: r.close("digits", "1.0", 3, Tag()),
    "aliases": lambda r: r.aliases("digits"),
    "moves": lambda r: r.moves("digits", "champion"),
    "current": lambda r: r.current("digits", "champion"),
    "move": lambda r: r.move("digits", "champion", MOVE),
    "remove": lambda r: r.remove("digits", "1.0", 3),
}
#: Those that are about aliases.
ALIASES = ("aliases", "moves", "current", "move")


# plain values become keys


@pytest.mark.parametrize("name", CALLS)
def test_a_backend_is_given_keys(name: str) -> None:
    backend = Recorder()
    CALLS[name](GuardedRegistry(backend))
    ((_, arguments),) = backend.calls
    kinds = [type(argument) for argument in arguments]
    expected: list[type] = [Project.Key, Release.Key, Generation.Key]
    if name in ALIASES:
        expected = [Project.Key, Alias.Key, Move]
    assert kinds[:3] == expected[: len(kinds)] or name == "write"
    assert kinds[:2] == expected[: min(2, len(kinds))]


def test_what_is_removed_may_be_a_project_a_release_or_a_generation() -> None:
    backend = Recorder()
    registry = GuardedRegistry(backend)
    registry.remove("digits")
    registry.remove("digits", "1.0")
    registry.remove("digits", generation="3", release="1.0")
    assert [arguments for _, arguments in backend.calls] == [
        ("digits",),
        ("digits", Release.Key("1.0")),
        ("digits", Release.Key("1.0"), 3),
    ]
    with pytest.raises(InvalidError):
        registry.remove("digits", None, 3)
    # None stands for all
    for bad in [each for each in BAD_GENERATIONS if each is not None]:
        with pytest.raises(InvalidError):
            registry.remove("digits", "1.0", bad)
    assert len(backend.calls) == 3


@pytest.mark.parametrize("generation", [3, "3", np.int64(3), Generation.Key(3)])
def test_a_generation_may_be_given_in_several_ways(generation: Any) -> None:
    backend = Recorder()
    GuardedRegistry(backend).open("digits", Release.Key("1.0"), generation)
    assert backend.calls == [("open", ("digits", Release.Key("1.0"), 3))]


@pytest.mark.parametrize("state", [b"abc", bytearray(b"abc"), memoryview(b"abc"), np.frombuffer(b"abc", np.uint8)])
def test_a_state_may_be_any_buffer(state: Any) -> None:
    backend = Recorder()
    GuardedRegistry(backend).write("digits", "1.0", SID, state)
    assert backend.calls[0][1][3] == b"abc"


def test_listings_are_tuples() -> None:
    registry = GuardedRegistry(Recorder())
    assert registry.projects() == ("a",)
    assert registry.releases("a") == (Release.Key("1.0"),)
    assert registry.generations("a", "1.0") == (1,)
    assert registry.aliases("a") == ("champion",)
    assert registry.moves("a", "champion") == (MOVE,)
    assert GuardedInventory(Shelf()).list() == ("a",)


# wrong types

BAD_PROJECTS: list[Any] = [None, 5, b"digits", "..", "", "a/b", ["digits"], "a\0", "x" * 201, Project]
BAD_RELEASES: list[Any] = [None, 5, 1.0, b"1.0", "latest", "", "1/0", ["1.0"], Release]
BAD_GENERATIONS: list[Any] = [
    None,
    0,
    -1,
    True,
    1.0,
    "0",
    "x",
    b"1",
    2**63,
    [1],
    "+7",
    "1_0",
    Generation,
    np.float64(1),
]
BAD_SIDS: list[Any] = [None, 5, str(SID), SID.bytes, SID.int, [SID], UUID]
BAD_STATES: list[Any] = ["text", None, 5, ["a"], object(), np.zeros((4, 4))[:, ::2], np.array([{}], dtype=object)]
BAD_TAGS: list[Any] = [None, {}, {"states": []}, "states = []", Tag, [SID], b""]


def wrong_calls() -> Iterator[tuple[str, Callable[[Any], object]]]:
    def add(name: str, value: Any, call: Callable[[Any, Any], object]) -> tuple[str, Callable[[Any], object]]:
        shown = type(value).__name__ if type(value) is object else f"{value!r:.25}"
        return f"{name}-{shown}", lambda registry: call(registry, value)

    for bad in BAD_PROJECTS:
        yield add("releases", bad, lambda r, v: r.releases(v))
        yield add("generations", bad, lambda r, v: r.generations(v, "1.0"))
        yield add("latest", bad, lambda r, v: r.latest(v, "1.0"))
        yield add("pull", bad, lambda r, v: r.pull(v, "1.0"))
        yield add("mount", bad, lambda r, v: r.mount(v, "1.0"))
        yield add("write", bad, lambda r, v: r.write(v, "1.0", SID, b""))
        yield add("read", bad, lambda r, v: r.read(v, "1.0", 1, SID))
        yield add("view", bad, lambda r, v: view(r, v, "1.0", 1, SID))
        yield add("open", bad, lambda r, v: r.open(v, "1.0", 1))
        yield add("close", bad, lambda r, v: r.close(v, "1.0", 1, Tag()))
        yield add("remove", bad, lambda r, v: r.remove(v))
        yield add("aliases", bad, lambda r, v: r.aliases(v))
        yield add("moves", bad, lambda r, v: r.moves(v, "champion"))
        yield add("current", bad, lambda r, v: r.current(v, "champion"))
        yield add("move", bad, lambda r, v: r.move(v, "champion", MOVE))
        yield add("moves alias", bad, lambda r, v: r.moves("digits", v))
        yield add("current alias", bad, lambda r, v: r.current("digits", v))
        yield add("move alias", bad, lambda r, v: r.move("digits", v, MOVE))
    for bad in BAD_RELEASES:
        yield add("generations release", bad, lambda r, v: r.generations("digits", v))
        yield add("latest release", bad, lambda r, v: r.latest("digits", v))
        yield add("pull release", bad, lambda r, v: r.pull("digits", v))
        yield add("mount release", bad, lambda r, v: r.mount("digits", v))
        yield add("write release", bad, lambda r, v: r.write("digits", v, SID, b""))
        yield add("read release", bad, lambda r, v: r.read("digits", v, 1, SID))
        yield add("view release", bad, lambda r, v: view(r, "digits", v, 1, SID))
        yield add("open release", bad, lambda r, v: r.open("digits", v, 1))
        yield add("close release", bad, lambda r, v: r.close("digits", v, 1, Tag()))
        yield add("remove release", bad, lambda r, v: r.remove("digits", v, 1))
    for bad in BAD_GENERATIONS:
        yield add("read generation", bad, lambda r, v: r.read("digits", "1.0", v, SID))
        yield add("view generation", bad, lambda r, v: view(r, "digits", "1.0", v, SID))
        yield add("open generation", bad, lambda r, v: r.open("digits", "1.0", v))
        yield add("close generation", bad, lambda r, v: r.close("digits", "1.0", v, Tag()))
    for bad in BAD_SIDS:
        yield add("write sid", bad, lambda r, v: r.write("digits", "1.0", v, b""))
        yield add("read sid", bad, lambda r, v: r.read("digits", "1.0", 1, v))
        yield add("view sid", bad, lambda r, v: view(r, "digits", "1.0", 1, v))
    for bad in BAD_STATES:
        yield add("write state", bad, lambda r, v: r.write("digits", "1.0", SID, v))
    for bad in BAD_TAGS:
        yield add("close tag", bad, lambda r, v: r.close("digits", "1.0", 1, v))
    moves: list[Any] = [None, 1, {}, ("1.0", 3), Move, "1.0/3"]
    for bad in moves:
        yield add("move move", bad, lambda r, v: r.move("digits", "champion", v))
    packages: list[Any] = [None, "digits.4ml", b"PK", Path("digits.4ml"), 5, {}, Package]
    for bad in packages:
        yield add("push", bad, lambda r, v: r.push(v))


WRONG = list(wrong_calls())


@pytest.mark.parametrize("call", [call for _, call in WRONG], ids=[name for name, _ in WRONG])
def test_what_is_of_a_wrong_type_never_reaches_a_backend(call: Callable[[Any], object]) -> None:
    backend = Recorder()
    with pytest.raises(InvalidError):
        call(GuardedRegistry(backend))
    assert not backend.calls


@pytest.mark.parametrize("provider", ["memory", "local"])
def test_what_is_of_a_wrong_type_creates_nothing(provider: str, tmp_path: Path, pack: Callable[..., Package]) -> None:
    options: dict[str, Any] = {"path": tmp_path / "store"} if provider == "local" else {"name": uuid4().hex}
    registry = modelkeep.registry(provider=provider, staging=tmp_path / "staging", **options)
    registry.push(pack())

    def listing() -> object:
        return sorted((tmp_path / "store").rglob("*")) if provider == "local" else dict(registry.inner._engine._values)  # type: ignore[attr-defined]

    before = listing()
    for _, call in WRONG:
        with pytest.raises(InvalidError):
            call(registry)
    assert listing() == before
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize("bad", [None, 5, b"a", "..", "", "a/b", ["a"], "x" * 201])
def test_an_application_of_a_wrong_name_never_reaches_a_backend(bad: Any) -> None:
    backend = Shelf()
    with pytest.raises(InvalidError):
        GuardedInventory(backend).get(bad)
    assert not backend.calls


@pytest.mark.parametrize("bad", [None, 5, b"x = 1", "serving.py", Path("serving.py"), Descriptor("a", b"x = 1"), {}])
def test_only_a_handle_can_be_put(bad: Any) -> None:
    backend = Shelf()
    with pytest.raises(InvalidError):
        GuardedInventory(backend).put(bad)
    assert not backend.calls


# errors

FOREIGN = [
    OSError(28, "No space left"),
    ValueError("odd"),
    KeyError("k"),
    RuntimeError(),
    AttributeError("a"),
    TypeError("t"),
]
OURS = [MissingError, InvalidError, ConflictError, CorruptedError, StorageError, UnsupportedError]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_a_foreign_exception_becomes_a_storage_error(name: str, error: Exception) -> None:
    with pytest.raises(StorageError) as caught:
        CALLS[name](GuardedRegistry(Recorder(error)))
    assert caught.value.__cause__ is error
    assert "Recorder('somewhere')" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "projects"])
def test_a_storage_error_names_the_key(name: str) -> None:
    with pytest.raises(StorageError) as caught:
        CALLS[name](GuardedRegistry(Recorder(OSError("disk on fire"))))
    message = str(caught.value)
    assert "digits" in message
    assert ("champion" if name in ALIASES else "1.0") in message or name in ("releases", "aliases")
    assert "disk on fire" in message
    if name in ("read", "view", "write"):
        assert str(SID) in message
    if name in ("read", "view", "open", "close", "remove"):
        assert "digits/1.0/3" in message


def test_a_foreign_exception_of_an_inventory_becomes_a_storage_error(tmp_path: Path) -> None:
    inventory = GuardedInventory(Shelf(OSError("disk on fire")))
    (tmp_path / "serving.py").touch()
    calls: list[Callable[[], object]] = [
        inventory.list,
        lambda: inventory.get("serving"),
        lambda: inventory.put(Descriptor.Handle(tmp_path / "serving.py")),
    ]
    for call in calls:
        with pytest.raises(StorageError, match=r"Shelf\(\).*disk on fire"):
            call()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", OURS)
def test_an_error_of_ours_passes_as_it_is(name: str, kind: type[Exception]) -> None:
    error = kind("as it is")
    with pytest.raises(kind) as caught:
        CALLS[name](GuardedRegistry(Recorder(error)))
    assert caught.value is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_failure_of_the_storage_passes(kind: type[BaseException]) -> None:
    for call in CALLS.values():
        with pytest.raises(kind):
            call(GuardedRegistry(Recorder(kind())))


def test_a_failure_in_the_middle_of_a_listing_becomes_a_storage_error() -> None:
    class Lazy(Recorder):
        def projects(self) -> Iterator[Project.Key]:
            yield Project.Key("a")
            raise OSError("gone")

    with pytest.raises(StorageError, match="gone"):
        GuardedRegistry(Lazy()).projects()


class Viewer(Recorder):
    """Fails when a view is entered or left."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.when = when

    @contextlib.contextmanager
    def view(self, *_: Any) -> Iterator[memoryview]:
        if self.when == "enter":
            raise OSError("disk on fire")
        yield memoryview(b"abc")
        if self.when == "leave":
            raise OSError("disk on fire")


COLLECT = """
import gc, sys, uuid, modelkeep

name, package, path = sys.argv[1:]
registry = modelkeep.registry(provider=name, **({"path": path} if name == "local" else {}))
registry.push(modelkeep.Package(package))
sid = uuid.uuid4()
registry.write("digits", "1.0", sid, b"a" * 1000)

def fail():
    try:
        registry.write("digits", "1.0", sid, b"b" * 1000)
    except modelkeep.ConflictError as error:
        kept = error  # a cycle of frame, error and traceback

for _ in range(20):
    fail()
    gc.collect()
print("alive")
"""


@pytest.mark.parametrize("provider", ["memory", "local"])
def test_an_error_that_is_kept_does_not_crash_the_collector(
    python: Callable[..., str], pack: Callable[..., Package], tmp_path: Path, provider: str
) -> None:
    assert python(COLLECT, provider, pack().path, tmp_path / "store") == "alive\n"


@pytest.mark.parametrize("when", ["enter", "leave"])
def test_a_view_that_fails_is_a_storage_error(when: str) -> None:
    with pytest.raises(StorageError, match="disk on fire"):
        view(GuardedRegistry(Viewer(when)), "digits", "1.0", 3, SID)


@pytest.mark.parametrize("kind", [OSError, ValueError, StopIteration, KeyboardInterrupt])
@pytest.mark.parametrize("backend", [Recorder(), Viewer("never")], ids=["class", "generator"])
def test_what_the_callers_block_raises_passes_as_it_is(kind: type[BaseException], backend: Registry) -> None:
    error = kind("of the caller")
    with pytest.raises(kind) as caught, GuardedRegistry(backend).view("digits", "1.0", 3, SID):
        raise error
    assert caught.value is error


# secrets


def test_secrets_are_blotted_out_of_messages_and_reprs() -> None:
    registry = GuardedRegistry(
        Recorder(OSError("login hunter2 refused"), "https://me:hunter2@host"), frozenset(["hunter2"])
    )
    assert repr(registry) == "Recorder('https://me:***@host')"
    for call in CALLS.values():
        with pytest.raises(StorageError) as caught:
            call(registry)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_secrets_that_contain_each_other_are_blotted_out_whole() -> None:
    # in whichever order a set has them
    for number in range(20):
        short, long = f"abc{number}", f"abc{number}-the-longer-one"
        registry = GuardedRegistry(Recorder(OSError(f"<{long}>")), frozenset([short, long]))
        with pytest.raises(StorageError) as caught:
            registry.projects()
        assert "the-longer-one" not in str(caught.value)


@pytest.mark.parametrize("secret", ["a\\b", "a'b", 'a"b', "a\nb", "a\tb", "ab'\"c", "é\x00b"])
def test_secrets_are_blotted_out_of_reprs_too(secret: str) -> None:
    # a message shows the repr of the exception, in which such characters are escaped
    registry = GuardedRegistry(Recorder(OSError(f"<{secret}>"), secret), frozenset([secret]))
    with pytest.raises(StorageError) as caught:
        registry.projects()
    for text in (str(caught.value), repr(registry)):
        assert secret not in text
        assert repr(secret)[1:-1] not in text
        assert "***" in text


def test_events_show_no_secret() -> None:
    seen: list[modelkeep.hooks.Event] = []
    from modelkeep import hooks

    class Audit:
        @hooks.hookimpl
        def before_push(self, event: hooks.Event) -> None:
            seen.append(event)

        @hooks.hookimpl
        def before_read(self, event: hooks.Event) -> None:
            seen.append(event)

    audit = Audit()
    hooks.register(audit)
    try:
        GuardedRegistry(Recorder(place="hunter2"), frozenset(["hunter2"])).read("digits", "1.0", 1, SID)
    finally:
        hooks.unregister(audit)
    assert len(seen) == 1
    assert "hunter2" not in repr(seen)


# what it is


def test_a_guard_equals_its_backend() -> None:
    backend = Recorder()
    assert GuardedRegistry(backend) == backend
    assert backend == GuardedRegistry(backend).inner
    assert GuardedRegistry(backend) == GuardedRegistry(Recorder())
    assert GuardedRegistry(backend) != GuardedRegistry(Recorder(place="elsewhere"))
    assert hash(GuardedRegistry(backend)) == hash(backend)
    assert GuardedRegistry(backend) != "Recorder('somewhere')"


def test_a_guard_is_a_registry_and_shown_as_its_backend() -> None:
    assert isinstance(GuardedRegistry(Recorder()), Registry)
    assert isinstance(GuardedInventory(Shelf()), Inventory)
    assert repr(GuardedRegistry(Recorder())) == "Recorder('somewhere')"
    assert repr(GuardedInventory(Shelf())) == "Shelf()"


def test_a_pickled_guard_still_guards(tmp_path: Path, pack: Callable[..., Package]) -> None:
    registry = modelkeep.registry(provider="local", path=tmp_path / "store")
    registry.push(pack())
    back = pickle.loads(pickle.dumps(registry))
    assert type(back) is GuardedRegistry
    assert back == registry
    assert back.projects() == ("digits",)
    with pytest.raises(InvalidError):
        back.releases("..")


def test_loading_by_name_guards(tmp_path: Path) -> None:
    for options in itertools.islice(({"provider": "memory"}, {"provider": "local", "path": str(tmp_path)}), 2):
        assert type(modelkeep.registry(**options)) is GuardedRegistry
        assert type(modelkeep.inventory(**options)) is GuardedInventory


def test_latest_is_that_of_the_backend() -> None:
    assert GuardedRegistry(Recorder()).latest("digits", "1.0") == 1

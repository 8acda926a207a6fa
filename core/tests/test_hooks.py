from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import modelkeep
from modelkeep import Descriptor, InvalidError, Inventory, MissingError, Move, Package, Registry, Tag, hooks
from modelkeep.hooks import Event, hookimpl

ACTIONS = ["push", "pull", "mount", "write", "read", "close", "move", "remove", "collect", "put", "get"]


class Veto(Exception):  # noqa: N818  # it is no error
    """An exception that modelkeep does not know."""


@pytest.fixture
def register() -> Iterator[Callable[[object], object]]:
    """Register a plugin for the length of a test."""
    made: list[object] = []

    def register(plugin: object) -> object:
        hooks.register(plugin)
        made.append(plugin)
        return plugin

    yield register
    for plugin in made:
        hooks.unregister(plugin)


def plugin(**functions: Callable[[Any, Event], object]) -> object:
    """An object with hooks of these names."""
    return type("Plugin", (), {name: hookimpl(_hook(function)) for name, function in functions.items()})()


def _hook(function: Callable[[Any, Event], object]) -> Callable[[Any, Event], object]:
    def hook(self: Any, event: Event) -> object:
        return function(self, event)

    return hook


@pytest.fixture
def events(register: Callable[[object], object]) -> list[tuple[str, Event]]:
    """What happens, in order."""
    seen: list[tuple[str, Event]] = []

    def note(name: str) -> Callable[[Any, Event], object]:
        return lambda _, event: seen.append((name, event))

    names = [f"{when}_{action}" for action in ACTIONS for when in ("before", "after")]
    register(plugin(**{name: note(name) for name in names}))
    return seen


@pytest.fixture
def inventory() -> Inventory:
    return modelkeep.inventory(provider="memory", name=uuid4().hex)


@pytest.fixture
def handle(tmp_path: Path) -> Descriptor.Handle:
    (tmp_path / "serving.py").write_text("x = 1\n", "utf-8")
    return Descriptor.Handle(tmp_path / "serving.py")


Use = Callable[[], object]


@pytest.fixture
def uses(registry: Any, inventory: Any, package: Package, handle: Descriptor.Handle) -> dict[str, Use]:
    """One call for each action, to be made in this order."""
    sid = UUID(int=1)
    return {
        "push": lambda: registry.push(package),
        "pull": lambda: registry.pull("digits", "1.0"),
        "mount": lambda: registry.mount("digits", "1.0"),
        "write": lambda: registry.write("digits", "1.0", sid, b"abc"),
        "close": lambda: registry.close("digits", "1.0", 1, Tag(states=[sid])),
        "read": lambda: registry.read("digits", "1.0", 1, sid),
        "move": lambda: registry.move("digits", "champion", Move(_count(registry) + 1, ("1.0", 1))),
        "remove": lambda: registry.remove("digits", "1.0", 1),
        "collect": lambda: registry.collect(timedelta(0)),
        "put": lambda: inventory.put(handle),
        "get": lambda: inventory.get("serving"),
    }


def _count(registry: Any) -> int:
    return len(registry.moves("digits", "champion"))


@pytest.fixture
def package(pack: Callable[..., Package]) -> Package:
    return pack()


def test_each_action_is_told_before_and_after(uses: dict[str, Use], events: list[tuple[str, Event]]) -> None:
    for action, use in uses.items():
        del events[:]
        use()
        assert [name for name, _ in events] == [f"before_{action}", f"after_{action}"]
        assert [event.action for _, event in events] == [action, action]


def test_an_event_holds_the_keys_of_the_call(
    uses: dict[str, Use], events: list[tuple[str, Event]], registry: Registry, inventory: Inventory
) -> None:
    told = {}
    for action, use in uses.items():
        use()
        told[action] = events[-1][1]
    place: dict[str, Any] = {"place": repr(registry), "project": "digits", "release": modelkeep.Release.Key("1.0")}
    state: dict[str, Any] = {"sid": UUID(int=1)}
    assert told == {
        "push": Event(action="push", **place),
        "pull": Event(action="pull", **place),
        "mount": Event(action="mount", **place),
        "write": Event(action="write", **place, **state, size=3),
        "close": Event(action="close", **place, generation=modelkeep.Generation.Key(1), tag=Tag(states=[UUID(int=1)])),
        "read": Event(action="read", **place, **state, generation=modelkeep.Generation.Key(1)),
        "move": Event(
            action="move",
            **{**place, "release": None},
            alias=modelkeep.Alias.Key("champion"),
            move=registry.current(modelkeep.Project.Key("digits"), modelkeep.Alias.Key("champion")),
        ),
        "remove": Event(action="remove", **place, generation=modelkeep.Generation.Key(1)),
        "collect": Event(action="collect", place=repr(registry), dry_run=False),
        "put": Event(action="put", place=repr(inventory), application=Descriptor.Key("serving")),
        "get": Event(action="get", place=repr(inventory), application=Descriptor.Key("serving")),
    }


def test_the_keys_of_an_event_are_keys(uses: dict[str, Use], events: list[tuple[str, Event]]) -> None:
    for use in uses.values():
        use()
    for _, event in events:
        assert event.project is None or type(event.project) is modelkeep.Project.Key
        assert event.release is None or type(event.release) is modelkeep.Release.Key
        assert event.alias is None or type(event.alias) is modelkeep.Alias.Key
        assert event.generation is None or type(event.generation) is modelkeep.Generation.Key
        assert event.application is None or type(event.application) is Descriptor.Key


def test_an_event_is_frozen(uses: dict[str, Use], register: Callable[[object], object]) -> None:
    def meddle(_: Any, event: Event) -> None:
        event.project = modelkeep.Project.Key("other")  # type: ignore[misc]

    register(plugin(before_push=meddle))
    with pytest.raises(dataclasses.FrozenInstanceError):
        uses["push"]()


def test_looking_at_a_state_counts_as_reading(
    uses: dict[str, Use], events: list[tuple[str, Event]], registry: Any
) -> None:
    for action in ("push", "write", "close"):
        uses[action]()
    del events[:]
    with registry.view("digits", "1.0", 1, UUID(int=1)):
        pass
    assert [name for name, _ in events] == ["before_read", "after_read"]


def test_the_levels_fire_the_hooks_too(registry: Registry, package: Package, events: list[tuple[str, Event]]) -> None:
    release = modelkeep.Directory(registry).get("digits").put(package)
    release.put(Tag(states=[release.dump(b"a")])).get(0)
    assert [name for name, _ in events if name.startswith("after_")] == [
        *("after_push", "after_write", "after_close", "after_read")
    ]


def test_a_dry_run_is_told(registry: Any, events: list[tuple[str, Event]]) -> None:
    registry.collect(timedelta(days=1), dry_run=True)
    assert [(name, event.dry_run) for name, event in events] == [("before_collect", True), ("after_collect", True)]


def test_a_call_that_fails_has_no_after(registry: Any, events: list[tuple[str, Event]]) -> None:
    with pytest.raises(MissingError):
        registry.pull("digits", "9.9")
    assert [name for name, _ in events] == ["before_pull"]


def test_a_call_that_is_invalid_is_told_to_nobody(registry: Any, events: list[tuple[str, Event]]) -> None:
    with pytest.raises(InvalidError):
        registry.pull("..", "1.0")
    with pytest.raises(InvalidError):
        registry.write("a", "1.0", "no-uuid", b"")
    assert not events


# vetoes


@pytest.mark.parametrize("action", ["push", "write", "close", "move", "remove", "collect", "put"])
def test_a_veto_passes_as_it_is_and_nothing_was_done(
    uses: dict[str, Use], register: Callable[[object], object], registry: Any, inventory: Any, action: str
) -> None:
    def veto(_: Any, event: Event) -> None:
        raise Veto(event.action)

    for before in list(uses)[: list(uses).index(action)]:
        uses[before]()
    vetoing = plugin(**{f"before_{action}": veto})
    hooks.register(vetoing)
    try:
        with pytest.raises(Veto, match=action):
            uses[action]()
    finally:
        hooks.unregister(vetoing)
    match action:
        case "push":
            assert registry.projects() == ()
        case "write":
            with pytest.raises(MissingError):
                uses["close"]()
        case "close":
            assert registry.generations("digits", "1.0") == ()
        case "move":
            assert registry.aliases("digits") == ()
        case "remove":
            assert registry.generations("digits", "1.0") == (1,)
        case "collect":
            assert registry.collect(timedelta(0), dry_run=True).items
        case "put":
            assert inventory.list() == ()
    uses[action]()


@pytest.mark.parametrize("action", ["pull", "mount", "read", "get"])
def test_reading_can_be_vetoed(
    uses: dict[str, Use], register: Callable[[object], object], tmp_path: Path, action: str
) -> None:
    def veto(_: Any, event: Event) -> None:
        raise Veto(event.action)

    for use in uses.values():
        use()
    register(plugin(**{f"before_{action}": veto}))
    with pytest.raises(Veto):
        uses[action]()


def test_a_veto_is_no_action_that_happened(uses: dict[str, Use], register: Callable[[object], object]) -> None:
    seen: list[Event] = []

    def veto(_: Any, event: Event) -> None:
        raise Veto

    register(plugin(before_push=veto, after_push=lambda _, event: seen.append(event)))
    with pytest.raises(Veto):
        uses["push"]()
    assert not seen


# observers


@pytest.mark.parametrize("action", ACTIONS)
def test_an_exception_after_the_action_is_logged_and_what_was_done_stands(
    uses: dict[str, Use], register: Callable[[object], object], caplog: pytest.LogCaptureFixture, action: str
) -> None:
    def fail(_: Any, event: Event) -> None:
        raise Veto("observer failed")

    register(plugin(**{f"after_{action}": fail}))
    with caplog.at_level(logging.ERROR, "modelkeep"):
        for use in uses.values():
            use()
    (record,) = caplog.records
    assert action in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is Veto


def test_one_failing_observer_does_not_silence_the_others(
    uses: dict[str, Use], register: Callable[[object], object], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def fail(_: Any, event: Event) -> None:
        raise Veto

    register(plugin(after_push=lambda _, event: seen.append("first")))
    register(plugin(after_push=fail))
    register(plugin(after_push=lambda _, event: seen.append("last")))
    uses["push"]()
    assert sorted(seen) == ["first", "last"]
    assert len(caplog.records) == 1


def test_an_observer_sees_what_was_committed(
    uses: dict[str, Use], register: Callable[[object], object], registry: Any
) -> None:
    seen: list[object] = []
    register(plugin(after_close=lambda _, event: seen.append(registry.open("digits", "1.0", event.generation))))
    for action in ("push", "write", "close"):
        uses[action]()
    assert seen == [Tag(states=[UUID(int=1)])]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_an_observer_is_no_failure_to_be_logged(
    uses: dict[str, Use], register: Callable[[object], object], kind: type[BaseException]
) -> None:
    def stop(_: Any, event: Event) -> None:
        raise kind

    register(plugin(after_push=stop))
    with pytest.raises(kind):
        uses["push"]()


# registering


def test_a_hook_that_does_not_exist_is_invalid() -> None:
    typo = plugin(before_psuh=lambda _, event: None)
    with pytest.raises(InvalidError, match="before_psuh"):
        hooks.register(typo)


def test_a_hook_with_other_arguments_is_invalid() -> None:
    class Wrong:
        @hookimpl
        def before_push(self, package: object) -> None: ...

    with pytest.raises(InvalidError, match="package"):
        hooks.register(Wrong())


def test_a_refused_plugin_leaves_no_hook_behind(uses: dict[str, Use]) -> None:
    class Wrong:
        @hookimpl
        def after_push(self, event: Event) -> None:
            raise AssertionError

        @hookimpl
        def before_push(self, event: Event) -> None:
            raise AssertionError

        @hookimpl
        def before_xyz(self, event: Event) -> None: ...

    with pytest.raises(InvalidError):
        hooks.register(Wrong())
    uses["push"]()


@pytest.mark.parametrize("name", ["before_close", "after_close"])
def test_a_wrapper_is_refused(name: str) -> None:
    def wrap(self: object, event: Event) -> Iterator[None]:
        yield

    wrapper = type("Wrapper", (), {name: hookimpl(wrapper=True)(wrap)})()
    with pytest.raises(InvalidError, match=f"{name} is a wrapper"):
        hooks.register(wrapper)
    assert hooks.wanted(name) is None


def test_registering_twice_is_invalid_and_keeps_the_first(
    register: Callable[[object], object], uses: dict[str, Use]
) -> None:
    seen: list[Event] = []
    observer = register(plugin(after_push=lambda _, event: seen.append(event)))
    with pytest.raises(InvalidError):
        hooks.register(observer)
    uses["push"]()
    assert len(seen) == 1


def test_unregistering_ends_it(uses: dict[str, Use]) -> None:
    seen: list[Event] = []
    observer = plugin(after_push=lambda _, event: seen.append(event))
    hooks.register(observer)
    hooks.unregister(observer)
    uses["push"]()
    assert not seen


def test_unregistering_a_stranger_is_invalid() -> None:
    with pytest.raises(InvalidError):
        hooks.unregister(object())


def test_a_module_may_be_a_plugin(register: Callable[[object], object], uses: dict[str, Use]) -> None:
    from types import ModuleType

    module: Any = ModuleType("audit")
    seen: list[Event] = []

    @hookimpl
    def after_push(event: Event) -> None:
        seen.append(event)

    module.after_push = after_push
    register(module)
    uses["push"]()
    assert len(seen) == 1


def test_a_plugin_is_found_by_its_entry_point(python: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "plugins" / "audit-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "plugins" / "audit-1.0.dist-info" / "METADATA").write_text("Name: audit\nVersion: 1.0\n", "utf-8")
    (tmp_path / "plugins" / "audit-1.0.dist-info" / "entry_points.txt").write_text(
        "[modelkeep.hooks]\naudit = audit\n", "utf-8"
    )
    (tmp_path / "plugins" / "audit.py").write_text(
        "from modelkeep.hooks import hookimpl\n\n\n@hookimpl\ndef before_pull(event):\n    print(event.project)\n",
        "utf-8",
    )
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport modelkeep\n"
        "try:\n    modelkeep.registry(provider='memory').pull('digits', '1.0')\n"
        "except modelkeep.MissingError:\n    pass\n"
    )
    assert python(code, tmp_path / "plugins") == "digits\n"


@pytest.mark.parametrize(
    "text", ["1 / 0", "from modelkeep.hooks import hookimpl\n@hookimpl\ndef before_x(event): ...\n"]
)
def test_a_broken_plugin_is_told_by_an_error_of_ours(python: Callable[..., str], tmp_path: Path, text: str) -> None:
    (tmp_path / "plugins" / "audit-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "plugins" / "audit-1.0.dist-info" / "METADATA").write_text("Name: audit\nVersion: 1.0\n", "utf-8")
    (tmp_path / "plugins" / "audit-1.0.dist-info" / "entry_points.txt").write_text(
        "[modelkeep.hooks]\naudit = audit\n", "utf-8"
    )
    (tmp_path / "plugins" / "audit.py").write_text(text, "utf-8")
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport modelkeep\n"
        "for _ in range(2):\n"
        "    try:\n        modelkeep.registry(provider='memory').projects()\n"
        "    except modelkeep.UnsupportedError as error:\n        print(error)\n"
    )
    out = python(code, tmp_path / "plugins").splitlines()
    assert len(out) == 2
    assert all("modelkeep.hooks" in line for line in out)

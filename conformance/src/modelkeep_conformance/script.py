"""A recorded script: calls in a fixed order, hostile ones among them, each with the outcome that every backend owes.

It is kept in `script.jsonl`, a call a line. Outcomes are what a caller sees, told by JSON: listings, tags as TOML,
bytes by their digest, errors by their kind. `python -m modelkeep_conformance record` writes it anew, when what is owed
has changed.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from modelkeep import Descriptor, Error, MissingError, Tag, Tuning
from modelkeep.backend import digest
from modelkeep_conformance.kit import Kit, content, package, sid

FILE: Final = Path(__file__).with_name("script.jsonl")
_COUNT: Final = 900
_NAMES: Final = ("alpha", "beta", "alpha-b", "alpha", "..", "a/b", "", "n" * 201, "b\u00e9ta", 7)
_VERSIONS: Final = ("1.0", "1.0.0", "v1", "1.1", "1.10", "2.0rc1", "one", "", "../1.0")
_GENERATIONS: Final = (1, 2, 3, 4, 10, 2**53 + 1, 2**53, 0, -1, "1", 1.5, None)
#: How often each is called, and with what.
_CALLS: Final[Mapping[str, tuple[int, tuple[str, ...]]]] = {
    "push": (2, ("new name", "new version", "text")),
    "pull": (1, ("name", "version")),
    "mount": (1, ("name", "version")),
    "write": (6, ("name", "version", "state", "size")),
    "close": (6, ("name", "version", "generation", "states", "score")),
    "open": (3, ("name", "version", "generation")),
    "read": (4, ("name", "version", "generation", "state")),
    "view": (3, ("name", "version", "generation", "state")),
    "generations": (2, ("name", "version")),
    "latest": (2, ("name", "version")),
    "releases": (1, ("name",)),
    "projects": (1, ()),
    "put": (2, ("name", "text")),
    "get": (2, ("name",)),
    "list": (1, ()),
}
_TEXTS: Final = ("", "x = 1\n", "x = 2\n")
_SIZES: Final = (0, 1, 100, 4096, 70_000)


def generate() -> Iterator[dict[str, Any]]:
    """Make calls up, always the same."""
    chance = random.Random(20261124)  # for tests

    def pick(values: tuple[Any, ...]) -> Any:
        # the first ones, which are valid, more often than the others
        return values[min(chance.randrange(len(values)), chance.randrange(len(values)))]

    make: Mapping[str, Callable[[], Any]] = {
        "name": lambda: pick(_NAMES),
        "version": lambda: pick(_VERSIONS),
        "generation": lambda: pick(_GENERATIONS),
        "state": lambda: chance.randrange(1, 9),
        "size": lambda: pick(_SIZES),
        "states": lambda: [chance.randrange(1, 9) for _ in range(chance.randrange(4))],
        "score": chance.random,
        # a package can't be made of what is not valid
        "new name": lambda: pick(_NAMES[:4]),
        "new version": lambda: pick(_VERSIONS[:6]),
        "text": lambda: pick(_TEXTS),
    }
    for call in chance.choices(list(_CALLS), [often for often, _ in _CALLS.values()], k=_COUNT):
        yield {"call": call, **{each.removeprefix("new "): make[each]() for each in _CALLS[call][1]}}


def play(kit: Kit, calls: Iterator[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Make calls on the store of a kit; give each with its outcome. Those of what the backend lacks are left out."""
    # handles take turns
    registries = itertools.cycle([kit.registry() for _ in range(3)] if kit.registers else [None])
    inventories = itertools.cycle([kit.inventory() for _ in range(2)] if kit.inventories else [None])
    for each in calls:
        handle: Any = next(inventories if each["call"] in ("put", "get", "list") else registries)
        if handle is None:
            continue
        try:
            outcome = _OUTCOMES[each["call"]](kit, handle, each)
        except Error as error:
            outcome = {"error": type(error).__name__}
        yield each, outcome


def _view(handle: Any, each: Mapping[str, Any]) -> str:
    with handle.view(each["name"], each["version"], each["generation"], sid(each["state"])) as view:
        return digest(view)


def _pull(handle: Any, each: Mapping[str, Any]) -> dict[str, Any]:
    pulled = handle.pull(each["name"], each["version"])
    name, version = str(pulled.manifest.name), str(pulled.manifest.version)
    texts = [
        text for text in ("", "other") if package(name, version, text).path.read_bytes() == pulled.path.read_bytes()
    ]
    return {"name": name, "version": version, "texts": texts}


def _close(handle: Any, each: Mapping[str, Any]) -> None:
    new = Tag(tuning=Tuning(None, each["score"]), states=map(sid, each["states"]))
    handle.close(each["name"], each["version"], each["generation"], new)


_OUTCOMES: Final[Mapping[str, Callable[[Kit, Any, Mapping[str, Any]], Any]]] = {
    "push": lambda _, handle, each: handle.push(package(each["name"], each["version"], each["text"])),
    "write": lambda _, handle, each: handle.write(
        each["name"], each["version"], sid(each["state"]), content(each["state"], each["size"])
    ),
    "close": lambda _, handle, each: _close(handle, each),
    "read": lambda _, handle, each: digest(
        handle.read(each["name"], each["version"], each["generation"], sid(each["state"]))
    ),
    "view": lambda _, handle, each: _view(handle, each),
    "open": lambda _, handle, each: handle.open(each["name"], each["version"], each["generation"]).dumps(),
    "generations": lambda _, handle, each: list(map(int, handle.generations(each["name"], each["version"]))),
    "latest": lambda _, handle, each: handle.latest(each["name"], each["version"]),
    "releases": lambda _, handle, each: list(map(str, handle.releases(each["name"]))),
    "projects": lambda _, handle, _each: list(map(str, handle.projects())),
    "pull": lambda _, handle, each: _pull(handle, each),
    "mount": lambda _, handle, each: (
        (handle.mount(each["name"], each["version"]).path / "toy" / "__init__.py").read_text("utf-8")
    ),
    "put": lambda kit, handle, each: handle.put(Descriptor.Handle(kit.file("app.py", each["text"]), each["name"])),
    "get": lambda _, handle, each: handle.get(each["name"]).source.decode("utf-8"),
    "list": lambda _, handle, _each: list(map(str, handle.list())),
}  # fmt: skip


def load() -> Iterator[tuple[dict[str, Any], Any]]:
    """Read the recorded calls, each with its outcome."""
    for line in FILE.read_text("utf-8").splitlines():
        call = json.loads(line)
        outcome = call.pop("outcome")
        yield call, outcome


def record(name: str) -> str:
    """Make the calls on a backend, and write them down with their outcomes.

    Closing a number that is taken with a state that is missing is left out: either may be told.
    """
    lines: list[str] = []
    with Kit.opened(name) as kit:
        for call, outcome in play(kit, generate()):
            if call["call"] == "close" and outcome == {"error": "MissingError"} and _is_taken(kit.registry(), call):
                continue
            lines.append(json.dumps({**call, "outcome": outcome}) + "\n")
    return "".join(lines)


def _is_taken(registry: Any, call: Mapping[str, Any]) -> bool:
    try:
        return call["generation"] in registry.generations(call["name"], call["version"])
    except MissingError:
        return False


def differences(name: str) -> Iterator[tuple[Mapping[str, Any], Any, Any]]:
    """Make the recorded calls on a backend; give each whose outcome is not what was recorded, with both outcomes."""
    with Kit.opened(name) as kit:
        yield from compare(kit)


def compare(kit: Kit) -> Iterator[tuple[Mapping[str, Any], Any, Any]]:
    """Make the recorded calls on the store of a kit; see `differences`."""
    # a call is itself the key: it is what `play` was given
    owed = {id(call): (call, outcome) for call, outcome in load()}
    for call, outcome in play(kit, (call for call, _ in owed.values())):
        if outcome != owed[id(call)][1]:
            yield call, owed[id(call)][1], outcome

"""What a notebook shows of the levels."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import modelkeep
from modelkeep import Directory, Package, Registry, Release, Tag, Training, Tuning
from modelkeep._guard import GuardedRegistry


@pytest.fixture
def release(registry: Registry, pack: Callable[..., Package]) -> Release:
    release = Directory(registry).get("digits").put(pack())
    release.put(Tag(Training.now("<b>&\"'"), Tuning(None, 0.5), [release.dump(b"a"), release.dump(b"b")]))
    release.put(Tag())
    return release


def rows(level: Any) -> list[list[str]]:
    """The cells of the tables; what is shown has to be well-formed."""
    text = level._repr_html_()
    return [[cell.text or "" for cell in row] for row in ET.fromstring(f"<div>{text}</div>").iter("tr")]


def test_a_directory(release: Release) -> None:
    assert rows(Directory(release.registry)) == [["project", "releases", "latest"], ["digits", "1", "1.0"]]
    assert "modelkeep_memory" in Directory(release.registry)._repr_html_()


def test_a_project(release: Release) -> None:
    project = Directory(release.registry).get("digits")
    assert rows(project) == [["release", "latest generation"], ["1.0", "2"]]


def test_a_release(release: Release) -> None:
    heads, first, second = rows(release)
    assert heads == ["generation", "trained", "ordinal", "tuned", "score", "states"]
    assert first[0] == "1"
    assert first[2:] == ["<b>&\"'", "", "0.5", "2"]
    assert second == ["2", "", "", "", "", "0"]
    assert "<b>" not in release._repr_html_()


def test_a_generation(release: Release) -> None:
    generation = release.get(1)
    heads, values, states, *ids = rows(generation)
    assert (heads, values[1:]) == (["trained", "ordinal", "tuned", "score"], ["<b>&\"'", "", "0.5"])
    assert states == ["state", "id"]
    assert ids == [[str(index), str(sid)] for index, sid in enumerate(generation.list())]


def test_there_are_not_too_many_rows(registry: Registry, pack: Callable[..., Package]) -> None:
    release = Directory(registry).get("digits").put(pack())
    state = release.dump(b"x")
    for number in range(25):
        release.put(Tag(states=[state] * number))
    assert [row[0] for row in rows(release)[1:]] == [str(number) for number in range(6, 26)]
    assert "and 5 earlier" in release._repr_html_()
    assert len(rows(release.get(25))) == 2 + 1 + 20
    assert "and 4 more" in release.get(25)._repr_html_()
    for number in range(25):
        registry.push(pack(name=f"p{number:02}", version="2"))
    assert [row[0] for row in rows(Directory(registry))[1:]] == ["digits", *(f"p{number:02}" for number in range(19))]
    assert "and 6 more" in Directory(registry)._repr_html_()
    for number in range(25):
        registry.push(pack(name="p00", version=f"3.{number}"))
    assert rows(Directory(registry).get("p00"))[-1][0] == "3.24"
    assert "and 6 earlier" in Directory(registry).get("p00")._repr_html_()


def test_only_what_is_shown_is_read(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        release.put(Tag())
    opened: list[Any] = []
    get: Any = GuardedRegistry.open

    def count(*arguments: Any) -> Tag:
        opened.append(arguments)
        tag: Tag = get(*arguments)
        return tag

    monkeypatch.setattr("modelkeep._guard.GuardedRegistry.open", count)
    release._repr_html_()
    assert len(opened) == 20


def test_an_error_is_shown_as_text(registry: Registry) -> None:
    directory = Directory(registry)
    for level in (directory.get("nope"), directory.get("nope").get("1"), directory.get("nope").get("1").get(1)):
        text = level._repr_html_()
        assert re.fullmatch(r"<pre>MissingError: .*nope.*</pre>", text)


def test_damage_does_not_hide_siblings(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    get: Any = GuardedRegistry.open

    def fail(registry: Registry, project: Any, version: Any, generation: Any) -> Any:
        if generation == 1:
            raise modelkeep.CorruptedError("<damage>")
        return get(registry, project, version, generation)

    monkeypatch.setattr("modelkeep._guard.GuardedRegistry.open", fail)
    assert rows(release)[1:] == [["1", "CorruptedError: <damage>"], ["2", "", "", "", "", "0"]]


@pytest.mark.parametrize("error", [ZeroDivisionError("<x>"), RecursionError(), MemoryError(), OSError(28, "full")])
def test_it_never_raises(error: Exception) -> None:
    class Failing:
        def projects(self) -> Any:
            raise error

    text = Directory(Failing())._repr_html_()  # type: ignore[arg-type]
    assert text.startswith(f"<pre>{type(error).__name__}")
    assert "<x>" not in text


def test_an_error_that_can_not_tell_itself() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise self

    class Failing:
        def __repr__(self) -> str:
            raise OddError

    assert Directory(Failing())._repr_html_() == "<pre>OddError</pre>"  # type: ignore[arg-type]


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaky(modelkeep.Registry):
        def __init__(self, password: str) -> None:
            super().__init__()
            self.password = password

        def projects(self) -> Any:
            raise RuntimeError(self.password)

        def __repr__(self) -> str:
            return f"Leaky({self.password!r})"

    Leaky.__abstractmethods__ = frozenset()
    leaky: Any = Leaky
    registry = GuardedRegistry(leaky("hunter2"), frozenset({"hunter2"}))
    text = Directory(registry)._repr_html_()
    assert text.startswith("<pre>StorageError")
    assert "hunter2" not in text

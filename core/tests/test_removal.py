from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modelkeep import (
    ConflictError,
    Directory,
    InvalidError,
    MissingError,
    Package,
    Project,
    Registry,
    Release,
    Tag,
    UnsupportedError,
)


@pytest.fixture
def release(registry: Registry, pack: Callable[..., Package]) -> Release:
    """A release with three generations, and another one beside it."""
    digits = Directory(registry).get("digits")
    digits.put(pack(version="1.1"))
    release = digits.put(pack())
    for _ in range(3):
        release.put(Tag())
    return release


def test_a_generation_is_removed(release: Release) -> None:
    release.get(3).remove()
    assert release.list() == (1, 2)
    assert release.get().key == 2
    with pytest.raises(MissingError, match=r"digits/1\.0/3"):
        release.get(3).remove()
    # its number is passed over
    assert release.put(Tag()).key == 4


def test_a_release_is_removed(release: Release, pack: Callable[..., Package]) -> None:
    release.remove()
    digits = Directory(release.registry).get("digits")
    assert digits.list() == (Release.Key("1.1"),)
    with pytest.raises(MissingError, match=r"digits/1\.0"):
        release.remove()
    with pytest.raises(ConflictError, match=r"digits/1\.0 was removed"):
        digits.put(pack())


def test_a_project_is_removed(release: Release) -> None:
    project = Directory(release.registry).get("digits")
    project.remove()
    assert Directory(release.registry).list() == ()
    with pytest.raises(MissingError, match="digits"):
        project.remove()


def test_a_removal_that_was_cut_short_is_completed(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    backend: Any = release.registry.inner  # type: ignore[attr-defined]
    remove, left = backend._remove, [2]

    def fail(key: str) -> bool:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return bool(remove(key))

    monkeypatch.setattr(backend, "_remove", fail)
    with pytest.raises(KeyboardInterrupt):
        release.remove()
    monkeypatch.undo()
    assert Directory(release.registry).get("digits").list() == (Release.Key("1.1"),)
    # it was removed, and what was left of it is removed now
    with pytest.raises(MissingError):
        release.remove()
    for number in (1, 2, 3):
        with pytest.raises(MissingError):
            release.get(number).tag  # noqa: B018  # reading it is what is tried


def test_a_backend_that_removes_nothing_says_so() -> None:
    def no(*_: Any) -> Any:
        raise AssertionError

    kept = {**dict.fromkeys(Registry.__abstractmethods__, no), "__repr__": lambda _: "Bare()"}
    bare: Any = type("Bare", (Registry,), kept)
    calls = {
        "digits": Directory(bare()).get("digits").remove,
        "digits/1.0": Directory(bare()).get("digits").get("1.0").remove,
        "digits/1.0/3": Directory(bare()).get("digits").get("1.0").get(3).remove,
    }
    for key, call in calls.items():
        with pytest.raises(UnsupportedError, match=rf"Bare\(\).* {key} "):
            call()


def test_a_generation_alone_can_not_be_removed(registry: Registry) -> None:
    with pytest.raises(InvalidError):
        registry.remove(Project.Key("digits"), None, 3)  # type: ignore[arg-type]  # bad on purpose

"""Reading everything that is stored."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import modelkeep
from modelkeep import (
    CorruptedError,
    Damage,
    Descriptor,
    Directory,
    InvalidError,
    Inventory,
    MissingError,
    Package,
    Registry,
    StorageError,
    Tag,
    UnsupportedError,
    verify,
)
from modelkeep.backend import seal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path, pack: Callable[..., Package]) -> Registry:
    """`digits` 1.0 with two generations of 1000 and 1001 bytes, 1.1 with none; `other` 2 with one without states."""
    registry = modelkeep.registry(provider="local", path=str(root), sync=False)
    for name, version in (("digits", "1.0"), ("digits", "1.1"), ("other", "2")):
        Directory(registry).get(name).put(pack(name=name, version=version))
    release = Directory(registry).get("digits").get("1.0")
    for size in (1000, 1001):
        release.put(Tag(states=[release.dump(os.urandom(size))]))
    Directory(registry).get("other").get().put(Tag())
    return registry


@pytest.fixture
def inventory(root: Path, tmp_path: Path) -> Inventory:
    opened = modelkeep.inventory(provider="local", path=str(root), sync=False)
    for name in ("serving", "canary"):
        module = tmp_path / f"{name}.py"
        module.write_text("raise SystemExit('nothing of it runs')")
        opened.put(Descriptor.Handle(module))
    return opened


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def keys(found: modelkeep.Verification) -> list[tuple[str, str]]:
    return [(damage.kind, damage.key) for damage in found.damages]


def test_what_is_sound(store: Registry) -> None:
    found = verify(store)
    packages = [Directory(store).get("digits").get(version).package().size for version in ("1.0", "1.1")]
    packages.append(Directory(store).get("other").get().package().size)
    # three packages, three tags, two states
    assert (found.items, found.damages, found.sound) == (8, (), True)
    assert found.size == sum(packages) + 1000 + 1001


def test_aliases_are_read_as_well(store: Registry, root: Path) -> None:
    digits = Directory(store).get("digits")
    for name in ("champion", "stable"):
        digits.alias(name).put(("1.0", 1))
        digits.alias(name).put(("1.0", 2))
    assert [verify(each).items for each in (Directory(store), digits, digits.get("1.0"))] == [8 + 2, 6 + 2, 5]
    flip(root / "digits" / ".aliases" / "champion" / "1.toml")
    (damage,) = verify(store).damages
    assert (damage.kind, damage.key, damage.error) == ("alias", "digits@champion", "CorruptedError")
    assert "digits@champion/1" in damage.message


def test_an_empty_store_is_sound_and_stays_empty(root: Path) -> None:
    found = verify(modelkeep.registry(provider="local", path=str(root)))
    assert (found.items, found.size, found.sound) == (0, 0, True)
    assert not root.exists()


def test_a_level_limits_what_is_read(store: Registry, root: Path) -> None:
    digits = Directory(store).get("digits")
    assert [verify(each).items for each in (Directory(store), digits, digits.get("1.0"), digits.get("1.0").get(1))] == [
        8, 6, 5, 2,
    ]  # fmt: skip
    flip(root / "digits" / "1.1" / "package.4ml")
    assert verify(digits.get("1.0")).sound
    assert not verify(digits).sound


def test_each_damage_is_named_and_the_rest_is_read(store: Registry, root: Path) -> None:
    digits = Directory(store).get("digits").get("1.0")
    (state,) = digits.get(2).list()
    flip(root / "digits" / "1.0" / "1" / "tag.toml")
    flip(root / "digits" / "1.0" / "2" / f"{state}.bin")
    flip(root / "digits" / "1.1" / "package.4ml")
    found = verify(store)
    assert keys(found) == [
        ("generation", "digits/1.0/1"),
        ("state", f"digits/1.0/2/{state}"),
        ("package", "digits/1.1"),
    ]
    for damage in found.damages:
        assert damage.error == "CorruptedError"
        assert damage.place == repr(store)
        assert damage.key.rpartition("/")[2] in damage.message
    # the state of the damaged tag is not known
    assert found.items == 7


def test_what_is_missing_is_damage_too(store: Registry, root: Path) -> None:
    (state,) = Directory(store).get("digits").get("1.0").get(2).list()
    (root / "digits" / "1.0" / "2" / f"{state}.bin").unlink()
    assert keys(verify(store)) == [("state", f"digits/1.0/2/{state}")]


def test_the_states_of_each_generation_are_read_where_they_lie(store: Registry, root: Path) -> None:
    release = Directory(store).get("digits").get("1.0")
    (state,) = release.get(1).list()
    release.put(Tag(states=[state, state]))
    flip(root / "digits" / "1.0" / "3" / f"{state}.bin")
    assert keys(verify(store)) == [("state", f"digits/1.0/3/{state}")]


def test_applications(inventory: Inventory, root: Path) -> None:
    found = verify(inventory)
    assert (found.items, found.sound) == (2, True)
    assert found.size == 2 * len("raise SystemExit('nothing of it runs')")
    (root / "canary.py").write_text("other")
    found = verify(inventory)
    assert [(each.kind, each.key, each.place) for each in found.damages] == [("application", "canary", repr(inventory))]


@pytest.mark.parametrize("kind", ["registry", "inventory"])
def test_a_damaged_marker_is_damage_of_the_store(root: Path, kind: str) -> None:
    root.mkdir()
    (root / ".modelkeep.toml").write_bytes(seal("elsewhere", b"format = 1\n"))
    found = verify(getattr(modelkeep, kind)(provider="local", path=str(root)))
    assert keys(found) == [("store", "")]


@pytest.mark.parametrize("kind", ["registry", "inventory"])
def test_a_newer_format_is_not_damage(root: Path, kind: str) -> None:
    root.mkdir()
    (root / ".modelkeep.toml").write_bytes(seal(".modelkeep.toml", b"format = 2\n"))
    with pytest.raises(UnsupportedError):
        verify(getattr(modelkeep, kind)(provider="local", path=str(root)))


@pytest.mark.parametrize(
    "path", [("nope",), ("digits", "9"), ("nope", "1"), ("digits", "1.0", "9"), ("nope", "1", "1")]
)
def test_an_unknown_level_is_missing(store: Registry, path: tuple[str, ...]) -> None:
    level: Any = Directory(store)
    for key in path:
        level = level.get(key)
    with pytest.raises(MissingError, match=path[-1]):
        verify(level)


@pytest.mark.parametrize("what", [None, "dev", 5, modelkeep.Registry])
def test_something_else_is_invalid(what: Any) -> None:
    with pytest.raises(InvalidError):
        verify(what)


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "4", None])
def test_a_number_of_threads_is_one(store: Registry, threads: Any) -> None:
    with pytest.raises(InvalidError, match="threads"):
        verify(store, threads=threads)


class _Failing(modelkeep.Registry):
    """Stands before a registry; what `fails` names raises."""

    def __init__(self, inner: Registry, **fails: Exception) -> None:
        super().__init__()
        self.inner, self.fails = inner, fails

    def _do(self, name: str, *arguments: Any) -> Any:
        if name in self.fails:
            raise self.fails[name]
        return getattr(self.inner, name)(*arguments)

    def projects(self) -> Any:
        return self._do("projects")

    def releases(self, *keys: Any) -> Any:
        return self._do("releases", *keys)

    def generations(self, *keys: Any) -> Any:
        return self._do("generations", *keys)

    def pull(self, *keys: Any) -> Any:
        return self._do("pull", *keys)

    def open(self, *keys: Any) -> Any:
        return self._do("open", *keys)

    def view(self, *keys: Any) -> Any:
        return self._do("view", *keys)

    def read(self, *keys: Any) -> Any:
        return self._do("read", *keys)

    def push(self, *arguments: Any) -> None:
        raise AssertionError("nothing is written")

    def write(self, *arguments: Any) -> None:
        raise AssertionError("nothing is written")

    def close(self, *arguments: Any) -> None:
        raise AssertionError("nothing is written")


@pytest.mark.parametrize("name", ["releases", "generations", "pull", "open", "view"])
@pytest.mark.parametrize("kind", [MissingError, CorruptedError, StorageError])
def test_whatever_can_not_be_read_is_told(store: Registry, name: str, kind: type[modelkeep.Error]) -> None:
    found = verify(_Failing(store, **{name: kind("no luck")}))
    assert found.damages
    assert {(each.error, each.message) for each in found.damages} == {(kind.__name__, "no luck")}
    kinds = {"releases": "project", "generations": "release", "pull": "package", "open": "generation", "view": "state"}
    assert {each.kind for each in found.damages} == {kinds[name]}


def test_a_store_that_can_not_be_listed_is_no_finding(store: Registry) -> None:
    with pytest.raises(StorageError, match="no luck"):
        verify(_Failing(store, projects=StorageError("no luck")))


def test_a_mistake_of_a_backend_is_not_taken_for_damage(store: Registry) -> None:
    with pytest.raises(ZeroDivisionError):
        verify(_Failing(store, view=ZeroDivisionError()))


def test_no_copy_of_a_package_is_left(store: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("modelkeep._scratch._Root.path", str(folder))
    monkeypatch.setattr("modelkeep._scratch._Root.pid", os.getpid())
    verify(store)
    assert list(folder.iterdir()) == []


def test_progress_ends_with_nothing_left(store: Registry) -> None:
    told: list[tuple[int, int]] = []
    found = verify(store, advance=lambda moved, left: told.append((moved, left)))
    assert sum(moved for moved, _ in told) == found.size
    assert told[-1][1] == 0
    assert all(left >= 0 for _, left in told)


@pytest.mark.parametrize("threads", [1, 3])
def test_that_many_are_read_at_once(registry: Registry, pack: Callable[..., Package], threads: int) -> None:
    release = Directory(registry).get("digits").put(pack())
    release.put(Tag(states=[release.dump(b"%d" % index) for index in range(20)]))
    now, most, lock = 0, 0, threading.Lock()
    entered = threading.Event()

    class Counting(_Failing):
        def view(self, *keys: Any) -> Any:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
                if now == threads:
                    entered.set()
            entered.wait(10)
            with lock:
                now -= 1
            return self.inner.view(*keys)

    assert verify(Counting(registry), threads=threads).items == 22
    assert most == threads


def test_the_findings_are_ordered_as_listings_are(registry: Registry, pack: Callable[..., Package]) -> None:
    release = Directory(registry).get("digits").put(pack())
    states = [release.dump(b"%d" % index) for index in range(50)]
    release.put(Tag(states=states))
    found = verify(_Failing(registry, view=CorruptedError("x")), threads=8)
    assert [each.key for each in found.damages] == [f"digits/1.0/1/{sid}" for sid in states]


def test_damage_is_a_value() -> None:
    assert Damage("state", "a/1/1/x", "place", "CorruptedError", "m") == Damage(
        "state", "a/1/1/x", "place", "CorruptedError", "m"
    )


# every backend whose stored bytes a test can reach


def _corruptible() -> list[str]:
    harnesses = {entry.name: entry.load() for entry in entry_points(group="modelkeep.conformance")}
    return sorted(name for name, harness in harnesses.items() if "corruptible" in harness.traits)


@pytest.mark.parametrize("backend", _corruptible())
def test_a_flipped_bit_anywhere_is_found_and_named(backend: str, tmp_path: Path, pack: Callable[..., Package]) -> None:
    (entry,) = entry_points(group="modelkeep.conformance", name=backend)
    harness, root = entry.load()(), tmp_path / "flipped"
    root.mkdir()
    try:
        recipe = dict(harness.recipe(root))
    except RuntimeError as error:
        pytest.skip(f"{backend} can not be tested here: {error}")
    registry, inventory = modelkeep.registry(**recipe), modelkeep.inventory(**recipe)
    release = Directory(registry).get("alpha").put(pack(name="alpha", version="1.1"))
    release.put(Tag(states=[release.dump(os.urandom(3000)), release.dump(os.urandom(3100))]))
    (tmp_path / "serving.py").write_text("# an application\n" * 50)
    inventory.put(Descriptor.Handle(tmp_path / "serving.py"))
    assert verify(registry).sound
    assert verify(inventory).sound
    names = {"release": "alpha/1.1", "generation/1": "alpha/1.1/1", "application/serving": "serving"}
    found = set()
    for region in harness.regions(root, "alpha", "1.1"):
        content = region.load()
        middle = len(content) // 2
        if not region.store(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]):
            continue
        opened = modelkeep.registry(**recipe), modelkeep.inventory(**recipe)
        damages = [damage for store in opened for damage in verify(store).damages]
        key = names.get(region.item, f"alpha/1.1/1/{region.item.rpartition('/')[2]}")
        assert [damage.key for damage in damages] == [key], region.name
        found.add(region.item)
        assert region.store(content)
    assert len(found) == 5
    assert verify(registry).sound

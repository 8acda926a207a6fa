"""Copying between stores: every installed backend into every other one, killed in the middle, and again."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

import modelkeep
from modelkeep import (
    ConflictError,
    Copied,
    CorruptedError,
    Descriptor,
    Directory,
    InvalidError,
    Inventory,
    MissingError,
    Package,
    Registry,
    StorageError,
    Tag,
    Training,
    Tuning,
    copy,
    verify,
)

BACKENDS: Final = sorted(entry.name for entry in entry_points(group="modelkeep.conformance"))
#: Those whose stores another process sees.
DURABLE: Final = [name for name in BACKENDS if name != "memory"]
KILLING: Final = Path(__file__).with_name("killing.py")
_found = importlib.util.spec_from_file_location("killing", KILLING)
assert _found is not None
assert _found.loader is not None
killing = importlib.util.module_from_spec(_found)
_found.loader.exec_module(killing)
snapshot = killing.snapshot


def recipes(backend: str, root: Path) -> dict[str, dict[str, Any]]:
    """The options of the registry and the inventory of a folder."""
    (entry,) = entry_points(group="modelkeep.conformance", name=backend)
    root.mkdir(parents=True, exist_ok=True)
    try:
        recipe = dict(entry.load()().recipe(root))
    except RuntimeError as error:
        pytest.skip(f"{backend} can not be tested here: {error}")
    kinds = {"registry": modelkeep.Registry, "inventory": modelkeep.Inventory}
    return {kind: _fitting(kind, recipe) for kind in kinds}


def _fitting(kind: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    (entry,) = entry_points(group=f"modelkeep.{kind}", name=recipe["provider"])
    takes = inspect.signature(entry.load()).parameters
    return {key: value for key, value in recipe.items() if key == "provider" or key in takes}


def opened(backend: str, root: Path) -> tuple[Registry, Inventory]:
    options = recipes(backend, root)
    return modelkeep.registry(**options["registry"]), modelkeep.inventory(**options["inventory"])


@pytest.fixture
def fill(pack: Callable[..., Package], tmp_path: Path) -> Callable[[Registry, Inventory], None]:
    """Put into a store what is hard to keep: spellings, gaps, duplicates, empty states, odd tags."""

    def fill(registry: Registry, inventory: Inventory) -> None:
        directory = Directory(registry)
        for name, version, folder in (("digits", "v1.0", False), ("digits", "1.10.0", True), ("a.b-c", "2a1", False)):
            directory.get(name).put(pack(name=name, version=version, folder=folder))
        release = directory.get("digits").get("1.0")
        large, empty, shared = (release.dump(state) for state in (os.urandom(300_000), b"", b"shared"))
        zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
        release.put(
            Tag(
                Training(dt.datetime(2024, 5, 1, 12, 0, 0, 123456, zone), "é\x1b"),
                Tuning(
                    dt.datetime(2024, 5, 2),  # noqa: DTZ001  # a naive one is kept too
                    float("nan"),
                ),
                (large, empty, large),
            )
        )
        release.put(Tag(Training(None, dt.date(2024, 5, 1)), Tuning(None, 0.1), (shared,)))
        registry.close(release.project, release.key, modelkeep.Generation.Key(7), Tag(states=(shared, empty)))
        directory.get("digits").get("1.10").put(Tag())
        champion = directory.get("digits").alias("champion")
        champion.put(("1", 7), note="é")
        champion.put(("1.10", 1))
        champion.undo()
        directory.get("digits").alias("withdrawn").put(None)
        for name, source in (("serving", b"x = 1\n"), ("canary", b"\xff\x00")):
            module = tmp_path / f"{uuid4().hex}.py"
            module.write_bytes(source)
            inventory.put(Descriptor.Handle(module, name))

    return fill


@pytest.fixture
def source(tmp_path: Path, fill: Callable[[Registry, Inventory], None]) -> tuple[Registry, Inventory]:
    stores = opened("local", tmp_path / "source")
    fill(*stores)
    return stores


def outcomes(done: tuple[Copied, ...]) -> list[tuple[str, str]]:
    return [(each.key, each.outcome) for each in done]


# the matrix


@pytest.mark.parametrize("new", BACKENDS)
@pytest.mark.parametrize("old", BACKENDS)
def test_any_backend_into_any_other_one(
    tmp_path: Path, fill: Callable[[Registry, Inventory], None], old: str, new: str
) -> None:
    old_registry, old_inventory = opened(old, tmp_path / "old")
    registry, inventory = opened(new, tmp_path / "new")
    fill(old_registry, old_inventory)
    before = snapshot(old_registry), snapshot(old_inventory)
    done = copy(old_registry, registry)
    assert {each.outcome for each in done} == {"copied"}
    assert len(done) == 3 + 4 + 2
    assert [(each.key, each.outcome) for each in copy(old_inventory, inventory)] == [
        ("canary", "copied"),
        ("serving", "copied"),
    ]
    assert (snapshot(registry), snapshot(inventory)) == before
    assert list(map(str, registry.releases(modelkeep.Project.Key("digits")))) == ["v1.0", "1.10.0"]
    again = copy(old_registry, registry, compare=True) + copy(old_inventory, inventory)
    assert {(each.outcome, each.size) for each in again} == {("there", 0)}
    assert (snapshot(old_registry), snapshot(old_inventory)) == before
    # and back, as far as that is possible
    assert {each.outcome for each in copy(registry, old_registry)} == {"there"}


@pytest.mark.parametrize("new", DURABLE)
@pytest.mark.parametrize("old", DURABLE)
def test_killed_in_the_middle_and_made_again(
    tmp_path: Path, fill: Callable[[Registry, Inventory], None], old: str, new: str
) -> None:
    stores = opened(old, tmp_path / "old")
    fill(*stores)
    # 3 packages, 5 states, 4 generations and 2 applications, before and after each; for each pair other ones
    first = 1 + (DURABLE.index(old) + DURABLE.index(new)) % 5
    steps = range(first, 2 * (3 + 5 + 4 + 2) + 1, 11 if "local" not in (old, new) or "object" in (old, new) else 5)
    found = killed(old, new, tmp_path, list(steps))
    assert [each["killed"] for each in found] == [True] * len(steps)
    complete(stores, found)


@pytest.mark.parametrize("new", DURABLE)
def test_killed_at_any_time_and_made_again(
    tmp_path: Path, fill: Callable[[Registry, Inventory], None], new: str
) -> None:
    stores = opened("local", tmp_path / "old")
    fill(*stores)
    release = Directory(stores[0]).get("digits").get("1.10")
    for size in (1_000_000, 2_000_000):
        release.put(Tag(states=[release.dump(os.urandom(size)) for _ in range(3)]))
    found = killed("local", new, tmp_path, [0.0, 0.1, 0.4, 0.8])
    assert any(each["killed"] for each in found)
    complete(stores, found)


def killed(old: str, new: str, root: Path, ats: list[Any]) -> list[Any]:
    """Let copies be killed and made again twice, each into a store of its own."""
    targets = [(at, recipes(new, root / f"new{at}")) for at in ats]
    arguments = json.dumps([recipes(old, root / "old"), targets])
    done = subprocess.run([sys.executable, str(KILLING), arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def complete(stores: tuple[Registry, Inventory], found: list[Any]) -> None:
    """Check that the second run completed the first one, and the third one had nothing to do."""
    before = json.loads(json.dumps([snapshot(each) for each in stores]))
    for each in found:
        second, third = each["runs"]
        assert second["sound"]
        assert second["there"] == third["there"] == before
        assert set(third["outcomes"]) == {"there"}
        assert third["steps"] == 0


# parts


def test_a_generation_takes_its_release_along(source: tuple[Registry, Inventory], registry: Registry) -> None:
    digits = Directory(source[0]).get("digits")
    assert outcomes(copy(digits.get("1.0").get(2), registry)) == [("digits/1.0", "copied"), ("digits/1.0/2", "copied")]
    assert outcomes(copy(digits.get("1.0"), registry)) == [
        ("digits/1.0", "there"),
        ("digits/1.0/1", "copied"),
        ("digits/1.0/2", "there"),
        ("digits/1.0/7", "copied"),
    ]
    assert [each.key for each in copy(digits, registry) if each.outcome == "copied"] == [
        "digits/1.10.0",
        "digits/1.10.0/1",
        "digits@champion",
        "digits@withdrawn",
    ]
    assert [each.key for each in copy(Directory(source[0]), registry) if each.outcome == "copied"] == ["a.b-c/2a1"]


@pytest.mark.parametrize("path", [("nope",), ("digits", "9"), ("digits", "1.0", "3"), ("nope", "1", "1")])
def test_what_is_not_there(source: tuple[Registry, Inventory], registry: Registry, path: tuple[str, ...]) -> None:
    level: Any = Directory(source[0])
    for key in path:
        level = level.get(key)
    with pytest.raises(MissingError):
        copy(level, registry)
    assert Directory(registry).list() == ()


def test_a_trial_writes_nothing(tmp_path: Path, source: tuple[Registry, Inventory]) -> None:
    registry, inventory = opened("local", tmp_path / "target")
    (tmp_path / "target").rmdir()
    trial = copy(source[0], registry, dry_run=True) + copy(source[1], inventory, dry_run=True)
    assert {each.outcome for each in trial} == {"would be copied"}
    assert not (tmp_path / "target").exists()
    done = copy(source[0], registry) + copy(source[1], inventory)
    assert [each.key for each in trial] == [each.key for each in done]
    assert {each.outcome for each in copy(source[0], registry, dry_run=True)} == {"there"}


# conflicts


def test_another_package_is_a_conflict_and_nothing_is_written(
    source: tuple[Registry, Inventory], registry: Registry, pack: Callable[..., Package]
) -> None:
    registry.push(pack({"pkg/__init__.py": "OTHER = 1"}, version="1.10"))
    before = snapshot(registry)
    with pytest.raises(ConflictError, match=r"digits/1\.10"):
        copy(source[0], registry)
    assert snapshot(registry) == before


def test_another_tag_is_a_conflict_and_nothing_is_written(
    source: tuple[Registry, Inventory], registry: Registry
) -> None:
    release = Directory(source[0]).get("digits").get("1.0")
    registry.push(release.package())
    registry.close(release.project, release.key, modelkeep.Generation.Key(7), Tag())
    before = snapshot(registry)
    with pytest.raises(ConflictError, match=r"digits/v?1\.0/7"):
        copy(source[0], registry)
    assert snapshot(registry) == before


def test_other_bytes_of_a_state_are_found_if_asked_for(source: tuple[Registry, Inventory], registry: Registry) -> None:
    release = Directory(source[0]).get("digits").get("1.0")
    registry.push(release.package())
    tag = release.get(2).tag
    registry.write(release.project, release.key, tag.states[0], b"other")
    registry.close(release.project, release.key, modelkeep.Generation.Key(2), tag)
    assert copy(release.get(2), registry)[-1].outcome == "there"
    with pytest.raises(ConflictError, match=str(tag.states[0])):
        copy(release.get(2), registry, compare=True)
    # a generation that is not there, of a state that is another one there
    with pytest.raises(ConflictError, match=str(tag.states[0])):
        copy(release.get(7), registry)
    assert release.get(2).tag.states[0] in Directory(registry).get("digits").get("1.0").get(2).list()
    assert Directory(registry).get("digits").get("1.0").list() == (2,)


def test_another_application_is_a_conflict_unless_it_may_be_replaced(
    tmp_path: Path, source: tuple[Registry, Inventory]
) -> None:
    _, inventory = opened("memory", tmp_path / "target")
    (tmp_path / "serving.py").write_text("other")
    inventory.put(Descriptor.Handle(tmp_path / "serving.py"))
    before = snapshot(inventory)
    with pytest.raises(ConflictError, match="serving"):
        copy(source[1], inventory)
    assert snapshot(inventory) == before
    assert outcomes(copy(source[1], inventory, replace=True)) == [("canary", "copied"), ("serving", "copied")]
    assert snapshot(inventory) == snapshot(source[1])


def test_the_rest_is_copied_if_failures_are_told(
    source: tuple[Registry, Inventory], registry: Registry, tmp_path: Path, pack: Callable[..., Package]
) -> None:
    registry.push(pack({"pkg/__init__.py": "OTHER = 1"}, name="a.b-c", version="2a1"))
    (state,) = Directory(source[0]).get("digits").get("1.0").get(2).list()
    (tmp_path / "source" / "digits" / "1.0" / "2" / f"{state}.bin").unlink()
    package = tmp_path / "source" / "digits" / "1.10.0" / "package.4ml"
    (next(path for path in package.rglob("*.py"))).write_text("damaged")
    errors: list[modelkeep.Error] = []
    done = copy(source[0], registry, failed=errors.append)
    # the champion was a generation of the release that is left out
    words = {
        "a.b-c/2a1": ConflictError,
        str(state): CorruptedError,
        "1.10": CorruptedError,
        "no release digits/1.10": MissingError,
    }
    assert [type(error) for error in errors] == list(words.values())
    assert [word in str(error) for word, error in zip(words, errors, strict=True)] == [True] * 4
    # no generation of a release that could not be copied
    expected = ("digits/v1.0", "digits/v1.0/1", "digits/v1.0/7", "digits@withdrawn")
    assert outcomes(done) == [(key, "copied") for key in expected]
    assert list(map(str, Directory(registry).get("digits").list())) == ["v1.0"]


def test_damage_ends_a_copy_that_tells_no_failures(
    source: tuple[Registry, Inventory], registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "source" / "digits" / "1.0" / "1" / "tag.toml"
    path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    with pytest.raises(CorruptedError, match=r"digits/v?1\.0/1 "):
        copy(source[0], registry)


def test_a_package_under_another_name_is_not_copied_under_that(
    tmp_path: Path, registry: Registry, pack: Callable[..., Package]
) -> None:
    # as ForML would read it: a folder that was renamed
    folder = tmp_path / "formls" / "renamed" / "1.0"
    folder.mkdir(parents=True)
    pack(version="1.0").copy(folder / "package.4ml")
    with pytest.raises(InvalidError, match="renamed"):
        copy(modelkeep.registry(provider="local", path=str(tmp_path / "formls")), registry)
    assert Directory(registry).list() == ()


# bad input


def test_what_does_not_go_together(source: tuple[Registry, Inventory], registry: Registry, tmp_path: Path) -> None:
    _, inventory = opened("memory", tmp_path / "memory")
    for old, new in (
        (source[0], inventory),
        (source[1], registry),
        (source[0], None),
        (None, registry),
        ("dev", registry),
        (source[0], Directory(registry)),
        (source[0], source[0]),
        (source[1], opened("local", tmp_path / "source")[1]),
        (Directory(source[0]).get("digits"), opened("local", tmp_path / "source")[0]),
    ):
        with pytest.raises(InvalidError):
            copy(old, new)  # type: ignore[arg-type]
    assert Directory(registry).list() == ()


def test_a_target_that_can_not_be_written_to(source: tuple[Registry, Inventory], tmp_path: Path) -> None:
    # below a file nobody can write, root included
    (tmp_path / "file").touch()
    options = {"provider": "local", "path": str(tmp_path / "file" / "store")}
    with pytest.raises(StorageError):
        copy(source[0], modelkeep.registry(**options))
    with pytest.raises(StorageError):
        copy(source[1], modelkeep.inventory(**options))


# aliases


def test_a_log_is_continued_as_it_was_made(source: tuple[Registry, Inventory], registry: Registry) -> None:
    champion = Directory(source[0]).get("digits").alias("champion")
    copied = Directory(registry).get("digits").alias("champion")
    copy(source[0], registry)
    assert copied.list() == champion.list()
    champion.put(("1.0", 2))
    done = copy(source[0], registry)
    assert [each.key for each in done if each.outcome == "copied"] == ["digits@champion"]
    assert copied.list() == champion.list()
    # a target that is ahead has all there is
    copied.put(None)
    assert {each.outcome for each in copy(source[0], registry)} == {"there"}


def test_other_moves_are_a_conflict_and_nothing_is_written(
    source: tuple[Registry, Inventory], registry: Registry
) -> None:
    copy(Directory(source[0]).get("digits").get("1.0"), registry)
    Directory(registry).get("digits").alias("champion").put(("1.0", 1))
    before = snapshot(registry)
    with pytest.raises(ConflictError, match="digits@champion"):
        copy(source[0], registry)
    assert snapshot(registry) == before


def test_a_target_that_keeps_no_aliases_says_so(
    source: tuple[Registry, Inventory], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = type(registry.inner)  # type: ignore[attr-defined]
    for name in ("aliases", "moves", "current", "move"):
        monkeypatch.setattr(backend, name, getattr(Registry, name), raising=False)
    with pytest.raises(modelkeep.UnsupportedError, match="aliases"):
        copy(source[0], registry)
    assert registry.projects() == ()
    errors: list[modelkeep.Error] = []
    assert len(copy(source[0], registry, failed=errors.append)) == 3 + 4
    assert [type(error) for error in errors] == [modelkeep.UnsupportedError] * 2
    # one that keeps none has none that could go bad
    assert verify(registry).sound


# others at work


def test_two_copies_at_once(source: tuple[Registry, Inventory], registry: Registry) -> None:
    def racing(name: str) -> Callable[..., Any]:
        method = getattr(registry, name)

        def race(*arguments: Any) -> Any:
            method(*arguments)
            return method(*arguments)

        return race

    target = modelkeep.registry(provider="memory", name=registry.inner._engine.place)  # type: ignore[attr-defined]
    for name in ("push", "close"):
        setattr(target, name, racing(name))
    # each push and close finds that somebody else was quicker, with the same
    assert {each.outcome for each in copy(source[0], target) if each.kind != "alias"} == {"there"}
    assert snapshot(registry) == snapshot(source[0])
    assert snapshot(registry) == snapshot(source[0])


def test_another_writer_takes_a_number_meanwhile(source: tuple[Registry, Inventory], registry: Registry) -> None:
    close = registry.close

    def late(project: Any, release: Any, generation: Any, tag: Tag) -> None:
        close(project, release, generation, Tag(tuning=Tuning.now(0.5)))
        close(project, release, generation, tag)

    registry.close = late  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match=r"digits/v?1\.0/1"):
        copy(source[0], registry)


# cost


def test_states_are_lent_and_not_copied(source: tuple[Registry, Inventory], registry: Registry) -> None:
    def read(*_: Any) -> bytes:
        raise AssertionError("a whole state is read into memory")

    source[0].inner.read = read  # type: ignore[attr-defined]
    assert copy(source[0], registry)


def test_no_copy_of_a_package_is_left(
    source: tuple[Registry, Inventory], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("modelkeep._scratch._Root.path", str(folder))
    monkeypatch.setattr("modelkeep._scratch._Root.pid", os.getpid())
    for _ in range(2):
        copy(source[0], registry)
    copy(source[1], opened("memory", tmp_path / "target")[1])
    assert list(folder.iterdir()) == []


def test_progress_tells_all_bytes_and_ends_with_nothing_left(
    source: tuple[Registry, Inventory], registry: Registry
) -> None:
    told: list[tuple[int, int]] = []
    done = copy(source[0], registry, advance=lambda moved, left: told.append((moved, left)))
    assert sum(moved for moved, _ in told) == sum(each.size for each in done) > 300_000
    assert told[-1][1] == 0
    assert max(left for _, left in told) >= 300_000


def test_what_is_copied_is_sound(source: tuple[Registry, Inventory], registry: Registry) -> None:
    copy(source[0], registry)
    assert verify(registry).sound


# what a mistake here would break silently


def test_no_generation_goes_to_another_package(
    source: tuple[Registry, Inventory], registry: Registry, pack: Callable[..., Package]
) -> None:
    registry.push(pack({"pkg/__init__.py": "OTHER = 1"}, version="1.0"))
    errors: list[modelkeep.Error] = []
    done = copy(source[0], registry, failed=errors.append)
    assert [type(error) for error in errors] == [ConflictError, MissingError]
    assert outcomes(done) == [
        ("a.b-c/2a1", "copied"),
        ("digits/1.10.0", "copied"),
        ("digits/1.10.0/1", "copied"),
        ("digits@withdrawn", "copied"),
    ]
    assert Directory(registry).get("digits").get("1.0").list() == ()


def test_nothing_goes_on_behind_a_failure_that_is_told(
    registry: Registry, pack: Callable[..., Package], tmp_path: Path
) -> None:
    release = Directory(registry).get("digits").put(pack())
    states = [release.dump(b"%d" % number) for number in range(8)]
    release.put(Tag(states=states))
    target, _ = opened("memory", tmp_path / "target")
    write, busy = target.write, set()

    def slow(project: Any, version: Any, sid: Any, state: Any) -> None:
        if sid == states[0]:
            raise StorageError("no luck")
        busy.add(sid)
        time.sleep(0.2)
        write(project, version, sid, state)
        busy.remove(sid)

    target.write = slow  # type: ignore[assignment,method-assign]
    seen: list[int] = []
    copy(registry, target, threads=3, failed=lambda _: seen.append(len(busy)))
    assert seen == [0]


def test_copies_of_several_threads(source: tuple[Registry, Inventory], tmp_path: Path) -> None:
    target, _ = opened("lmdb", tmp_path / "target")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: copy(source[0], target), range(4)))
    assert snapshot(target) == snapshot(source[0])
    # nobody fails, and each item is copied once
    assert sum(each.outcome == "copied" and each.kind != "alias" for one in done for each in one) == 3 + 4

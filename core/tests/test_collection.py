from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from modelkeep import (
    Collected,
    ConflictError,
    CorruptedError,
    Generation,
    InvalidError,
    MissingError,
    Package,
    Project,
    Registry,
    Release,
    Tag,
    UnsupportedError,
    keyvalue,
)
from modelkeep._guard import GuardedRegistry
from modelkeep.backend import seal

from .dictionary import Dictionary

NOW = timedelta(0)
PROJECT = Project.Key("digits")
RELEASE = Release.Key("1.0")
ONE = Generation.Key(1)


class Sweeping(Dictionary):
    """A dictionary that can be collected; all that it has is of one age.

    Attributes:
        age: What it says of the age of all.
        meanwhile: What others do after the first look at what is named.
        chosen: What it was told to delete.
        left: After how many deletions it is killed.
    """

    age = 100.0
    left = 10**9

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None
        self.chosen: list[str] = []

    def sweep(self, choose: Callable[[Iterable[keyvalue.Stored]], Iterable[str]]) -> None:
        self.meanwhile()
        at = time.time() - self.age
        stored = [
            keyvalue.Stored(key, len(value), at)
            for key, value in self.values.items()
            if key.startswith(("blob/", "state/"))
        ]
        self.chosen = list(choose(stored))
        for number, key in enumerate(self.chosen):
            if number == self.left:
                raise KeyboardInterrupt
            del self.values[key]


@pytest.fixture
def engine() -> Sweeping:
    return Sweeping()


@pytest.fixture
def store(engine: Sweeping, pack: Callable[..., Package]) -> keyvalue.Registry:
    """A registry with a generation of state 1, and state 2, which waits."""
    store = keyvalue.Registry(engine)
    store.push(pack())
    for number in (1, 2):
        store.write(PROJECT, RELEASE, UUID(int=number), b"state %d" % number)
    store.close(PROJECT, RELEASE, ONE, Tag(states=[UUID(int=1)]))
    return store


def close(store: Registry, number: int, *states: int) -> None:
    store.close(PROJECT, RELEASE, Generation.Key(number), Tag(states=[UUID(int=each) for each in states]))


# what every backend is spared


@pytest.mark.parametrize("age", [0, 7, None, "7d", True, 1.5])
def test_an_age_is_a_timedelta(engine: Sweeping, store: keyvalue.Registry, age: Any) -> None:
    with pytest.raises(InvalidError, match="timedelta"):
        GuardedRegistry(store).collect(age)
    assert not engine.chosen


@pytest.mark.parametrize("age", [timedelta(microseconds=-1), timedelta(days=-7), timedelta.min])
def test_an_age_is_not_negative(engine: Sweeping, store: keyvalue.Registry, age: timedelta) -> None:
    for dry_run in (True, False):
        with pytest.raises(InvalidError, match="0 or more"):
            GuardedRegistry(store).collect(age, dry_run=dry_run)
    assert not engine.chosen


@pytest.mark.parametrize("dry_run", ["yes", "", None, 0, 1])
def test_a_dry_run_is_true_or_false(engine: Sweeping, store: keyvalue.Registry, dry_run: Any) -> None:
    with pytest.raises(InvalidError, match="bool"):
        GuardedRegistry(store).collect(NOW, dry_run=dry_run)
    assert not engine.chosen


def test_what_is_collected_is_passed_on(store: keyvalue.Registry, engine: Sweeping) -> None:
    told = GuardedRegistry(store).collect(timedelta(seconds=99), dry_run=True)
    assert told == Collected(tuple(sorted(told.items)), told.size)
    assert not engine.chosen
    assert GuardedRegistry(store).collect(timedelta.max).items == ()
    assert GuardedRegistry(store).collect(timedelta(seconds=99)) == told
    assert tuple(sorted(engine.chosen)) == told.items


def test_a_backend_that_collects_nothing_says_so(pack: Callable[..., Package]) -> None:
    def no(*_: Any) -> Any:
        raise AssertionError

    kept = {**dict.fromkeys(Registry.__abstractmethods__, no), "__repr__": lambda _: "Bare()"}
    bare: Any = type("Bare", (Registry,), kept)
    with pytest.raises(UnsupportedError, match=r"Bare\(\) can not free .*7 days"):
        bare().collect(timedelta(days=7))
    store = keyvalue.Registry(Dictionary())
    store.push(pack())
    for dry_run in (True, False):
        with pytest.raises(UnsupportedError):
            store.collect(NOW, dry_run=dry_run)


# what the key-value base owes its engines


def test_records_go_before_the_bytes_that_they_name(engine: Sweeping, store: keyvalue.Registry) -> None:
    store.write(PROJECT, RELEASE, UUID(int=3), b"state 2")
    store.collect(NOW)
    kinds = [key.partition("/")[0] for key in engine.chosen]
    assert kinds == ["state", "state", "blob"]


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_collection_cut_short_is_completed(engine: Sweeping, store: keyvalue.Registry, left: int) -> None:
    store.write(PROJECT, RELEASE, UUID(int=3), b"state 2")
    engine.left = left
    with pytest.raises(KeyboardInterrupt):
        store.collect(NOW)
    engine.left = 10**9
    for number in (2, 3):
        try:
            close(store, 10 + number, number)
        except MissingError:
            continue
        assert store.read(PROJECT, RELEASE, Generation.Key(10 + number), UUID(int=number)) == b"state 2"
    store.collect(NOW)
    assert store.collect(NOW).items == ()
    assert store.read(PROJECT, RELEASE, ONE, UUID(int=1)) == b"state 1"


def test_what_is_committed_after_the_first_look_stays(engine: Sweeping, store: keyvalue.Registry) -> None:
    engine.meanwhile = lambda: close(store, 2, 2)
    assert store.collect(NOW).items == ()
    assert store.read(PROJECT, RELEASE, Generation.Key(2), UUID(int=2)) == b"state 2"


def test_a_release_that_is_pushed_after_the_first_look_keeps_its_package(
    engine: Sweeping, store: keyvalue.Registry, pack: Callable[..., Package]
) -> None:
    engine.meanwhile = lambda: store.push(pack(version="2.0"))
    found = store.collect(NOW)
    assert len(found.items) == 2
    assert store.pull(PROJECT, Release.Key("2.0")).digest


@pytest.mark.parametrize("key", [f"generation/digits/1/{1:019d}", "release/digits/1"])
@pytest.mark.parametrize("record", [b"", b"damaged", seal("elsewhere", b"{}")])
def test_a_damaged_record_keeps_everything(engine: Sweeping, store: keyvalue.Registry, key: str, record: bytes) -> None:
    before = engine.values[key]
    engine.values[key] = record
    values = dict(engine.values)
    for dry_run in (True, False):
        with pytest.raises(CorruptedError, match="digits"):
            store.collect(NOW, dry_run=dry_run)
    assert engine.values == values
    engine.values[key] = before
    assert len(store.collect(NOW).items) == 2


def test_a_damaged_record_of_a_state_waits_for_nobody(engine: Sweeping, store: keyvalue.Registry) -> None:
    engine.values[f"state/digits/1/{UUID(int=2)}"] = b"damaged"
    assert store.collect(timedelta(seconds=101)).items == ()
    assert len(store.collect(NOW).items) == 2
    store.write(PROJECT, RELEASE, UUID(int=2), b"another")
    close(store, 2, 2)


def test_what_others_put_beside_records_names_nothing(engine: Sweeping, store: keyvalue.Registry) -> None:
    for key in ("release/.DS_Store", "release/digits/x~", "generation/digits/1/.bak", "generation/digits/1/7"):
        engine.values[key] = b"litter"
    assert len(store.collect(NOW).items) == 2


def test_an_id_whose_record_is_collected_while_it_is_written_is_written_all_the_same(
    engine: Sweeping, store: keyvalue.Registry
) -> None:
    create, key, left = engine.create, f"state/digits/1/{UUID(int=5)}", [1]

    def beaten(name: str, value: bytes, **options: Any) -> bool:
        if name == key and left[0]:
            left[0] = 0
            # another writer had created it, and a collection took it
            return False
        return create(name, value, **options)

    engine.create = beaten  # type: ignore[method-assign, assignment]
    store.write(PROJECT, RELEASE, UUID(int=5), b"state 5")
    close(store, 2, 5)
    assert store.read(PROJECT, RELEASE, Generation.Key(2), UUID(int=5)) == b"state 5"
    with pytest.raises(ConflictError):
        store.write(PROJECT, RELEASE, UUID(int=5), b"other")


def test_bytes_that_go_between_a_look_and_the_record_are_stored_again(pack: Callable[..., Package]) -> None:
    class Strict(Sweeping):
        def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
            if seen and not durable:
                seen.clear()
                self.sweep(lambda stored: [each.key for each in stored if each.key in needs])
            if any(need not in self.values for need in needs):
                raise CorruptedError(f"{needs[0]} is gone")
            return super().create(key, value, needs=needs, durable=durable)

    seen: list[bool] = []
    store = keyvalue.Registry(Strict())
    store.push(pack())
    store.write(PROJECT, RELEASE, UUID(int=1), b"same")
    seen.append(True)
    store.write(PROJECT, RELEASE, UUID(int=2), b"same")
    close(store, 1, 2)
    assert store.read(PROJECT, RELEASE, ONE, UUID(int=2)) == b"same"
    assert not seen

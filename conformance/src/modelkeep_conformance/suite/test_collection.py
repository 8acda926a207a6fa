"""Collection: what goes, what stays, and what a collection beside others or cut short must not harm."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from modelkeep import ConflictError, CorruptedError, Directory, InvalidError, MissingError, Package, Tag
from modelkeep_conformance import work
from modelkeep_conformance.kit import (
    ALIAS,
    PROJECT,
    VERSION,
    Filled,
    Kit,
    content,
    not_applicable,
    package,
    sid,
    tag,
)
from modelkeep_conformance.processes import in_processes, in_threads
from modelkeep_conformance.suite import clause


def _collect(kit: Kit, *, dry_run: bool = False) -> Any:
    """Collect all that nothing names, through a new handle."""
    with kit.collecting() as age:
        return kit.registry().collect(age, dry_run=dry_run)


def _handles(kit: Kit, registry: Any) -> list[Any]:
    """A new handle, and one from before a collection if that was one as users make it."""
    return [kit.registry(), *([] if kit.harness.least_age else [registry])]


def _gone(registry: Any, state: UUID, generation: int = 10**9) -> None:
    """A state is as if it was never written."""
    with pytest.raises(MissingError, match=str(state)):
        registry.close(PROJECT, VERSION, generation, tag(state))
    assert generation not in registry.generations(PROJECT, VERSION)


@clause("G1")
def test_what_nothing_names_goes_and_all_that_is_listed_stays(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    registry.push(package(version="2.0", folder=True))
    # bytes of a committed state, in its release and in another one; states of other ids there
    registry.write(PROJECT, VERSION, sid(11), Filled.state(1))
    registry.write(PROJECT, "2.0", sid(1), Filled.state(1))
    registry.close(PROJECT, "2.0", 1, tag(sid(1)))
    registry.write(PROJECT, "2.0", sid(2), Filled.state(2))
    registry.write(PROJECT, VERSION, sid(12), content(12))
    registry.write(PROJECT, VERSION, sid(13), b"")
    registry.write(PROJECT, VERSION, sid(14), content(12))
    found = _collect(kit)
    assert found.items
    assert list(found.items) == sorted(found.items)
    for handle in _handles(kit, registry):
        filled.check(handle, kit.inventory() if kit.inventories else None)
        assert handle.read(PROJECT, "2.0", 1, sid(1)) == Filled.state(1)
        assert handle.pull(PROJECT, "2.0").digest == package(version="2.0", folder=True).digest
        for number in (11, 12, 13, 14):
            _gone(handle, sid(number))
        with pytest.raises(MissingError):
            handle.close(PROJECT, "2.0", 2, tag(sid(2)))
    # as if they had never been there
    handle = kit.registry()
    handle.write(PROJECT, VERSION, sid(11), content(111))
    handle.write(PROJECT, VERSION, sid(12), content(12))
    handle.close(PROJECT, VERSION, 4, tag(sid(11), sid(12), sid(1)))
    for number, expected in ((11, content(111)), (12, content(12)), (1, Filled.state(1))):
        assert kit.registry().read(PROJECT, VERSION, 4, sid(number)) == expected
    with pytest.raises(ConflictError):
        handle.write(PROJECT, VERSION, sid(1), content(999))


@clause("G1")
def test_all_names_of_a_state_count(kit: Kit, registry: Any) -> None:
    """Collections between all that makes, shares and commits states agree with a dictionary."""
    written: dict[UUID, bytes] = {}
    closed: dict[int, tuple[UUID, ...]] = {}
    registry.push(package())
    for number in range(1, kit.times(14, 120)):
        for _ in range(kit.chance.randrange(4)):
            # few contents, so that many ids have the same
            written.setdefault(state := uuid4(), content(kit.chance.randrange(5), kit.chance.choice((0, 1000, 9000))))
            registry.write(PROJECT, VERSION, state, written[state])
        states = tuple(kit.chance.sample(list(written), k=min(len(written), kit.chance.randrange(4))))
        if kit.chance.random() < 0.6:
            registry.close(PROJECT, VERSION, number, tag(*states))
            closed[number] = states
        if kit.chance.random() < 0.5:
            _collect(kit)
            registry = kit.registry()
            named = {state for states in closed.values() for state in states}
            for state in set(written) - named:
                _gone(registry, state)
                del written[state]
        assert registry.generations(PROJECT, VERSION) == tuple(closed)
        for generation, names in closed.items():
            for state in names:
                assert registry.read(PROJECT, VERSION, generation, state) == written[state]


@clause("G1")
def test_a_store_that_is_empty_or_clean_has_nothing_to_collect(kit: Kit, registry: Any) -> None:
    assert _collect(kit).items == ()
    assert "local_files" not in kit.harness.traits or not any(kit.root.iterdir())
    filled = Filled(kit)
    found = _collect(kit)
    assert (found.items, found.size) == ((), 0)
    filled.check(kit.registry(), None)


@clause("G2")
def test_what_is_younger_stays(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    registry.write(PROJECT, VERSION, sid(11), content(11))
    registry.write(PROJECT, VERSION, sid(12), Filled.state(1))
    registry.write(PROJECT, VERSION, sid(13), b"")
    with kit.collecting():
        for age in (timedelta(hours=1), timedelta(days=7), timedelta(days=300_000)):
            found = kit.registry().collect(age)
            assert (found.items, found.size) == ((), 0)
    handle = kit.registry()
    handle.close(PROJECT, VERSION, 4, tag(sid(11), sid(12), sid(13)))
    for number, expected in ((11, content(11)), (12, Filled.state(1)), (13, b"")):
        assert handle.read(PROJECT, VERSION, 4, sid(number)) == expected
    filled.check(handle, None)


@clause("G2")
def test_what_is_younger_stays_beside_what_is_old_and_equal(kit: Kit, registry: Any) -> None:
    """Made again if the machine was so slow that what is young had become old."""
    registry.push(package())
    least = timedelta(seconds=0.25) + kit.harness.clock
    for number in range(20):
        age = least * (1 + number / 2)
        old, equal, young = sid(1000 + number), sid(2000 + number), sid(3000 + number)
        registry.write(PROJECT, VERSION, old, content(number))
        time.sleep((age + kit.harness.clock).total_seconds() + 0.05)
        began = time.time()
        registry.write(PROJECT, VERSION, equal, content(number))
        registry.write(PROJECT, VERSION, young, content(500 + number))
        with kit.collecting():
            found = kit.registry().collect(age)
        if time.time() - began + kit.harness.clock.total_seconds() >= age.total_seconds():
            registry = kit.registry()
            continue
        assert found.items
        handle = kit.registry()
        _gone(handle, old)
        handle.close(PROJECT, VERSION, 1, tag(equal, young))
        assert handle.read(PROJECT, VERSION, 1, equal) == content(number)
        assert handle.read(PROJECT, VERSION, 1, young) == content(500 + number)
        return
    raise AssertionError("what is young was never collected in time")


@clause("G2")
def test_what_was_removed_and_is_written_again_is_young(kit: Kit, registry: Any) -> None:
    if not kit.removes:
        not_applicable("the backend is not removable")
    Filled(kit)
    registry.remove(PROJECT, VERSION, 1)
    registry.write(PROJECT, VERSION, sid(11), Filled.state(1))
    with kit.collecting():
        kit.registry().collect(timedelta(hours=1))
    handle = kit.registry()
    handle.close(PROJECT, VERSION, 4, tag(sid(11)))
    assert handle.read(PROJECT, VERSION, 4, sid(11)) == Filled.state(1)


@clause("G2")
def test_an_age_that_is_not_safe_is_invalid(kit: Kit, registry: Any) -> None:
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), content(1))
    for age in (kit.harness.least_age - timedelta(seconds=1), timedelta(seconds=-1)):
        for dry_run in (False, True):
            with pytest.raises(InvalidError):
                registry.collect(age, dry_run=dry_run)
    registry.close(PROJECT, VERSION, 1, tag(sid(1)))
    assert registry.collect(kit.harness.least_age).items == ()


@clause("G3")
def test_a_dry_run_foretells_what_goes(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    registry.write(PROJECT, VERSION, sid(60), kit.chance.randbytes(300_000))
    registry.close(PROJECT, VERSION, 5, tag(sid(60)))
    states = {sid(20 + number): kit.chance.randbytes(size) for number, size in enumerate((50_000, 200_000, 1))}
    for state, bytes_ in states.items():
        registry.write(PROJECT, VERSION, state, bytes_)
    registry.write(PROJECT, VERSION, sid(30), states[sid(20)])
    registry.write(PROJECT, VERSION, sid(31), Filled.state(1))
    total = sum(map(len, states.values()))
    told = _collect(kit, dry_run=True)
    assert _collect(kit, dry_run=True) == told
    handle = kit.registry()
    # all of it is still there
    handle.close(PROJECT, VERSION, 4, tag(sid(22)))
    assert handle.read(PROJECT, VERSION, 4, sid(22)) == states[sid(22)]
    told = _collect(kit, dry_run=True)
    done = _collect(kit)
    assert done == told
    # equal bytes may be stored twice, and each of the four has a name and perhaps a record
    assert total <= done.size + 1 <= 1.1 * (total + len(states[sid(20)])) + 4 * 5000
    for again in (_collect(kit, dry_run=True), _collect(kit)):
        assert (again.items, again.size) == ((), 0)
    filled.check(kit.registry(), None)


@clause("G3", "G4")
def test_a_dry_run_foretells_what_was_removed(kit: Kit, registry: Any) -> None:
    if not kit.removes:
        not_applicable("the backend is not removable")
    filled = Filled(kit)
    large = kit.chance.randbytes(100_000)
    registry.push(_random_package(kit, folder=True))
    for version in ("2.0", "3.0"):
        registry.push(package(version=version))
        for number in (1, 2):
            registry.write(PROJECT, version, sid(number), large[number:])
            registry.close(PROJECT, version, number, tag(*map(sid, range(1, number + 1))))
    registry.remove("gone")
    registry.remove(PROJECT, "2.0")
    registry.remove(PROJECT, "3.0", 2)
    registry.write(PROJECT, "3.0", sid(3), large)
    told = _collect(kit, dry_run=True)
    assert _collect(kit) == told
    # the bytes of state 2, once, of state 3, and of the package
    assert told.size >= 2 * len(large) - 2 + _ENTROPY
    again = _collect(kit)
    assert (again.items, again.size) == ((), 0)
    handle = kit.registry()
    filled.check(handle, None)
    assert handle.read(PROJECT, "3.0", 1, sid(1)) == large[1:]
    assert [str(key) for key in handle.releases(PROJECT)] == [VERSION, "3.0"]


#: How many bytes of a random package can't be compressed.
_ENTROPY = 20_000


def _random_package(kit: Kit, *, folder: bool = False) -> Package:
    return package("gone", text=kit.chance.randbytes(_ENTROPY).hex(), folder=folder)


@clause("G4")
def test_what_only_removed_ones_named_goes(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    registry.push(package(version="2.0"))
    registry.write(PROJECT, "2.0", sid(1), Filled.state(2))
    registry.close(PROJECT, "2.0", 1, tag(sid(1)))
    registry.push(_random_package(kit))
    registry.write("gone", VERSION, sid(1), Filled.state(1))
    registry.close("gone", VERSION, 1, tag(sid(1)))
    # of generation 3 the state 3 is named by 2 as well
    registry.remove(PROJECT, VERSION, 3)
    registry.remove(PROJECT, "2.0")
    registry.remove("gone")
    assert _collect(kit).size >= _ENTROPY
    for handle in (kit.registry(), *_handles(kit, registry)):
        assert handle.projects() == (PROJECT,)
        assert [str(key) for key in handle.releases(PROJECT)] == [VERSION]
        assert handle.generations(PROJECT, VERSION) == (1, 2)
        for number in (1, 2):
            assert handle.open(PROJECT, VERSION, number) == filled.tags[number]
            for state in Filled.GENERATIONS[number]:
                assert handle.read(PROJECT, VERSION, number, sid(state)) == Filled.state(state)
        assert handle.pull(PROJECT, VERSION).digest == package().digest
        for state in (4, 5):
            _gone(handle, sid(state))
        for call in (handle.open, handle.remove):
            with pytest.raises(MissingError):
                call(PROJECT, VERSION, 3)
        if filled.moves:
            assert handle.moves(PROJECT, ALIAS) == filled.moves
    assert _collect(kit).items == ()


@clause("G4")
@pytest.mark.parametrize("folder", [False, True])
def test_what_was_removed_is_never_given_out_again(kit: Kit, registry: Any, *, folder: bool) -> None:
    Filled(kit)
    registry.push(package(version="2.0", folder=folder))
    registry.close(PROJECT, "2.0", 1, Tag())
    registry.remove(PROJECT, VERSION, 3)
    registry.remove(PROJECT, "2.0")
    for _ in range(2):
        _collect(kit)
        for handle in _handles(kit, registry):
            for again in (Tag(), tag(sid(1))):
                with pytest.raises(ConflictError, match="removed"):
                    handle.close(PROJECT, VERSION, 3, again)
            for version in ("2.0", "2", "v2.0.0"):
                with pytest.raises(ConflictError, match="removed"):
                    handle.push(package(version=version, folder=folder))
            with pytest.raises(MissingError):
                handle.generations(PROJECT, "2.0")
    release = Directory(kit.registry()).get(PROJECT).get(VERSION)
    assert release.put(tag(sid(1))).key == 4
    kit.registry().remove(PROJECT)
    _collect(kit)
    handle = kit.registry()
    assert handle.projects() == ()
    for version in (VERSION, "2.0"):
        with pytest.raises(ConflictError, match="removed"):
            handle.push(package(version=version))
    handle.push(package(version="3.0"))
    assert [str(key) for key in handle.releases(PROJECT)] == ["3.0"]
    if kit.names_generations:
        assert len(handle.moves(PROJECT, ALIAS)) == 2


class _Collector:
    """Collects in a thread while a block lasts, with pauses in which others may commit."""

    def __init__(self, kit: Kit) -> None:
        self._kit, self._stop = kit, threading.Event()
        registry = kit.registry()
        begin = time.perf_counter()
        registry.write(PROJECT, VERSION, sid(1), content(1))
        registry.close(PROJECT, VERSION, 1, tag(sid(1)))
        self._pause = 4 * (time.perf_counter() - begin)
        self._thread = threading.Thread(target=self._run)
        self.error: BaseException | None = None
        self.rounds = 0

    def _run(self) -> None:
        try:
            registry = self._kit.registry()
            while True:
                registry.collect(self._kit.harness.least_age)
                self.rounds += 1
                if self._stop.wait(self._kit.chance.random() * self._pause):
                    break
        except BaseException as error:  # told by the test
            self.error = error

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.error:
            raise AssertionError(f"a collection failed beside others: {self.error!r}") from self.error
        assert self.rounds, "nothing was collected"


def _check_kept(kit: Kit, results: list[Any], count: int) -> None:
    """All that was acknowledged, and not removed, is there and whole."""
    for result in results:
        assert isinstance(result, list), result
    done = [pair for result in results for pair in result]
    assert len({number for number, _ in done}) == len(done) >= count
    registry = kit.registry()
    assert registry.generations(PROJECT, VERSION) == (1, *sorted(number for number, _ in done))
    for number, mark in done:
        assert work.kept(registry, number) == mark
    assert registry.read(PROJECT, VERSION, 1, sid(1)) == content(1)
    assert registry.pull(PROJECT, VERSION).digest == package().digest


def _reading(kit: Kit, stop: threading.Event) -> Iterator[None]:
    registry = kit.registry()
    while not stop.is_set():
        for number in registry.generations(PROJECT, VERSION)[1:]:
            try:
                work.kept(registry, number)
            except MissingError:
                assert number not in registry.generations(PROJECT, VERSION)
            if stop.is_set():
                break
            yield


@clause("G5")
def test_threads_lose_nothing_beside_collections(kit: Kit, registry: Any) -> None:
    registry.push(package())
    options, count, remove = kit.options("registry"), kit.times(16, 100), kit.removes
    stop = threading.Event()

    def write(who: int) -> Callable[[], Any]:
        def run() -> Any:
            try:
                return work.keep(options, count, who, remove=remove)
            finally:
                left.discard(who)
                if not left:
                    stop.set()

        left.add(who)
        return run

    left: set[int] = set()
    writers = [write(who) for who in range(1, 4)]
    with _Collector(kit):
        results = in_threads([*writers, lambda: len(list(_reading(kit, stop)))])
    assert isinstance(results[-1], int), results[-1]
    _check_kept(kit, results[:-1], 3 * count // 2)


@clause("G5")
def test_processes_lose_nothing_beside_collections(kit: Kit, registry: Any) -> None:
    if "multiprocess" not in kit.harness.traits:
        not_applicable("the backend is not multiprocess")
    registry.push(package())
    options, count = kit.options("registry"), kit.times(16, 100)
    with _Collector(kit):
        results = in_processes(work.keep, [(options, count, who) for who in (1, 2)])
    _check_kept(kit, results, 2 * count)


@clause("G5")
def test_collections_beside_collections_fail_nobody(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    for round_ in range(kit.times(2, 30)):
        for number in range(5):
            kit.registry().write(PROJECT, VERSION, sid(100 * round_ + 50 + number), content(number, 5000))
        with kit.collecting() as age:
            handles = [kit.registry() for _ in range(3)]
            results = in_threads([lambda h=h: h.collect(age) for h in handles])
        for result in results:
            assert not isinstance(result, BaseException), result
        assert _collect(kit).items == ()
    filled.check(kit.registry(), None)


@clause("G7")
@pytest.mark.parametrize("item", ["generation/2", "release"])
def test_what_is_damaged_keeps_what_it_may_name(kit: Kit, registry: Any, item: str) -> None:
    filled = Filled(kit)
    registry.write(PROJECT, VERSION, sid(50), content(50))
    damaged = [(region, region.load()) for region in kit.regions() if region.item == item]
    broken = [(region, before[:80] + bytes([before[80] ^ 1]) + before[81:]) for region, before in damaged]
    for region, bytes_ in broken:
        region.store(bytes_)
    for dry_run in (True, False):
        try:
            _collect(kit, dry_run=dry_run)
        except CorruptedError as error:
            assert PROJECT in str(error)
    for region, bytes_ in broken:
        assert region.load() == bytes_, f"{region.name} is not where it was"
    for region, bytes_ in damaged:
        region.store(bytes_)
    filled.check(kit.registry(), None)
    _collect(kit)
    _gone(kit.registry(), sid(50))
    filled.check(kit.registry(), None)

"""Many threads, processes and handles at once, on the same keys."""

import threading
from typing import Any

import pytest

from modelkeep import ConflictError, Directory, MissingError
from modelkeep_conformance import work
from modelkeep_conformance.kit import PROJECT, VERSION, Kit, content, not_applicable, package, sid, tag
from modelkeep_conformance.processes import forked, in_processes, in_threads
from modelkeep_conformance.suite import clause


def _one_winner(kit: Kit, registry: Any, generation: int, results: list[Any]) -> None:
    winners = [result for result in results if not isinstance(result, BaseException)]
    assert len(winners) == 1, results
    assert all(isinstance(result, ConflictError) for result in results if isinstance(result, BaseException))
    (who,) = winners
    for handle in (registry, kit.registry()):
        closed = handle.open(PROJECT, VERSION, generation)
        assert closed.tuning.score == who
        assert closed.states == work.states_of(generation, who)
        assert [handle.read(PROJECT, VERSION, generation, each) for each in closed.states] == [
            content(100 * who + number) for number in range(3)
        ]


@clause("X1")
def test_of_threads_closing_one_number_one_wins(kit: Kit, registry: Any) -> None:
    registry.push(package())
    options = kit.options("registry")
    count = 6
    for generation in range(1, kit.times(8, 100) + 1):
        registry = kit.registry()
        results = in_threads([lambda who=who, g=generation: work.close_one(options, g, who) for who in range(count)])
        _one_winner(kit, registry, generation, results)
        assert registry.generations(PROJECT, VERSION) == tuple(range(1, generation + 1))


@clause("X2")
def test_of_processes_closing_one_number_one_wins(kit: Kit, registry: Any) -> None:
    registry.push(package())
    options = kit.options("registry")
    count = kit.times(20, 400)
    results = in_processes(work.close_all, [(options, count, who) for who in range(4)], meet=True)
    for generation in range(1, count + 1):
        _one_winner(kit, registry, generation, [who for who, won in enumerate(results) if generation in won])
        # whoever lost can still commit what it wrote
        loser = next(who for who, won in enumerate(results) if generation not in won)
        mine = work.states_of(generation, loser)
        registry.close(PROJECT, VERSION, 1000 + generation, tag(*mine, score=loser))
        assert registry.read(PROJECT, VERSION, 1000 + generation, mine[0]) == content(100 * loser)


def _all_distinct(kit: Kit, registry: Any, results: list[Any], expected: int) -> None:
    done = [pair for result in results for pair in result]
    assert len({number for number, _ in done}) == len(done) == expected
    for handle in (registry, kit.registry()):
        assert handle.generations(PROJECT, VERSION) == tuple(sorted(number for number, _ in done))
        for number, mark in done:
            assert work.complete(handle, number) == mark


@clause("X3")
def test_threads_get_a_generation_each(kit: Kit, registry: Any) -> None:
    registry.push(package())
    options = kit.options("registry")
    each = kit.times(8, 100)
    results = in_threads([lambda who=who: work.commit(options, each, who) for who in range(6)])
    _all_distinct(kit, registry, results, 6 * each)


@clause("X4")
def test_processes_get_a_generation_each(kit: Kit, registry: Any) -> None:
    registry.push(package())
    options = kit.options("registry")
    each = kit.times(15, 200)
    results = in_processes(work.commit, [(options, each, who) for who in range(4)])
    _all_distinct(kit, registry, results, 4 * each)


@clause("X5")
def test_readers_see_whole_generations_or_none(kit: Kit, registry: Any) -> None:
    registry.push(package())
    options = kit.options("registry")
    total = kit.times(40, 400)
    writer = threading.Thread(target=work.commit, args=(options, total, 1))
    handles = [registry, kit.registry()]
    seen = 0
    ended = False
    writer.start()
    try:
        while not ended:
            ended = not writer.is_alive()
            for handle in handles:
                if listed := handle.generations(PROJECT, VERSION):
                    work.complete(handle, listed[-1])
                while _complete(handle, seen + 1):
                    seen += 1
                    assert seen in handle.generations(PROJECT, VERSION)
    finally:
        writer.join()
    assert seen == total


def _complete(handle: Any, generation: int) -> bool:
    try:
        work.complete(handle, generation)
    except MissingError:
        return False
    return True


@clause("X5", "R3")
def test_readers_see_whole_releases_or_none(kit: Kit) -> None:
    versions = [f"{number}.0" for number in range(1, kit.times(12, 100))]
    packages = [package(version=version) for version in versions]
    pusher, reader = kit.registry(), kit.registry()
    thread = threading.Thread(target=lambda: [pusher.push(each) for each in packages])
    thread.start()
    try:
        while True:
            ended = not thread.is_alive()
            try:
                listed = [str(key) for key in reader.releases(PROJECT)]
            except MissingError:
                listed = []
            for version in listed:
                assert (
                    reader.pull(PROJECT, version).path.read_bytes()
                    == packages[versions.index(version)].path.read_bytes()
                )
            if ended:
                break
    finally:
        thread.join()
    assert listed == versions


@clause("X6")
def test_threads_on_different_projects_do_not_disturb_each_other(kit: Kit, registry: Any) -> None:
    names = [PROJECT, "alpha-b", "beta", "gamma"]
    for name in names:
        registry.push(package(name))
    options = kit.options("registry")
    count = kit.times(10, 100)
    in_threads_results = in_threads([lambda n=n: work.writes_of_another_project(options, n, count) for n in names])
    assert not [each for each in in_threads_results if isinstance(each, BaseException)], in_threads_results
    for name in names:
        assert registry.generations(name, VERSION) == tuple(range(1, count + 1))
        for number in range(1, count + 1):
            assert registry.read(name, VERSION, number, sid(number)) == content(number)


@clause("X6", "S3")
def test_of_threads_writing_one_id_with_different_bytes_one_wins(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for round_ in range(1, kit.times(12, 200) + 1):
        handles = [kit.registry() for _ in range(4)]
        results = in_threads(
            [lambda h=h, n=n, r=round_: h.write(PROJECT, VERSION, sid(r), content(n)) for n, h in enumerate(handles)]
        )
        winners = [number for number, result in enumerate(results) if result is None]
        assert len(winners) == 1, results
        assert all(isinstance(result, ConflictError) for result in results if result is not None)
        registry.close(PROJECT, VERSION, round_, tag(sid(round_)))
        assert registry.read(PROJECT, VERSION, round_, sid(round_)) == content(winners[0])


@clause("X6", "S3")
def test_threads_writing_one_id_with_the_same_bytes_all_succeed(kit: Kit, registry: Any) -> None:
    registry.push(package())
    handles = [kit.registry() for _ in range(6)]
    for number in range(1, kit.times(6, 60) + 1):
        state = content(number, 30_000)
        assert (
            in_threads([lambda h=h, n=number, s=state: h.write(PROJECT, VERSION, sid(n), s) for h in handles])
            == [None] * 6
        )
        registry.close(PROJECT, VERSION, number, tag(sid(number)))
        assert registry.read(PROJECT, VERSION, number, sid(number)) == state


@clause("X7")
def test_handles_of_one_store_see_each_other_at_once(kit: Kit, registry: Any) -> None:
    one, other = registry, kit.registry()
    assert one.projects() == other.projects() == ()
    for call in (other.generations, other.latest, other.pull):
        with pytest.raises(MissingError):
            call(PROJECT, VERSION)
    one.push(package())
    assert other.projects() == (PROJECT,)
    assert other.generations(PROJECT, VERSION) == ()
    assert other.pull(PROJECT, VERSION).digest == package().digest
    for number in range(1, 9):
        writer, reader = (one, other) if number % 2 else (other, one)
        assert reader.latest(PROJECT, VERSION) == (number - 1 or None)
        writer.write(PROJECT, VERSION, sid(number), content(number))
        with pytest.raises(ConflictError):
            reader.write(PROJECT, VERSION, sid(number), b"other")
        with pytest.raises(MissingError):
            reader.open(PROJECT, VERSION, number)
        closed = tag(sid(number), score=number)
        writer.close(PROJECT, VERSION, number, closed)
        assert reader.latest(PROJECT, VERSION) == number
        assert reader.generations(PROJECT, VERSION) == tuple(range(1, number + 1))
        assert reader.open(PROJECT, VERSION, number) == closed
        assert reader.read(PROJECT, VERSION, number, sid(number)) == content(number)
        with pytest.raises(ConflictError):
            reader.close(PROJECT, VERSION, number, tag())
    other.push(package(version="2.0"))
    assert [str(key) for key in one.releases(PROJECT)] == ["1.0", "2.0"]


@clause("X7")
def test_inventories_of_one_store_see_each_other_at_once(kit: Kit, inventory: Any) -> None:
    other = kit.inventory()
    assert other.list() == ()
    for number in range(5):
        writer, reader = (inventory, other) if number % 2 else (other, inventory)
        writer.put(kit.handle("app", f"x = {number}\n"))
        assert reader.list() == ("app",)
        assert reader.get("app").source == f"x = {number}\n".encode()


@clause("X8")
@pytest.mark.parametrize("used", [False, True])
def test_a_handle_opened_before_a_fork_works_in_both(kit: Kit, registry: Any, *, used: bool) -> None:
    kit.release().put(tag())
    if used:
        registry.write(PROJECT, VERSION, sid(1), content(1))
        registry.close(PROJECT, VERSION, 2, tag(sid(1)))

    def child() -> tuple[int, bytes]:
        assert registry.generations(PROJECT, VERSION) == ((1, 2) if used else (1,))
        registry.write(PROJECT, VERSION, sid(2), content(2))
        registry.close(PROJECT, VERSION, 3, tag(sid(2)))
        return 3, registry.read(PROJECT, VERSION, 3, sid(2))

    assert forked(child) == (3, content(2))
    registry.write(PROJECT, VERSION, sid(3), content(3))
    registry.close(PROJECT, VERSION, 4, tag(sid(3)))
    assert registry.read(PROJECT, VERSION, 4, sid(3)) == content(3)
    if "multiprocess" in kit.harness.traits:
        assert 3 in registry.generations(PROJECT, VERSION)
        assert registry.read(PROJECT, VERSION, 3, sid(2)) == content(2)


@clause("X8")
def test_large_states_pass_before_and_after_a_fork(kit: Kit, registry: Any) -> None:
    """Libraries keep threads for large data, which a child made by fork has not got."""
    registry.push(package())
    state = b"large " * (2 << 20)
    registry.write(PROJECT, VERSION, sid(1), state)
    registry.close(PROJECT, VERSION, 1, tag(sid(1)))

    def child() -> bool:
        registry.write(PROJECT, VERSION, sid(2), state + b"!")
        registry.close(PROJECT, VERSION, 2, tag(sid(2)))
        return bool(registry.read(PROJECT, VERSION, 2, sid(2)) == state + b"!")

    assert forked(child) is True
    assert registry.read(PROJECT, VERSION, 1, sid(1)) == state


@clause("X8")
def test_children_of_several_forks_commit_with_their_parent(kit: Kit, registry: Any) -> None:
    registry.push(package())
    release = Directory(registry).get(PROJECT).get(VERSION)

    def child(who: int) -> list[int]:
        return [int(release.put(tag(release.dump(content(100 * who + n)))).key) for n in range(3)]

    taken: list[int] = []
    for who in range(3):
        taken += forked(lambda who=who: child(who))
        taken.append(int(release.put(tag(release.dump(content(100 * who + 50)))).key))
    if "multiprocess" in kit.harness.traits:
        assert taken == list(range(1, 13))
    assert release.get().get(0) == content(250)


@clause("X8")
def test_an_inventory_opened_before_a_fork_works_in_both(kit: Kit, inventory: Any) -> None:
    inventory.put(kit.handle("before"))
    handle = kit.handle("child")

    def child() -> list[str]:
        inventory.put(handle)
        return list(inventory.list())

    assert forked(child) == ["before", "child"]
    inventory.put(kit.handle("parent"))
    expected = {"before", "parent"} | ({"child"} if "multiprocess" in kit.harness.traits else set())
    assert set(inventory.list()) == expected


@clause("X3", "X5")
def test_threads_may_share_a_handle(kit: Kit, registry: Any) -> None:
    registry.push(package())
    release = Directory(registry).get(PROJECT).get(VERSION)

    def commit(who: int) -> list[tuple[int, int]]:
        done = []
        for number in range(kit.times(10, 100)):
            mark = who * 100_000 + number
            states = [release.dump(content(mark)), release.dump(content(mark + 50_000))]
            generation = int(release.put(tag(*states, score=mark)).key)
            assert work.complete(registry, generation) == mark
            done.append((generation, mark))
        return done

    results = in_threads([lambda who=who: commit(who) for who in range(4)])
    _all_distinct(kit, registry, results, 4 * kit.times(10, 100))


@clause("X6", "S3")
def test_of_processes_writing_one_id_with_different_bytes_one_wins(kit: Kit, registry: Any) -> None:
    if "multiprocess" not in kit.harness.traits:
        not_applicable("the backend is not multiprocess")
    registry.push(package())
    options, count = kit.options("registry"), kit.times(15, 300)
    results = in_processes(work.write_all, [(options, count, who) for who in range(4)], meet=True)
    for number in range(1, count + 1):
        (winner,) = [who for who, won in enumerate(results) if number in won]
        registry.close(PROJECT, VERSION, number, tag(sid(number)))
        assert registry.read(PROJECT, VERSION, number, sid(number)) == content(winner)


@clause("R3")
def test_of_racing_processes_exactly_one_wins(kit: Kit, registry: Any) -> None:
    if "multiprocess" not in kit.harness.traits:
        not_applicable("the backend is not multiprocess")
    names = [f"race{number}" for number in range(kit.times(8, 80))]
    packages = [[package(name, VERSION, str(who)) for name in names] for who in range(4)]
    paths = [[str(each.path) for each in mine] for mine in packages]
    results = in_processes(work.push_all, [(kit.options("registry"), mine) for mine in paths], meet=True)
    for number, name in enumerate(names):
        (winner,) = [who for who, won in enumerate(results) if number in won]
        assert registry.pull(name, VERSION).digest == packages[winner][number].digest

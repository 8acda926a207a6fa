"""Removal: what is gone, what stays, what is never given out again."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from modelkeep import ConflictError, Directory, InvalidError, MissingError, Move, Tag
from modelkeep_conformance import work
from modelkeep_conformance.kit import ALIAS, PROJECT, VERSION, Filled, Kit, content, package, sid, tag
from modelkeep_conformance.processes import forked, in_processes, in_threads
from modelkeep_conformance.suite import clause


def _all_miss(calls: list[Callable[[], Any]], project: str, what: str) -> None:
    for number, call in enumerate(calls):
        try:
            call()
        except MissingError as error:
            assert project in str(error)
        else:
            raise AssertionError(f"call {number} still has {what}")


def _gone(registry: Any, generation: int, version: str = VERSION, project: str = PROJECT) -> None:
    """Every method that would read a generation raises MissingError."""
    calls: list[Callable[[], Any]] = [
        lambda: registry.open(project, version, generation),
        lambda: registry.read(project, version, generation, sid(1)),
        lambda: registry.view(project, version, generation, sid(1)).__enter__(),
        lambda: registry.remove(project, version, generation),
    ]
    _all_miss(calls, project, f"{project}/{version}/{generation}")


def _release_gone(registry: Any, version: str = VERSION, project: str = PROJECT) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: registry.generations(project, version),
        lambda: registry.latest(project, version),
        lambda: registry.pull(project, version),
        lambda: registry.mount(project, version),
        lambda: registry.write(project, version, sid(99), b"x"),
        lambda: registry.close(project, version, 99, Tag()),
        lambda: registry.remove(project, version),
    ]
    _all_miss(calls, project, f"{project}/{version}")


@clause("V1")
def test_a_removed_generation_is_gone_and_its_siblings_are_not(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    registry.remove(PROJECT, VERSION, 2)
    for handle in (registry, kit.registry()):
        assert handle.generations(PROJECT, VERSION) == (1, 3)
        assert handle.latest(PROJECT, VERSION) == 3
        _gone(handle, 2)
        # generation 3 has a state of 2
        for number in (1, 3):
            assert handle.open(PROJECT, VERSION, number) == filled.tags[number]
            for state in Filled.GENERATIONS[number]:
                assert handle.read(PROJECT, VERSION, number, sid(state)) == Filled.state(state)
    registry.remove(PROJECT, "v1.0.0", 3)
    for handle in (registry, kit.registry()):
        assert handle.generations(PROJECT, VERSION) == (1,)
        assert handle.latest(PROJECT, VERSION) == 1
    registry.remove(PROJECT, VERSION, 1)
    for handle in (registry, kit.registry()):
        assert handle.generations(PROJECT, VERSION) == ()
        assert handle.latest(PROJECT, VERSION) is None
        assert handle.pull(PROJECT, VERSION).digest == package().digest
    # a state that was written before can be committed again
    registry.close(PROJECT, VERSION, 4, tag(sid(3)))
    assert registry.read(PROJECT, VERSION, 4, sid(3)) == Filled.state(3)


@clause("V1")
@pytest.mark.parametrize("folder", [False, True])
def test_a_removed_release_is_gone_and_its_siblings_are_not(kit: Kit, registry: Any, *, folder: bool) -> None:
    filled = Filled(kit)
    for project, version in ((PROJECT, "1.1"), (PROJECT, "1.0.1"), ("alpha-b", VERSION)):
        registry.push(package(project, version, folder=folder))
        registry.write(project, version, sid(1), content(1))
        for number in (1, 7):
            registry.close(project, version, number, tag(sid(1)))
    registry.remove(PROJECT, "1.1")
    for handle in (registry, kit.registry()):
        assert [str(key) for key in handle.releases(PROJECT)] == [VERSION, "1.0.1"]
        _release_gone(handle, "1.1")
        for number in (1, 7):
            _gone(handle, number, "1.1")
            assert handle.read(PROJECT, "1.0.1", number, sid(1)) == content(1)
            assert handle.read("alpha-b", VERSION, number, sid(1)) == content(1)
    filled.check(kit.registry(), None)
    registry.remove(PROJECT, VERSION)
    registry.remove(PROJECT, "1.0.1")
    for handle in (registry, kit.registry()):
        assert handle.projects() == ("alpha-b",)
        with pytest.raises(MissingError):
            handle.releases(PROJECT)


@clause("V1")
def test_a_removed_project_is_gone_and_may_go_on_with_new_versions(kit: Kit, registry: Any) -> None:
    Filled(kit)
    registry.push(package(version="2.0"))
    registry.push(package("alpha-b"))
    registry.remove(PROJECT)
    for handle in (registry, kit.registry()):
        assert handle.projects() == ("alpha-b",)
        for version in (VERSION, "2.0"):
            _release_gone(handle, version)
        with pytest.raises(MissingError):
            handle.releases(PROJECT)
        with pytest.raises(MissingError):
            handle.remove(PROJECT)
    registry.push(package(version="3.0"))
    assert registry.projects() == (PROJECT, "alpha-b")
    assert [str(key) for key in registry.releases(PROJECT)] == ["3.0"]


@clause("V2")
def test_a_removed_number_is_never_given_out_again(kit: Kit, registry: Any) -> None:
    Filled(kit)
    release = Directory(registry).get(PROJECT).get(VERSION)
    registry.remove(PROJECT, VERSION, 3)
    for handle in (registry, kit.registry()):
        for again in (tag(), tag(sid(3)), tag(sid(1), sid(2))):
            with pytest.raises(ConflictError, match="removed") as caught:
                handle.close(PROJECT, VERSION, 3, again)
            assert f"{PROJECT}/{VERSION}/3" in str(caught.value)
    assert registry.generations(PROJECT, VERSION) == (1, 2)
    assert release.put(tag(sid(1))).key == 4
    for number in (1, 2, 4):
        registry.remove(PROJECT, VERSION, number)
    assert release.put(tag()).key == 5
    assert registry.generations(PROJECT, VERSION) == (5,)


@clause("V2")
@pytest.mark.parametrize("folder", [False, True])
def test_a_removed_version_is_never_given_out_again(kit: Kit, registry: Any, *, folder: bool) -> None:
    for version in ("1.0", "2.0rc1"):
        registry.push(package(version=version, folder=folder))
    registry.close(PROJECT, "1.0", 1, tag())
    registry.remove(PROJECT, "1.0.0")
    for handle in (registry, kit.registry()):
        for version in ("1.0", "1", "v1.0.0", "1.0.0.0"):
            for text in ("", "other"):
                with pytest.raises(ConflictError, match="removed"):
                    handle.push(package(version=version, text=text))
    assert [str(key) for key in registry.releases(PROJECT)] == ["2.0rc1"]
    registry.remove(PROJECT)
    with pytest.raises(ConflictError, match="removed"):
        registry.push(package(version="2.0rc1", folder=folder))
    registry.push(package(version="1.0.1"))
    assert registry.generations(PROJECT, "1.0.1") == ()


@clause("V3")
def test_what_is_not_there_can_not_be_removed(kit: Kit, registry: Any) -> None:
    with pytest.raises(MissingError):
        registry.remove("unknown")
    assert "local_files" not in kit.harness.traits or not any(kit.root.iterdir())
    filled = Filled(kit)
    registry.remove(PROJECT, VERSION, 1)
    missing: list[tuple[Any, ...]] = [
        ("unknown",),
        ("alph",),
        ("unknown", VERSION),
        ("unknown", VERSION, 1),
        (PROJECT, "1.1"),
        (PROJECT, "1.1", 1),
        (PROJECT, VERSION, 1),
        (PROJECT, VERSION, 4),
        (PROJECT, VERSION, 2**63 - 1),
    ]
    for key in missing:
        with pytest.raises(MissingError, match=key[0]):
            registry.remove(*key)
    invalid: list[tuple[Any, ...]] = [
        ("..",),
        (None,),
        (PROJECT, "one"),
        (PROJECT, VERSION, 0),
        (PROJECT, VERSION, True),
        (PROJECT, None, 2),
        (PROJECT, "../1.0"),
    ]
    for key in invalid:
        with pytest.raises(InvalidError):
            registry.remove(*key)
    assert registry.projects() == (PROJECT,)
    assert registry.generations(PROJECT, VERSION) == (2, 3)
    assert registry.open(PROJECT, VERSION, 3) == filled.tags[3]
    # that a number was asked for does not use it up
    registry.close(PROJECT, VERSION, 4, tag())


@clause("V3")
def test_of_racing_removers_one_succeeds(kit: Kit, registry: Any) -> None:
    registry.push(package())
    count = kit.times(12, 200)
    for number in range(1, count + 1):
        registry.close(PROJECT, VERSION, number, tag())
        handles = [kit.registry() for _ in range(4)]
        results = in_threads([lambda h=h, n=number: h.remove(PROJECT, VERSION, n) for h in handles])
        assert None in results
        assert all(isinstance(each, MissingError | None) for each in results), results
        assert registry.generations(PROJECT, VERSION) == ()
    results = in_threads([lambda h=h: h.remove(PROJECT) for h in handles])
    assert None in results
    assert all(isinstance(each, MissingError | None) for each in results), results
    assert registry.projects() == ()


@clause("V4")
def test_another_process_sees_what_was_removed(kit: Kit, registry: Any) -> None:
    Filled(kit)
    registry.push(package(version="2.0"))
    registry.remove(PROJECT, VERSION, 3)
    registry.remove(PROJECT, "2.0")
    (listed,) = in_processes(work.listed, [(kit.options("registry"),)])
    assert listed == [(PROJECT, VERSION, [1, 2])]


@clause("V5")
def test_readers_see_whole_generations_or_none_while_some_are_removed(kit: Kit, registry: Any) -> None:
    registry.push(package())
    total = kit.times(40, 400)
    work.commit(kit.options("registry"), total, 1)
    remover = kit.registry()
    numbers = registry.generations(PROJECT, VERSION)
    thread = threading.Thread(target=lambda: [remover.remove(PROJECT, VERSION, number) for number in numbers[1:]])
    thread.start()
    try:
        while True:
            ended = not thread.is_alive()
            listed = registry.generations(PROJECT, VERSION)
            assert set(listed) <= set(numbers)
            assert listed[0] == 1
            for number in (listed[0], listed[-1]):
                try:
                    work.complete(registry, number)
                except MissingError:
                    assert number not in registry.generations(PROJECT, VERSION)
            assert registry.latest(PROJECT, VERSION) in listed
            if ended:
                break
    finally:
        thread.join()
    assert registry.generations(PROJECT, VERSION) == (1,)


@clause("V5")
def test_who_pulls_what_is_being_removed_gets_all_of_it_or_nothing(kit: Kit, registry: Any) -> None:
    for round_ in range(kit.times(8, 60)):
        version = f"{round_}.1"
        registry.push(package(version=version, folder=True))
        registry.close(PROJECT, version, 1, tag())
        handle = kit.registry()
        pulled, removed = in_threads(
            [lambda h=handle, v=version: h.pull(PROJECT, v).digest, lambda v=version: registry.remove(PROJECT, v)]
        )
        assert removed is None
        assert pulled == package(version=version, folder=True).digest or isinstance(pulled, MissingError)


@clause("V5")
def test_committers_beside_a_remover_lose_nothing(kit: Kit, registry: Any) -> None:
    registry.push(package())
    options, count = kit.options("registry"), kit.times(12, 150)
    stop = threading.Event()
    remover = kit.registry()
    gone: set[int] = set()

    def remove() -> None:
        while not stop.is_set():
            for number in remover.generations(PROJECT, VERSION):
                if number % 3 == 0:
                    remover.remove(PROJECT, VERSION, number)
                    gone.add(number)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        results = in_threads([lambda who=who: work.commit(options, count, who) for who in range(3)])
    finally:
        stop.set()
        thread.join()
    done = [pair for result in results for pair in result]
    assert len({number for number, _ in done}) == len(done) == 3 * count
    left = registry.generations(PROJECT, VERSION)
    assert set(left) == {number for number, _ in done} - gone
    for number, mark in done:
        if number in left:
            assert work.complete(registry, number) == mark


@clause("V5")
def test_handles_see_a_removal_at_once(kit: Kit, registry: Any) -> None:
    other = kit.registry()
    Filled(kit)
    for number in (3, 1):
        assert other.open(PROJECT, VERSION, number)
        assert other.latest(PROJECT, VERSION) == max(number, 2)
        registry.remove(PROJECT, VERSION, number)
        _gone(other, number)
    assert other.generations(PROJECT, VERSION) == (2,)
    assert forked(lambda: registry.generations(PROJECT, VERSION)) == (2,)
    assert other.pull(PROJECT, VERSION)
    registry.remove(PROJECT, VERSION)
    _release_gone(other)
    assert other.projects() == ()


@clause("V6")
def test_an_alias_of_what_was_removed_names_what_is_missing(kit: Kit, registry: Any) -> None:
    filled = Filled(kit)
    alias = Directory(registry).get(PROJECT).alias(ALIAS)
    registry.remove(PROJECT, VERSION, 3)
    assert registry.moves(PROJECT, ALIAS) == filled.moves
    with pytest.raises(MissingError):
        alias.get().tag  # noqa: B018  # reading it is what is tried
    for name, number in ((ALIAS, 3), ("new", 1)):
        with pytest.raises(MissingError):
            registry.move(PROJECT, name, Move(number, (VERSION, 3)))
    assert registry.aliases(PROJECT) == (ALIAS,)
    registry.move(PROJECT, ALIAS, Move(3, (VERSION, 1)))
    registry.push(package(version="2.0"))
    registry.remove(PROJECT, VERSION)
    assert len(registry.moves(PROJECT, ALIAS)) == 3
    with pytest.raises(MissingError):
        alias.get().tag  # noqa: B018  # same
    with pytest.raises(MissingError):
        registry.move(PROJECT, ALIAS, Move(4, (VERSION, 2)))
    registry.remove(PROJECT)
    with pytest.raises(MissingError):
        registry.moves(PROJECT, ALIAS)
    # the log goes on with the project
    registry.push(package(version="3.0"))
    assert len(registry.moves(PROJECT, ALIAS)) == 3


@clause("V7")
@pytest.mark.parametrize("item", ["generation/2", "release"])
def test_what_is_damaged_can_be_removed(kit: Kit, registry: Any, item: str) -> None:
    Filled(kit)
    for region in kit.regions():
        if region.item == item:
            content = region.load()
            region.store(content[:80] + bytes([content[80] ^ 1]) + content[81:])
    handle = kit.registry()
    if item == "release":
        handle.remove(PROJECT, VERSION)
        _release_gone(handle)
        assert handle.projects() == ()
        return
    handle.remove(PROJECT, VERSION, 2)
    _gone(handle, 2)
    assert handle.generations(PROJECT, VERSION) == (1, 3)

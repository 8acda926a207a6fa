"""What only the memory backend has; the contract is tested by test_conformance.py."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

import modelkeep
import modelkeep_memory
from modelkeep import Descriptor, Directory, InvalidError, Manifest, Package, Release, Tag, UnsupportedError
from modelkeep_memory import _engine

# the children made here do nothing that other threads could disturb
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def name() -> str:
    return uuid4().hex


@pytest.fixture
def package(tmp_path: Path) -> Package:
    (tmp_path / "source" / "digits").mkdir(parents=True)
    (tmp_path / "source" / "digits" / "__init__.py").touch()
    return Package.create(tmp_path / "source", tmp_path / "digits.4ml", Manifest("digits", "1.0", "digits"))


@pytest.fixture
def release(name: str, package: Package) -> Release:
    return Directory(modelkeep.registry(provider="memory", name=name)).get("digits").put(package)


def in_child(work: Callable[[], object]) -> int:
    """Run in a child made by fork; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_handles_of_one_name_share_a_store(name: str, release: Release) -> None:
    other = modelkeep.registry(provider="memory", name=name)
    assert other == release.registry
    assert other.projects() == ("digits",)


def test_handles_of_other_names_do_not(name: str, release: Release) -> None:
    other = modelkeep.registry(provider="memory", name=f"{name}-other")
    assert other != release.registry
    assert other.projects() == ()


def test_the_default_name_is_default() -> None:
    assert modelkeep_memory.Registry() == modelkeep_memory.Registry("default")
    assert modelkeep_memory.Inventory() == modelkeep_memory.Inventory("default")


def test_a_registry_and_an_inventory_of_one_name_do_not_mix(name: str, release: Release, tmp_path: Path) -> None:
    (tmp_path / "serving.py").touch()
    inventory = modelkeep.inventory(provider="memory", name=name)
    inventory.put(Descriptor.Handle(tmp_path / "serving.py"))
    assert inventory.list() == ("serving",)
    assert release.registry.projects() == ("digits",)


def test_a_repr_names_the_store(name: str) -> None:
    assert repr(modelkeep_memory.Registry(name)) == f"modelkeep_memory.Registry({name!r})"
    assert repr(modelkeep_memory.Inventory(name)) == f"modelkeep_memory.Inventory({name!r})"


@pytest.mark.parametrize("kind", [modelkeep.registry, modelkeep.inventory])
@pytest.mark.parametrize("wrong", [5, None, [], b"a", True, {}])
def test_the_name_is_a_str(kind: Callable[..., Any], wrong: object) -> None:
    with pytest.raises(InvalidError):
        kind(provider="memory", name=wrong)


def test_a_view_copies_nothing(release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(b"x" * 100_000)]))
    addresses = set()
    for _ in range(2):
        with generation.view(0) as view:
            addresses.add(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
    assert len(addresses) == 1


def test_the_caller_may_change_what_was_written(release: Release) -> None:
    state = bytearray(b"abc")
    generation = release.put(Tag(states=[release.dump(state)]))
    state[:] = b"xyz"
    assert generation.get(0) == b"abc"


# pickles and processes


def test_a_pickle_works_in_the_same_process(release: Release) -> None:
    registry = release.registry
    back = pickle.loads(pickle.dumps(registry))
    assert back == registry
    assert back.projects() == ("digits",)
    generation = Directory(back).get("digits").get("1.0").put(Tag())
    assert release.get().key == generation.key


@pytest.mark.parametrize("kind", [modelkeep.registry, modelkeep.inventory])
def test_a_pickle_in_another_process_says_why_it_can_not_work(kind: Callable[..., Any], name: str) -> None:
    code = (
        "import pickle, sys, modelkeep\n"
        "try:\n    pickle.load(sys.stdin.buffer)\n"
        "except modelkeep.UnsupportedError as error:\n    print(error)\n"
    )
    content = pickle.dumps(kind(provider="memory", name=name))
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True, timeout=60)
    assert name in done.stdout.decode()
    assert f"process {os.getpid()} only" in done.stdout.decode()
    assert "'local'" in done.stdout.decode()


def test_a_pickle_in_a_forked_child_says_why_it_can_not_work(release: Release) -> None:
    content = pickle.dumps(release.registry)

    def work() -> None:
        with pytest.raises(UnsupportedError, match="lives in process"):
            pickle.loads(content)

    assert in_child(work) == 0


def test_a_forked_child_has_a_copy_of_its_own(release: Release) -> None:
    release.put(Tag())

    def work() -> None:
        assert release.list() == (1,)
        assert release.put(Tag()).key == 2

    assert in_child(work) == 0
    assert release.list() == (1,)
    assert release.put(Tag()).key == 2


def test_a_fork_while_another_thread_commits_does_not_block_the_child(release: Release) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with _engine._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)

    def work() -> None:
        import signal

        signal.alarm(20)
        release.put(Tag())

    try:
        assert in_child(work) == 0
    finally:
        done.set()
        thread.join()


def test_the_data_ends_with_the_process(name: str, release: Release) -> None:
    code = f"import modelkeep\nprint(modelkeep.registry(provider='memory', name={name!r}).projects())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout == b"()\n"


# the engine


def test_of_many_creators_one_is_told_true(name: str) -> None:
    engine = _engine.Engine.named(name)
    barrier = threading.Barrier(8)
    won: list[int] = []

    def create(number: int) -> None:
        barrier.wait()
        won.extend(key for key in range(200) if engine.create(f"a/{key}", b"%d" % number))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(200))


def test_the_greatest_key_is_found_without_listing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _engine.Engine.named(name)
    assert engine.last("a/") is None
    for key in ("a/2", "a/10", "a/3", "b/9", "ab/9"):
        engine.create(key, b"")
    monkeypatch.setattr(engine, "keys", None)
    assert engine.last("a/") == "a/3"


def test_keys_are_listed_by_prefix(name: str) -> None:
    engine = _engine.Engine.named(name)
    for key in ("a/b/1", "a/b/2", "a/bc/1", "ab/1"):
        engine.create(key, b"")
    assert sorted(engine.keys("a/b/")) == ["a/b/1", "a/b/2"]
    assert sorted(engine.keys("a/")) == ["a/b/1", "a/b/2", "a/bc/1"]
    assert engine.keys("c/") == []


def test_what_was_removed_is_collected_at_once_and_what_waits_is_not(name: str, release: Release) -> None:
    def values() -> int:
        return sum(map(len, _engine.Engine.named(name)._values.values()))

    generation = release.put(Tag(states=[release.dump(b"removed" * 1000), release.dump(b"both" * 1000)]))
    kept = release.put(Tag(states=[release.dump(b"both" * 1000)]))
    waits = release.dump(b"waits" * 1000)
    generation.remove()
    again = release.dump(b"removed" * 1000)
    before = values()
    found = release.registry.collect(timedelta(days=7))
    # two records of states: the bytes are waited for by a new id
    assert len(found.items) == 2
    assert before - values() == found.size < 1000
    assert kept.get(0) == b"both" * 1000
    last = release.put(Tag(states=[waits, again]))
    assert [last.get(index) for index in (0, 1)] == [b"waits" * 1000, b"removed" * 1000]

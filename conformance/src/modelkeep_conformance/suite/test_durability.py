"""What survives: other processes, kills at every step, no room, no rights, other places, other formats."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelkeep import ConflictError, StorageError, Tag, UnsupportedError
from modelkeep_conformance import trace, work
from modelkeep_conformance.kit import (
    APPLICATIONS,
    PROJECT,
    VERSION,
    Filled,
    Kit,
    content,
    could_not_run,
    package,
    sid,
    tag,
)
from modelkeep_conformance.processes import KILLED, forked, in_processes, killed_after
from modelkeep_conformance.suite import clause


@clause("D1")
def test_another_process_sees_what_was_acknowledged(kit: Kit) -> None:
    Filled(kit)
    if kit.registers:
        (listed,) = in_processes(work.listed, [(kit.options("registry"),)])
        assert listed == [(PROJECT, VERSION, [1, 2, 3])]
    if kit.inventories:
        (found,) = in_processes(work.applications, [(kit.options("inventory"),)])
        assert found == {name: Filled.source(name) for name in APPLICATIONS}


class Job:
    """A call that is killed, and what must hold after that.

    Attributes:
        name: push, write, close or put.
    """

    def __init__(self, kit: Kit, name: str, root: Path) -> None:
        self.kit, self.name, self.root = kit, name, root
        self.new = tag(sid(21), sid(22), score=4.0)
        self.handle = kit.handle(APPLICATIONS[0], "x = 'new'\n")
        if name != "put":
            for number in (21, 22):
                if name == "close":
                    self.registry().write(PROJECT, VERSION, sid(number), content(number, 70_000))

    def registry(self) -> Any:
        """A new handle."""
        return self.kit.registry(self.root)

    def inventory(self) -> Any:
        """A new handle."""
        return self.kit.inventory(self.root)

    def call(self) -> None:
        """What is killed."""
        if self.name == "push":
            self.registry().push(package(version="2.0"))
        elif self.name == "write":
            self.registry().write(PROJECT, VERSION, sid(21), content(21, 70_000))
        elif self.name == "close":
            self.registry().close(PROJECT, VERSION, 4, self.new)
        else:
            self.inventory().put(self.handle)

    def check(self, filled: Filled) -> None:
        """All or nothing, and what was there before is intact."""
        registry = self.registry() if self.kit.registers else None
        inventory = self.inventory() if self.kit.inventories else None
        if inventory and self.name == "put":
            assert inventory.list() == APPLICATIONS
            source = inventory.get(APPLICATIONS[0]).source
            assert source in (Filled.source(APPLICATIONS[0]), self.handle.descriptor.source)
            assert inventory.get(APPLICATIONS[1]).source == Filled.source(APPLICATIONS[1])
            inventory = None
        filled.check(registry, inventory)
        if registry:
            assert registry.projects() == (PROJECT,)
            for version in map(str, registry.releases(PROJECT)):
                assert version in (VERSION, "2.0")
                assert registry.pull(PROJECT, version).path.read_bytes() == package(version=version).path.read_bytes()
            generations = registry.generations(PROJECT, VERSION)
            assert generations in ((1, 2, 3), (1, 2, 3, 4))
            assert registry.latest(PROJECT, VERSION) == generations[-1]
            if 4 in generations:
                assert registry.open(PROJECT, VERSION, 4) == self.new
                for number in (21, 22):
                    assert registry.read(PROJECT, VERSION, 4, sid(number)) == content(number, 70_000)

    def again(self) -> None:
        """The same call succeeds, unless it had done its work before the kill; the next one does, too."""
        try:
            self.call()
        except ConflictError:
            registry = self.registry()
            assert (self.name == "push" and "2.0" in map(str, registry.releases(PROJECT))) or (
                self.name == "close" and 4 in registry.generations(PROJECT, VERSION)
            )
        if self.name == "write":
            self.registry().close(PROJECT, VERSION, 5, tag(sid(21)))
            assert self.registry().read(PROJECT, VERSION, 5, sid(21)) == content(21, 70_000)
        elif self.name == "put":
            assert self.inventory().get(APPLICATIONS[0]).source == self.handle.descriptor.source
        elif self.name == "push":
            self.registry().push(package(version="3.0"))


JOBS = ("push", "write", "close", "put")


def _job(kit: Kit, name: str, root: Path) -> tuple[Job, Filled]:
    if name == "put" and not kit.inventories:
        pytest.skip("not applicable: the backend has no inventory")
    if name != "put" and not kit.registers:
        pytest.skip("not applicable: the backend has no registry")
    base, kit.root = kit.root, root
    try:
        filled = Filled(kit)
    finally:
        kit.root = base
    return Job(kit, name, root), filled


@clause("D2", "D3", "D4")
@pytest.mark.parametrize("name", JOBS)
def test_a_kill_at_each_step_leaves_all_or_nothing(kit: Kit, name: str) -> None:
    """Steps are the file events that Python reports; what an engine does in C is for the two tests below."""
    step = 0
    ended = False
    while not ended:
        step += 1
        root = kit.folder(f"step{step}")
        job, filled = _job(kit, name, root)
        ended = forked(job.call, kill_at=step) != KILLED
        job.check(filled)
        job.again()
        filled.check(job.registry() if kit.registers else None, None)
        if "local_files" in kit.harness.traits:
            kit.harness.forget(root)
            shutil.rmtree(root)


@clause("D2", "D3", "D4")
@pytest.mark.parametrize("name", JOBS)
def test_a_kill_at_any_time_leaves_all_or_nothing(kit: Kit, name: str) -> None:
    """For what engines do in C: kills at random times, spread over what the call takes."""
    root = kit.folder("timed")
    job, filled = _job(kit, name, root)
    begin = time.perf_counter()
    assert killed_after(job.call, 60.0)
    lasts = time.perf_counter() - begin
    job.again()
    chance = random.Random(11)
    for round_ in range(kit.times(12, 200)):
        root = kit.folder(f"round{round_}")
        job, filled = _job(kit, name, root)
        killed_after(job.call, chance.random() * lasts)
        job.check(filled)
        job.again()
        filled.check(job.registry() if kit.registers else None, None)


@clause("D5")
@pytest.mark.parametrize("name", ["push", "close", "put"])
def test_what_is_acknowledged_was_flushed(kit: Kit, name: str) -> None:
    """Traced by the system calls of a process that makes one commit."""
    if not trace.available():
        could_not_run("strace is not installed, or may not trace")
    job, _ = _job(kit, name, kit.root)
    del job
    events = trace.run(kit, name)
    unflushed = trace.unflushed(events, kit.root)
    assert not unflushed, f"written and not flushed when the call returned: {unflushed}"


@clause("D6")
@pytest.mark.parametrize("way", ["moved", "copied"])
def test_a_store_works_at_another_path(kit: Kit, way: str) -> None:
    filled = Filled(kit)
    target = kit.root.parent / "elsewhere" / "deeper"
    target.parent.mkdir()
    if way == "moved":
        kit.root.rename(target)
    else:
        shutil.copytree(kit.root, target)
    registry = kit.registry(target) if kit.registers else None
    inventory = kit.inventory(target) if kit.inventories else None
    filled.check(registry, inventory)
    if registry:
        registry.write(PROJECT, VERSION, sid(9), content(9))
        registry.close(PROJECT, VERSION, 4, tag(sid(9), sid(1)))
        assert registry.read(PROJECT, VERSION, 4, sid(1)) == Filled.state(1)
        registry.push(package(version="2.0"))
    if inventory:
        inventory.put(kit.handle("third"))
    if way == "copied":
        filled.check(kit.registry() if registry else None, kit.inventory() if inventory else None)
        if registry:
            assert kit.registry().generations(PROJECT, VERSION) == (1, 2, 3)


@clause("D7")
@pytest.mark.parametrize("name", JOBS)
def test_no_room_is_an_error_that_loses_nothing(kit: Kit, name: str) -> None:
    job, filled = _job(kit, name, kit.root)
    large = os.urandom(3 << 20)
    big = kit.handle(APPLICATIONS[0], b"# " + large.hex().encode() + b"\n")
    folder = kit.folder("large")
    (folder / "toy").mkdir()
    (folder / "toy" / "__init__.py").write_bytes(b"")
    (folder / "data").write_bytes(large)
    from modelkeep import Manifest, Package

    huge = Package.create(folder, kit.folder("packages") / "large.4ml", Manifest(PROJECT, "5.0", "toy"))

    def call() -> Any:
        if name == "push":
            return job.registry().push(huge)
        if name == "put":
            return job.inventory().put(big)
        registry = job.registry()
        registry.write(PROJECT, VERSION, sid(31), large)
        return registry.close(PROJECT, VERSION, 6, tag(sid(31)))

    def cramped() -> Any:
        with kit.harness.no_room(kit.root) as possible:
            return call() if possible else "impossible"

    result = forked(cramped)
    if result == "impossible":
        could_not_run("the harness can not take the room away")
    assert isinstance(result, StorageError), result
    registry = job.registry() if kit.registers else None
    filled.check(registry, job.inventory() if kit.inventories else None)
    if registry:
        assert registry.generations(PROJECT, VERSION) == (1, 2, 3)
        assert [str(key) for key in registry.releases(PROJECT)] == [VERSION]
    call()
    if name == "push":
        assert job.registry().pull(PROJECT, "5.0").path.read_bytes() == huge.path.read_bytes()
    elif name == "put":
        assert job.inventory().get(APPLICATIONS[0]).source == big.descriptor.source
    else:
        assert job.registry().read(PROJECT, VERSION, 6, sid(31)) == large


@clause("D8")
def test_a_read_only_store_can_be_read_and_not_written(kit: Kit) -> None:
    filled = Filled(kit)
    calls: list[Callable[[], Any]] = []
    if kit.registers:
        calls += [
            lambda: kit.registry().push(package(version="2.0")),
            lambda: kit.registry().push(package("beta")),
            lambda: kit.registry().write(PROJECT, VERSION, sid(8), b"x"),
            lambda: kit.registry().close(PROJECT, VERSION, 4, Tag()),
        ]
    if kit.inventories:
        calls += [lambda: kit.inventory().put(kit.handle("third"))]

    def check() -> str:
        for _ in range(2):
            filled.check(kit.registry() if kit.registers else None, kit.inventory() if kit.inventories else None)
            for call in calls:
                with pytest.raises(StorageError):
                    call()
        return "checked"

    if kit.registers:
        package("beta"), package(version="2.0")
    kit.handle("third")
    with kit.harness.read_only(kit.root) as possible:
        if not possible:
            could_not_run("the harness can not make a store read-only")
        assert forked(check, unprivileged=True) == "checked"
    filled.check(kit.registry() if kit.registers else None, kit.inventory() if kit.inventories else None)
    for call in calls:
        call()


@clause("D9")
def test_a_newer_format_is_refused_by_name(kit: Kit) -> None:
    Filled(kit)
    if not kit.harness.newer_format(kit.root):
        could_not_run("the harness can not change the format")
    if kit.registers:
        registry = kit.registry()
        for call in (
            registry.projects,
            lambda: registry.releases(PROJECT),
            lambda: registry.open(PROJECT, VERSION, 1),
            lambda: registry.read(PROJECT, VERSION, 1, sid(1)),
            lambda: registry.pull(PROJECT, VERSION),
            lambda: registry.push(package(version="2.0")),
            lambda: registry.write(PROJECT, VERSION, sid(9), b"x"),
            lambda: registry.close(PROJECT, VERSION, 4, Tag()),
        ):
            with pytest.raises(UnsupportedError, match="format"):
                call()
    if kit.inventories:
        inventory = kit.inventory()
        calls: list[Callable[[], Any]] = [
            inventory.list,
            lambda: inventory.get(APPLICATIONS[0]),
            lambda: inventory.put(kit.handle("third")),
        ]
        for use in calls:
            with pytest.raises(UnsupportedError, match="format"):
                use()


@clause("D9")
def test_a_store_of_an_earlier_version_opens(kit: Kit) -> None:
    golden = kit.harness.golden(kit.folder("golden"))
    if golden is None:
        could_not_run("the harness has no store of an earlier version")
    if kit.registers:
        registry = kit.registry(golden)
        assert registry.projects() == ("golden",)
        assert [str(key) for key in registry.releases("golden")] == ["1.0"]
        assert registry.generations("golden", "1.0") == (1, 2)
        assert registry.read("golden", "1.0", 1, sid(1)) == content(1)
        assert registry.open("golden", "1.0", 2).states == (sid(2), sid(1))
        assert registry.open("golden", "1.0", 1).tuning.score == 0.5
        assert registry.read("golden", "1.0", 2, sid(2)) == content(2)
        assert registry.pull("golden", "1.0").manifest.package == "toy"
        registry.close("golden", "1.0", 3, tag(sid(1)))
    if kit.inventories:
        assert kit.inventory(golden).get("golden").source == b"x = 'golden'\n"

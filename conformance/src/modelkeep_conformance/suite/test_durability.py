"""What survives: other processes, kills at every step, no room, no rights, other places, other formats."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from modelkeep import Error, Manifest, Move, Package, StorageError, Tag, UnsupportedError
from modelkeep_conformance import syscalls, trace, work
from modelkeep_conformance.jobs import JOBS, SIZE, Job, some
from modelkeep_conformance.kit import (
    ALIAS,
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
from modelkeep_conformance.suite import calls_of, clause


@clause("D1")
def test_another_process_sees_what_was_acknowledged(kit: Kit) -> None:
    Filled(kit)
    if kit.registers:
        (listed,) = in_processes(work.listed, [(kit.options("registry"),)])
        assert listed == [(PROJECT, VERSION, [1, 2, 3])]
    if kit.inventories:
        (found,) = in_processes(work.applications, [(kit.options("inventory"),)])
        assert found == {name: Filled.source(name) for name in APPLICATIONS}


@clause("D1")
@pytest.mark.parametrize("name", calls_of(JOBS))
def test_what_was_acknowledged_survives_its_process(kit: Kit, name: str) -> None:
    """Killed as soon as the call has returned, with its handle open: nothing can be made good later."""
    job = Job(kit, name, kit.root)

    def call() -> None:
        handle = job.handle()
        job.call(handle)
        os.kill(os.getpid(), signal.SIGKILL)
        job.call(handle)

    assert forked(call) == KILLED
    job.check(acknowledged=True)
    if name == "write":
        job.registry().close(PROJECT, VERSION, 5, tag(sid(21)))
        assert job.registry().read(PROJECT, VERSION, 5, sid(21)) == content(21, SIZE)


@clause("D2", "D3", "D4")
@pytest.mark.parametrize("name", calls_of(JOBS))
def test_a_kill_at_each_step_leaves_all_or_nothing(kit: Kit, name: str) -> None:
    """Steps are the file events that Python reports; what an engine does in C is for the two tests below."""
    job = Job(kit, name, kit.folder("counted"))
    steps = range(1, forked(job.steps) + 1)
    # an engine in C may have no step that Python sees
    job.check(acknowledged=True)
    # of the variants of a call some will do, since the call itself is killed everywhere
    for step in some(kit, name, steps, 12) if "-" in name or name == "collect" else steps:
        job = Job(kit, name, kit.folder(f"step{step}"))
        result = forked(job.call, kill_at=step)
        job.check(acknowledged=result is None)
        job.again()
        job.follow()
        job.remove()


@clause("D2", "D3", "D4")
@pytest.mark.parametrize("name", calls_of(JOBS))
def test_a_kill_at_any_time_leaves_all_or_nothing(kit: Kit, name: str) -> None:
    """For what engines do between calls, as in maps of memory: kills spread at random over what the call takes."""
    job = Job(kit, name, kit.folder("timed"))
    begin = time.perf_counter()
    assert killed_after(job.call, 60.0)
    lasts = time.perf_counter() - begin
    for round_ in some(kit, name, range(kit.times(6, 200)), 6):
        job = Job(kit, name, kit.folder(f"round{round_}"))
        acknowledged = killed_after(job.call, kit.chance.random() * lasts)
        job.check(acknowledged=acknowledged)
        job.again()
        job.follow()
        job.remove()


@clause("D5")
@pytest.mark.parametrize("name", calls_of(["push", "push-folder", "close", "move", "remove", "remove-release", "put"]))
def test_what_is_acknowledged_was_flushed(kit: Kit, name: str) -> None:
    """Told by the system calls of a process that commits, also to a project that is new: its folders are, too."""
    if not syscalls.available():
        could_not_run(syscalls.UNAVAILABLE)
    job = Job(kit, name, kit.root)
    packages = [package(version="2.0", folder=name == "push-folder"), package("traced")]
    handles = [kit.handle(APPLICATIONS[0], "x = 2\n"), kit.handle("traced")]

    def commit() -> None:
        if name == "put":
            for handle in handles:
                kit.inventory().put(handle)
            return
        registry = kit.registry()
        for each in packages:
            registry.push(each)
        if name == "move":
            registry.move(PROJECT, ALIAS, Move(3, (VERSION, 2)))
            registry.move(PROJECT, "traced", Move(1, (VERSION, 2)))
        if name.startswith("remove"):
            job.call(registry)
        if name == "close":
            for project in (PROJECT, "traced"):
                registry.write(project, VERSION, sid(41), content(41, 50_000))
                registry.write(project, VERSION, sid(42), content(42))
                registry.close(project, VERSION, 5, tag(sid(41), sid(42)))

    unflushed = trace.unflushed(commit, kit.root, kit.harness.expendable)
    assert not unflushed, f"written and not flushed when the call returned: {unflushed}"


@clause("D5")
@pytest.mark.parametrize("name", calls_of(name for name in JOBS if name not in ("write", "collect")))
def test_a_flush_that_fails_is_an_error(kit: Kit, name: str) -> None:
    """EIO from each flush and all after it: nothing is acknowledged that may not be there."""
    meddle(
        kit,
        name,
        syscalls.FLUSHES,
        "error=EIO",
        few=3,
        expected=lambda result: isinstance(result, StorageError),
    )


def meddle(kit: Kit, name: str, calls: Sequence[str], what: str, *, few: int, expected: Callable[[Any], bool]) -> None:
    """Kill at each call that the system is asked for, or some of them; or let it fail (`+`: and all after it)."""
    if not syscalls.available():
        could_not_run(syscalls.UNAVAILABLE)
    job = Job(kit, name, kit.folder("counted"))
    found = syscalls.changes(job.call, job.root, calls)
    # a collection may only take names away
    assert found or name == "collect", "nothing was written"
    for number, call in enumerate(some(kit, name, found, few)):
        job = Job(kit, name, kit.folder(f"call{number}"))
        result = syscalls.meddled(job.call, call, what.rstrip("+"), calls=calls if what.endswith("+") else ())
        assert expected(result), f"{what} at {call.line}: {result!r}"
        try:
            job.check(acknowledged=result is None)
            job.again()
            job.follow()
        except (AssertionError, Error) as error:
            raise AssertionError(f"after {what} at {call.line} ({result!r}): {error!r}") from error
        job.remove()


@clause("D10")
@pytest.mark.parametrize("name", calls_of(JOBS))
def test_a_kill_at_each_system_call_leaves_all_or_nothing(kit: Kit, name: str) -> None:
    """Met just before the kernel carries the call out, whether Python or an engine in C makes it."""
    meddle(kit, name, syscalls.CHANGES, "signal=KILL", few=8, expected=lambda result: result == KILLED)


@clause("D10")
@pytest.mark.parametrize("what", ["error=ENOSPC", "error=ENOSPC+"])
@pytest.mark.parametrize("name", calls_of(JOBS))
def test_no_room_at_each_system_call_is_an_error_that_loses_nothing(kit: Kit, name: str, what: str) -> None:
    """For one write, or for one and all after it; what is cleared away only once all is done may be left."""
    writes = (*syscalls.WRITES, *syscalls.NAMES, *syscalls.FLUSHES)
    meddle(kit, name, writes, what, few=4, expected=lambda result: isinstance(result, StorageError | None))


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
@pytest.mark.parametrize("name", ["push", "close", "put"])
def test_no_room_is_an_error_that_loses_nothing(kit: Kit, name: str) -> None:
    job = Job(kit, name, kit.root)
    large = kit.chance.randbytes(3 << 20)
    big = kit.handle(APPLICATIONS[0], b"# " + large.hex().encode() + b"\n")
    folder = kit.folder("large")
    (folder / "toy").mkdir()
    (folder / "toy" / "__init__.py").write_bytes(b"")
    (folder / "data").write_bytes(large)
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
        with kit.lever("no_room", kit.root) as possible:
            return call() if possible else "impossible"

    result = forked(cramped)
    if result == "impossible":
        could_not_run("the harness can not take the room away")
    assert isinstance(result, StorageError), result
    job.check()
    if kit.registers:
        assert job.registry().generations(PROJECT, VERSION) == (1, 2, 3)
        assert [str(key) for key in job.registry().releases(PROJECT)] == [VERSION]
    call()
    if name == "push":
        assert job.registry().pull(PROJECT, "5.0").path.read_bytes() == huge.path.read_bytes()
    elif name == "put":
        assert job.inventory().get(APPLICATIONS[0]).source == big.descriptor.source
    else:
        assert job.registry().read(PROJECT, VERSION, 6, sid(31)) == large


def _writes(kit: Kit) -> Iterator[Callable[[], Any]]:
    """Calls that write to a filled store, each through a handle of its own."""
    if kit.registers:
        yield from [
            lambda: kit.registry().push(package(version="2.0")),
            lambda: kit.registry().push(package("beta")),
            lambda: kit.registry().write(PROJECT, VERSION, sid(8), b"x"),
            lambda: kit.registry().close(PROJECT, VERSION, 4, Tag()),
        ]
    if kit.names_generations:
        yield from [
            lambda: kit.registry().move(PROJECT, ALIAS, Move(3, None)),
            lambda: kit.registry().move(PROJECT, "new", Move(1, (VERSION, 1))),
        ]
    if kit.removes:
        yield from [lambda: kit.registry().remove(PROJECT, VERSION, 2)]
    if kit.collects:
        kit.registry().write(PROJECT, VERSION, sid(7), b"x")
        yield from [lambda: _collected(kit)]
    if kit.inventories:
        yield from [lambda: kit.inventory().put(kit.handle("third"))]


def _collected(kit: Kit) -> Any:
    with kit.collecting() as age:
        return kit.registry().collect(age)


@clause("D8")
def test_a_read_only_store_can_be_read_and_not_written(kit: Kit) -> None:
    filled = Filled(kit)
    calls = list(_writes(kit))

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
    with kit.lever("read_only", kit.root) as possible:
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
        optional: list[Callable[[], Any]] = [
            lambda: registry.aliases(PROJECT),
            lambda: registry.moves(PROJECT, ALIAS),
            lambda: registry.current(PROJECT, ALIAS),
            lambda: registry.move(PROJECT, ALIAS, Move(3, None)),
        ]
        if not kit.names_generations:
            optional = []
        if kit.removes:
            optional.append(lambda: registry.remove(PROJECT, VERSION, 1))
        if kit.collects:
            optional.append(lambda: registry.collect(kit.harness.least_age))
        for call in (
            registry.projects,
            lambda: registry.releases(PROJECT),
            lambda: registry.open(PROJECT, VERSION, 1),
            lambda: registry.read(PROJECT, VERSION, 1, sid(1)),
            lambda: registry.pull(PROJECT, VERSION),
            lambda: registry.push(package(version="2.0")),
            lambda: registry.write(PROJECT, VERSION, sid(9), b"x"),
            lambda: registry.close(PROJECT, VERSION, 4, Tag()),
            *optional,
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

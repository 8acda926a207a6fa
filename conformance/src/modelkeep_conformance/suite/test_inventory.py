"""Inventories: applications are put, replaced and given back whole."""

import threading
from typing import Any

import pytest

from modelkeep import Descriptor, MissingError
from modelkeep_conformance import work
from modelkeep_conformance.kit import Kit
from modelkeep_conformance.processes import in_processes, in_threads
from modelkeep_conformance.suite import clause

SOURCES = [
    b"",
    b"x = 1",
    b"x = 1\r\ny = 2\r\n",
    b"# -*- coding: latin-1 -*-\nx = '\xe4'\n",
    "x = '\u00e4\U0001f40d'\n".encode(),
    b"\xef\xbb\xbfx = 1\n",
    b"this is no Python (\n",
    bytes(range(256)) * 50,
    b"# blake3:" + b"0" * 64 + b"\n",
    b"x" * 300_000,
]


@clause("I1")
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: repr(source[:12]))
def test_the_source_is_kept_byte_for_byte(kit: Kit, inventory: Any, source: bytes) -> None:
    inventory.put(kit.handle("app", source))
    for handle in (inventory, kit.inventory()):
        assert handle.list() == ("app",)
        found = handle.get("app")
        assert found.source == source
        assert found.name == "app"
        assert found == Descriptor("app", source)


@clause("I1")
def test_all_that_was_put_is_listed_and_given_back(kit: Kit, inventory: Any) -> None:
    names = [f"app-{number}" for number in range(20)]
    for name in names:
        inventory.put(kit.handle(name, f"x = {name!r}\n"))
    assert list(inventory.list()) == sorted(names)
    for name in names:
        assert kit.inventory().get(name).source == f"x = {name!r}\n".encode()


@clause("I1", "I2")
def test_editing_the_module_afterwards_changes_nothing(kit: Kit, inventory: Any) -> None:
    path = kit.file("modules/app.py", "x = 1\n")
    inventory.put(Descriptor.Handle(path))
    path.write_text("x = 2\n")
    assert inventory.get("app").source == b"x = 1\n"
    inventory.put(Descriptor.Handle(path))
    assert inventory.get("app").source == b"x = 2\n"
    assert inventory.list() == ("app",)


@clause("I2")
def test_a_reader_sees_the_old_or_the_new_source(kit: Kit, inventory: Any) -> None:
    sources = [bytes([65 + number]) * (1000 * (number % 7 + 1)) for number in range(26)]
    handles = [kit.handle("app", source) for source in sources]
    inventory.put(handles[0])
    writer_handle = kit.inventory()
    rounds = kit.times(3, 60)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(rounds):
                for handle in handles:
                    writer_handle.put(handle)
        except BaseException as error:  # told by the thread that waits
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while writer.is_alive():
            assert inventory.get("app").source in sources
            assert inventory.list() == ("app",)
    finally:
        writer.join()
    assert not failed
    assert inventory.get("app").source == sources[-1]


@clause("I3")
@pytest.mark.parametrize("name", ["app2", "ap", "App", "app.py", "app-1"])
def test_an_unknown_application_is_missing(kit: Kit, inventory: Any, name: str) -> None:
    with pytest.raises(MissingError):
        inventory.get(name)
    inventory.put(kit.handle("app"))
    with pytest.raises(MissingError):
        inventory.get(name)
    assert inventory.list() == ("app",)


@clause("I4")
def test_concurrent_puts_of_different_names_are_all_kept(kit: Kit, inventory: Any) -> None:
    for round_ in range(kit.times(3, 30)):
        names = [f"app-{round_}-{number}" for number in range(8)]
        handles = [kit.handle(name, f"x = {name!r}\n") for name in names]
        stores = [kit.inventory() for _ in names]
        results = in_threads([lambda s=s, h=h: s.put(h) for s, h in zip(stores, handles, strict=True)])
        assert results == [None] * 8
        assert set(names) <= set(inventory.list())
        for name in names:
            assert inventory.get(name).source == f"x = {name!r}\n".encode()


@clause("I4")
def test_concurrent_puts_of_one_name_have_one_whole_winner(kit: Kit, inventory: Any) -> None:
    sources = [bytes([97 + number]) * (20_000 * (number + 1)) for number in range(6)]
    for round_ in range(kit.times(4, 60)):
        handles = [kit.handle(f"app-{round_}", source) for source in sources]
        stores = [kit.inventory() for _ in sources]
        assert in_threads([lambda s=s, h=h: s.put(h) for s, h in zip(stores, handles, strict=True)]) == [None] * 6
        assert inventory.get(f"app-{round_}").source in sources


@clause("I4", "D1")
def test_processes_put_at_once(kit: Kit, inventory: Any) -> None:
    options = kit.options("inventory")
    jobs = []
    for number in range(4):
        path = kit.file(f"modules/p{number}.py", f"x = {number}\n" * 1000)
        jobs += [(options, str(path), f"own-{number}")]
    in_processes(work.put, jobs)
    assert list(inventory.list()) == [f"own-{number}" for number in range(4)]
    in_processes(work.put, [(options, path, "shared") for _, path, _ in jobs])
    assert inventory.get("shared").source in [f"x = {number}\n".encode() * 1000 for number in range(4)]


@clause("I5")
def test_neither_list_nor_get_nor_put_runs_stored_code(kit: Kit, inventory: Any) -> None:
    trap = kit.folder("trap") / "sprung"
    inventory.put(kit.handle("app", f"open({str(trap)!r}, 'w').close()\n"))
    for handle in (inventory, kit.inventory()):
        assert handle.list() == ("app",)
        found = handle.get("app")
    assert not trap.exists()
    found.load()
    assert trap.exists()

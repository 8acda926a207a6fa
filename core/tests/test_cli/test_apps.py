from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelkeep

if TYPE_CHECKING:
    from conftest import Run

_SOURCE = b"raise SystemExit('no code of an application runs')\n# \xc3\xa9\r\n"


@pytest.fixture
def module() -> Path:
    Path("serving.py").write_bytes(_SOURCE)
    return Path("serving.py")


def test_an_empty_inventory_lists_nothing(run: Run) -> None:
    assert run("apps", "ls").lines == []
    assert run("apps", "ls", "--json").document == {"applications": []}


def test_what_was_put_is_listed_and_given_back(run: Run, module: Path) -> None:
    assert run("apps", "put", module).lines == ["serving"]
    assert run("apps", "put", module, "--name", "digits").lines == ["digits"]
    assert run("apps", "ls").lines == ["digits", "serving"]
    assert run("apps", "get", "digits", "-o", "back.py").lines == ["back.py"]
    assert Path("back.py").read_bytes() == _SOURCE


def test_the_module_goes_to_stdout_byte_for_byte(run: Run, module: Path, spawn: Run) -> None:
    run("apps", "put", module)
    with Path("out").open("wb") as out:
        assert spawn("apps", "get", "serving", stdout=out).code == 0
    assert Path("out").read_bytes() == _SOURCE


def test_json(run: Run, module: Path) -> None:
    digest = modelkeep.Descriptor.Handle(module).descriptor.digest
    assert run("apps", "put", module, "--json").document == {"application": "serving", "digest": digest}
    document = {"application": "serving", "digest": digest}
    assert run("--json", "apps", "get", "serving").document == {**document, "source": _SOURCE.decode()}
    assert run("apps", "get", "serving", "-o", "x", "--json").document == {**document, "path": "x"}


def test_a_source_that_is_not_unicode_is_null_in_json(run: Run) -> None:
    Path("latin.py").write_bytes(b"# \xe9\n")
    run("apps", "put", "latin.py")
    assert run("apps", "get", "latin", "--json").document["source"] is None


def test_put_replaces(run: Run, module: Path) -> None:
    run("apps", "put", module)
    module.write_bytes(b"X = 2\n")
    run("apps", "put", module)
    assert run("apps", "get", "serving").out == "X = 2\n"


def test_a_file_is_replaced_only_when_asked(run: Run, module: Path) -> None:
    run("apps", "put", module)
    assert run("apps", "get", "serving", "-o", module).code == 5
    assert run("apps", "get", "serving", "-o", module, "--force").code == 0


def test_what_is_not_there(run: Run) -> None:
    done = run("apps", "get", "nope")
    assert (done.code, done.out) == (3, "")
    assert "nope" in done.err


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "dïgits", ".digests"])
def test_hostile_names(run: Run, module: Path, name: str) -> None:
    assert run("apps", "get", name).code == 4
    assert run("apps", "put", module, "--name", name).code == 4
    assert run("apps", "ls").lines == []


def test_a_module_is_a_file(run: Run) -> None:
    Path("folder.py").mkdir()
    for name in ("folder.py", "nope.py"):
        assert run("apps", "put", name).code == 2


def test_damage(run: Run, module: Path, store: Path) -> None:
    run("apps", "put", module)
    (store / "inventory" / "serving.py").write_bytes(b"X = 3\n")
    done = run("apps", "get", "serving", "-o", "back.py")
    assert (done.code, done.out) == (6, "")
    assert not Path("back.py").exists()
    assert run("apps", "ls").lines == ["serving"]


def test_a_missing_or_mistyped_command(run: Run) -> None:
    done = run("apps")
    assert (done.code, done.out) == (2, "")
    assert "put" in done.err
    assert "did you mean 'put'" in run("apps", "pt").err


def test_inventories_are_chosen_by_name(run: Run) -> None:
    done = run("apps", "ls", "-I", "nope")
    assert done.code == 3
    assert "'nope'" in done.err
    assert "'nope'" in run("-I", "nope", "apps", "ls").err
    assert run("apps", "ls", "-I", "dev").code == 0

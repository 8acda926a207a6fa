from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelkeep
from modelkeep import Directory

if TYPE_CHECKING:
    from conftest import Run


@pytest.fixture
def served(run: Run, filled: Path, store: Path) -> Path:
    """With an application, and an inventory of the other registry's name."""
    config = store / "modelkeep.toml"
    config.write_text(config.read_text() + '[inventory.other]\nprovider = "local"\npath = "elsewhere"\nsync = false\n')
    Path("serving.py").write_text("raise SystemExit\n")
    assert run("apps", "put", "serving.py").code == 0
    return filled


KEYS = ["digits/1.0", "digits/1.0/1", "digits/1.0/2", "digits/1.1"]


def test_everything(run: Run, served: Path) -> None:
    done = run("cp", "dev", "other")
    assert done.code == 0
    rows = [line.split("\t") for line in done.lines]
    assert [row[2] for row in rows] == [*KEYS, "serving"]
    assert {row[0] for row in rows} == {"copied"}
    assert [row[1] for row in rows] == ["release", "generation", "generation", "release", "application"]
    assert rows[1][3] == "133000"
    assert done.err.startswith("modelkeep: copied 5 items (")
    assert run("ls", "-l", "digits/1.0", "-R", "other").out == run("ls", "-l", "digits/1.0").out
    assert run("apps", "get", "serving", "-I", "other").out == "raise SystemExit\n"


def test_a_second_run_copies_nothing_and_says_so(run: Run, served: Path) -> None:
    run("cp", "dev", "other")
    done = run("cp", "dev", "other", "--compare")
    assert (done.code, done.out) == (0, "")
    assert done.err == "modelkeep: nothing to copy, 5 items there already\n"
    document = run("cp", "dev", "other", "--json").document
    assert document == {"dry_run": False, "copied": [], "there": 5, "failed": []}


def test_a_trial(run: Run, served: Path, store: Path) -> None:
    done = run("cp", "dev", "other", "-n")
    assert done.code == 0
    assert done.lines[0].split("\t") == ["would be copied", "release", "digits/1.0", ""]
    assert len(done.lines) == 5
    assert "5 items would be copied" in done.err
    assert not (store / "elsewhere").exists()
    document = run("cp", "dev", "other", "--dry-run", "--json").document
    assert document["dry_run"] is True
    assert document["copied"][1] == {"kind": "generation", "key": "digits/1.0/1"}


def test_references(run: Run, served: Path) -> None:
    done = run("cp", "dev", "other", "digits/1.0/2", "digits/1", "digits/latest", "--json")
    assert [each["key"] for each in done.document["copied"]] == [
        "digits/1.0",
        "digits/1.0/2",
        "digits/1.0/1",
        "digits/1.1",
    ]
    # applications have no reference
    assert run("apps", "ls", "-I", "other").out == ""
    assert run("cp", "dev", "other", "digits/1.0/2", "--applications").lines[-1].split("\t")[2] == "serving"


def test_without_applications(run: Run, served: Path) -> None:
    assert run("cp", "dev", "other", "--no-applications").code == 0
    assert run("apps", "ls", "-I", "other").out == ""


def test_applications_need_two_inventories_only_if_they_are_asked_for(run: Run, filled: Path) -> None:
    assert run("cp", "dev", "other").code == 0
    done = run("cp", "dev", "other", "--applications")
    assert done.code == 3
    assert "'other'" in done.err


def test_one_inventory_of_both_registries(run: Run, served: Path, store: Path) -> None:
    config = store / "modelkeep.toml"
    text = config.read_text()
    head, _, tail = text.rpartition('path = "elsewhere"')
    config.write_text(f'{head}path = "inventory"{tail}')
    assert run("cp", "dev", "other").code == 0
    assert run("cp", "dev", "other", "--applications").code == 4


@pytest.mark.parametrize("ref", ["digits/9", "nope", "digits/1.0/7"])
def test_a_reference_to_nothing(run: Run, served: Path, store: Path, ref: str) -> None:
    done = run("cp", "dev", "other", ref)
    assert (done.code, done.out) == (3, "")
    assert not (store / "elsewhere").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nope", "other"), 3),
        (("dev", "nope"), 3),
        (("dev", "dev"), 4),
        (("dev",), 2),
        (("dev", "other", ".."), 4),
        (("dev", "other", "-j", "0"), 2),
    ],
)
def test_what_can_not_be(run: Run, served: Path, arguments: tuple[str, ...], code: int) -> None:
    done = run("cp", *arguments)
    assert (done.code, done.out) == (code, "")
    assert "Traceback" not in done.err


def test_a_conflict(run: Run, served: Path, states: list[Path]) -> None:
    run("cp", "dev", "other", "digits/1.0/1")
    run("commit", "digits/1.0", states[0], "-R", "other")
    done = run("cp", "dev", "other")
    assert (done.code, done.out) == (5, "")
    assert "digits/1.0/2" in done.err
    # nothing was written
    assert run("ls", "digits", "-R", "other").lines == ["1.0"]
    assert run("apps", "ls", "-I", "other").out == ""
    done = run("cp", "dev", "other", "--keep-going")
    assert done.code == 5
    assert [line.split("\t")[2] for line in done.lines] == ["digits/1.1", "serving"]
    assert "copied 2 items" in done.err
    assert "1 failed" in done.err
    assert "digits/1.0/2" in run("cp", "dev", "other", "-k", "--json").document["failed"][0]


def test_applications_are_replaced_if_asked_for(run: Run, served: Path) -> None:
    run("cp", "dev", "other")
    Path("serving.py").write_text("other")
    run("apps", "put", "serving.py")
    done = run("cp", "dev", "other")
    assert done.code == 5
    assert "serving" in done.err
    assert run("cp", "dev", "other", "--replace").code == 0
    assert run("apps", "get", "serving", "-I", "other").out == "other"


def test_damage(run: Run, damaged: Path) -> None:
    done = run("cp", "dev", "other")
    assert (done.code, done.out) == (6, "")
    done = run("cp", "dev", "other", "-k")
    assert done.code == 6
    assert [line.split("\t")[2] for line in done.lines] == ["digits/1.0", "digits/1.1"]
    assert len(done.err.splitlines()) == 3


def test_an_interrupted_copy_goes_on(served: Path, store: Path, spawn: Run) -> None:
    (store / "slow.py").write_text(
        "import os, signal, modelkeep_local\n"
        "class Registry(modelkeep_local.Registry):\n"
        "    def close(self, project, release, generation, tag):\n"
        "        if generation == 2:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        super().close(project, release, generation, tag)\n"
    )
    config = store / "modelkeep.toml"
    text = config.read_text()
    head, _, tail = text.partition('[registry.other]\nprovider = "local"')
    config.write_text(f'{head}[registry.other]\nprovider = "slow:Registry"{tail}')
    done = spawn("cp", "dev", "other", env={**os.environ, "PYTHONPATH": str(store)})
    assert (done.code, done.out, done.err) == (130, "", "")
    config.write_text(text)
    done = spawn("cp", "dev", "other")
    assert done.code == 0
    assert [line.split("\t")[2] for line in done.lines] == ["digits/1.0/2", "digits/1.1", "serving"]


def test_nobody_reads(served: Path, spawn: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert spawn("cp", "dev", "other", stdout=writer).code == 141
    # what was to be done is done all the same
    assert spawn("cp", "dev", "other").out == ""
    os.close(writer)


def test_stderr_is_gone(served: Path) -> None:
    command = [sys.executable, "-m", "modelkeep", "cp", "dev", "other"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=writer, text=True)
    os.close(writer)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 5)


def test_a_target_that_can_not_be_written_to(run: Run, served: Path, store: Path) -> None:
    (store / "elsewhere").write_text("a file")
    done = run("cp", "dev", "other")
    assert (done.code, done.out) == (7, "")


def test_the_hint_looks_at_the_source(run: Run, served: Path) -> None:
    assert "did you mean 'digits'?" in run("cp", "dev", "other", "digts").err


def test_between_backends(run: Run, served: Path, store: Path, package: Callable[..., Path]) -> None:
    config = store / "modelkeep.toml"
    config.write_text(config.read_text() + '[registry.db]\nprovider = "lmdb"\npath = "db"\nsync = false\n')
    assert run("cp", "dev", "db").code == 0
    assert run("cp", "db", "other").code == 0
    for name in ("db", "other"):
        level = Directory(modelkeep.registry(name)).get("digits").get("1.0")
        assert level.get(1).tag == Directory(modelkeep.registry()).get("digits").get("1.0").get(1).tag

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelkeep
from modelkeep.backend import seal

if TYPE_CHECKING:
    from conftest import Run


def test_what_is_sound(run: Run, filled: Path) -> None:
    done = run("verify")
    assert (done.code, done.out) == (0, "")
    assert re.fullmatch(r"modelkeep: verified 8 items \(\d+\.\d KiB\): all sound\n", done.err)


def test_json_of_what_is_sound(run: Run, filled: Path) -> None:
    document = run("verify", "--json").document
    assert (document["items"], document["damages"]) == (8, [])
    assert document["size"] > 128_000


def test_an_empty_store_is_sound(run: Run, store: Path) -> None:
    assert run("verify").code == 0
    assert not (store / "registry").exists()


def test_damage_is_named_and_the_code_is_1(run: Run, damaged: Path) -> None:
    (state,) = (damaged / "1.0" / "2").glob("*.bin")
    done = run("verify")
    assert done.code == 1
    first, second = (line.split("\t") for line in done.lines)
    assert first[:2] == ["generation", "digits/1.0/1"]
    assert second[:2] == ["state", f"digits/1.0/2/{state.stem}"]
    for line in (first, second):
        assert line[2] == repr(modelkeep.registry())
        assert line[3] == "CorruptedError"
        assert "Restore" in line[4]
    assert "2 damaged" in done.err
    document = run("verify", "--json").document
    assert [each["key"] for each in document["damages"]] == [first[1], second[1]]
    assert set(document["damages"][0]) == {"kind", "key", "place", "error", "message"}


@pytest.mark.parametrize(("ref", "code"), [("digits/1.0/2", 1), ("digits/1", 1), ("digits/1.1", 0), ("digits", 1)])
def test_a_reference_limits_it(run: Run, damaged: Path, ref: str, code: int) -> None:
    assert run("verify", ref).code == code


def test_latest(run: Run, damaged: Path) -> None:
    assert run("verify", "digits/latest").code == 0
    assert run("verify", "digits/1.0/latest", "--json").document["items"] == 2


@pytest.mark.parametrize("ref", ["nope", "digits/9", "digits/1.0/9", "digits/1.1/latest"])
def test_what_is_not_there(run: Run, filled: Path, ref: str) -> None:
    done = run("verify", ref)
    assert (done.code, done.out) == (3, "")


def test_applications_are_included(run: Run, filled: Path, store: Path) -> None:
    Path("serving.py").write_text("x = 1")
    assert run("apps", "put", "serving.py").code == 0
    assert run("verify", "--json").document["items"] == 9
    assert run("verify", "digits", "--json").document["items"] == 8
    # an inventory of the same name is that of the registry, another one is not
    assert run("verify", "-R", "dev", "--json").document["items"] == 9
    assert run("verify", "-R", "other", "--json").document["items"] == 0
    assert run("verify", "-R", "other", "-I", "dev", "--json").document["items"] == 1
    (store / "inventory" / "serving.py").write_text("x = 2")
    done = run("verify")
    assert done.code == 1
    assert done.lines[0].startswith("application\tserving\t")


def test_a_newer_format_is_an_error(run: Run, store: Path) -> None:
    (store / "registry").mkdir()
    (store / "registry" / ".modelkeep.toml").write_bytes(seal(".modelkeep.toml", b"format = 2\n"))
    assert run("verify").code == 8


@pytest.mark.parametrize("threads", ["0", "-1", "x", "1000"])
def test_a_number_of_threads_that_can_not_be(run: Run, filled: Path, threads: str) -> None:
    assert run("verify", "-j", threads).code == 2


def test_one_thread(run: Run, damaged: Path) -> None:
    assert len(run("verify", "-j", "1").lines) == 2


def test_what_is_stored_can_not_command_a_terminal(
    run: Run, filled: Path, package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise modelkeep.CorruptedError("\x1b[2J\n\ttwo")

    monkeypatch.setattr("modelkeep._guard.GuardedRegistry.open", fail)
    done = run("verify")
    assert (done.code, len(done.lines)) == (1, 2)
    assert "\x1b" not in done.out

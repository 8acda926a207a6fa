"""Did you mean, and the completion of a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ls", "digts"), "did you mean 'digits'?"),
        (("show", "digits/7"), "digits has 1.0, 1.1"),
        (("ls", "digits/1.2"), "did you mean"),
        (("show", "digits/1.0/9"), "the latest is 2"),
        (("get", "digts/latest", "-o", "x"), "did you mean 'digits'?"),
        (("pull", "digts", "-o", "x"), "did you mean 'digits'?"),
        (("verify", "Digits"), "did you mean 'digits'?"),
        (("tree", "digts"), "did you mean 'digits'?"),
        (("history", "digts"), "did you mean 'digits'?"),
        (("commit", "digits/1.3", "scaler.bin"), "did you mean"),
        (("ls", "-R", "othr"), "did you mean 'other'?"),
        (("cp", "dev", "othr"), "did you mean 'other'?"),
        (("apps", "ls", "-I", "dve"), "did you mean 'dev'?"),
        (("apps", "get", "srving"), "did you mean 'serving'?"),
    ],
)
def test_did_you_mean(run: Run, filled: Path, arguments: tuple[str, ...], words: str) -> None:
    Path("serving.py").touch()
    run("apps", "put", "serving.py")
    done = run(*arguments)
    assert (done.code, done.out) == (3, "")
    assert words in done.err


@pytest.mark.parametrize("arguments", [("apps", "gett", "x"), ("verfy",), ("histroy", "digits")])
def test_mistyped_commands(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert "did you mean" in done.err


def test_no_hint_where_nothing_is_close(run: Run, filled: Path) -> None:
    assert "did you mean" not in run("ls", "xyzzy").err
    # what is there is not what is missing
    assert ";" not in run("show", "digits/1.1/latest").err.partition("yet; ")[2]


def test_a_hint_that_fails_hides_nothing(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        import modelkeep

        raise modelkeep.StorageError("no luck")

    monkeypatch.setattr("modelkeep._guard.GuardedRegistry.projects", fail)
    done = run("ls", "digts")
    assert done.code == 3
    assert "no luck" not in done.err


# completion


def complete(spawn: Run, *words: str) -> list[str]:
    variables = {"_MODELKEEP_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("modelkeep", *words))}
    done = spawn(env={**os.environ, **variables, "COMP_CWORD": str(len(words))})
    assert (done.code, done.err) == (0, "")
    return [line.partition(",")[2] for line in filter(None, done.lines)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("ls", "d"), ["digits"]),
        (("ls", "digits/"), ["digits/1.0", "digits/1.1", "digits/latest"]),
        (("ls", "digits/1.0/"), ["digits/1.0/1", "digits/1.0/2", "digits/1.0/latest"]),
        (("ls", "digits/1.0/2"), ["digits/1.0/2"]),
        (("pull", "digits/1"), ["digits/1.0", "digits/1.1"]),
        # as deep as the command takes it
        (("pull", "digits/1.0/"), []),
        (("ls", "digits/1.0/1/"), []),
        (("ls", "nope/"), []),
        (("ls", "../"), []),
        (("ls", "-R", "o"), ["other"]),
        (("ls", "-R", "other", "d"), []),
        (("ls", "-R", "nope", "d"), []),
        (("apps", "ls", "-I", "d"), ["dev"]),
        (("cp", "d"), ["dev"]),
        (("cp", "dev", "o"), ["other"]),
        (("cp", "dev", "other", "digits/1.1"), ["digits/1.1"]),
        (("cp", "other", "dev", "d"), []),
        (("completion", "z"), ["zsh"]),
        (("verify", "--js"), ["--json"]),
    ],
)
def test_completion(spawn: Run, filled: Path, words: tuple[str, ...], found: list[str]) -> None:
    assert complete(spawn, *words) == found


def test_completion_with_a_broken_configuration_is_silent(spawn: Run, store: Path) -> None:
    (store / "modelkeep.toml").write_text("[")
    assert complete(spawn, "ls", "d") == []
    assert complete(spawn, "ls", "-R", "d") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(run: Run, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # no shell is needed to write the script of one
    monkeypatch.setenv("PATH", "")
    done = run("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert f"_MODELKEEP_COMPLETE={shell}_complete" in done.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_ones(run: Run, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    Path("script").write_text(run("completion", shell).out)
    subprocess.run([shell, "-n", "script"], check=True)


def test_bash_completes(run: Run, filled: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    Path("script").write_text(run("completion", "bash").out)
    Path("modelkeep").write_text(f'#!/bin/sh\nexec {sys.executable} -m modelkeep "$@"\n')
    Path("modelkeep").chmod(0o755)
    code = (
        "source ./script; COMP_WORDS=(modelkeep ls digits/1); COMP_CWORD=2; "
        '_modelkeep_completion modelkeep digits/1 ls; echo "${COMPREPLY[@]}"'
    )
    path = f"{Path.cwd()}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", code], check=True, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert done.stdout.split() == ["digits/1.0", "digits/1.1"]


@pytest.mark.parametrize("shell", ["", "tcsh", "BASH"])
def test_other_shells(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert (done.code, done.out) == (2, "")

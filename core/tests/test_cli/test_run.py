"""How a run ends: exit codes, stdout and stderr, terminals, missing packages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

import modelkeep
from modelkeep._cli import _commands, _progress, _states, main
from modelkeep._cli._run import CODES

if TYPE_CHECKING:
    from conftest import Run


def test_the_codes_are_those_of_the_help(run: Run) -> None:
    assert set(CODES) == {modelkeep.Error, *modelkeep.Error.__subclasses__()}
    assert [CODES[kind] for kind in CODES] == [3, 4, 5, 6, 7, 8, 1]
    text = run("--help").out
    for code in (*CODES.values(), 0, 2, 130, 141):
        assert re.search(rf"\b{code}\b", text)


@pytest.mark.parametrize("kind", list(CODES))
def test_each_kind_of_error_has_its_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[modelkeep.Error]
) -> None:
    def fail(name: str | None) -> Any:
        raise kind("what happened\nand what to do \x1b[2J")

    monkeypatch.setattr(modelkeep, "registry", fail)
    done = run("ls")
    assert (done.code, done.out) == (CODES[kind], "")
    assert done.err == "modelkeep: what happened\nand what to do \\x1b[2J\n"


def test_kinds_derived_from_ours_have_their_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class SpecialError(modelkeep.ConflictError):
        pass

    def fail(name: str | None) -> Any:
        raise SpecialError("x")

    monkeypatch.setattr(modelkeep, "registry", fail)
    assert run("ls").code == 5


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 7, "modelkeep: There is not enough memory for this\n"),
        (OSError(28, "No space left on device", "x"), 7, "modelkeep: x: No space left on device\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_other_ends(run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str) -> None:
    def fail(name: str | None) -> Any:
        raise error

    monkeypatch.setattr(modelkeep, "registry", fail)
    done = run("ls")
    assert (done.code, done.out, done.err) == (code, "", message)


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str | None) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(modelkeep, "registry", fail)
    with pytest.raises(ZeroDivisionError):
        main(["ls"])


def test_usage(run: Run) -> None:
    for arguments in (["show"], ["ls", "a", "b"], ["--nope"], ["ls", "--nope"], ["pull", "digits"], ["-R"]):
        done = run(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("modelkeep: ")
        assert "--help" in done.err


def test_no_command_shows_the_help_on_stderr(run: Run) -> None:
    done = run()
    assert (done.code, done.out) == (2, "")
    assert "Exit codes" in done.err


def test_mistyped_commands_get_a_hint(run: Run) -> None:
    done = run("comit")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'commit'?" in done.err
    assert "did you mean" not in run("xyzzy").err


def test_version(run: Run) -> None:
    assert run("--version").out == f"modelkeep {modelkeep.__version__}\n"


def _commands_below(group: click.Group, name: str) -> list[tuple[str, click.Command]]:
    context = click.Context(group)
    found = []
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None
        found.append((f"{name} {each}", command))
        if isinstance(command, click.Group):
            found += _commands_below(command, f"{name} {each}")
    return found


def test_each_help_has_an_example(run: Run) -> None:
    commands = [("modelkeep", _commands.root), *_commands_below(_commands.root, "modelkeep")]
    assert len(commands) == 22
    for name, _ in commands:
        done = run(*name.split()[1:], "--help")
        assert (done.code, done.err) == (0, "")
        assert f"Example:\n    {name}" in done.out


def test_reading_stops(filled: Path, spawn: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in (["ls"], ["ls", "--json"], ["--help"], ["show", "digits/1.0"]):
        done = spawn(*arguments, stdout=writer)
        assert (done.code, done.err) == (141, "")
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_stdout_is_full(filled: Path, spawn: Run) -> None:
    with Path("/dev/full").open("w") as full:
        done = spawn("ls", stdout=full)
    assert (done.code, done.err) == (7, "modelkeep: No space left on device\n")


def test_stderr_is_full_or_gone(spawn: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert spawn("ls", "nope", stderr=writer).code == 3
    os.close(writer)


def test_an_interrupt_leaves_nothing(filled: Path, store: Path) -> None:
    (store / "slow.py").write_text(
        "import time, pathlib, modelkeep_local\n"
        "class Registry(modelkeep_local.Registry):\n"
        "    def pull(self, project, release):\n"
        "        pathlib.Path('begun').touch()\n"
        "        time.sleep(60)\n"
    )
    config = store / "modelkeep.toml"
    config.write_text(config.read_text().replace('"local"', '"slow:Registry"', 1))
    with subprocess.Popen(
        [sys.executable, "-m", "modelkeep", "pull", "digits/1.0", "-o", "back.4ml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(store)},
    ) as process:
        end = time.monotonic() + 30
        while not Path("begun").exists() and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")
    assert not [path for path in Path().iterdir() if "partial" in path.name or path.name == "back.4ml"]


#: Runs a command, then tells on stderr which modules were imported.
_TELLING = "import sys; from modelkeep._cli import main; main(sys.argv[1:]); sys.stderr.write(' '.join(sys.modules))"


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "-l", "digits/1.0"], ["show", "digits/1.0/1", "--json"]])
def test_nothing_is_imported_in_vain(filled: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-c", _TELLING, *arguments]
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stderr.split()
    assert "modelkeep._cli._browse" in imported
    assert not {name.partition(".")[0] for name in imported} & {"rich", "modelkeep_memory", "asyncio"}
    assert "modelkeep._cli._states" not in imported


def test_a_terminal_gets_a_table_with_heads(on_terminal: Callable[..., tuple[int, str]], filled: Path) -> None:
    code, shown = on_terminal("ls", "-l", "digits/1.0", raw=True, NO_COLOR="1")
    assert code == 0
    heads, first, _ = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()
    assert heads.split() == ["generation", "trained", "ordinal", "tuned", "score", "states"]
    assert first.split()[2] == "2024-05-01"
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)


def test_a_terminal_gets_no_heads_of_nothing(filled: Path, on_terminal: Callable[..., tuple[int, str]]) -> None:
    assert on_terminal("ls", "-l", "digits/1.1") == (0, "")


def test_markup_is_not_obeyed(
    on_terminal: Callable[..., tuple[int, str]], run: Run, filled: Path, states: list[Path]
) -> None:
    run("commit", "digits/1.1", states[0], "--ordinal", "[bold]x[/]")
    assert "[bold]x[/]" in on_terminal("show", "digits/1.1/1")[1]


def test_json_on_a_terminal_is_json(on_terminal: Callable[..., tuple[int, str]], filled: Path) -> None:
    assert on_terminal("ls", "--json")[1].startswith('{\n  "projects"')


def test_names_on_a_terminal_need_no_rich(
    on_terminal: Callable[..., tuple[int, str]], filled: Path, store: Path
) -> None:
    assert on_terminal("ls", **_without("rich", store)) == (0, "digits\n")


class _Terminal:
    """A stderr that is a terminal."""

    def __init__(self) -> None:
        self.shown = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.shown += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], _Terminal]:
    """Put a terminal in place of stderr; to be called by the test, since pytest sets stderr once more before that."""

    def terminal() -> _Terminal:
        shown = _Terminal()
        monkeypatch.setattr(sys, "stderr", shown)
        monkeypatch.setenv("TERM", "xterm")
        return shown

    return terminal


def test_a_large_commit_has_a_bar_on_stderr(
    run: Run, filled: Path, states: list[Path], terminal: Callable[[], _Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "_LARGE", 1)
    stderr = terminal()
    assert run("commit", "digits/1.1", *states).out == "digits/1.1/1\n"
    assert "commit" in stderr.shown


def test_a_long_get_has_a_bar_on_stderr(
    run: Run, filled: Path, terminal: Callable[[], _Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "_SOON", -1)
    monkeypatch.setattr(_states, "_CHUNK", 1000)
    stderr = terminal()
    assert run("get", "digits/1.0/1", "-o", "back").code == 0
    assert "get" in stderr.shown


@pytest.mark.parametrize("command", [("cp", "dev", "other"), ("verify",), ("cp", "dev", "other", "-j", "1")])
def test_a_long_copy_and_verification_have_a_bar_that_ends(
    run: Run,
    filled: Path,
    terminal: Callable[[], _Terminal],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setattr(_progress, "_SOON", -1)
    monkeypatch.setenv("COLUMNS", "200")
    stderr = terminal()
    assert run(*command).code == 0
    assert command[0][0] in stderr.shown
    # what is told at the end stands below it
    assert re.search(r"(copied|verified)[^\n]*\n\Z", stderr.shown)
    assert "0.0/" not in stderr.shown.splitlines()[-1]


def test_a_bar_tells_bytes_rate_and_time_left(
    filled: Path, store: Path, on_terminal: Callable[..., tuple[int, str]]
) -> None:
    (store / "slow.py").write_text(
        "import time, modelkeep_local\n"
        "class Registry(modelkeep_local.Registry):\n"
        "    def write(self, *arguments):\n"
        "        time.sleep(0.4)\n"
        "        super().write(*arguments)\n"
    )
    config = store / "modelkeep.toml"
    config.write_text(config.read_text() + '[registry.slow]\nprovider = "slow:Registry"\npath = "slow"\n')
    code, shown = on_terminal("cp", "dev", "slow", "-j", "1", PYTHONPATH=str(store))
    assert code == 0
    # so many KiB of so many, a rate, the time gone and the time left
    assert re.search(r"copy .*\d+\.\d/\d+\.\d KiB .*\d (KiB|bytes|kB)/s 0:00:0\d 0:00:0\d", shown)


def test_a_bar_has_no_colours_where_none_are_wanted(
    run: Run, filled: Path, terminal: Callable[[], _Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "_SOON", -1)
    monkeypatch.setenv("NO_COLOR", "1")
    stderr = terminal()
    assert run("cp", "dev", "other").code == 0
    assert "copy" in stderr.shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", stderr.shown)


def test_short_jobs_have_none(run: Run, filled: Path, states: list[Path], terminal: Callable[[], _Terminal]) -> None:
    stderr = terminal()
    assert run("commit", "digits/1.1", *states).code == 0
    assert run("get", "digits/1.1/1", "-o", "back").code == 0
    assert stderr.shown == ""


def _without(name: str, store: Path) -> dict[str, str]:
    """An environment in which a package can not be imported."""
    (store / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def find_spec(name, path=None, target=None):\n"
        f"    return None if name.partition('.')[0] == {name!r} else find(name, path, target)\n"
        "PathFinder.find_spec = find_spec\n"
    )
    return {"PYTHONPATH": str(store)}


def test_without_click(spawn: Run, store: Path) -> None:
    done = spawn("ls", env={**os.environ, **_without("click", store)})
    assert (done.code, done.out) == (8, "")
    assert done.err.splitlines() == [
        "modelkeep: the command line needs 'click'. Install it: pip install 'modelkeep[cli]'"
    ]


def test_without_rich(on_terminal: Callable[..., tuple[int, str]], filled: Path, store: Path, spawn: Run) -> None:
    variables = _without("rich", store)
    code, shown = on_terminal("ls", "-l", **variables)
    assert code == 8
    assert shown.startswith("modelkeep: ")
    assert "pip install 'modelkeep[cli]'" in shown
    for command in (["commit", "digits/1.1", "scaler.bin"], ["cp", "dev", "other"], ["verify"], ["tree"], ["doctor"]):
        code, shown = on_terminal(*command, **variables)
        assert code == 8
        assert "pip install 'modelkeep[cli]'" in shown
    assert spawn("ls", "digits/1.1", env={**os.environ, **variables}).out == ""


def test_names_that_are_not_unicode(filled: Path, spawn: Run) -> None:
    done = spawn("pull", "digits", "-o", b"\xff.4ml".decode(errors="surrogateescape"))
    assert (done.code, done.out, done.err) == (0, "\\udcff.4ml\n", "")
    assert Path(os.fsdecode(b"\xff.4ml")).exists()


def test_another_encoding(run: Run, filled: Path, states: list[Path], spawn: Run) -> None:
    run("commit", "digits/1.1", states[0], "--ordinal", "é")
    done = spawn("show", "digits/1.1/1", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.code, done.err) == (0, "")
    assert "training.ordinal\t\\xe9" in done.lines


def test_completion(spawn: Run) -> None:
    environment = {"_MODELKEEP_COMPLETE": "bash_complete", "COMP_WORDS": "modelkeep com", "COMP_CWORD": "1"}
    assert spawn(env={**os.environ, **environment}).lines == ["plain,commit", "plain,completion"]

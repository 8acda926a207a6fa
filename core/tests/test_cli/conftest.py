"""Runs the command line on a store of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelkeep import Manifest, Package, Project, Release
from modelkeep._cli import main

_CONFIG = """
[registry]
default = "dev"
[registry.dev]
provider = "local"
path = "registry"
sync = false
[registry.other]
provider = "local"
path = "elsewhere"
[inventory]
default = "dev"
[inventory.dev]
provider = "local"
path = "inventory"
sync = false
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds the registry and the inventory; nothing of the user's own is seen."""
    config = tmp_path / "store" / "modelkeep.toml"
    config.parent.mkdir()
    config.write_text(_CONFIG)
    for name in ("MODELKEEP_REGISTRY", "MODELKEEP_INVENTORY", "PYTHONUNBUFFERED", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODELKEEP_CONFIG", str(config))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return config.parent


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def spawn() -> Run:
    """Run a command in a process of its own; keywords are those of `subprocess.run`."""

    def spawn(*arguments: object, **options: Any) -> Outcome:
        command = [sys.executable, "-m", "modelkeep", *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        done = subprocess.run(command, check=False, text=True, timeout=60, **options)
        return Outcome(done.returncode, done.stdout or "", done.stderr or "")

    return spawn


@pytest.fixture
def folder() -> Callable[..., Path]:
    """Make the folder of a package."""

    def folder(name: str = "digits", version: str = "1.0") -> Path:
        path = Path(f"{name}-{version}")
        (path / "digits").mkdir(parents=True)
        (path / "digits" / "__init__.py").write_text("raise SystemExit('no code of a package runs')\n")
        (path / "digits" / "pipeline.py").write_text(f"VERSION = {version!r}\n")
        manifest = Manifest(Project.Key(name), Release.Key(version), "digits", {"pipeline": ".pipeline"})
        (path / "__modelkeep__.toml").write_text(manifest.dumps())
        return path

    return folder


@pytest.fixture
def package(folder: Callable[..., Path]) -> Callable[..., Path]:
    """Make the zip file of a package."""

    def package(name: str = "digits", version: str = "1.0") -> Path:
        source = folder(name, version)
        return Package.create(source, source.with_name(f"{source.name}.4ml")).path

    return package


@pytest.fixture
def states() -> list[Path]:
    """Three files, the second of which is empty."""
    content = {"scaler.bin": os.urandom(5000), "nothing.bin": b"", "model.bin": bytes(range(256)) * 500}
    for name, octets in content.items():
        Path(name).write_bytes(octets)
    return [Path(name) for name in content]


@pytest.fixture
def filled(run: Run, package: Callable[..., Path], states: list[Path]) -> Path:
    """A registry of `digits`: 1.0 with two generations, 1.1 without any. Returns its folder."""
    for version in ("1.0", "1.1"):
        assert run("push", package(version=version)).code == 0
    assert run("commit", "digits/1.0", *states, "--ordinal", "2024-05-01", "--score", "0.97").code == 0
    assert run("commit", "digits/1.0", states[0]).code == 0
    return Path(os.environ["MODELKEEP_CONFIG"]).parent / "registry" / "digits"


@pytest.fixture
def damaged(filled: Path) -> Path:
    """The same with a flipped bit in the tag of generation 1 and in the state of generation 2."""
    (state,) = (filled / "1.0" / "2").glob("*.bin")
    for path in (filled / "1.0" / "1" / "tag.toml", state):
        octets = bytearray(path.read_bytes())
        octets[len(octets) // 2] ^= 1
        path.write_bytes(octets)
    return filled


@pytest.fixture
def on_terminal() -> Callable[..., tuple[int, str]]:
    """Run a command on a terminal of 200 columns, where lines may be typed; gives its code and what it showed."""

    def on_terminal(*arguments: str, raw: bool = False, typed: str = "", **variables: str) -> tuple[int, str]:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **variables}
        main_end, other_end = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "modelkeep", *arguments],
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            env=environment,
        ) as process:
            os.close(other_end)
            os.write(main_end, typed.encode())
            shown = b""
            while True:
                try:
                    chunk = os.read(main_end, 65536)
                except OSError:  # how Linux tells that the other end is closed
                    break
                if not chunk:
                    break
                shown += chunk
        os.close(main_end)
        text = shown.decode().replace("\r\n", "\n")
        return process.returncode, text if raw else re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    return on_terminal

"""What the tests of the core share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

import modelkeep
from modelkeep import Manifest, Package, Registry

_FILES = {"pkg/__init__.py": "", "pkg/flow.py": "VALUE = 1\n"}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working folder, of which this is the latter; no setting of the user's own is seen."""
    for name in list(os.environ):
        if name.startswith(("MODELKEEP_", "XDG_")):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Package]:
    """Make a package of some files."""

    def pack(
        files: Mapping[str, str] = _FILES,
        *,
        name: str = "digits",
        version: str = "1.0",
        package: str = "pkg",
        modules: Mapping[str, str] | None = None,
        folder: bool = False,
    ) -> Package:
        source = tmp_path / "sources" / uuid4().hex
        source.mkdir(parents=True)
        manifest = Manifest(name, version, package, modules)
        for path, text in {**files, "__modelkeep__.toml": manifest.dumps()}.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text, "utf-8")
        return Package(source) if folder else Package.create(source, source.with_suffix(".4ml"))

    return pack


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry in memory, loaded by name."""
    return modelkeep.registry(provider="memory", name=uuid4().hex, staging=str(tmp_path / "staging"))


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., str]:
    """Run code in an interpreter of its own, in an empty home and working folder; returns what it printed."""
    home = tmp_path / "python"
    home.mkdir()
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("MODELKEEP_", "XDG_", "PYTHON"))
    }

    def python(code: str, *arguments: object, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            check=False,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            cwd=home,
            env={**environment, "HOME": str(home), **variables},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return python

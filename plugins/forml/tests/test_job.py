"""A real project, released, trained and served by ForML's own command line, on each backend by configuration alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import modelkeep

HERE = Path(__file__).parent
CONFIG = """
[LOGGING]
path = "{home}/forml.log"
[RUNNER]
default = "here"
[RUNNER.here]
provider = "dask"
scheduler = "{scheduler}"
[FEED]
default = "flowers"
[FEED.flowers]
provider = "monolite"
[FEED.flowers.inline]
"flowers_catalog:Flower" = [
    [1.0, 0.5, 0], [1.2, 0.4, 0], [1.1, 0.6, 0], [3.0, 2.0, 1], [3.2, 2.2, 1], [2.9, 1.9, 1]
]
[REGISTRY]
default = "prod"
[REGISTRY.prod]
{registry}
[INVENTORY]
default = "prod"
[INVENTORY.prod]
{inventory}
"""
POSIX = 'provider = "posix"\npath = "{path}"'
BACKEND = 'provider = "modelkeep_forml:{kind}"\nbackend = "{backend}"\npath = "{path}"'
NAME = 'provider = "modelkeep_forml:{kind}"\nname = "prod"'
OURS = """
[registry.prod]
provider = "{backend}"
path = "store"
staging = "staging"
[inventory.prod]
provider = "{backend}"
path = "store"
"""

Forml = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project of a user, and a home of ForML without a registry yet."""
    (tmp_path / "home").mkdir()
    (tmp_path / "wheels").mkdir()
    # ForML installs what a project depends on into its package; this needs no network
    with zipfile.ZipFile(tmp_path / "wheels" / "flowers_catalog-1.0-py3-none-any.whl", "w") as wheel:
        wheel.write(HERE / "catalog" / "flowers_catalog.py", "flowers_catalog.py")
        info = "flowers_catalog-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: flowers-catalog\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    for path in (HERE / "project").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = tmp_path / "project" / path.relative_to(HERE / "project")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return tmp_path / "home"


@pytest.fixture
def forml(home: Path, tmp_path: Path) -> Forml:
    """Run ForML's command line in the folder of the project."""
    environment = os.environ | {
        "FORML_HOME": str(home),
        "PYTHONPATH": str(HERE / "catalog"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "OMP_NUM_THREADS": "1",
    }
    # what a user has set must not matter
    for name in list(environment):
        if name.startswith("MODELKEEP_"):
            del environment[name]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from forml import setup; setup.cli()", *arguments],
            cwd=tmp_path / "project",
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        # some of its failures are told with a status of 0
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr, done.stderr
        return done.stdout

    return run


def configure(home: Path, section: str, scheduler: str = "synchronous", **values: object) -> None:
    """Write ForML's configuration: nothing else says where models are kept."""
    options = {kind: section.format(kind=kind.title(), **values) for kind in ("registry", "inventory")}
    (home / "config.toml").write_text(CONFIG.format(home=home, scheduler=scheduler, **options))


def words(text: str) -> list[str]:
    return text.split()


def test_on_each_backend(durable: str, home: Path, forml: Forml, tmp_path: Path) -> None:
    configure(home, BACKEND, backend=durable, path=tmp_path / "store")
    forml("project", "release")
    assert words(forml("model", "list", "flowers")) == ["1.0"]
    forml("model", "train", "flowers")
    forml("model", "train", "flowers")
    assert words(forml("model", "list", "flowers", "1.0")) == ["1", "2"]
    scores = [float(word) for word in words(forml("model", "apply", "flowers").replace("[", "").replace("]", ""))]
    assert [round(score) for score in scores] == [0, 0, 0, 1, 1, 1]
    forml("application", "put", "application.py")
    assert words(forml("application", "list")) == ["flowers"]
    # what ForML did is there for modelkeep
    directory = modelkeep.Directory(modelkeep.registry(provider=durable, path=tmp_path / "store"))
    generation = directory.get("flowers").get("1.0").get()
    assert generation.key == 2
    assert len(generation.list()) == 2
    assert all(generation.get(index) for index in range(2))
    # the log that ForML begins is where the configuration says
    assert list((tmp_path / "project").glob("*.log")) == []


def test_moving_to_another_backend(home: Path, forml: Forml, tmp_path: Path) -> None:
    """By name, in the processes of dask, after a beginning on ForML's own provider and one command."""
    configure(home, POSIX, path=tmp_path / "theirs")
    forml("project", "release")
    forml("model", "train", "flowers")
    before = forml("model", "apply", "flowers")
    (tmp_path / "project" / "modelkeep.toml").write_text(OURS.format(backend="lmdb"))
    command = [sys.executable, "-m", "modelkeep_forml", "migrate", str(tmp_path / "theirs"), "prod"]
    done = subprocess.run(command, cwd=tmp_path / "project", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "flowers/1.0: copied",
        "flowers/1.0/1: copied",
        "2 copied, 0 there already, 0 failed",
    ]
    configure(home, NAME, scheduler="processes")
    assert forml("model", "apply", "flowers", "1.0", "1") == before
    forml("model", "train", "flowers")
    assert words(forml("model", "list", "flowers", "1.0")) == ["1", "2"]
    # and on the folder that ForML began, in place
    configure(home, BACKEND, backend="local", path=tmp_path / "theirs")
    forml("model", "train", "flowers")
    configure(home, POSIX, path=tmp_path / "theirs")
    forml("model", "train", "flowers")
    assert words(forml("model", "list", "flowers", "1.0")) == ["1", "2", "3"]
    assert forml("model", "apply", "flowers", "1.0", "2") == before

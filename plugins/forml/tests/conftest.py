"""What the tests share: a home for ForML, the backends, a package of ForML."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

# before ForML is imported: it reads its configuration and begins its log right then
_HOME = Path(tempfile.mkdtemp(prefix="modelkeep-forml-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
(_HOME / "config.toml").write_text(f'[LOGGING]\npath = "{_HOME / "forml.log"}"\n')
os.environ["FORML_HOME"] = str(_HOME)

# ForML and what it stands on warn of their own affairs, and here a warning is an error
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import forml.provider.inventory.posix
    import forml.provider.registry.filesystem.posix  # noqa: F401
    from forml import project as prj

_INSTALLED = {entry.name for entry in entry_points(group="modelkeep.registry")}
#: The backends that outlive a process, of those that are installed.
DURABLE = [name for name in ("local", "lmdb", "archive") if name in _INSTALLED]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", [*DURABLE, "memory"])
    if "durable" in metafunc.fixturenames:
        metafunc.parametrize("durable", DURABLE)


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """The options of a backend: those of `modelkeep_forml.Registry` and `Inventory`."""

    def make(backend: str, place: str = "store") -> dict[str, Any]:
        if backend == "memory":
            return {"backend": backend, "name": f"{tmp_path}/{place}"}
        return {"backend": backend, "path": str(tmp_path / place)}

    return make


@pytest.fixture
def make_package(tmp_path: Path) -> Callable[..., prj.Package]:
    """Make a package as ForML does."""

    def make(version: str = "1.0", name: str = "toy", text: str = "LIMIT = 3\n") -> prj.Package:
        source = tmp_path / f"source-{name}-{version}"
        (source / "toy").mkdir(parents=True)
        (source / "toy" / "__init__.py").write_text("")
        (source / "toy" / "flow.py").write_text(text)
        (source / "toy" / "data.txt").write_text("some data")
        manifest = prj.Manifest(name, version, "toy", pipeline="toy.flow")
        return prj.Package.create(source, manifest, tmp_path / f"{name}-{version}.4ml")

    return make


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, object]]:
    """Tell all that is in a folder: names, bytes, modes and times."""

    def look(root: Path) -> dict[str, object]:
        return {
            str(path.relative_to(root)): (
                path.stat().st_mode,
                path.stat().st_mtime_ns,
                path.stat().st_ino,
                None if path.is_dir() else path.read_bytes(),
            )
            for path in sorted(root.rglob("*"))
        }

    return look

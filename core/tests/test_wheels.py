"""The distributions work as wheels, alone and together."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with `modelkeep[local]` alone, from wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    sources = [ROOT / "core", ROOT / "plugins" / "local"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder / "dist", *sources], check=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [*pip, "--python", python, "install", "--find-links", folder / "dist", "modelkeep[local]"], check=True
    )
    return python


def run(python: Path, code: str, home: Path) -> str:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("MODELKEEP_", "XDG_", "PYTHON"))
    }
    environment["HOME"] = str(home)
    done = subprocess.run(
        [python, "-W", "error", "-c", code], cwd=home, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


PUBLISH = """
import pathlib, modelkeep
source = pathlib.Path("source")
(source / "toy").mkdir(parents=True)
(source / "toy" / "__init__.py").write_text("")
package = modelkeep.Package.create(source, "toy.4ml", modelkeep.Manifest("toy", "1.0", "toy"))
release = modelkeep.Directory(modelkeep.registry()).get("toy").put(package)
release.put(modelkeep.Tag(states=[release.dump(b"state")]))
"""


def test_local_alone_keeps_what_another_process_reads(python: Path, tmp_path: Path) -> None:
    run(python, PUBLISH, tmp_path)
    read = "import modelkeep; print(modelkeep.Directory(modelkeep.registry()).get('toy').get().get().get(0))"
    assert run(python, read, tmp_path) == "b'state'"


def test_a_missing_plugin_names_its_extra(python: Path, tmp_path: Path) -> None:
    code = (
        "import modelkeep\ntry: modelkeep.registry(provider='lmdb')\nexcept modelkeep.UnsupportedError as e: print(e)"
    )
    assert "pip install 'modelkeep[lmdb]'" in run(python, code, tmp_path)


def test_the_command_names_its_extra(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python.with_name("modelkeep"), "ls"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.strip().splitlines() == [done.stderr.strip()]
    assert "pip install 'modelkeep[cli]'" in done.stderr


def test_types_are_shipped(python: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, modelkeep, modelkeep_local\n"
        "print([(pathlib.Path(m.__file__).parent / 'py.typed').exists() for m in (modelkeep, modelkeep_local)])"
    )
    assert run(python, code, tmp_path) == "[True, True]"


def test_all_have_the_version_of_the_core(python: Path, tmp_path: Path) -> None:
    code = (
        "import modelkeep; from importlib.metadata import version\n"
        "print({modelkeep.__version__, version('modelkeep'), version('modelkeep-local')})"
    )
    assert len(run(python, code, tmp_path).split(",")) == 1

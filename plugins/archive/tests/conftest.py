from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

import modelkeep
from modelkeep import Manifest, Package, Release
from modelkeep_archive._engine import Engine

PROJECT = "digits"


@pytest.fixture
def package(tmp_path: Path) -> Package:
    source = tmp_path / "source"
    (source / "digits").mkdir(parents=True)
    (source / "digits" / "__init__.py").write_text("")
    return Package.create(source, tmp_path / "digits.4ml", Manifest(PROJECT, "1.0.0", "digits"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models.tar.zst"


@pytest.fixture
def engine(path: Path) -> Engine:
    return Engine(path, sync=False)


@pytest.fixture
def release(path: Path, package: Package) -> Release:
    return opened(path).put(package)


def opened(path: Path, **options: object) -> modelkeep.Project:
    return modelkeep.Directory(modelkeep.registry(provider="archive", path=str(path), **options)).get(PROJECT)


def unpack(path: Path) -> dict[str, bytes]:
    """What Python's tarfile finds in an archive, links followed; the tools of the system have to agree."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
        content = reader.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        names = tar.getnames()
    if shutil.which("zstd"):
        run("zstd", "-qt", str(path))
        if shutil.which("tar"):
            assert run("tar", "--zstd", "-tf", str(path)).decode().split() == names
    return found


def run(*command: str) -> bytes:
    done = subprocess.run(command, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b""), f"{command}: {done.stderr!r}"
    return done.stdout


def sizes(path: Path, work: Callable[[], object]) -> tuple[int, int]:
    """The size of an archive before and after some work."""
    before = path.stat().st_size
    work()
    return before, path.stat().st_size

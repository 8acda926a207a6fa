"""ForML's own posix provider as a peer: in an environment of its own, through its own API."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from types import TracebackType
from typing import Self

_SERVE = """
import os, pathlib, sys, time, uuid, datetime
from forml.io import asset
from forml.provider.registry.filesystem import posix
registry = posix.Registry(path=sys.argv[1])
root = pathlib.Path(sys.argv[1])
project, release = asset.Project.Key("toy"), asset.Release.Key("1.0")
(root / "toy" / "1.0").mkdir(parents=True)
(root / "toy" / "1.0" / "package.4ml").write_bytes(b"")
print("ready", flush=True)
for number, line in enumerate(sys.stdin, 1):
    count, size = map(int, line.split())
    states = [os.urandom(size) for _ in range(count)]
    begin = time.perf_counter()
    sids = [uuid.uuid4() for _ in states]
    for sid, state in zip(sids, states):
        registry.write(project, release, sid, state)
    tag = asset.Tag(training=asset.Tag.Training(datetime.datetime.utcnow(), None), states=sids)
    registry.close(project, release, asset.Generation.Key(number), tag)
    print(time.perf_counter() - begin, flush=True)
"""


class Peer:
    """A process that commits with ForML when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    def start(cls, folder: Path) -> Self | None:
        """Make the environment unless it is there, and start the process; None, with a word, if that is not possible."""
        home = Path(tempfile.gettempdir()) / f"modelkeep-bench-forml-{sys.version_info.major}{sys.version_info.minor}"
        python = home / "bin" / "python"
        try:
            if not (home / "complete").exists():
                venv.create(home, with_pip=True, clear=True)
                subprocess.run([python, "-m", "pip", "install", "--quiet", "forml==0.93", "setuptools<81"], check=True)
                (home / "complete").touch()
            (folder / "config.toml").write_text(f'[LOGGING]\npath = "{folder}/forml.log"\n')
            process = subprocess.Popen(
                [python, "-W", "ignore", "-c", _SERVE, str(folder / "registry")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=folder,
                env={"FORML_HOME": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
            )
            assert process.stdout is not None
            if process.stdout.readline() == "ready\n":
                return cls(process)
            process.wait()
        except (OSError, subprocess.CalledProcessError) as error:
            sys.stdout.write(f"ForML can not be installed here, its figures are left out: {error}\n")
            return None
        sys.stdout.write("ForML does not run here, its figures are left out\n")
        return None

    def commit(self, count: int, size: int) -> float:
        """Commit a generation of random states; return the seconds it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count} {size}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

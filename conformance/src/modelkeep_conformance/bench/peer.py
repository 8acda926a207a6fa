"""What a user might take instead: in an environment of its own, driven through its own public API.

A peer is a script that reads one call a line, `name argument ...`, and answers with the seconds it took by its own
clock. It runs in a virtual environment that is made when it is first asked for, and kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from modelkeep_conformance.bench.measure import Skipped, Took

_HERE: Final = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to run a peer.

    Attributes:
        name: Its name.
        requirements: What pip installs.
        script: The module beside this one that it runs; it gets one argument, an empty folder.
        pythons: The versions of Python that it needs.
    """

    name: str
    requirements: tuple[str, ...]
    script: str
    pythons: tuple[str, ...]


FORML: Final = Recipe("forml-0.93", ("forml==0.93", "setuptools<81"), "forml.py", ("3.11", "3.12"))


class Peer:
    """A process of a peer, waiting for calls."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name, self._process = name, process

    @classmethod
    @contextlib.contextmanager
    def start(cls, recipe: Recipe, cache: Path, folder: Path) -> Iterator[Self]:
        """Run a peer for the length of a block.

        Args:
            recipe: Which.
            cache: Where its environment is kept.
            folder: An empty folder for what it stores.

        Raises:
            Skipped: It can not be installed, or does not run.
        """
        python = _environment(recipe, cache)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        # -P, since modules beside the script are named as packages of peers are
        with subprocess.Popen(
            [python, "-P", "-W", "ignore", str(_HERE / recipe.script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**kept, "HOME": str(folder)},
        ) as process:
            peer = cls(recipe.name, process)
            peer.answer()
            yield peer
            assert process.stdin is not None
            process.stdin.close()

    def call(self, name: str, *arguments: object) -> Took:
        """Let the peer do something; return the seconds it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, (name, *arguments))) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Took:
        """Wait for an answer.

        Raises:
            Skipped: There is none.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            return Took(line)
        except ValueError:
            self._process.kill()
            error = self._process.communicate()[1].strip().rpartition("\n")[2]
            raise Skipped(f"{self._name} does not run here: {error or line!r}") from None


def _environment(recipe: Recipe, cache: Path) -> Path:
    """Find the interpreter of a peer's environment; make it unless it is there."""
    version, base = _interpreter(recipe)
    home = cache / f"{recipe.name}-py{version}"
    python = home / "bin" / "python"
    made = home / "complete"
    if not made.exists():
        print(f"installing {recipe.name} into {home}", file=sys.stderr)
        for command in (
            [base, "-m", "venv", "--clear", str(home)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *recipe.requirements],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                error = done.stderr.strip().rpartition("\n")[2]
                raise Skipped(f"{recipe.name} can not be installed here: {error}")
        made.touch()
    return python


def _interpreter(recipe: Recipe) -> tuple[str, str]:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in (own, *recipe.pythons):
        found = sys.executable if version == own else shutil.which(f"python{version}")
        if version in recipe.pythons and found:
            return version, found
    raise Skipped(f"{recipe.name} needs Python {' or '.join(recipe.pythons)}, which is not here")

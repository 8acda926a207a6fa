"""What a user might take instead: in an environment of its own, driven through its own public API.

`stores.serve` runs in a virtual environment that is made when it is first asked for, and kept. It reads one call a
line, `name argument ...`, and answers with the seconds it took by its own clock. modelkeep runs in the same way, in
this environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from modelkeep_conformance.bench.measure import Skipped, Took

_STORES: Final = Path(__file__).parent / "stores"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to run a peer.

    Attributes:
        title: What people call it.
        store: The module of `stores` that drives it.
        durability: What of a commit is on disk when it returns.
        requirements: What pip installs, the peer itself first; nothing for what is in this environment.
        pythons: The versions of Python that it needs; any if there are none.
        options: What its store is given besides a folder.
        unsynced: What it is given too, to be filled before the clock runs.
    """

    title: str
    store: str
    durability: str
    requirements: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    unsynced: Mapping[str, Any] = dataclasses.field(default_factory=dict)


FORML: Final = Recipe("ForML", "forml", "syncs nothing", ("forml==0.93", "setuptools<81"), ("3.11", "3.12"))
MLFLOW: Final = Recipe(
    "MLflow",
    "mlflow",
    "SQLite syncs its commits, artifacts are not synced",
    ("mlflow==3.17.2",),
    ("3.11", "3.12", "3.13"),
    unsynced={"sync": False},
)
DISKCACHE: Final = Recipe("diskcache", "diskcache", "syncs no single commit", ("diskcache==5.6.3",))
BENTOML: Final = Recipe("BentoML", "bentoml", "syncs nothing", ("bentoml==1.4.40",), ("3.11", "3.12", "3.13"))


def ours(provider: str, **options: Any) -> Recipe:
    """Run modelkeep itself in the way of a peer."""
    return Recipe(
        provider, "ours", "syncs each commit", options={"provider": provider, **options}, unsynced={"sync": False}
    )


class Peer:
    """A process of a peer, waiting for calls."""

    def __init__(self, recipe: Recipe, process: subprocess.Popen[str], log: Path) -> None:
        self._title, self._process, self._log = recipe.title, process, log

    @classmethod
    @contextlib.contextmanager
    def start(cls, recipe: Recipe, cache: Path, folder: Path) -> Iterator[Self]:
        """Run a peer for the length of a block.

        Args:
            recipe: Which.
            cache: Where its environment is kept.
            folder: A folder of its own for what it stores.

        Raises:
            Skipped: It can not be installed, or does not run.
        """
        python = _environment(recipe, cache) if recipe.requirements else sys.executable
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        script = _STORES / f"{recipe.store}.py"
        log = folder / "errors.log"
        with (
            log.open("ab") as errors,
            # -P, since modules beside the script are named as packages of peers are
            subprocess.Popen(
                [
                    *(str(python), "-P", "-W", "ignore", str(_STORES / "serve.py"), str(script), str(folder)),
                    json.dumps(recipe.options),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env={**kept, "HOME": str(folder)},
            ) as process,
        ):
            peer = cls(recipe, process, log)
            try:
                peer._answer()
                yield peer
            finally:
                assert process.stdin is not None
                # it may have ended
                with contextlib.suppress(OSError):
                    process.stdin.close()

    def call(self, name: str, *arguments: object) -> Took:
        """Let the peer do something; return the seconds it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, (name, *arguments))) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Took:
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
            self._process.wait()
            error = self._log.read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise Skipped(f"{self._title} does not run here: {error or line!r}") from None


def _environment(recipe: Recipe, cache: Path) -> Path:
    """Find the interpreter of a peer's environment; make it unless it is there."""
    version, base = _interpreter(recipe)
    home = cache / f"{recipe.requirements[0].replace('==', '-')}-py{version}"
    python = home / "bin" / "python"
    made = home / "complete"
    if not made.exists():
        print(f"installing {recipe.title} into {home}", file=sys.stderr)
        for command in (
            [base, "-m", "venv", "--clear", str(home)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *recipe.requirements],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                error = done.stderr.strip().rpartition("\n")[2]
                raise Skipped(f"{recipe.title} can not be installed here: {error}")
        made.touch()
    return python


def _interpreter(recipe: Recipe) -> tuple[str, str]:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    pythons = recipe.pythons or (own,)
    for version in (own, *pythons):
        found = sys.executable if version == own else shutil.which(f"python{version}")
        if version in pythons and found:
            return version, found
    raise Skipped(f"{recipe.title} needs Python {' or '.join(recipe.pythons)}, which is not here")

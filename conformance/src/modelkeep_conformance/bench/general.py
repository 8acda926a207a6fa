"""What does not depend on a backend, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from modelkeep_conformance.bench.measure import ROUNDS, Figure, clock, single
from modelkeep_conformance.bench.place import Place, commit


def measure(place: Place) -> Iterator[Figure]:
    """Import, a cold command, small calls through the guard."""
    yield _over_bare("import modelkeep, over a bare interpreter", ["-c", "import modelkeep"], 40)
    with tempfile.TemporaryDirectory() as home:
        config = Path(home, "config.toml")
        config.write_text(f'[registry]\ndefault = "bench"\n[registry.bench]\nprovider = "local"\npath = "{home}/store"\n')
        environment = {**os.environ, "MODELKEEP_CONFIG": str(config), "HOME": home}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        release = place.release("local")
        commit(release, [b"state"])
        command = [sys.executable, "-m", "modelkeep", "ls"]
        times = [clock(lambda: _run(command, environment)) * 1e3 for _ in range(ROUNDS)]
        yield Figure("modelkeep ls, cold", sorted(times)[len(times) // 2], min(times), max(times), "ms", 200)
    release = place.release("memory")
    registry, project, key = release.registry, release.project, release.key
    commit(release, [b"state"])
    generation = release.get()
    sid = generation.list()[0]
    ids = iter([uuid4() for _ in range((ROUNDS + 1) * 1000)])

    def work() -> None:
        for _ in range(1000):
            registry.write(project, key, next(ids), b"small state")
            registry.read(project, key, generation.key, sid)

    yield single("memory: a small write and read", work, "us", 20, number=1000)


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, capture_output=True)


def _over_bare(name: str, arguments: list[str], target: float) -> Figure:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    bare, ours = [sys.executable, "-c", "pass"], [sys.executable, *arguments]
    _run(ours, environment)
    differences = [
        (clock(lambda: _run(ours, environment)) - clock(lambda: _run(bare, environment))) * 1e3 for _ in range(3 * ROUNDS)
    ]
    return Figure(name, sorted(differences)[len(differences) // 2], min(differences), max(differences), "ms", target)

"""Processes that train at once through ForML's own API: each training gets a generation of its own, none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forml import project as prj
from forml.io import asset

from modelkeep_forml import Registry

HERE = Path(__file__).parent
ROUNDS = 2
CONFIG = """
[LOGGING]
path = "{home}/forml.log"
[RUNNER]
default = "here"
[RUNNER.here]
provider = "dask"
scheduler = "synchronous"
[FEED]
default = "flowers"
[FEED.flowers]
provider = "monolite"
[FEED.flowers.inline]
"flowers_catalog:Flower" = [[1.0, 0.5, 0], [1.2, 0.4, 0], [3.0, 2.0, 1], [3.2, 2.2, 1]]
"""


def train_at_once(tmp_path: Path, provider: str, options: dict[str, Any], count: int) -> dict[int, list[str]]:
    """Run trainers, and tell what they were told to have committed."""
    homes = [tmp_path / f"home{number}" for number in range(count)]
    for home in homes:
        # each has its own: ForML's feed keeps its results there, in a cache that is not for several processes
        home.mkdir()
        (home / "config.toml").write_text(CONFIG.format(home=home))
    environment = os.environ | {"PYTHONPATH": str(HERE / "catalog"), "OMP_NUM_THREADS": "1"}
    argument = json.dumps({"provider": provider, "registry": options, "rounds": ROUNDS})
    with (tmp_path / "trainers.err").open("w") as errors:
        trainers = [
            subprocess.Popen(
                [sys.executable, HERE / "trainer.py", argument],
                cwd=tmp_path,
                env=environment | {"FORML_HOME": str(home)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            for home in homes
        ]
        try:
            for trainer in trainers:
                assert trainer.stdout is not None
                assert trainer.stdout.readline() == "ready\n", (tmp_path / "trainers.err").read_text()
            for trainer in trainers:
                assert trainer.stdin is not None
                trainer.stdin.write("go\n")
                trainer.stdin.flush()
            told = [trainer.communicate(timeout=120)[0] for trainer in trainers]
        finally:
            for trainer in trainers:
                trainer.kill()
                trainer.wait()
    assert [trainer.returncode for trainer in trainers] == [0] * count, (tmp_path / "trainers.err").read_text()
    acknowledged = [(int(number), texts) for each in told for number, texts in json.loads(each).items()]
    assert len(dict(acknowledged)) == len(acknowledged) == count * ROUNDS
    return dict(acknowledged)


@pytest.mark.parametrize("count", [2, 8])
def test_none_is_lost(durable: str, count: int, recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    options = recipe(durable) | {"staging": str(tmp_path / "staging")}
    registry = Registry(**options)
    project = asset.Directory(registry).get("flowers")
    for version in ("1.0", "1.1"):
        manifest = prj.Manifest("flowers", version, "flowers", pipeline="flowers.model")
        project.put(prj.Package.create(HERE / "project", manifest, tmp_path / f"flowers-{version}.4ml"))
    acknowledged = train_at_once(tmp_path, "modelkeep_forml:Registry", options, count)
    numbers = range(1, count * ROUNDS + 1)
    assert sorted(acknowledged) == list(numbers)
    seen = set()
    for version in ("1.0", "1.1"):
        release = project.get(version)
        assert list(release.list()) == list(numbers)
        for number in numbers:
            generation = release.get(number)
            states = [generation.get(sid) for sid in generation.tag.states]
            assert len(states) == 2
            assert all(states)
            seen.update(generation.tag.states)
            if version == "1.1":
                assert [state.decode() for state in states] == acknowledged[number]
    # no two of them share a state
    assert len(seen) == 2 * 2 * len(numbers)

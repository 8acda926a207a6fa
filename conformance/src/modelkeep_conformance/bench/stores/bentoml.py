"""BentoML's local model store. It syncs nothing."""

from __future__ import annotations

import os
from pathlib import Path

# no word to its makers while it is timed, and its folder beside the others
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["BENTOML_HOME"] = str(Path.cwd() / "bentoml")

import bentoml  # type: ignore[import-not-found]  # here it is not; its home comes first


class Store:
    """A model of the one store; each generation is a version."""

    def __init__(self, place: Path) -> None:
        self._name = place.name

    def commit(self, states: list[bytes]) -> None:
        """Create a version, its files in its folder."""
        with bentoml.models.create(self._name, metadata={"ordinal": 1, "score": 0.97}) as model:
            for number, state in enumerate(states):
                Path(model.path, f"{number}.bin").write_bytes(state)

    def list(self) -> int:
        """List the versions."""
        return len(bentoml.models.list(self._name))

    def load(self) -> bytes:
        """Get the latest version, and read a file of it."""
        return Path(bentoml.models.get(f"{self._name}:latest").path, "0.bin").read_bytes()

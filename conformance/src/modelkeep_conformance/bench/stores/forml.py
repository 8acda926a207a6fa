"""ForML's posix provider: the levels that its own runner uses. It syncs nothing."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

# importing ForML writes a log into the working folder unless its configuration says where
_HOME = Path.cwd() / "forml"
_HOME.mkdir(exist_ok=True)
(_HOME / "config.toml").write_text(f'[LOGGING]\npath = "{_HOME}/forml.log"\n', "utf-8")
os.environ["FORML_HOME"] = str(_HOME)

from forml.io import asset  # type: ignore[import-not-found]  # noqa: E402  # here it is not; its home comes first
from forml.provider.registry.filesystem import posix  # type: ignore[import-not-found]  # noqa: E402  # same


class Store:
    """A registry with one release."""

    def __init__(self, place: Path) -> None:
        # ForML caches by keys and takes all its registries for one, so the projects of two stores have two names
        self._name = place.name
        package = place / self._name / "1.0" / "package.4ml"
        if not package.exists():
            package.parent.mkdir(parents=True)
            package.touch()
        self._registry = posix.Registry(path=str(place))

    def commit(self, states: list[bytes]) -> None:
        """Dump each state, put a tag."""
        release = self._release()
        tag = asset.Tag(
            training=asset.Tag.Training(dt.datetime.utcnow(), 1),  # noqa: DTZ003  # its own way
            states=[release.dump(state) for state in states],
        )
        release.put(tag)

    def list(self) -> int:
        """List the generations of the release."""
        return len(self._release().list())

    def load(self) -> bytes:
        """Load as its documentation does."""
        found: bytes = self._release().get().get(0)
        return found

    def _release(self) -> Any:
        return asset.Directory(self._registry).get(self._name).get("1.0")

"""What the conformance suite needs to test this backend: SeaweedFS, or the server that MODELKEEP_TEST_S3 names."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from modelkeep.backend import seal
from modelkeep_conformance import Harness as Base
from modelkeep_conformance import Region, keyvalue_items
from modelkeep_object import _engine
from modelkeep_object._engine import Engine, _name
from modelkeep_object.testing import server
from modelkeep_object.testing.proxy import Fault, Proxy

#: No room is left for more than that, where there is none.
_ROOM = 64 << 10


@dataclasses.dataclass(frozen=True)
class _Object(Region):
    """An object as it lies in the bucket."""

    item: str
    engine: Engine
    key: str

    @property
    def name(self) -> str:  # type: ignore[override]  # a property will do
        return _name(self.key)

    def load(self) -> bytes:
        return self.engine.collectable().get(self.name) or b""

    def store(self, content: bytes) -> bool:
        self.engine.collectable().put(self.name, content)
        return True


def pack(harness: Harness, root: Path, file: Path) -> None:
    """Write a store into a tar.gz file as `Harness.golden` reads it: a member for each object."""
    store = harness.engine(root).collectable()
    with tarfile.open(file, "w:gz") as archive:
        for page in store.pages(""):
            for each in page:
                content = store.get(each.key) or b""
                member = tarfile.TarInfo(each.key)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


class Harness(Base):
    """All traits but files of this machine."""

    traits = frozenset({"durable", "multiprocess", "corruptible", "aliases", "collectable"})
    least_age = _engine.LEAST
    clock = timedelta(seconds=1)

    def __init__(self) -> None:
        self._full: Proxy | None = None

    def recipe(self, root: Path) -> dict[str, Any]:
        """A prefix for each folder."""
        at = server()
        options = at.options()
        if self._full:
            options["endpoint"] = self._full.endpoint
        prefix = "-".join(root.parts[-2:])
        return {"provider": "object", "url": f"s3://{at.bucket}/{prefix}", "options": options}

    def engine(self, root: Path) -> Engine:
        """The engine of a store."""
        recipe = self.recipe(root)
        return Engine(recipe["url"], options=recipe["options"])

    def regions(self, root: Path, project: str, version: str) -> list[Region]:
        """The objects."""
        engine = self.engine(root)
        return [_Object(item, engine, key) for key, item in keyvalue_items(engine, project, version).items()]

    def newer_format(self, root: Path) -> bool:
        """A marker of a version to come."""
        self.engine(root).replace("format", seal("format", b"2"))
        return True

    def golden(self, root: Path) -> Path:
        """What version 0.1 wrote and `pack` packed: a file for each object, put back into the bucket."""
        store = self.engine(root).collectable()
        with tarfile.open(Path(__file__).with_name("golden-1.tar.gz")) as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                store.put(member.name, content.read())
        return root

    def litter(self, root: Path) -> bool:
        """Objects that nobody would write."""
        engine = self.engine(root)
        for key in (".DS_Store", "release/.hidden/1", "release/alpha/x~", "application/a b"):
            engine.create(key, seal(key, b"{}"))
        for name in ("generation/alpha/1/.bak", "generation/alpha/1/0-1", "generation/alpha/1/12"):
            engine.collectable().put(name, b"{}")
        return True

    @contextlib.contextmanager
    def collecting(self, root: Path) -> Iterator[timedelta]:
        """Let objects of any age be collected, those of this very second included."""
        least = _engine.LEAST
        _engine.LEAST = timedelta(seconds=-2)  # type: ignore[misc]  # behind the API on purpose
        try:
            yield timedelta(0)
        finally:
            _engine.LEAST = least  # type: ignore[misc]  # same

    @contextlib.contextmanager
    def no_room(self, root: Path) -> Iterator[bool]:
        """Refuse larger bodies as Ceph does when a quota is reached."""

        def full(request: Any) -> Fault | None:
            return Fault(answer=403, code="QuotaExceeded") if request.size > _ROOM else None

        with server().proxy() as proxy, proxy.doing(full):
            self._full = proxy
            try:
                yield True
            finally:
                self._full = None

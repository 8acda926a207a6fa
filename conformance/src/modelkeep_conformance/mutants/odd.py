"""Backends that are odd, but owe nothing: the suite must not ask for more than the contract does."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from modelkeep_conformance import golden
from modelkeep_conformance.backends import MUTANT
from modelkeep_conformance.harness import FileRegion, Region
from modelkeep_conformance.mutants.define import Harness
from modelkeep_conformance.mutants.reference import SUFFIX, Engine, Inventory, Registry


class HashedEngine(Engine):
    """Files are named by hashes and lie in one folder, beside those of others; keys come in any order."""

    def path(self, key: str) -> Path:
        return Path(self.place, "values", hashlib.sha256(key.encode()).hexdigest() + SUFFIX)

    def get(self, key: str) -> bytes | None:
        content = super().get(key)
        return None if content is None else content[len(self.head(key)) :]

    @staticmethod
    def head(key: str) -> bytes:
        """What stands in a file before its value."""
        return f"{key}\n".encode()

    def put(self, key: str, value: memoryview) -> None:
        super().put(key, memoryview(self.head(key) + value))
        self.litter()

    def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        return super().create(key, self.head(key) + value, needs=needs, durable=durable)

    def replace(self, key: str, value: bytes) -> None:
        self.put(key, memoryview(value))

    def keys(self, prefix: str) -> list[str]:
        found = []
        for path in Path(self.place).glob(f"values/*{SUFFIX}"):
            with contextlib.suppress(OSError):
                found.append(path.read_bytes().partition(b"\n")[0].decode())
        found = [key for key in found if key.startswith(prefix)]
        random.shuffle(found)
        return found

    def litter(self) -> None:
        """As other programs do."""
        for name in (".DS_Store", "Thumbs.db", "value~"):
            Path(self.place, "values", name).touch()


class SlowEngine(Engine):
    """Every call takes its time, now more and now less."""

    @staticmethod
    def wait() -> None:
        """Let others go first."""
        time.sleep(random.choice((0, 0, 0.0005, 0.002)))  # no secret

    def get(self, key: str) -> bytes | None:
        self.wait()
        return super().get(key)

    @contextlib.contextmanager
    def staged(self, value: bytes | memoryview) -> Iterator[Path]:
        with super().staged(value) as path:
            self.wait()
            yield path
            self.wait()

    def keys(self, prefix: str) -> list[str]:
        self.wait()
        return super().keys(prefix)


class HashedRegistry(Registry):
    engine = HashedEngine


class HashedInventory(Inventory):
    engine = HashedEngine


class SlowRegistry(Registry):
    engine = SlowEngine


class SlowInventory(Inventory):
    engine = SlowEngine


class Odd(Harness):
    """Its levers are of its own engine."""

    def golden(self, root: Path) -> Path:
        """What it writes itself."""
        golden.fill(self, root)
        return root


class Hashed(Odd):
    """Files are found by the engine, and begin with keys."""

    engine = HashedEngine

    def regions(self, root: Path, project: str, version: str) -> Sequence[Region]:
        """The part of each file after the key."""
        return [
            FileRegion(region.item, region.path, len(region.path.read_bytes().partition(b"\n")[0]) + 1)
            for region in super().regions(root, project, version)
            if isinstance(region, FileRegion)
        ]


#: By their names.
HARNESSES: Final = {
    f"{MUTANT}odd-{name}-{kind}": harness(kind, f"{__name__}:{name.capitalize()}{kind.capitalize()}")
    for name, harness in (("hashed", Hashed), ("slow", Odd))
    for kind in ("registry", "inventory")
}

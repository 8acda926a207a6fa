"""Names that are listed though nobody gave them, or mixed up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modelkeep import MissingError, Package
from modelkeep._key import ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import mutant
from modelkeep_conformance.mutants.reference import Engine, Inventory, Registry


@mutant("K1", "a new store has a project that nobody pushed")
class Welcome(Registry):
    def projects(self) -> list[ProjectKey]:
        return super().projects() or [ProjectKey("default")]


@mutant("K1", "a new store has an application that nobody put")
class WelcomeApplication(Inventory):
    def list(self) -> list[Any]:
        return super().list() or ["default"]


@mutant("K1", "a lock file is made beside the folder of the store, whatever becomes of the call")
@mutant("K2", "a lock file is made beside the folder of the store")
class LockBeside(Registry):
    def projects(self) -> list[ProjectKey]:
        Path(f"{self._engine.place}.lock").touch()
        return super().projects()


@mutant("K2", "its own staging folder is listed as a project")
class StagingListed(Registry):
    def projects(self) -> list[Any]:
        folder = Path(self._engine.place)
        (folder / ".stage").mkdir(exist_ok=True)
        return [path.name for path in folder.iterdir() if path.name.startswith(".")] or super().projects()


@mutant("K2", "its own staging folder is listed as an application")
class StagingApplication(Inventory):
    def list(self) -> list[Any]:
        (Path(self._engine.place) / ".stage").mkdir(exist_ok=True)
        return sorted([*super().list(), *(path.name for path in Path(self._engine.place).iterdir() if path.is_dir())])


@mutant("K3", "file names are folded to lower case")
@mutant("K3", "file names are folded to lower case", kind="inventory")
@mutant("I6", "file names are folded to lower case", kind="inventory")
class FoldedCase(Engine):
    def path(self, key: str) -> Path:
        return super().path(key.lower())


@mutant("K3", "names are cut where a file system could find them too long")
@mutant("K3", "names are cut where a file system could find them too long", kind="inventory")
class CutNames(Engine):
    def path(self, key: str) -> Path:
        return super().path("/".join(part[:64] for part in key.split("/")))


@mutant("K3", "punctuation in names is normalised, as package indexes do")
@mutant("K3", "punctuation in names is normalised, as package indexes do", kind="inventory")
class Normalised(Engine):
    def path(self, key: str) -> Path:
        return super().path("/".join(re.sub(r"[-_.]+", "-", part) for part in key.split("/")))


@mutant("K3", "a prefix is scanned for without its slash")
class PrefixWithoutSlash(Engine):
    def keys(self, prefix: str) -> list[str]:
        top = prefix.partition("/")[0] + "/"
        return [key for key in super().keys(top) if key.startswith(prefix.removesuffix("/"))]


@mutant("K3", "the dots of versions are left out")
class DotsLeftOut(Engine):
    def path(self, key: str) -> Path:
        parts = key.split("/")
        return super().path("/".join([*parts[:2], *(part.replace(".", "") for part in parts[2:])]))


@mutant("K3", "local versions are cut off")
class LocalCutOff(Engine):
    def path(self, key: str) -> Path:
        return super().path("/".join(part.partition("+")[0] for part in key.split("/")))


@mutant("K3", "names are kept by a checksum that is too short")
class ShortChecksum(Engine):
    def path(self, key: str) -> Path:
        kind, *rest = key.split("/")
        if kind in ("release", "generation", "state", "application"):
            rest[0] = str(sum(rest[0].encode()) % 61)
        return super().path("/".join([kind, *rest]))


@mutant("K4", "states and generations are found only by the spelling that was pushed")
class SpelledReleases(Registry):
    def _released(self, project: ProjectKey, release: ReleaseKey) -> str:
        prefix = super()._released(project, release)
        if str(self._spelled(project, release)) != str(release):
            raise MissingError(f"{self!r} has no release {project}/{release}")
        return prefix


@mutant("K4", "versions are listed in their canonical spelling")
class CanonicalListing(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        return [ReleaseKey(each.canonical) for each in super().releases(project)]


@mutant("K4", "a version is pushed again under another spelling")
class PushedUnderAnotherSpelling(Registry):
    def push(self, package: Package) -> None:
        name, version = package.manifest.name, package.manifest.version
        stored = self._engine.path(f"release/{name}/{version.canonical}")
        if stored.exists() and str(self._spelled(name, version)) != str(version):
            stored.unlink()
        super().push(package)

"""Packages that change on their way, releases that change later, code that runs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from modelkeep import Artifact, ConflictError, InvalidError, MissingError, Package
from modelkeep._key import ProjectKey, ReleaseKey
from modelkeep_conformance.mutants.define import gap, mutant
from modelkeep_conformance.mutants.reference import Engine, Registry


@mutant("R1", "the modes of the files in a folder package are lost")
class ModesLost(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        package = super().pull(project, release)
        for path in package.path.rglob("*") if package.folder else ():
            path.chmod(0o755 if path.is_dir() else 0o644)
        return package


@mutant("R1", "empty folders of a folder package are lost")
class EmptyFoldersLost(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        package = super().pull(project, release)
        for path in [path for path in package.path.rglob("*") if path.is_dir() and not any(path.iterdir())]:
            path.rmdir()
        return package


@mutant("R1", "a folder package comes back as a zip")
class FoldersZipped(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        package = super().pull(project, release)
        return Package.create(package.path, f"{package.path}.zip") if package.folder else package


@mutant("R1", "a zip is packed anew, with equal members and other bytes")
class PackedAnew(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        package = super().pull(project, release)
        if not package.folder:
            with zipfile.ZipFile(package.path) as archive:
                members = [(info, archive.read(info)) for info in archive.infolist()]
            with zipfile.ZipFile(package.path, "w", zipfile.ZIP_STORED) as archive:
                for info, content in members:
                    archive.writestr(info, content, zipfile.ZIP_STORED)
        return package


@mutant("R1", "a file of more than 64 MiB is cut")
class LargeFilesCut(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        package = super().pull(project, release)
        for path in package.path.rglob("*"):
            if path.is_file() and path.stat().st_size > 64 << 20:
                with path.open("r+b") as file:
                    file.truncate(64 << 20)
        return package


@mutant("R2", "a version that is pushed again replaces the first")
class PushReplaces(Registry):
    def push(self, package: Package) -> None:
        manifest = package.manifest
        self._engine.path(f"release/{manifest.name}/{manifest.version.canonical}").unlink(missing_ok=True)
        super().push(package)


@mutant("R2", "an equal package may be pushed again")
class EqualPushAccepted(Registry):
    def push(self, package: Package) -> None:
        manifest = package.manifest
        with contextlib.suppress(MissingError):
            if self.pull(manifest.name, manifest.version).digest == package.digest:
                return
        super().push(package)


@mutant("R2", "a version below the highest is a conflict")
class OnlyHigherVersions(Registry):
    def push(self, package: Package) -> None:
        manifest = package.manifest
        with contextlib.suppress(MissingError):
            if self.releases(manifest.name)[-1] > manifest.version:
                raise ConflictError(f"{self!r}: {manifest.name}/{manifest.version} is not the highest version")
        super().push(package)


@mutant("R3", "whether a key exists is checked before, and not when it is made")
@mutant("X1", "whether a key exists is checked before, and not when it is made")
@mutant("X2", "whether a key exists is checked before, and not when it is made")
@mutant("X3", "whether a key exists is checked before, and not when it is made")
@mutant("X4", "whether a key exists is checked before, and not when it is made")
class CheckThenAct(Engine):
    def create(self, key: str, value: bytes, **_: Any) -> bool:
        if self.path(key).exists():
            return False
        gap()
        self.replace(key, value)
        return True


@mutant("R4", "a push reserves its version, and keeps it when it fails")
class ReservedForGood(Registry):
    def push(self, package: Package) -> None:
        manifest = package.manifest
        if not self._engine.create(f"reserved/{manifest.name}/{manifest.version.canonical}", b""):
            raise ConflictError(f"{self!r} has a release {manifest.name}/{manifest.version} already")
        super().push(package)


@mutant("R4", "a project is made before its first package is looked at")
@mutant("L4", "a project is made before its first package is looked at")
class ProjectBeforePackage(Registry):
    def push(self, package: Package) -> None:
        self._engine.create(f"project/{package.manifest.name}", b"")
        super().push(package)

    def projects(self) -> list[ProjectKey]:
        return sorted({ProjectKey(key.rpartition("/")[2]) for key in self._engine.keys("project/")})


@mutant("R5", "an unknown version is taken for the highest one that is there")
class NearestVersion(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        try:
            return super().pull(project, release)
        except MissingError:
            return super().pull(project, self.releases(project)[-1])


@mutant("R5", "an unknown release is said to be invalid")
class UnknownIsInvalid(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        try:
            return super().pull(project, release)
        except MissingError as error:
            raise InvalidError(str(error)) from error


@mutant("R6", "all callers of a handle get one and the same copy of a package")
class OneCopyForAll(Registry):
    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        copies = self.__dict__.setdefault("copies", {})
        if (project, release) not in copies:
            copies[project, release] = super().pull(project, release)
        package: Package = copies[project, release]
        return package


@mutant("R6", "a package is read where it was pushed from, as long as it is there")
class ReadAtItsSource(Registry):
    def push(self, package: Package) -> None:
        super().push(package)
        key = f"source/{package.manifest.name}/{package.manifest.version.canonical}"
        self._engine.create(key, str(package.path.absolute()).encode())

    def pull(self, project: ProjectKey, release: ReleaseKey) -> Package:
        source = Path((self._engine.get(f"source/{project}/{release.canonical}") or b"").decode())
        if source.is_file():
            return Package(source).copy(Path(tempfile.mkdtemp(), "copy"))
        return super().pull(project, release)


@mutant("R6", "what is installed is taken as it is, whoever edited it")
class InstalledIsTaken(Registry):
    def mount(self, project: ProjectKey, release: ReleaseKey) -> Artifact:
        package = self.pull(project, release)
        shared = self._mounts() / project / release.canonical
        return Artifact(shared, package.manifest) if shared.exists() else package.install(shared)


@mutant("R7", "what is mounted is kept by the name of the project")
class MountedByProject(Registry):
    def mount(self, project: ProjectKey, release: ReleaseKey) -> Artifact:
        mounted = self.__dict__.setdefault("mounted", {})
        if project not in mounted:
            mounted[project] = super().mount(project, release)
        artifact: Artifact = mounted[project]
        return artifact


@mutant("R7", "what is mounted is kept by the version")
class MountedByVersion(Registry):
    def mount(self, project: ProjectKey, release: ReleaseKey) -> Artifact:
        mounted = self.__dict__.setdefault("mounted", {})
        if release not in mounted:
            mounted[release] = super().mount(project, release)
        artifact: Artifact = mounted[release]
        return artifact


@mutant("R7", "a package is unpacked into the store for each mount")
class MountedInTheStore(Registry):
    def _mounts(self) -> Path:
        return Path(self._engine.place, ".mounts")


@mutant("R7", "who mounts removes what others are mounting")
class MountsOneAtATime(Registry):
    def mount(self, project: ProjectKey, release: ReleaseKey) -> Artifact:
        target = self._mounts() / "current"
        shutil.rmtree(target, ignore_errors=True)
        return self.pull(project, release).install(target)


@mutant("R8", "a package that is pushed is imported, to see whether that works")
class ImportedWhenPushed(Registry):
    def push(self, package: Package) -> None:
        with contextlib.suppress(Exception):
            package.install(Path(tempfile.mkdtemp(), "trial")).load("main")
        super().push(package)


@mutant("R8", "a package is imported when it is mounted")
class ImportedWhenMounted(Registry):
    def mount(self, project: ProjectKey, release: ReleaseKey) -> Artifact:
        artifact = super().mount(project, release)
        with contextlib.suppress(Exception):
            artifact.load("main")
        return artifact


@mutant("R8", "packages are imported when they are listed, for their description")
class ImportedWhenListed(Registry):
    def releases(self, project: ProjectKey) -> list[ReleaseKey]:
        found = super().releases(project)
        for each in found:
            with contextlib.suppress(Exception):
                self.mount(project, each).load("main")
        return found


@mutant("R8", "the manifest of an old package is run, to read it")
class ManifestRun(Registry):
    def push(self, package: Package) -> None:
        if not package.folder:
            with zipfile.ZipFile(package.path) as archive, contextlib.suppress(KeyError):
                exec(archive.read("__4ml__.py"), {})
        super().push(package)


@mutant("R1", "a package of more than eight megabytes loses its end")
class LargePackagesCut(Registry):
    def _verify(self, content: bytes | memoryview | None, name: str, what: str) -> None:
        if content is None or len(content) <= 8 << 20:
            super()._verify(content, name, what)

    def _keep(self, name: str, content: memoryview) -> None:
        super()._keep(name, content[: 8 << 20])

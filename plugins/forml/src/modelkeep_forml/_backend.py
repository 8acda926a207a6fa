"""The registry and the inventory, as ForML 0.93 sees them (forml/io/asset/_persistent.py)."""
# ForML has no type hints to be found, so that what is derived from it is of type Any
# mypy: disable-error-code="import-untyped,import-not-found,misc"

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import forml
from forml import application as appmod
from forml import project as prj
from forml import setup
from forml.io import asset

import modelkeep
from modelkeep_forml._errors import translated
from modelkeep_forml._tag import from_forml, to_forml

#: What ForML's own provider leaves out of a folder package.
_BYPRODUCT = "__pycache__"


class _Place:
    """What both share: they stand on a registry or inventory of modelkeep, and are equal by its place."""

    _inner: Any

    def __repr__(self) -> str:
        return repr(self._inner)

    def __eq__(self, other: object) -> bool:
        # by place: ForML caches tags, states and mounted packages by the equality of registries
        return bool(self._inner == other._inner) if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._inner)


class Registry(_Place, asset.Registry):
    """A registry of ForML that is any registry of modelkeep."""

    # ForML finds a provider by the module that the class says it is from, and the configuration names this one
    __module__ = "modelkeep_forml"

    def __init__(
        self,
        name: str | None = None,
        backend: str | None = None,
        staging: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        """Open a registry of modelkeep.

        Args:
            name: Its name in modelkeep's configuration, by default the default one there.
            backend: A provider of modelkeep, instead of a name: `local`, `lmdb` and so on, or `module:Class`.
            staging: A folder that every node which runs a project can reach, for mounting packages.
            **options: Options of the backend, such as `path`; they win over modelkeep's configuration.

        Raises:
            forml.MissingError: The configuration has no such name.
            forml.InvalidError: An option can't be right.
            forml.FailedError: The backend is not installed, or fails to open the place.
        """
        # ForML's own constructor is not called: it would make a temporary folder
        if staging is not None:
            options["staging"] = staging
        name, options = _resolved(name, backend, options)
        with translated():
            self._inner = modelkeep.registry(name, **options)

    def projects(self) -> list[asset.Project.Key]:
        with translated():
            return [asset.Project.Key(key) for key in self._inner.projects()]

    def releases(self, project: asset.Project.Key) -> list[asset.Release.Key]:
        try:
            with translated():
                return [asset.Release.Key(str(key)) for key in self._inner.releases(project)]
        except forml.MissingError:
            # to ForML, what is not there is an empty listing; its levels tell the user
            return []

    def generations(self, project: asset.Project.Key, release: asset.Release.Key) -> list[asset.Generation.Key]:
        try:
            with translated():
                return [asset.Generation.Key(key) for key in self._inner.generations(project, str(release))]
        except forml.MissingError:
            return []

    def push(self, package: prj.Package) -> None:
        """Publish a package, file or folder.

        Raises:
            asset.Level.Invalid: The release exists, and releases never change; or modelkeep refuses the package.
        """
        if not package.path.is_dir():
            self._push(package, package.path)
            return
        with tempfile.TemporaryDirectory(prefix="modelkeep-forml-") as folder:
            copy = Path(folder, package.path.name)
            # links are followed, as by ForML's own provider
            shutil.copytree(package.path, copy, ignore=lambda *_: {_BYPRODUCT})
            self._push(package, copy)

    def _push(self, package: prj.Package, path: Path) -> None:
        with translated():
            ours = modelkeep.Package(path)
            found, wanted = ours.manifest, package.manifest
            # ForML runs the manifest, modelkeep reads its literals; nothing must be published under another name
            if found.name != wanted.name or found.version != modelkeep.Release.Key(str(wanted.version)):
                raise modelkeep.InvalidError(
                    f"The manifest of {package.path} says {found.name}-{found.version} when it is read, and {wanted} "
                    "when it is run"
                )
            self._inner.push(ours)

    def pull(self, project: asset.Project.Key, release: asset.Release.Key) -> prj.Package:
        """Get a private copy of a package, which exists until the process exits. No code of it runs."""
        with translated():
            package = self._inner.pull(project, str(release))
        # made of its parts, as calling the class would run the manifest
        return prj.Package._make((package.path.resolve(), _manifest(package.manifest)))

    def mount(self, project: asset.Project.Key, release: asset.Release.Key) -> prj.Artifact:
        """Install a package below the staging folder.

        The name of an installation has the digest of the package: what another package of that name and version
        left in the staging folder is never taken for this one, and racing mounts do not disturb each other.
        """
        with translated():
            artifact = self._inner.mount(project, str(release))
        # on the search path, as after an installation by ForML
        setup.search(artifact.path)
        manifest = _manifest(artifact.manifest)
        return prj.Artifact(artifact.path, manifest.package, **manifest.modules)

    def write(self, project: asset.Project.Key, release: asset.Release.Key, sid: UUID, state: bytes) -> None:
        with translated(asset.Level.Invalid):
            self._inner.write(project, str(release), sid, state)

    def read(
        self,
        project: asset.Project.Key,
        release: asset.Release.Key,
        generation: asset.Generation.Key,
        sid: UUID,
    ) -> bytes:
        with translated(asset.Level.Invalid):
            state: bytes = self._inner.read(project, str(release), int(generation), sid)
            return state

    def open(
        self, project: asset.Project.Key, release: asset.Release.Key, generation: asset.Generation.Key
    ) -> asset.Tag:
        with translated(asset.Level.Listing.Empty):
            return to_forml(self._inner.open(project, str(release), int(generation)))

    def close(
        self,
        project: asset.Project.Key,
        release: asset.Release.Key,
        generation: asset.Generation.Key,
        tag: asset.Tag,
    ) -> None:
        """Commit a generation under a given number.

        Raises:
            asset.Level.Invalid: The number is taken, or a state was not written; what was written may be committed
                later. (`asset.Release.put` takes a free number.)
        """
        with translated(asset.Level.Invalid):
            self._inner.close(project, str(release), int(generation), from_forml(tag))

    def commit(self, project: asset.Project.Key, release: asset.Release.Key, tag: asset.Tag) -> asset.Generation.Key:
        """Commit a generation under the next free number, and tell which one that was.

        Raises:
            asset.Level.Invalid: A state was not written.
        """
        with translated(asset.Level.Invalid):
            level = modelkeep.Directory(self._inner).get(project).get(str(release))
            return asset.Generation.Key(level.put(from_forml(tag)).key)


class Inventory(_Place, asset.Inventory):
    """An inventory of ForML that is any inventory of modelkeep."""

    # see Registry
    __module__ = "modelkeep_forml"

    def __init__(self, name: str | None = None, backend: str | None = None, **options: Any) -> None:
        """Open an inventory of modelkeep; arguments and errors are those of `Registry`."""
        name, options = _resolved(name, backend, options)
        with translated():
            self._inner = modelkeep.inventory(name, **options)

    def list(self) -> tuple[str, ...]:
        with translated():
            return tuple(map(str, self._inner.list()))

    def get(self, application: str) -> appmod.Descriptor:
        """Get a descriptor: its module is run, in the way that ForML runs one."""
        with translated():
            found = self._inner.get(application)
        # one folder for each content, so that neither a replaced descriptor nor its byte code is met again
        folder = Path(asset.TMPDIR, "modelkeep", found.digest.rpartition(":")[2])
        # named as the application is; a dot would make ForML look for a package
        module = folder / f"{found.name.replace('.', '_')}.py"
        if not module.exists():
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f"{uuid4().hex}.partial"
            partial.write_bytes(found.source)
            partial.replace(module)
        return appmod.Descriptor.Handle(module).descriptor

    def put(self, descriptor: appmod.Descriptor.Handle) -> None:
        """Publish a descriptor under the name that it has for ForML; an earlier one is replaced atomically."""
        with translated():
            self._inner.put(modelkeep.Descriptor.Handle(descriptor.path, descriptor.descriptor.name))


def _resolved(name: str | None, backend: str | None, options: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Turn the options of ForML's configuration into the arguments of `modelkeep.registry` and `modelkeep.inventory`.

    ForML keeps the key `provider` for itself, so that a backend is named by `backend`; beside it, `name` is an option
    of the backend like others.
    """
    if backend is None:
        return name, options
    return None, {"provider": backend, **({} if name is None else {"name": name}), **options}


def _manifest(manifest: modelkeep.Manifest) -> prj.Manifest:
    """A manifest as ForML has them; its modules have absolute names there."""
    modules = {
        component: f"{manifest.package}{module}" if module.startswith(".") else module
        for component, module in manifest.modules.items()
    }
    return prj.Manifest(str(manifest.name), str(manifest.version), manifest.package, **modules)


_put = asset.Release.put


def _put_next(release: asset.Release, tag: asset.Tag) -> asset.Generation:
    """Commit a new generation described by its tag.

    ForML's own method lists the generations, takes the next number and closes it. Of trainers that do so at once, with
    its own provider the last one silently replaces the others; on a registry of ours the others would fail. Neither the
    listing nor `close` can give them another number, since ForML goes on with the one that it has counted itself. So
    for registries of ours, and for no others, the number is allocated where the race is seen.
    """
    registry = release.registry
    if not isinstance(registry, Registry):
        return _put(release, tag)
    return release.get(registry.commit(release.project.key, release.key, tag))


asset.Release.put = _put_next

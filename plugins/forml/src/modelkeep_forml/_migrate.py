"""Copying a registry or inventory into another one, digests and numbering kept."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import modelkeep
from modelkeep import ConflictError, Descriptor, Generation, MissingError, Project, Registry, Release
from modelkeep.backend import digest, discard
from modelkeep_forml._where import Where, opened_inventory, opened_registry


@dataclasses.dataclass(frozen=True)
class Step:
    """What became of one release, generation or application.

    Attributes:
        key: `project/release`, `project/release/generation` or the name of an application.
        outcome: It was `copied`, it was `there` already and is the same, or it `failed`.
        reason: Why it failed.
    """

    key: str
    outcome: Literal["copied", "there", "failed"]
    reason: str = ""


def migrate(
    source: Where | modelkeep.Registry,
    target: Where | modelkeep.Registry,
    *,
    verify: bool = False,
    report: Callable[[Step], object] | None = None,
) -> list[Step]:
    """Copy all releases and generations of a registry into another one, under the same numbers.

    Nothing is written to the source. What is in the target already and is the same is left alone, so that an
    interrupted migration goes on when it is called again. What can't be copied does not keep the rest from it.

    Args:
        source: A folder of ForML, `BACKEND:PATH`, a name of modelkeep's configuration, or a registry.
        target: The same.
        verify: Read back what is in the target and compare digests, also of what was there already.
        report: Is told each step as it is done.

    Returns:
        All steps.

    Raises:
        modelkeep.Error: The source or the target can't be opened, or the source can't be listed.
    """
    old, new = opened_registry(source, existing=True), opened_registry(target)
    steps = _Steps(report)
    for project in old.projects():
        for release in old.releases(project):
            place = f"{project}/{release}"
            if not steps.done(place, functools.partial(_release, old, new, project, release)):
                # its generations would have no release to belong to
                continue
            for number in old.generations(project, release):
                copy = functools.partial(_generation, old, new, project, release, number, verify=verify)
                steps.done(f"{place}/{number}", copy)
    return steps.all


def migrate_inventory(
    source: Where | modelkeep.Inventory,
    target: Where | modelkeep.Inventory,
    *,
    report: Callable[[Step], object] | None = None,
) -> list[Step]:
    """Copy all applications of an inventory into another one; the arguments are those of `migrate`.

    An application that the target has with another source is replaced: that is what putting one means.
    """
    old, new = opened_inventory(source, existing=True), opened_inventory(target)
    steps = _Steps(report)
    for name in old.list():
        steps.done(name, functools.partial(_application, old, new, name))
    return steps.all


class _Steps:
    """Takes steps, notes what became of each, and tells it."""

    def __init__(self, report: Callable[[Step], object] | None) -> None:
        self.all: list[Step] = []
        self._report = report

    def done(self, key: str, copy: Callable[[], bool]) -> bool:
        """Take a step; False if it failed."""
        try:
            step = Step(key, "copied" if copy() else "there")
        except modelkeep.Error as error:
            step = Step(key, "failed", str(error))
        self.all.append(step)
        if self._report is not None:
            self._report(step)
        return step.outcome != "failed"


def _release(old: Registry, new: Registry, project: Project.Key, release: Release.Key) -> bool:
    with _pulled(old, project, release) as package:
        manifest = package.manifest
        if (manifest.name, manifest.version) != (project, release):
            raise modelkeep.InvalidError(
                f"{old!r}: the package of {project}/{release} says that it is {manifest.name}/{manifest.version}"
            )
        if not _has(new, project, release):
            new.push(package)
            return True
        with _pulled(new, project, release) as there:
            if there.digest != package.digest:
                raise ConflictError(
                    f"{new!r} has another package of {project}/{release} already; migrate into an empty place"
                )
    return False


def _has(registry: Registry, project: Project.Key, release: Release.Key) -> bool:
    try:
        return release in registry.releases(project)
    except MissingError:
        return False


@contextlib.contextmanager
def _pulled(registry: Registry, project: Project.Key, release: Release.Key) -> Iterator[modelkeep.Package]:
    """Pull a package for a moment: copies of a thousand of them would wait for the process to exit."""
    package = registry.pull(project, release)
    try:
        yield package
    finally:
        discard(package.path)


def _generation(
    old: Registry,
    new: Registry,
    project: Project.Key,
    release: Release.Key,
    number: Generation.Key,
    *,
    verify: bool,
) -> bool:
    tag = old.open(project, release, number)
    try:
        there = new.open(project, release, number)
    except MissingError:
        there = None
    if there is None:
        for sid in dict.fromkeys(tag.states):
            with old.view(project, release, number, sid) as state:
                new.write(project, release, sid, state)
        new.close(project, release, number, tag)
    elif there != tag:
        raise ConflictError(
            f"{new!r} has another generation {project}/{release}/{number} already; migrate into an empty place"
        )
    if verify:
        for sid in dict.fromkeys(tag.states):
            with (
                old.view(project, release, number, sid) as state,
                new.view(project, release, number, sid) as copy,
            ):
                if digest(state) != digest(copy):
                    raise ConflictError(f"{new!r} has other bytes of state {sid} of {project}/{release}/{number}")
    return there is None


def _application(old: modelkeep.Inventory, new: modelkeep.Inventory, name: str) -> bool:
    key = Descriptor.Key(name)
    descriptor = old.get(key)
    with contextlib.suppress(MissingError):
        if new.get(key) == descriptor:
            return False
    with tempfile.TemporaryDirectory(prefix="modelkeep-forml-") as folder:
        module = Path(folder, "descriptor.py")
        module.write_bytes(descriptor.source)
        new.put(Descriptor.Handle(module, name))
    return True

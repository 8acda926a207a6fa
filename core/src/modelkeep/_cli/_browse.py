"""Looking at what a registry holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from modelkeep._cli._output import Table, emit, moment
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, json_option, registry_option
from modelkeep._directory import Directory, Generation, Project, Release
from modelkeep._errors import CorruptedError
from modelkeep._tag import Tag


@click.command()
@click.argument("ref", type=RefType(), required=False)
@click.option("-l", "--long", is_flag=True, help="Tell more of each item; this reads more of the registry, too.")
@json_option
@registry_option
@click.pass_obj
def ls(session: Session, ref: Ref | None, *, long: bool) -> None:
    """List what is in a registry, or below REF.

    Those are projects, releases of a project, generations of a release, or states of a generation.

    \b
    The columns, and what --long adds:
      project     number of releases, latest release
      release     number of generations, latest generation
      generation  trained, ordinal, tuned, score, number of states
      index, sid  size of the state in bytes

    \b
    Example:
      modelkeep ls digits
      modelkeep ls -l digits/latest
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    listing = _listing(session.directory(), ref, long=long)
    columns = listing.columns if long else listing.columns[: listing.short]
    documents = [item.document for item in listing.items]
    emit(session, {**listing.place, listing.what: documents}, Table(columns, [item.row for item in listing.items]))
    # last, because one damaged item must not hide its siblings
    if damages := [item.document["error"] for item in listing.items if "error" in item.document]:
        raise CorruptedError("\n".join(damages))


@click.command()
@click.argument("ref", type=RefType())
@json_option
@registry_option
@click.pass_obj
def show(session: Session, ref: Ref) -> None:
    """Tell all about a project, release or generation.

    Of a release that includes its manifest, for which its package is pulled.

    \b
    Example:
      modelkeep show digits/latest
      modelkeep show --json digits/1.0/3
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    directory = session.directory()
    details: dict[str, Any]
    match ref.depth:
        case 1:
            details = _of_project(ref.project(directory))
        case 2:
            details = _of_package(ref.release(directory))
        case _:
            generation = ref.generation(directory)
            tag = generation.tag
            details = {**_place(generation), **_of_tag(tag), "states": tag.states}
    emit(session, details, Table(("", ""), list(_lines(details))))


@dataclasses.dataclass(frozen=True)
class _Item:
    """An item of a listing, for programs and for people."""

    document: dict[str, Any]
    row: tuple[object, ...]


@dataclasses.dataclass(frozen=True)
class _Listing:
    """What is below a reference.

    Attributes:
        what: What the items are.
        place: The reference, resolved.
        columns: The heads of a long listing.
        items: The items.
        short: How many columns a short listing has.
    """

    what: str
    place: Mapping[str, object]
    columns: tuple[str, ...]
    items: list[_Item]
    short: int = 1


def _listing(directory: Directory, ref: Ref | None, *, long: bool) -> _Listing:
    if ref is None:
        columns: tuple[str, ...] = ("project", "releases", "latest")
        items = [_project(directory.get(key), long=long) for key in directory.list()]
        return _Listing("projects", {}, columns, items)
    if ref.depth == 1:
        project = ref.project(directory)
        columns = ("release", "generations", "latest")
        items = [_release(project.get(key), long=long) for key in project.list()]
        return _Listing("releases", {"project": project.key}, columns, items)
    if ref.depth == 2:  # noqa: PLR2004  # project/release
        release = ref.release(directory)
        columns = ("generation", "trained", "ordinal", "tuned", "score", "states")
        items = [_generation(release.get(key), long=long) for key in release.list()]
        return _Listing("generations", {"project": release.project, "release": release.key}, columns, items)
    generation = ref.generation(directory)
    columns = ("index", "sid", "size")
    return _Listing("states", _place(generation), columns, list(_states(generation, long=long)), short=2)


def _item(document: dict[str, Any], describe: Callable[[], _Item], *, long: bool) -> _Item:
    """Describe an item by its name, and in a long listing by what else there is, unless that is damaged."""
    names = tuple(document.values())
    if not long:
        return _Item(document, names)
    try:
        described = describe()
    except CorruptedError as error:
        return _Item({**document, "error": str(error)}, (*names, "damaged"))
    return _Item({**document, **described.document}, (*names, *described.row))


def _project(project: Project, *, long: bool) -> _Item:
    def describe() -> _Item:
        details = _of_project(project)
        return _Item(details, (details["releases"], details["latest"]))

    return _item({"project": project.key}, describe, long=long)


def _release(release: Release, *, long: bool) -> _Item:
    def describe() -> _Item:
        details = _of_generations(release)
        return _Item(details, (details["generations"], details["latest"]))

    return _item({"release": release.key}, describe, long=long)


def _generation(generation: Generation, *, long: bool) -> _Item:
    def describe() -> _Item:
        tag = generation.tag
        training, tuning = tag.training, tag.tuning
        row = (moment(training.timestamp), training.ordinal, moment(tuning.timestamp), tuning.score, len(tag.states))
        return _Item({**_of_tag(tag), "states": len(tag.states)}, row)

    return _item({"generation": generation.key}, describe, long=long)


def _states(generation: Generation, *, long: bool) -> Iterator[_Item]:
    for index, sid in enumerate(generation.list()):

        def describe(index: int = index) -> _Item:
            with generation.view(index) as view:
                return _Item({"size": view.nbytes}, (view.nbytes,))

        yield _item({"index": index, "sid": sid}, describe, long=long)


def _of_project(project: Project) -> dict[str, Any]:
    releases = project.list()
    return {"project": project.key, "releases": len(releases), "latest": releases[-1] if releases else None}


def _of_generations(release: Release) -> dict[str, Any]:
    generations = release.list()
    return {"generations": len(generations), "latest": generations[-1] if generations else None}


def _of_package(release: Release) -> dict[str, Any]:
    package = release.package()
    manifest = package.manifest
    return {
        "project": manifest.name,
        "release": manifest.version,
        "package": manifest.package,
        "modules": manifest.modules,
        "kind": "folder" if package.folder else "file",
        "digest": package.digest,
        **_of_generations(release),
    }


def _of_tag(tag: Tag) -> dict[str, Any]:
    return {"training": vars(tag.training), "tuning": vars(tag.tuning)}


def _place(generation: Generation) -> dict[str, object]:
    return {"project": generation.project, "release": generation.release, "generation": generation.key}


def _lines(details: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Lay nested details out as lines of a name and a value."""
    for name, value in details.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            yield from ((f"{prefix}{name}.{index}", each) for index, each in enumerate(value))
        else:
            yield f"{prefix}{name}", value

"""Showing releases and generations as a tree."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import click

from modelkeep._cli._output import Table, drawable, emit, moment
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, json_option, registry_option
from modelkeep._directory import Generation, Project, Release
from modelkeep._errors import CorruptedError, Error
from modelkeep._work import Level, crew, ordered, pulled, walk

#: How many tags are read at once.
_THREADS: Final = 4


@click.command()
@click.argument("ref", type=RefType(1, 2), required=False)
@click.option("-s", "--sizes", is_flag=True, help="Tell sizes; for that all packages and states are read and verified.")
@json_option
@registry_option
@click.pass_obj
def tree(session: Session, ref: Ref | None, *, sizes: bool) -> None:
    """Show releases and generations as a tree.

    Those of all projects, or of REF.

    \b
    The columns:
      name (where stdout is no terminal, the whole reference), trained, score, number of states,
      and with --sizes the bytes of the package of a release, and of all states of a generation

    \b
    Example:
      modelkeep tree
      modelkeep tree digits --sizes
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    directory = session.directory()
    projects = _projects(ref.level(directory) if ref else directory, sizes=sizes)
    columns = ("name", "trained", "score", "states", "size")[: None if sizes else -1]
    rows = [row[: len(columns)] for row in (_drawn(projects) if sys.stdout.isatty() else _flat(projects))]
    emit(session, {"projects": projects}, Table(columns, rows))
    # last, because one damaged item must not hide its siblings
    if damages := list(_errors(projects)):
        raise CorruptedError("\n".join(damages))


def described(
    top: Level, failed: Callable[[Level, Error], object], *, sizes: bool = False
) -> Iterator[tuple[Release | Generation, dict[str, Any]]]:
    """Find the releases and generations at and below a level, each with what is to be told of it.

    Args:
        top: The level.
        failed: Is told a level below it that can not be listed.
        sizes: Whether to tell sizes.
    """

    def fail(level: Level, error: Error) -> None:
        if level is top or not isinstance(error, CorruptedError):
            raise error
        failed(level, error)

    def describe(level: Release | Generation) -> dict[str, Any]:
        try:
            return _of_release(level, sizes) if isinstance(level, Release) else _of_generation(level, sizes)
        except CorruptedError as error:
            return {"error": str(error)}

    with crew(_THREADS) as pool:
        yield from ordered(pool, describe, walk(top, fail), 2 * _THREADS)


def _of_release(release: Release, sizes: bool) -> dict[str, Any]:
    if not sizes:
        return {}
    with pulled(release) as package:
        return {"size": package.size}


def _of_generation(generation: Generation, sizes: bool) -> dict[str, Any]:
    tag = generation.tag
    details: dict[str, Any] = {"training": vars(tag.training), "tuning": vars(tag.tuning), "states": len(tag.states)}
    if sizes:
        details["size"] = 0
        for sid in dict.fromkeys(tag.states):
            with generation.view(sid) as view:
                details["size"] += view.nbytes
    return details


def _projects(top: Level, *, sizes: bool) -> list[dict[str, Any]]:
    """The tree as a document: projects, their releases, and the generations of those."""
    projects: dict[str, dict[str, Any]] = {}

    def project(name: str) -> dict[str, Any]:
        return projects.setdefault(name, {"project": name, "releases": {}})

    def failed(level: Level, error: Error) -> None:
        match level:
            case Project():
                project(level.key)["error"] = str(error)
            case Release():
                project(level.project)["releases"].setdefault(level.key, {})["error"] = str(error)

    for level, details in described(top, failed, sizes=sizes):
        releases = project(level.project)["releases"]
        if isinstance(level, Release):
            known = releases.get(level.key, {})
            releases[level.key] = {"release": level.key, **details, **known, "generations": []}
        else:
            releases[level.release]["generations"].append({"generation": level.key, **details})
    return [{**each, "releases": list(each["releases"].values())} for _, each in sorted(projects.items())]


def _below(node: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.get("releases", node.get("generations", []))
    return found


def _cells(node: dict[str, Any]) -> tuple[object, ...]:
    if "error" in node:
        return ("damaged", None, None, None)
    training, tuning = node.get("training", {}), node.get("tuning", {})
    return moment(training.get("timestamp")), tuning.get("score"), node.get("states"), node.get("size")


def _name(node: dict[str, Any]) -> str:
    return str(next(iter(node.values())))


def _flat(nodes: list[dict[str, Any]], above: str = "") -> Iterator[tuple[object, ...]]:
    for node in nodes:
        yield above + _name(node), *_cells(node)
        yield from _flat(_below(node), f"{above}{_name(node)}/")


def _drawn(nodes: list[dict[str, Any]], above: str | None = None) -> Iterator[tuple[object, ...]]:
    """Draw what is below a line, itself at the end of lines from above; projects stand without one."""
    fork, end, line = ("├── ", "└── ", "│   ") if drawable() else ("|-- ", "`-- ", "|   ")
    for index, node in enumerate(nodes, 1):
        last = index == len(nodes)
        branch = "" if above is None else above + (end if last else fork)
        yield branch + _name(node), *_cells(node)
        yield from _drawn(_below(node), "" if above is None else above + ("    " if last else line))


def _errors(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        if "error" in node:
            yield node["error"]
        yield from _errors(_below(node))

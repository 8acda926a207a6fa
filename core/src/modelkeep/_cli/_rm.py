"""Removing generations, releases and projects."""

from __future__ import annotations

import contextlib
import sys

import click

from modelkeep._cli._output import Table, count, emit, note
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, json_option, registry_option
from modelkeep._directory import Generation, Project, Release
from modelkeep._errors import CorruptedError
from modelkeep._work import place_of


@click.command()
@click.argument("ref", type=RefType())
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@registry_option
@click.pass_context
def rm(context: click.Context, ref: Ref, *, yes: bool) -> None:
    """Remove a generation, a release with its generations, or all releases of a project.

    Asks before it does, and for a release or project once more, by name. Where nobody can be asked, since the standard
    input is no terminal, it takes --yes. Nothing brings it back, and its number or version is never given out again.

    Writes the reference of what was removed.

    \b
    Example:
      modelkeep rm digits/1.0/3
      modelkeep rm digits/1.0 --yes
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    session: Session = context.obj
    level = ref.level(session.directory())
    place, below = place_of(level), _below(level)
    if not yes and not _confirmed(level, place, below):
        note(f"{place} was left as it is")
        context.exit(1)
    level.remove()
    kind = type(level).__name__.lower()
    emit(session, {"kind": kind, "removed": place}, Table(("removed",), [(place,)]))


def _below(level: Project | Release | Generation) -> str:
    """Tell what goes with it.

    Raises:
        MissingError: It is not there.
    """
    if isinstance(level, Generation):
        with contextlib.suppress(CorruptedError):
            level.registry.open(level.project, level.release, level.key)
        return ""
    return f" with its {count(len(level.list()), 'release' if isinstance(level, Project) else 'generation')}"


def _confirmed(level: Project | Release | Generation, place: str, below: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError(f"Nobody can be asked whether to remove {place}{below}; say --yes")
    if not click.confirm(f"Remove {place}{below} from {level.registry!r} for good?", err=True):
        return False
    if isinstance(level, Generation):
        return True
    answer: str = click.prompt(f"To be sure, type {place}", err=True)
    return answer == place

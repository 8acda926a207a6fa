"""How the generations of a project did over time."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from modelkeep._cli._alias import period, show
from modelkeep._cli._files import appearing
from modelkeep._cli._output import Table, drawable, emit, moment
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, json_option, registry_option
from modelkeep._cli._tree import described
from modelkeep._directory import Release
from modelkeep._errors import CorruptedError, Error
from modelkeep._work import Level, place_of


@click.command()
@click.argument("ref", metavar="PROJECT[/RELEASE]", type=RefType(1, 2))
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a page with a plot instead; it needs no other file.",
)
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--aliases", is_flag=True, help="Show the moves of all aliases instead.")
@click.option(
    "--at", metavar="DATE", help="With --aliases: only what was named then, in a year, month, day or moment (UTC)."
)
@json_option
@registry_option
@click.pass_obj
def history(session: Session, ref: Ref, html: Path | None, *, force: bool, aliases: bool, at: str | None) -> None:
    """Show the generations of a project and how they scored.

    Those of all of its releases, or of one. On a terminal a plot of the scores follows.

    \b
    The columns:
      release, generation, trained, ordinal, tuned, score, number of states
    and with --aliases:
      alias, number of the move, moment, release, generation, note

    \b
    Example:
      modelkeep history digits
      modelkeep history digits --html digits.html
      modelkeep history digits --aliases --at 2024-03
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    if aliases:
        if html or ref.depth > 1:
            raise click.UsageError("Aliases are of a project, and have no page: leave out --html and the release")
        held = None if at is None else period(at)
        show(session, ref.project(session.directory()), lambda one: one.between(*held) if held else one.list())
        return
    if at is not None:
        raise click.UsageError("--at needs --aliases")
    level = ref.level(session.directory())
    entries = _entries(level)
    damages = [entry["error"] for entry in entries if "error" in entry]
    rows = [_row(entry) for entry in entries]
    columns = ("release", "generation", "trained", "ordinal", "tuned", "score", "states")
    document: dict[str, object] = {"project": ref.parts[0], "generations": entries}
    if html is not None:
        from modelkeep._cli._page import page

        with appearing(html, force=force) as path:
            path.write_text(page(place_of(level), repr(level.registry), columns, rows, _scores(entries)), "utf-8")
        emit(session, {**document, "path": html}, Table(("path",), [(html,)]))
    else:
        emit(session, document, Table(columns, rows))
        if not session.json and sys.stdout.isatty():
            from modelkeep._cli._plot import plot

            width, height = shutil.get_terminal_size()
            sys.stdout.writelines(
                f"{line}\n" for line in plot(_scores(entries), width, min(max(height - 4, 2), 12), unicode=drawable())
            )
    # last, because one damaged item must not hide its siblings
    if damages:
        raise CorruptedError("\n".join(damages))


def _entries(top: Level) -> list[dict[str, Any]]:
    """The generations below a level; what can not be read is one with an error."""
    entries: list[dict[str, Any]] = []

    def failed(level: Level, error: Error) -> None:
        entries.append({"release": level.key if isinstance(level, Release) else None, "error": str(error)})

    for level, details in described(top, failed):
        if not isinstance(level, Release):
            entries.append({"release": level.release, "generation": level.key, **details})
    return entries


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    place = entry["release"], entry.get("generation")
    if "error" in entry:
        return *place, "damaged", None, None, None, None
    training, tuning = entry["training"], entry["tuning"]
    trained, tuned = moment(training["timestamp"]), moment(tuning["timestamp"])
    return *place, trained, training["ordinal"], tuned, tuning["score"], entry["states"]


def _scores(entries: list[dict[str, Any]]) -> list[tuple[str, float | None]]:
    scored = [entry for entry in entries if "tuning" in entry]
    return [(f"{entry['release']}/{entry['generation']}", entry["tuning"]["score"]) for entry in scored]

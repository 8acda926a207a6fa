"""Names for generations, which are moved from one to the next."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Final

import click

from modelkeep._cli._output import Table, emit, moment
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, json_option, registry_option
from modelkeep._directory import Alias, Generation, Project
from modelkeep._errors import CorruptedError, InvalidError
from modelkeep._move import Move

_PERIOD: Final = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?\Z", re.ASCII)
_DECEMBER: Final = 12


@click.command()
@click.argument("ref", metavar="PROJECT", type=RefType(1, 1))
@click.argument("name", metavar="[NAME", required=False)
@click.argument("target", metavar="[TARGET]]", required=False)
@click.option("--undo", is_flag=True, help="Take the newest move back; made again, the one before it.")
@click.option("--clear", is_flag=True, help="Let it name nothing; its log is kept.")
@click.option("-m", "--note", metavar="TEXT", help="Who moves it, or why.")
@click.option(
    "--after",
    metavar="N",
    type=click.IntRange(0),
    help="Only if its newest move is still this one; 0 if there should be none.",
)
@json_option
@registry_option
@click.pass_obj
def alias(
    session: Session,
    ref: Ref,
    name: str | None,
    target: str | None,
    *,
    undo: bool,
    clear: bool,
    note: str | None,
    after: int | None,
) -> None:
    """Show what the aliases of a project name, or let one name TARGET.

    TARGET is RELEASE/GENERATION, with `latest` for either, or @ALIAS for what another alias names. Of two who move an
    alias at once, one is told that there is a conflict. All moves are kept: see `history --aliases`.

    \b
    The columns:
      alias, number of its newest move, when that was, release, generation, note

    \b
    Example:
      modelkeep alias digits champion 1.2/7 -m "better on the holdout"
      modelkeep alias digits champion @challenger
      modelkeep alias digits champion --undo
      modelkeep get digits@champion -o states
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    if (bool(target) + undo + clear) > 1:
        raise click.UsageError("Name a TARGET, or use one of --undo and --clear")
    moves = bool(target) or undo or clear
    if moves and not name:
        raise click.UsageError("Which alias is to be moved? Give its NAME")
    if not moves and (note is not None or after is not None):
        raise click.UsageError("--note and --after are for moving: give a TARGET, --undo or --clear")
    project = ref.project(session.directory())
    if name is None:
        show(session, project, lambda one: filter(None, [one.current()]))
        return
    one = project.alias(name)
    if not target and not undo:
        # what names nothing is neither shown nor cleared
        one.get()
    if undo:
        move: Move | None = one.undo(note=note, after=after)
    elif moves:
        move = one.put(_target(session, project, target) if target else None, note=note, after=after)
    else:
        move = one.current()
    _write(session, project, [(one, move)] if move else [])


def _target(session: Session, project: Project, text: str) -> Generation:
    named = Ref.parse(f"{project.key}{text}" if text.startswith("@") else f"{project.key}/{text}")
    if named.depth == 2:  # noqa: PLR2004  # project/release
        raise InvalidError(f"{text!r} is a release, and an alias names a generation: write {text}/GENERATION")
    session.refs.append(named)
    return named.generation(session.directory())


def show(session: Session, project: Project, read: Callable[[Alias], Iterable[Move]]) -> None:
    """Write moves of each alias of a project.

    Args:
        session: The options.
        project: The project.
        read: Which moves of an alias to write.

    Raises:
        CorruptedError: Some are damaged; those of other aliases have been written.
    """
    rows: list[tuple[Alias, Move]] = []
    damages: list[str] = []
    for one in map(project.alias, project.aliases()):
        try:
            rows += [(one, move) for move in read(one)]
        except CorruptedError as error:
            damages.append(str(error))
    _write(session, project, rows)
    # last, because one damaged item must not hide its siblings
    if damages:
        raise CorruptedError("\n".join(damages))


def _write(session: Session, project: Project, rows: Iterable[tuple[Alias, Move]]) -> None:
    documents, lines = [], []
    for one, move in rows:
        release, generation = move.target or (None, None)
        place = {"release": release, "generation": generation, "note": move.note}
        documents.append({"alias": one.key, "move": move.number, "moment": move.moment, **place, "undoes": move.undoes})
        lines.append((one.key, move.number, moment(move.moment), *place.values()))
    columns = ("alias", "move", "moment", "release", "generation", "note")
    emit(session, {"project": project.key, "moves": documents}, Table(columns, lines))


def period(text: str) -> tuple[dt.datetime, dt.datetime]:
    """Read a year, month or day as the time from its begin to its end, and a moment as no more than itself; in UTC.

    Raises:
        InvalidError: It is none of these.
    """
    try:
        if parts := _PERIOD.match(text):
            year, month, day = (int(part or 0) for part in parts.groups())
            begin = dt.datetime(year, month or 1, day or 1, tzinfo=dt.UTC)
            if day:
                return begin, begin + dt.timedelta(days=1)
            last = month or _DECEMBER
            return begin, begin.replace(year=begin.year + last // _DECEMBER, month=last % _DECEMBER + 1)
        instant = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidError(
            f"Not a year, month, day or moment: {text!r:.100}. Write 2024-03, or 2024-03-01T12:00"
        ) from None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
    return instant, instant

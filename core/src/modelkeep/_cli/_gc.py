"""Freeing the room of what nothing names."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

import click

from modelkeep._cli._output import Table, count, emit, measure, note
from modelkeep._cli._session import Session, json_option, registry_option

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE: Final = re.compile(r"([0-9]{1,9})([smhdw])").fullmatch


class AgeType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A parameter that is a length of time: a number with a unit."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = _AGE(str(value))
        if found is None:
            self.fail(f"{value!r} is no age: give a whole number and s, m, h, d or w, as in 12h or 7d", param, ctx)
        try:
            return timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            self.fail(f"{value!r} is longer than anything was kept", param, ctx)


@click.command()
@click.option(
    "--older-than",
    metavar="AGE",
    type=AgeType(),
    default="7d",
    show_default=True,
    help="How long ago a state that waits for its commit was written at least: 90s, 30m, 12h, 7d or 2w.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be deleted, and what that frees.")
@json_option
@registry_option
@click.pass_obj
def gc(session: Session, older_than: timedelta, *, dry_run: bool) -> None:
    """Delete what no release and no generation names.

    That are states of trainings that never committed, what killed processes left, and the states and packages of what
    was removed. It is safe while others train, as long as no training takes longer than AGE from its first state to
    its commit; one that does is told that its states are missing, and nothing that is committed is ever touched.

    Writes a line for each thing that was deleted, as the backend names it.

    \b
    Example:
      modelkeep gc --dry-run
      modelkeep gc --older-than 2d
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    found = session.directory().registry.collect(older_than, dry_run=dry_run)
    emit(
        session,
        {"dry_run": dry_run, "items": found.items, "size": found.size},
        Table(("deleted",), [(item,) for item in found.items]),
    )
    note(f"{'would delete' if dry_run else 'deleted'} {count(len(found.items), 'item')} ({measure(found.size)})")

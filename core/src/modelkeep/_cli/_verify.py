"""Reading everything, to find what went bad."""

from __future__ import annotations

import dataclasses

import click

import modelkeep
from modelkeep._cli._output import Table, count, emit, measure, note
from modelkeep._cli._progress import progress
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, inventory_option, json_option, registry_option, threads_option
from modelkeep._verify import Damage


@click.command()
@click.argument("ref", type=RefType(), required=False)
@threads_option
@json_option
@registry_option
@inventory_option
@click.pass_context
def verify(context: click.Context, ref: Ref | None, threads: int) -> None:
    """Read everything, and tell what is damaged or missing.

    Every package, tag, state and alias, of the whole registry or at and below REF, is read and compared with its
    digest.
    Without REF the applications are included: those of the inventory that -I names, or that has the name of the
    registry.

    Exits with 1 if anything is damaged.

    \b
    The columns:
      kind (package, generation, state, alias, application, or what can not be listed), key, place, error,
      message

    \b
    Example:
      modelkeep verify
      modelkeep verify digits/latest --json
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    session: Session = context.obj
    directory = session.directory()
    inventory = session.counterpart() if ref is None else None
    with progress("verify") as advance:
        found = [modelkeep.verify(ref.level(directory) if ref else directory, threads=threads, advance=advance)]
        if inventory is not None:
            found.append(modelkeep.verify(inventory, threads=threads, advance=advance))
    items, size = sum(each.items for each in found), sum(each.size for each in found)
    damages = [dataclasses.asdict(damage) for each in found for damage in each.damages]
    columns = [field.name for field in dataclasses.fields(Damage)]
    emit(
        session,
        {"items": items, "size": size, "damages": damages},
        Table(columns, [tuple(damage.values()) for damage in damages]),
    )
    note(
        f"verified {count(items, 'item')} ({measure(size)}): " + (f"{len(damages)} damaged" if damages else "all sound")
    )
    if damages:
        context.exit(1)

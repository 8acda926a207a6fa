"""Copying from one store of the configuration into another one."""

from __future__ import annotations

from typing import Any

import click

import modelkeep
from modelkeep import _config
from modelkeep._cli._output import Table, count, emit, measure, note
from modelkeep._cli._progress import progress
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import NameType, Session, json_option, threads_option
from modelkeep._copy import Copied
from modelkeep._errors import Error


@click.command()
@click.argument("source", metavar="SRC", type=NameType("registry"))
@click.argument("target", metavar="DST", type=NameType("registry"))
@click.argument("refs", metavar="[REF]...", type=RefType(), nargs=-1)
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be copied, and write nothing.")
@click.option("-k", "--keep-going", is_flag=True, help="Copy the rest when an item can't be; tell those at the end.")
@click.option("--compare", is_flag=True, help="Compare also the bytes of states that DST has; reads them all.")
@click.option(
    "--applications/--no-applications",
    default=None,
    help="Copy applications too. By default if SRC and DST are inventories as well, and no REF is given.",
)
@click.option("--replace", is_flag=True, help="Replace applications that DST has with another source.")
@threads_option
@json_option
@click.pass_obj
def cp(
    session: Session,
    source: str,
    target: str,
    refs: tuple[Ref, ...],
    *,
    dry_run: bool,
    keep_going: bool,
    compare: bool,
    applications: bool | None,
    replace: bool,
    threads: int,
) -> None:
    """Copy from one registry to another one.

    SRC and DST are names of the configuration; the backends may differ. Copied is everything, or what is at and below
    each REF. Numbers, versions, tags, ids and bytes are kept; what DST has already is left alone. Interrupted, it goes
    on when it is run again. If DST has something else under a key, that is an error, and it is left as it is.

    \b
    The columns:
      outcome (copied, or "would be copied"), kind (release, generation, alias or application), key, size in bytes

    \b
    Example:
      modelkeep cp dev prod --dry-run
      modelkeep cp dev prod digits/latest other/1.0/3
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    # where hints about a REF are looked for
    session.registry_name = source
    directory, registry = session.directory(), modelkeep.registry(target)
    jobs: list[tuple[Any, Any]] = [(ref.level(directory), registry) for ref in refs] or [(directory, registry)]
    jobs += _inventories(source, target, asked=applications, default=not refs)
    errors: list[Error] = []
    found: dict[tuple[str, str], Copied] = {}
    with progress("copy") as advance:
        for each, into in jobs:
            for item in modelkeep.copy(
                each,
                into,
                dry_run=dry_run,
                compare=compare,
                replace=replace,
                threads=threads,
                advance=advance,
                failed=errors.append if keep_going else None,
            ):
                # what two REFs have in common is there when the second one is copied
                found.setdefault((item.kind, item.key), item)
    made = [item for item in found.values() if item.outcome != "there"]
    there, size = len(found) - len(made), sum(item.size for item in made)
    rows = [(item.outcome, item.kind, item.key, None if dry_run else item.size) for item in made]
    document = {"dry_run": dry_run, "copied": [_document(item, dry_run=dry_run) for item in made], "there": there}
    document |= {"failed": [str(error) for error in errors]}
    emit(session, document, Table(("outcome", "kind", "key", "size"), rows))
    note(_summary(len(made), there, size, len(errors), dry_run=dry_run))
    if errors:
        kind = next((kind for kind in Error.__subclasses__() if isinstance(errors[0], kind)), Error)
        raise kind("\n".join(dict.fromkeys(map(str, errors))))


def _document(item: Copied, *, dry_run: bool) -> dict[str, object]:
    document: dict[str, object] = {"kind": item.kind, "key": item.key}
    return document if dry_run else {**document, "size": item.size}


def _summary(made: int, there: int, size: int, failed: int, *, dry_run: bool) -> str:
    if not made and not failed:
        return f"nothing to copy, {count(there, 'item')} there already"
    what = f"{count(made, 'item')} would be copied" if dry_run else f"copied {count(made, 'item')} ({measure(size)})"
    return f"{what}, {there} there already" + (f", {failed} failed" if failed else "")


def _inventories(
    source: str, target: str, *, asked: bool | None, default: bool
) -> list[tuple[modelkeep.Inventory, modelkeep.Inventory]]:
    """The inventories to copy from and into, if applications are to be copied."""
    known = _config.load().entries["inventory"]
    if asked is None and default:
        asked = source in known and target in known and modelkeep.inventory(source) != modelkeep.inventory(target)
    return [(modelkeep.inventory(source), modelkeep.inventory(target))] if asked else []

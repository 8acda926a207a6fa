"""The applications of an inventory."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from modelkeep._cli._commands import Commands
from modelkeep._cli._files import appearing
from modelkeep._cli._output import Table, emit
from modelkeep._cli._session import Session, inventory_option, json_option
from modelkeep._config import suggest
from modelkeep._descriptor import Descriptor
from modelkeep._errors import MissingError


@click.group(
    cls=Commands,
    found={"ls": "_apps:list_applications", "get": "_apps:get", "put": "_apps:put"},
    context_settings={"help_option_names": ["-h", "--help"]},
)
def apps() -> None:
    """List, get or publish applications.

    \b
    Example:
      modelkeep apps put digits.py
      modelkeep apps ls
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped


@click.command("ls")
@json_option
@inventory_option
@click.pass_obj
def list_applications(session: Session) -> None:
    """List the applications.

    \b
    Example:
      modelkeep apps ls -I prod
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    names = list(session.inventory().list())
    document = {"applications": [{"application": name} for name in names]}
    emit(session, document, Table(("application",), [(name,) for name in names]))


@click.command()
@click.argument("application")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Where to write it instead of to stdout."
)
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
@json_option
@inventory_option
@click.pass_obj
def get(session: Session, application: str, output: Path | None, *, force: bool) -> None:
    """Get the module of an application.

    It is written byte for byte, and nothing of it runs. With --json the document has the source, or null when
    that is not UTF-8.

    \b
    Example:
      modelkeep apps get digits -o digits.py
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    inventory = session.inventory()
    try:
        descriptor = inventory.get(Descriptor.Key(application))
    except MissingError as error:
        raise MissingError(f"{error}{suggest(application, inventory.list())}") from error
    document: dict[str, object] = {"application": descriptor.name, "digest": descriptor.digest}
    if output is not None:
        with appearing(output, force=force) as path:
            path.write_bytes(descriptor.source)
        emit(session, {**document, "path": output}, Table(("path",), [(output,)]))
        return
    if not session.json:
        sys.stdout.flush()
        sys.stdout.buffer.write(descriptor.source)
        return
    source = None
    with contextlib.suppress(UnicodeDecodeError):
        source = descriptor.source.decode()
    emit(session, {**document, "source": source}, Table((), ()))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="The name of the application, by default that of the file without its suffix.")
@json_option
@inventory_option
@click.pass_obj
def put(session: Session, file: Path, name: str | None) -> None:
    """Publish a module as an application.

    FILE is a Python module, of which nothing runs. An earlier one of that name is replaced. Writes the
    name of the application.

    \b
    Example:
      modelkeep apps put serving.py --name digits
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    handle = Descriptor.Handle(file, name)
    session.inventory().put(handle)
    document = {"application": handle.descriptor.name, "digest": handle.descriptor.digest}
    emit(session, document, Table(("application",), [(handle.descriptor.name,)]))

"""Publishing packages and getting them back."""

from __future__ import annotations

from pathlib import Path

import click

from modelkeep._cli._files import appearing
from modelkeep._cli._output import Table, emit
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, json_option, registry_option
from modelkeep._package import Package


@click.command()
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@json_option
@registry_option
@click.pass_obj
def push(session: Session, package: Path) -> None:
    """Publish a package as a release.

    PACKAGE is a zip file or a folder; its manifest names the project and the version. Writes the reference
    of the release.

    \b
    Example:
      modelkeep push digits-1.0.4ml
      modelkeep push -R prod ./digits
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    opened = Package(package)
    release = session.directory().get(opened.manifest.name).put(opened)
    document = {"project": release.project, "release": release.key}
    emit(session, document, Table(("release",), [(f"{release.project}/{release.key}",)]))


@click.command()
@click.argument("ref", type=RefType(1, 2))
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), required=True, help="Where to write the package."
)
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
@json_option
@registry_option
@click.pass_obj
def pull(session: Session, ref: Ref, output: Path, *, force: bool) -> None:
    """Get the package of a release.

    Without a release in REF that of the latest. What was pushed as a folder becomes a folder. Writes the path.

    \b
    Example:
      modelkeep pull digits/latest -o digits.4ml
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    with appearing(output, force=force) as path:
        package = ref.release(session.directory()).package()
        package.copy(path)
    manifest = package.manifest
    document = {"project": manifest.name, "release": manifest.version, "digest": package.digest, "path": output}
    emit(session, document, Table(("path",), [(output,)]))

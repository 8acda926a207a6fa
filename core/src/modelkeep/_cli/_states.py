"""Committing the states of a generation and getting them back."""

from __future__ import annotations

import mmap
import stat
import tomllib
from pathlib import Path
from typing import Any

import click

from modelkeep._cli._files import filling
from modelkeep._cli._output import Table, emit
from modelkeep._cli._progress import progress
from modelkeep._cli._ref import Ref, RefType
from modelkeep._cli._session import Session, json_option, registry_option
from modelkeep._errors import InvalidError, StorageError
from modelkeep._tag import Tag, Training, Tuning

#: How much of a state is written at a time, in bytes.
_CHUNK = 16 << 20


@click.command()
@click.argument("ref", metavar="PROJECT/RELEASE", type=RefType(2, 2))
@click.argument(
    "states", metavar="STATE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--ordinal",
    metavar="VALUE",
    help="The last data seen: a number, date, time or true/false as TOML has it, anything else is text.",
)
@click.option("--score", type=float, help="How well it did when it was tuned, just now.")
@json_option
@registry_option
@click.pass_obj
def commit(session: Session, ref: Ref, states: tuple[Path, ...], ordinal: str | None, score: float | None) -> None:
    """Commit files as the states of a generation.

    The generation counts as trained just now, and has its states in the order of the files. A file may be
    larger than memory. Writes the reference of the generation.

    \b
    Example:
      modelkeep commit digits/latest scaler.bin model.bin --ordinal 2024-05-01 --score 0.97
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    sizes = [_size(state) for state in states]
    release = ref.release(session.directory())
    left = sum(sizes)
    sids = []
    with progress("commit", left) as advance:
        for state, size in zip(states, sizes, strict=True):
            sids.append(release.dump(_content(state)))
            left -= size
            advance(size, left)
        tuning = Tuning() if score is None else Tuning.now(score)
        generation = release.put(Tag(Training.now(_ordinal(ordinal)), tuning, tuple(sids)))
    document = {
        "project": generation.project,
        "release": generation.release,
        "generation": generation.key,
        "states": sids,
    }
    reference = f"{generation.project}/{generation.release}/{generation.key}"
    emit(session, document, Table(("generation",), [(reference,)]))


@click.command()
@click.argument("ref", type=RefType())
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder to write the states into; it is made if need be.",
)
@click.option("-f", "--force", is_flag=True, help="Replace files of the same names.")
@json_option
@registry_option
@click.pass_obj
def get(session: Session, ref: Ref, output: Path, *, force: bool) -> None:
    """Get the states of a generation as files.

    Without a release or generation in REF those of the latest. The files are named INDEX-SID.bin in the order of the
    generation; all are verified before any of them appears. Writes their paths.

    \b
    Example:
      modelkeep get digits/latest/latest -o states
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    generation = ref.generation(session.directory())
    sids = generation.list()
    width = len(str(len(sids) - 1))
    # in the order of the tag, whatever lists the folder
    names = [f"{index:0{width}}-{sid}.bin" for index, sid in enumerate(sids)]
    written: list[dict[str, object]] = []
    with progress("get") as advance, filling(output, names, force=force) as folder:
        for index, (sid, name) in enumerate(zip(sids, names, strict=True)):
            with generation.view(sid) as view, (folder / name).open("xb") as file:
                size = view.nbytes
                for start in range(0, size, _CHUNK):
                    moved = file.write(view[start : start + _CHUNK])
                    advance(moved, size - start - moved)
            written.append({"index": index, "sid": sid, "size": size, "path": output / name})
    document = {
        "project": generation.project,
        "release": generation.release,
        "generation": generation.key,
        "states": written,
    }
    emit(session, document, Table(("path",), [(each["path"],) for each in written]))


def _size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidError(f"A state is a regular file, {path} is none. Write the bytes to a file first")
    return status.st_size


def _content(path: Path) -> bytes | mmap.mmap:
    """Map a file, so that it need not fit into memory; what can't be mapped is an empty one."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except OSError as error:
        raise StorageError(f"The state {path} can not be read: {error.strerror or error}") from error


def _ordinal(text: str | None) -> Any:
    """Read a scalar of TOML; anything else is text."""
    if text is None:
        return None
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = document.pop("value")
    return text if document or isinstance(value, list | dict) else value

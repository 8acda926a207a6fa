"""Writing results to stdout: as JSON, as a table on a terminal, and tab-separated for other programs."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

from modelkeep._cli._rich import rich
from modelkeep._cli._session import Session

_KIBI: Final = 1024


@dataclasses.dataclass(frozen=True)
class Table:
    """A table for people.

    Attributes:
        columns: The heads, shown on a terminal only, and only if they are not all empty.
        rows: The cells of each row; None is an empty cell.
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]


def emit(session: Session, document: Mapping[str, object], shown: Table) -> None:
    """Write a result, as the options and the kind of stdout have it.

    Args:
        session: Tells whether JSON is wanted.
        document: The result for programs.
        shown: The same for people.
    """
    if session.json:
        # NaN is no JSON; a document either is JSON or is not written
        sys.stdout.write(json.dumps(_plain(document), indent=2, allow_nan=False) + "\n")
    elif len(shown.columns) > 1 and sys.stdout.isatty():
        if rows := list(shown.rows):
            _draw(shown.columns, rows)
    else:
        sys.stdout.writelines("\t".join(map(cell, row)) + "\n" for row in shown.rows)


def _draw(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = rich("table").Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    text = rich("text").Text
    for row in rows:
        # as Text: what is stored is not to be read as rich's markup
        table.add_row(*(text(cell(each)) for each in row))
    rich("console").Console(soft_wrap=False).print(table)


def cell(value: object) -> str:
    """Write a value in one line that holds neither tabs nor control characters."""
    if value is None:
        return ""
    plain = _plain(value)
    return printable(plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))


def printable(text: str) -> str:
    r"""Spell out what a terminal would take as a command: an escape character becomes `\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _plain(value: Any) -> Any:
    """Turn a value into what JSON has: moments are ISO 8601, NaN and infinities are strings."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def count(number: int, what: str) -> str:
    """Write a number of things."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def measure(size: float) -> str:
    """Write a number of bytes for people."""
    if size < _KIBI:
        return f"{size} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        size /= _KIBI
        if size < _KIBI:
            return f"{size:.1f} {unit}"
    return f"{size / _KIBI:.1f} TiB"


def drawable() -> bool:
    """Whether stdout can show more than ASCII."""
    return (sys.stdout.encoding or "").lower().startswith("utf")


def note(message: str) -> None:
    """Tell on stderr what happened."""
    lines = "\n".join(printable(line) for line in message.splitlines())
    # where nobody is left to be told, the exit code still tells
    with contextlib.suppress(OSError):
        sys.stderr.write(f"modelkeep: {lines}\n")
    settle(sys.stderr)


def settle(stream: TextIO) -> None:
    """Write what a command did put out, and see to it that what can't be written fails no second time."""
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def moment(value: dt.datetime | None) -> str | None:
    """Write a timestamp for people, to the second."""
    return None if value is None else value.isoformat(timespec="seconds").replace("+00:00", "Z")

"""Writing TOML values.

The standard library only reads TOML, and the libraries that write it do not lay out a tag as ForML does, whose
files we must be able to reproduce to the byte.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Final

_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z")


def _text(text: str) -> str:
    if not _ESCAPED.search(text):
        return f'"{text}"'
    return '"' + _ESCAPED.sub(lambda hit: _SHORT.get(hit[0]) or f"\\u{ord(hit[0]):04x}", text) + '"'


def value(item: object) -> str:
    """Write one value.

    Args:
        item: A bool, int, float, str, datetime, date, time without a zone, or a sequence of such.

    Raises:
        TypeError: TOML has no such value.
    """
    match item:
        case bool():
            return "true" if item else "false"
        case int():
            return str(item)
        case float():
            return str(item).replace("e-0", "e-").replace("e+0", "e+")
        case str():
            return _text(item)
        case dt.datetime() | dt.date() | dt.time():
            return item.isoformat().replace("+00:00", "Z")
        case list() | tuple():
            return "[ " + "".join(f"{value(each)}, " for each in item).removesuffix(" ") + "]" if item else "[]"
        case _:
            raise TypeError(f"TOML has no {type(item).__name__}")


def table(name: str, items: Mapping[str, object] | Iterable[tuple[str, object]]) -> str:
    """Write a table, leaving out what is None, with an empty line before it."""
    pairs = items.items() if isinstance(items, Mapping) else items
    return f"\n[{name}]\n" + lines(pairs)


def lines(pairs: Iterable[tuple[str, object]]) -> str:
    """Write `key = value` lines, leaving out what is None."""
    return "".join(
        f"{key if _BARE.match(key) else _text(key)} = {value(item)}\n" for key, item in pairs if item is not None
    )

"""What the records of the key-value layer are called in the tar, where people see them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from modelkeep import CorruptedError
from modelkeep.backend import PREFIX, unseal

#: Where blobs are that no record names in a way that we know.
BLOBS: Final = ".blobs/"
#: What is added to the name of a member that is a difference, and to that of the link beside it to what it is one from.
DELTA: Final = ".delta"
BASE: Final = ".base"
#: How the keys of generations begin.
GENERATION: Final = "generation/"
#: How those of states begin.
STATE: Final = "state/"


def members(key: str, value: bytes, get: Callable[[str], bytes | None]) -> list[tuple[str, str | bytes]]:
    """Tell what a record shows in the tar; nothing, if it is not one of the records that we know.

    Args:
        key: The key of the record.
        value: The record.
        get: Looks another record up.

    Returns:
        Names of members, each with its content or the key of the blob that is its content.
    """
    with contextlib.suppress(CorruptedError, ValueError, LookupError):
        return list(_members(key, value, get))
    return []


def _members(key: str, value: bytes, get: Callable[[str], bytes | None]) -> Iterator[tuple[str, str | bytes]]:
    family, *parts = key.split("/")
    if family == "application":
        yield f"applications/{parts[0]}.py", _unsealed(key, value)
    elif family == "release":
        record = _record(key, value)
        yield f"{parts[0]}/{record['version']}/package.4ml", _blob(record["blob"])
    elif family == "generation":
        project, version, number = parts
        record = _record(key, value)
        folder = f"{project}/{_spelled(project, version, get)}/{int(number)}"
        for sid, (digest, _) in record["states"].items():
            yield f"{folder}/{sid}.bin", _blob(digest)
        yield f"{folder}/tag.toml", record["tag"].encode()


def blobs(key: str, value: bytes) -> list[str]:
    """Tell the keys of a generation's blobs, in the order of its states; none, if the record is damaged."""
    with contextlib.suppress(CorruptedError, ValueError, LookupError):
        return [_blob(digest) for digest, _ in _record(key, value)["states"].values()]
    return []


def state(key: str, value: bytes) -> list[str]:
    """Tell the key of the blob of a state; none, if the record is damaged."""
    with contextlib.suppress(CorruptedError, ValueError, LookupError):
        return [_blob(_record(key, value)["digest"])]
    return []


def needs(key: str, value: bytes) -> Iterator[str]:
    """Tell which records, and which blobs, the record of a generation or release needs."""
    family, *parts = key.split("/")
    record = _record(key, value) if family in ("generation", "release") else {}
    if "blob" in record:
        yield _blob(record["blob"])
    for sid, (digest, _) in record.get("states", {}).items():
        yield f"state/{parts[0]}/{parts[1]}/{sid}"
        yield _blob(digest)


def _spelled(project: str, version: str, get: Callable[[str], bytes | None]) -> str:
    """Spell a version as it was pushed; a damaged release is no reason not to commit to it."""
    key = f"release/{project}/{version}"
    try:
        record = get(key)
        return version if record is None else str(_record(key, record)["version"])
    except CorruptedError:
        return version


def _record(key: str, value: bytes) -> Any:
    return json.loads(_unsealed(key, value))


def _unsealed(key: str, value: bytes) -> bytes:
    return unseal("the archive", key, value, "record", key)


def _blob(name: str) -> str:
    return f"blob/{name.removeprefix(PREFIX)}"

"""Collecting orphans: blobs, and records of states, that no release and no generation names.

They are left by trainings that failed between `write` and `close`, and are invisible. What makes it safe to remove
them while others write:

- Only what was stored before `age` (at least 2 days, 7 by default) is looked at, and what names blobs is listed after
  that. A training has to close its generation within that time of writing its states.
- Who is about to name a blob that was stored more than a day ago stores it again first (`Engine._hold`), so that it is
  young. Its age is looked at once more right before it is deleted.

One collector reads every generation once: that is what it costs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from modelkeep import InvalidError
from modelkeep.backend import PREFIX, unseal
from modelkeep_object._engine import FRESH, Engine

_LEAST: Final = 2 * FRESH


@dataclass(frozen=True)
class Collected:
    """What `collect` found.

    Attributes:
        keys: The orphans, ascending.
        deleted: Whether they were deleted.
    """

    keys: tuple[str, ...]
    deleted: bool


def collect(
    url: str,
    options: Mapping[str, Any] | None = None,
    client: Mapping[str, Any] | None = None,
    *,
    age: timedelta = timedelta(days=7),
    delete: bool = False,
) -> Collected:
    """Find the orphans of a store, and delete them if that is asked for.

    Args:
        url: See `Registry`.
        options: See `Registry`.
        client: See `Registry`.
        age: What was stored later is left alone; longer than any training takes from its first `write` to `close`.
        delete: Whether to delete them.

    Raises:
        InvalidError: The age is less than 2 days.
        CorruptedError: A release or generation is damaged, so that nobody knows what it names. Nothing was deleted.
        StorageError: The store failed.
    """
    if not isinstance(age, timedelta) or age < _LEAST:
        raise InvalidError(f"Orphans are collected at an age of {_LEAST.days} days or more, not {age}")
    engine = Engine(url, options=options, client=client)
    store = engine.collectable()
    before = datetime.now(UTC) - age
    unnamed = {
        key
        for prefix in ("blob/", "state/")
        for page in store.pages(prefix)
        for key, modified in page
        if modified < before
    }
    for prefix in ("release/", "generation/"):
        keys = engine.keys(prefix)
        for start in range(0, len(keys), 1000):
            for names in store.together(lambda key: list(_names(engine, key)), keys[start : start + 1000]):
                unnamed.difference_update(names)
    orphans = sorted(unnamed)

    def remove(key: str) -> None:
        modified = store.modified(key)
        if modified is not None and modified < before:
            store.delete(key)

    if delete:
        store.together(remove, orphans)
    return Collected(tuple(orphans), delete)


def _names(engine: Engine, key: str) -> Iterator[str]:
    """What a release or generation names."""
    record = engine.get(key)
    if record is None or key.count("/") != (2 if key.startswith("release/") else 3):
        return
    content = json.loads(unseal(engine.place, key, record, "record", key))
    if key.startswith("release/"):
        yield f"blob/{content['blob'].removeprefix(PREFIX)}"
        return
    _, project, release, _ = key.split("/")
    for sid, (digest, _) in content["states"].items():
        yield f"blob/{digest.removeprefix(PREFIX)}"
        yield f"state/{project}/{release}/{sid}"

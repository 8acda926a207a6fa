"""Orphans and their collection."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import modelkeep
from modelkeep import CorruptedError, Directory, InvalidError, Package, Release, Tag
from modelkeep.backend import PREFIX, digest
from modelkeep_object import __main__, _collect, _engine, _store, collect
from modelkeep_object._engine import Engine
from modelkeep_object.testing import Server


@pytest.fixture
def release(url: str, at: Server, package: Package) -> Release:
    return Directory(modelkeep.registry(provider="object", url=url, options=at.options())).get("digits").put(package)


class Later(datetime):
    """The time in ten days."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(days=10)


def test_orphans_are_found_and_deleted_and_nothing_else(
    url: str, at: Server, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = release.put(Tag(states=[release.dump(b"kept"), release.dump(b"kept, too")]))
    orphan = release.dump(b"orphan")
    # its bytes are kept, for another id
    same = release.dump(b"kept")
    assert collect(url, at.options()).keys == ()
    monkeypatch.setattr(_collect, "datetime", Later)
    found = collect(url, at.options())
    assert not found.deleted
    blobs = [key for key in found.keys if key.startswith("blob/")]
    assert len(blobs) == 1
    assert {key for key in found.keys if key not in blobs} == {f"state/digits/1/{sid}" for sid in (orphan, same)}
    engine = Engine(url, options=at.options())
    assert engine.get(blobs[0]) == b"orphan"
    assert collect(url, at.options(), delete=True) == _collect.Collected(found.keys, True)
    assert engine.get(blobs[0]) is None
    assert collect(url, at.options()).keys == ()
    assert [kept.get(index) for index in (0, 1)] == [b"kept", b"kept, too"]
    assert release.package().digest
    fresh = Directory(modelkeep.registry(provider="object", url=url, options=at.options())).get("digits").get("1.0")
    with pytest.raises(modelkeep.MissingError, match="never written"):
        fresh.put(Tag(states=(orphan,)))
    assert release.put(Tag(states=[release.dump(b"orphan")])).get(0) == b"orphan"


def test_an_old_blob_is_stored_again_before_it_is_named(
    url: str, at: Server, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.dump(b"reused")
    engine = Engine(url, options=at.options())
    store = engine.collectable()
    before = {key: store.modified(key) for key in engine.keys("blob/")}
    monkeypatch.setattr(_engine, "FRESH", timedelta(seconds=1))
    time.sleep(2.1)  # stores tell seconds
    other = Directory(modelkeep.registry(provider="object", url=url, options=at.options())).get("digits").get("1.0")
    other.put(Tag(states=[other.dump(b"reused")]))
    changed = [key for key in before if store.modified(key) != before[key]]
    assert [engine.get(key) for key in changed] == [b"reused"]
    assert all((store.modified(key) or datetime.now(UTC)) > (before[key] or datetime.now(UTC)) for key in changed)


@pytest.mark.timeout(60)
def test_many_large_blobs_are_stored_again(url: str, at: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(url, options=at.options(), concurrency=2)
    contents = [os.urandom(_store.PART + 1) for _ in range(4)]
    keys = [f"blob/{digest(content).removeprefix(PREFIX)}" for content in contents]
    for key, content in zip(keys, contents, strict=True):
        engine.put(key, memoryview(content))
    monkeypatch.setattr(_engine, "FRESH", timedelta(seconds=-1))
    assert Engine(url, options=at.options(), concurrency=2).create("generation/p/1/1", b"x", needs=keys)
    for key, content in zip(keys, contents, strict=True):
        engine.collectable().put(key, b"damaged")
        with pytest.raises(CorruptedError, match=key):
            Engine(url, options=at.options(), concurrency=2).create("generation/p/1/2", b"x", needs=keys)
        engine.put(key, memoryview(content))


def test_a_damaged_generation_keeps_everything(
    url: str, at: Server, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.put(Tag(states=[release.dump(b"kept")]))
    release.dump(b"orphan")
    engine = Engine(url, options=at.options())
    blobs = engine.keys("blob/")
    (name,) = (name for page in engine.collectable().pages("generation/") for name, _ in page)
    engine.collectable().put(name, b"damaged")
    monkeypatch.setattr(_collect, "datetime", Later)
    with pytest.raises(CorruptedError):
        collect(url, at.options(), delete=True)
    assert engine.keys("blob/") == blobs


def test_an_age_has_to_be_safe(url: str, at: Server) -> None:
    for age in (timedelta(days=1), timedelta(days=-3), 7):
        with pytest.raises(InvalidError):
            collect(url, at.options(), age=age)  # type: ignore[arg-type]


def test_the_command(
    url: str, at: Server, release: Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sid = release.dump(b"orphan")
    options = [f"--option={name}={value}" for name, value in at.options().items()]
    monkeypatch.setattr(_collect, "datetime", Later)
    assert __main__.main(["collect", url, *options]) == 0
    assert f"state/digits/1/{sid}" in capsys.readouterr().out
    assert __main__.main(["collect", url, *options, "--days", "1"]) == 2
    assert __main__.main(["collect", url, *options, "--option=secret_access_key=wrong"]) == 1
    assert "access was denied" in capsys.readouterr().err
    assert __main__.main(["collect", url, *options, "--days", "3", "--delete"]) == 0
    assert collect(url, at.options()).keys == ()

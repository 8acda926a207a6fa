"""Orphans and their collection."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

import pytest

import modelkeep
from modelkeep import CorruptedError, Directory, InvalidError, MissingError, Package, Registry, Release, Tag
from modelkeep.backend import PREFIX, digest
from modelkeep_object import _engine, _store
from modelkeep_object._engine import Engine
from modelkeep_object.testing import Server

NOW = timedelta(0)


@pytest.fixture
def release(url: str, at: Server, package: Package) -> Release:
    return Directory(opened(url, at)).get("digits").put(package)


@pytest.fixture
def any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the youngest be old enough."""
    monkeypatch.setattr(_engine, "LEAST", timedelta(seconds=-2))


def opened(url: str, at: Server) -> Registry:
    return modelkeep.registry(provider="object", url=url, options=at.options())


@pytest.mark.usefixtures("any_age")
def test_orphans_are_found_and_deleted_and_nothing_else(url: str, at: Server, release: Release) -> None:
    kept = release.put(Tag(states=[release.dump(b"kept"), release.dump(b"kept, too")]))
    orphan = release.dump(b"orphan")
    # its bytes are kept, for another id
    same = release.dump(b"kept")
    registry, engine = opened(url, at), Engine(url, options=at.options())
    assert registry.collect(timedelta(hours=1)).items == ()
    found = registry.collect(NOW, dry_run=True)
    blobs = [key for key in found.items if key.startswith("blob/")]
    assert len(blobs) == 1
    assert {key for key in found.items if key not in blobs} == {f"state/digits/1/{sid}" for sid in (orphan, same)}
    objects = {each.key: each.size for page in engine.collectable().pages("") for each in page}
    assert found.size == sum(objects[key] for key in found.items)
    assert engine.get(blobs[0]) == b"orphan"
    assert registry.collect(NOW) == found
    assert engine.get(blobs[0]) is None
    assert registry.collect(NOW).items == ()
    assert {each.key for page in engine.collectable().pages("") for each in page} == set(objects) - set(found.items)
    assert [kept.get(index) for index in (0, 1)] == [b"kept", b"kept, too"]
    assert release.package().digest
    fresh = Directory(opened(url, at)).get("digits").get("1.0")
    with pytest.raises(MissingError, match="never written"):
        fresh.put(Tag(states=(orphan,)))
    assert release.put(Tag(states=[release.dump(b"orphan")])).get(0) == b"orphan"


def test_what_was_stored_again_meanwhile_stays(
    url: str, at: Server, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.dump(b"orphan")
    engine = Engine(url, options=at.options())
    (blob,) = (key for key in engine.keys("blob/") if engine.get(key) == b"orphan")
    monkeypatch.setattr(_engine, "LEAST", timedelta(seconds=2))
    time.sleep(4)  # stores tell seconds

    def stored_again(_: object) -> list[str]:
        engine.put(blob, memoryview(b"orphan"))
        return [blob]

    engine.sweep(stored_again)
    assert engine.get(blob) == b"orphan"
    time.sleep(4)
    engine.sweep(lambda _: [blob])
    assert engine.get(blob) is None


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


@pytest.mark.usefixtures("any_age")
def test_a_damaged_generation_keeps_everything(url: str, at: Server, release: Release) -> None:
    release.put(Tag(states=[release.dump(b"kept")]))
    release.dump(b"orphan")
    engine = Engine(url, options=at.options())
    blobs = engine.keys("blob/")
    (name,) = (each.key for page in engine.collectable().pages("generation/") for each in page)
    engine.collectable().put(name, b"damaged")
    with pytest.raises(CorruptedError):
        opened(url, at).collect(NOW)
    assert engine.keys("blob/") == blobs


def test_an_age_has_to_be_safe(url: str, at: Server, release: Release) -> None:
    for age in (timedelta(0), timedelta(days=1), timedelta(hours=47)):
        with pytest.raises(InvalidError, match="2 days"):
            opened(url, at).collect(age)
    assert opened(url, at).collect(timedelta(days=2)).items == ()

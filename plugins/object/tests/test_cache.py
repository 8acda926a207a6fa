"""The cache of blobs."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

import modelkeep
from modelkeep import Directory, Package, Release, Tag
from modelkeep_object import _store
from modelkeep_object._cache import Cache
from modelkeep_object._engine import Engine
from modelkeep_object.testing import Proxy, Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def release(url: str, at: Server, package: Package, proxy: Proxy, folder: Path) -> Release:
    registry = modelkeep.registry(
        provider="object", url=url, options=at.options(endpoint=proxy.endpoint), cache=str(folder)
    )
    return Directory(registry).get("digits").put(package)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [1, 100_000, 20_000_000])
def test_a_second_read_moves_no_bytes(
    release: Release, proxy: Proxy, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(size)
    generation = release.put(Tag(states=[release.dump(content)]))
    assert generation.get(0) == content
    assert len(files(folder)) == 1
    fetch, answers = _store.Store.fetch, []

    def watched(store: _store.Store, key: str, etag: str | None = None) -> _store.Value | None:
        try:
            found = fetch(store, key, etag)
        except _store.NotModified:
            answers.append("not modified")
            raise
        answers.append("bytes")
        return found

    monkeypatch.setattr(_store.Store, "fetch", watched)
    with proxy.doing(lambda _: None) as requests:
        assert generation.get(generation.list()[0]) == content
        # a busy server refuses one now and then, and gets it again
        assert len({request.path for request in requests if "/blob/" in request.path}) == 1
    assert answers == ["not modified"]
    assert len(files(folder)) == 1


def test_an_empty_blob(release: Release, folder: Path) -> None:
    generation = release.put(Tag(states=[release.dump(b"")]))
    assert generation.get(0) == b""
    assert generation.get(0) == b""


def test_a_damaged_copy_is_replaced(release: Release, folder: Path) -> None:
    generation = release.put(Tag(states=[release.dump(b"state" * 1000)]))
    generation.get(0)
    (path,) = files(folder)
    for damaged in (b"", b"state", b"stXte" * 1000):
        path.unlink()
        path.write_bytes(damaged)
        assert generation.get(0) == b"state" * 1000
        assert path.read_bytes() == b"state" * 1000


def test_a_copy_does_not_hide_that_the_blob_is_lost(url: str, at: Server, release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(b"state")]))
    generation.get(0)
    engine = Engine(url, options=at.options())
    packages = set(engine.keys("blob/"))
    for key in packages:
        engine.collectable().delete(key)
    with pytest.raises(modelkeep.CorruptedError):
        generation.get(0)
    # and who writes it again stores it again
    assert release.put(Tag(states=[release.dump(b"state")])).get(0) == b"state"


def test_a_copy_does_not_hide_that_the_blob_is_damaged(url: str, at: Server, release: Release) -> None:
    generation = release.put(Tag(states=[release.dump(b"state")]))
    generation.get(0)
    engine = Engine(url, options=at.options())
    for key in engine.keys("blob/"):
        engine.collectable().put(key, b"damaged")
    with pytest.raises(modelkeep.CorruptedError):
        generation.get(0)


def test_the_longest_unused_goes_first(folder: Path) -> None:
    from modelkeep.backend import PREFIX, digest

    cache = Cache(folder, 10_000)
    names = []
    for number in range(10):
        content = memoryview(bytes([number]) * 2000)
        names.append(digest(content).removeprefix(PREFIX))
        cache.add(names[-1], "etag", content)
        os.utime(next(folder.glob(f"*/{names[-1]}.*")), (number, number))
    with cache.find(names[5]) as (etag, _):
        assert etag == "etag"
    cache.add("f" * 64, "etag", memoryview(b"x" * 2000))
    left = {path.name.partition(".")[0] for path in files(folder)}
    assert len(left) == 5
    assert names[5] in left
    assert names[6] not in left


def test_what_nobody_finished_is_removed(folder: Path) -> None:
    old, new = folder / "aa" / ".old", folder / "aa" / ".new"
    old.parent.mkdir(parents=True)
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 10_000, time.time() - 10_000))
    Cache(folder, 10_000).add("a" * 64, "etag", memoryview(b"x"))
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_can_not_be_written_is_none(url: str, at: Server, package: Package, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    registry = modelkeep.registry(
        provider="object", url=url, options=at.options(), cache=str(tmp_path / "file" / "cache")
    )
    release = Directory(registry).get("digits").put(package)
    assert release.put(Tag(states=[release.dump(b"state")])).get(0) == b"state"


def _read(release: Release, contents: list[bytes], rounds: int) -> None:
    for _ in range(rounds):
        for number, content in enumerate(contents):
            assert release.get(1).get(number) == content


def test_processes_share_a_small_cache(url: str, at: Server, package: Package, folder: Path) -> None:
    registry = modelkeep.registry(
        provider="object", url=url, options=at.options(), cache=str(folder), cache_limit=100_000
    )
    release = Directory(registry).get("digits").put(package)
    contents = [os.urandom(30_000) for _ in range(6)]
    release.put(Tag(states=[release.dump(content) for content in contents]))
    context: Any = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_read, args=(release, contents, 10)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert sum(path.stat().st_size for path in files(folder)) <= 130_000
    assert not [path for path in files(folder) if path.name.startswith(".")]

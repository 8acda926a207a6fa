from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

import modelkeep
from modelkeep import Directory

if TYPE_CHECKING:
    from conftest import Run


@pytest.fixture
def orphan(filled: Path) -> str:
    """The id of a state that was never committed."""
    sid = uuid4()
    modelkeep.registry().write("digits", "1.0", sid, b"x" * 1000)
    return str(sid)


def test_what_would_be_deleted_is_what_is_deleted(run: Run, orphan: str) -> None:
    before = [run("show", ref, "--json").out for ref in ("digits/1.0/1", "digits/1.0/2")]
    told = run("gc", "--older-than", "0s", "--dry-run", "--json")
    assert told.code == 0
    assert told.err.startswith("modelkeep: would delete")
    assert any(orphan in item for item in told.document["items"])
    assert told.document["size"] >= 1000
    done = run("gc", "--older-than", "0s", "--json")
    assert done.document == {**told.document, "dry_run": False}
    assert run("gc", "--older-than", "0s").out == ""
    assert [run("show", ref, "--json").out for ref in ("digits/1.0/1", "digits/1.0/2")] == before


def test_one_line_for_each(run: Run, orphan: str) -> None:
    done = run("gc", "--older-than", "0m")
    assert done.code == 0
    assert orphan in done.out
    assert f"deleted {len(done.out.splitlines())} items (" in done.err


@pytest.mark.parametrize("age", [(), ("--older-than", "1h"), ("--older-than", "2w")])
def test_what_waits_stays_a_week_or_as_long_as_is_said(run: Run, orphan: str, age: tuple[str, ...]) -> None:
    done = run("gc", *age)
    assert (done.code, done.out) == (0, "")
    assert "deleted 0 items (0 bytes)" in done.err
    modelkeep.registry().close("digits", "1.0", 9, modelkeep.Tag(states=[UUID(orphan)]))
    assert Directory(modelkeep.registry()).get("digits").get("1.0").get(9).get(0) == b"x" * 1000


@pytest.mark.parametrize("age", ["", "7", "-1d", "1.5h", "7 d", "7y", "999999999w", "d"])
def test_what_is_no_age(run: Run, orphan: str, age: str) -> None:
    done = run("gc", "--older-than", age)
    assert (done.code, done.out) == (2, "")
    assert repr(age) in done.err


def test_a_backend_that_collects_nothing_says_so(run: Run, monkeypatch: pytest.MonkeyPatch, filled: Path) -> None:
    monkeypatch.delattr("modelkeep_local.Registry.collect")
    done = run("gc")
    assert (done.code, done.out) == (8, "")
    assert "can not free" in done.err

"""A look at a folder of ForML that is damaged."""
# ruff: noqa: DTZ001  # the timestamps of ForML are naive

from __future__ import annotations

import datetime as dt
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from forml import project as prj
from forml.io import asset
from forml.provider.registry.filesystem import posix

from modelkeep_forml import Registry, check
from modelkeep_forml.__main__ import main

SIDS = [uuid.UUID(int=1), uuid.UUID(int=2)]
TAG = asset.Tag(asset.Tag.Training(dt.datetime(2023, 6, 2)), states=SIDS)


@pytest.fixture(params=["posix", "local"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> asset.Registry:
    if request.param == "posix":
        return posix.Registry(tmp_path / "tree")
    return Registry(backend="local", path=tmp_path / "tree")


@pytest.fixture
def release(registry: asset.Registry, make_package: Callable[..., prj.Package], tmp_path: Path) -> Path:
    """The folder of a release with one generation."""
    registry.push(make_package())
    for sid in SIDS:
        registry.write(asset.Project.Key("toy"), asset.Release.Key("1.0"), sid, b"state")
    registry.close(asset.Project.Key("toy"), asset.Release.Key("1.0"), asset.Generation.Key(1), TAG)
    return tmp_path / "tree" / "toy" / "1.0"


def lose_package(release: Path) -> None:
    (release / "package.4ml").unlink()


def cut_package(release: Path) -> None:
    raw = (release / "package.4ml").read_bytes()
    (release / "package.4ml").write_bytes(raw[: len(raw) // 2])


def lose_state(release: Path) -> None:
    (release / "1" / f"{SIDS[1]}.bin").unlink()


def lose_tag(release: Path) -> None:
    (release / "1" / "tag.toml").unlink()


def cut_tag(release: Path) -> None:
    raw = (release / "1" / "tag.toml").read_bytes()
    (release / "1" / "tag.toml").write_bytes(raw[:-9])


def empty_tag(release: Path) -> None:
    (release / "1" / "tag.toml").write_bytes(b"")


def strange_state(release: Path) -> None:
    (release / "1" / f"{uuid.UUID(int=3)}.bin").write_bytes(b"state")


def leave_stage(release: Path) -> None:
    (release / ".stage").mkdir(exist_ok=True)
    (release / ".stage" / f"{uuid.UUID(int=3)}.bin").write_bytes(b"state")


def half_commit(release: Path) -> None:
    (release / "2").mkdir()
    (release / "2" / f"{uuid.UUID(int=3)}.bin").write_bytes(b"state")


def pad_number(release: Path) -> None:
    shutil.copytree(release / "1", release / "007")


def zero(release: Path) -> None:
    shutil.copytree(release / "1", release / "0")


def spell_version(release: Path) -> None:
    release.rename(release.with_name("v1.0"))


def double_version(release: Path) -> None:
    shutil.copytree(release, release.with_name("1.0.0"))


def wrong_version(release: Path) -> None:
    release.rename(release.with_name("1.1"))


def bad_project(release: Path) -> None:
    release.parent.rename(release.parent.with_name("a toy"))


@pytest.mark.parametrize(
    ("damage", "place", "message"),
    [
        (lose_package, "toy/1.0", "no package.4ml"),
        (cut_package, "toy/1.0/package.4ml", "damaged"),
        (lose_state, f"toy/1.0/1/{SIDS[1]}.bin", "are lost"),
        (lose_tag, "toy/1.0/1", "2 states and no tag.toml"),
        (cut_tag, "toy/1.0/1/tag.toml", "damaged|does not match"),
        (empty_tag, "toy/1.0/1/tag.toml", "damaged"),
        (strange_state, f"toy/1.0/1/{uuid.UUID(int=3)}.bin", "does not name this state"),
        (leave_stage, f"toy/1.0/.stage/{uuid.UUID(int=3)}.bin", "no generation has this state"),
        (half_commit, "toy/1.0/2", "1 states and no tag.toml"),
        (pad_number, "toy/1.0/007", "looks for it in '7'"),
        (zero, "toy/1.0/0", "nobody lists this generation"),
        (spell_version, "toy/v1.0", "looks for it in '1.0'"),
        (double_version, "toy/1.0", "another folder is of the same version: '1.0.0'"),
        (wrong_version, "toy/1.1/package.4ml", "says that it is toy/1.0|damaged"),
        (bad_project, "a toy/1.0", "nobody lists this release: Not a valid project name"),
    ],
)
def test_damage_is_told(  # noqa: PLR0917  # what a test needs
    damage: Callable[[Path], None],
    place: str,
    message: str,
    release: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    snapshot: Callable[[Path], dict[str, object]],
) -> None:
    root = tmp_path / "tree"
    assert main(["check", str(root)]) == 0
    assert capsys.readouterr().out == "all is well\n"
    damage(release)
    before = snapshot(root)
    problems = check(root)
    assert [p for p in problems if str(p.path.relative_to(root)) == place and re.search(message, p.message)], problems
    assert snapshot(root) == before
    assert main(["check", str(root)]) == 1
    out = capsys.readouterr().out
    assert place in out
    assert out.endswith(f"problems: {len(problems)}\n")


def test_what_is_not_of_forml_is_ignored(release: Path, tmp_path: Path) -> None:
    (tmp_path / "tree" / "notes").mkdir()
    (tmp_path / "tree" / "notes" / "1").mkdir()
    (tmp_path / "tree" / "README").write_text("")
    (release / "old").mkdir()
    (release / "1" / "x.bin").write_text("")
    assert check(tmp_path / "tree") == []


def test_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "nowhere")]) == 1
    assert "There is no folder" in capsys.readouterr().err

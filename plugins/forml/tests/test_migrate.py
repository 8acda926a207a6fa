"""From a folder of ForML to any backend and back."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forml import application as appmod
from forml import project as prj
from forml.io import asset
from forml.provider.inventory import posix as posix_inventory
from forml.provider.registry.filesystem import posix

import modelkeep
from modelkeep import ConflictError, Package, StorageError
from modelkeep_forml import migrate, migrate_inventory
from modelkeep_forml.__main__ import main

Look = Callable[[Path], dict[str, object]]
WHEN = dt.datetime(2023, 6, 2, 8, 30, tzinfo=dt.UTC)


class Killed(BaseException):
    """Passes whatever catches exceptions."""


@pytest.fixture
def tree(tmp_path: Path, make_package: Callable[..., prj.Package]) -> Path:
    """What ForML's own provider writes: files and a folder, a gap in the numbers, an empty state."""
    root = tmp_path / "forml"
    registry = posix.Registry(root)
    for name, version in (("toy", "1.0"), ("toy", "1.10"), ("other", "0.1.dev1")):
        registry.push(make_package(version, name))
    make_package("2.0").install(tmp_path / "folder")
    registry.push(prj.Package(tmp_path / "folder"))
    for version, numbers in (("1.0", (1, 2, 5)), ("2.0", (1,))):
        for number in numbers:
            sids = [uuid.uuid4() for _ in range(3)]
            for size, sid in enumerate(sids):
                registry.write(asset.Project.Key("toy"), asset.Release.Key(version), sid, os.urandom(size * 70_000))
            tag = asset.Tag(asset.Tag.Training(WHEN, number), asset.Tag.Tuning(WHEN, number / 7), sids)
            registry.close(asset.Project.Key("toy"), asset.Release.Key(version), asset.Generation.Key(number), tag)
    return root


def content(registry: Any) -> dict[str, object]:
    """All that a registry holds."""
    found: dict[str, object] = {}
    for project in registry.projects():
        for release in registry.releases(project):
            package = registry.pull(project, str(release))
            found[f"{project}/{release}"] = Package(package.path).digest
            for number in registry.generations(project, str(release)):
                tag = registry.open(project, str(release), number)
                states = [registry.read(project, str(release), number, sid) for sid in tag.states]
                found[f"{project}/{release}/{number}"] = tag, states
    return found


def test_there_and_back(tree: Path, durable: str, tmp_path: Path, snapshot: Look) -> None:
    before = snapshot(tree)
    there = f"{durable}:{tmp_path / 'there'}"
    assert main(["migrate", str(tree), there, "--verify"]) == 0
    assert main(["migrate", there, str(tmp_path / "back"), "--verify"]) == 0
    expected = content(modelkeep.registry(provider="local", path=tree))
    assert len(expected) == 8
    assert content(modelkeep.registry(provider=durable, path=tmp_path / "there")) == expected
    assert content(modelkeep.registry(provider="local", path=tmp_path / "back")) == expected
    # nothing is written to the source
    assert snapshot(tree) == before
    # ForML's own provider reads what came back as it reads what it wrote
    theirs = posix.Registry(tree), posix.Registry(tmp_path / "back")
    for project in ("toy", "other"):
        releases, copied = (sorted(each.releases(asset.Project.Key(project))) for each in theirs)
        assert releases == copied
        for release in releases:
            key = asset.Project.Key(project), release
            assert sorted(theirs[0].generations(*key)) == sorted(theirs[1].generations(*key))
            for number in theirs[0].generations(*key):
                tags = [each.open(*key, number) for each in theirs]
                assert tags[0] == tags[1]
                for sid in tags[0].states:
                    assert theirs[0].read(*key, number, sid) == theirs[1].read(*key, number, sid)


def test_again(tree: Path, tmp_path: Path, snapshot: Look) -> None:
    assert {step.outcome for step in migrate(tree, tmp_path / "copy")} == {"copied"}
    before = snapshot(tmp_path / "copy")
    steps = migrate(tree, tmp_path / "copy", verify=True)
    assert [step.key for step in steps][:2] == ["other/0.1.dev1", "toy/1.0"]
    assert {step.outcome for step in steps} == {"there"}
    assert snapshot(tmp_path / "copy") == before


@pytest.mark.parametrize("action", ["push", "write", "close"])
@pytest.mark.parametrize("survived", [0, 1, 2])
def test_resumed(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, survived: int) -> None:
    target = modelkeep.registry(provider="local", path=tmp_path / "copy")
    method, left = getattr(type(target), action), survived

    def full(self: Any, *arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        method(self, *arguments)

    monkeypatch.setattr(type(target), action, full)
    with pytest.raises(Killed):
        migrate(tree, target)
    monkeypatch.setattr(type(target), action, method)
    assert "failed" not in {step.outcome for step in migrate(tree, target)}
    assert content(target) == content(modelkeep.registry(provider="local", path=tree))


def test_what_fails_does_not_keep_the_rest(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generation = tree / "toy" / "1.0" / "2"
    lost = next(generation.glob("*.bin"))
    lost.unlink()
    (tree / "other" / "0.1.dev1" / "package.4ml").write_bytes(b"no zip")
    assert main(["migrate", str(tree), str(tmp_path / "copy")]) == 1
    out, err = capsys.readouterr()
    assert "toy/1.0/1: copied" in out
    assert "6 copied, 0 there already, 2 failed" in out
    assert "other/0.1.dev1:" in err
    assert "toy/1.0/2:" in err
    assert lost.stem in err


def test_a_release_in_the_wrong_folder(tree: Path, tmp_path: Path) -> None:
    (tree / "toy" / "1.0").rename(tree / "toy" / "1.5")
    failed = [step for step in migrate(tree, tmp_path / "copy") if step.outcome == "failed"]
    assert [step.key for step in failed] == ["toy/1.5"]
    assert "says that it is toy/1.0" in failed[0].reason


def test_another_content_in_the_target(tree: Path, tmp_path: Path, make_package: Callable[..., prj.Package]) -> None:
    target = modelkeep.registry(provider="local", path=tmp_path / "copy")
    shutil.rmtree(tmp_path / "source-toy-1.0")
    target.push(Package(make_package(text="LIMIT = 5\n").path))
    migrate(tree, tmp_path / "copy2")
    modelkeep.registry(provider="local", path=tmp_path / "copy3").push(Package(tree / "toy" / "1.0" / "package.4ml"))
    modelkeep.registry(provider="local", path=tmp_path / "copy3").close("toy", "1.0", 1, modelkeep.Tag())
    failed = [step for step in migrate(tree, target) if step.outcome == "failed"]
    assert [step.key for step in failed] == ["toy/1.0"]
    assert "another package" in failed[0].reason
    failed = [step for step in migrate(tree, tmp_path / "copy3") if step.outcome == "failed"]
    assert [step.key for step in failed] == ["toy/1.0/1"]
    assert "another generation" in failed[0].reason


def test_verify_notices_other_bytes(tree: Path, tmp_path: Path) -> None:
    migrate(tree, tmp_path / "copy")
    changed = max((tree / "toy" / "1.0" / "5").glob("*.bin"), key=lambda path: path.stat().st_size)
    changed.write_bytes(b"other")
    assert "failed" not in {step.outcome for step in migrate(tree, tmp_path / "copy")}
    failed = [step for step in migrate(tree, tmp_path / "copy", verify=True) if step.outcome == "failed"]
    assert [step.key for step in failed] == ["toy/1.0/5"]
    assert changed.stem in failed[0].reason


def test_by_name(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modelkeep.toml").write_text('[registry.prod]\nprovider = "local"\npath = "prod"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["migrate", "./forml", "prod"]) == 0
    assert (tmp_path / "prod" / "toy" / "1.0" / "5" / "tag.toml").is_file()


def test_inventory(tmp_path: Path, durable: str) -> None:
    module = tmp_path / "module.py"
    module.write_text("from forml import application\napplication.setup(application.Generic('flowers'))\n")
    theirs = posix_inventory.Inventory(tmp_path / "theirs")
    theirs.put(appmod.Descriptor.Handle(module))
    there = f"{durable}:{tmp_path / 'there'}"
    assert [step.outcome for step in migrate_inventory(tmp_path / "theirs", there)] == ["copied"]
    assert [step.outcome for step in migrate_inventory(tmp_path / "theirs", there)] == ["there"]
    assert main(["migrate", "--inventory", there, str(tmp_path / "back")]) == 0
    assert posix_inventory.Inventory(tmp_path / "back").get("flowers").name == "flowers"
    assert (tmp_path / "back" / "flowers.py").read_bytes() == module.read_bytes()


def test_command(tree: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelkeep_forml", "migrate", str(tree), f"local:{tmp_path / 'copy'}"]
    done = subprocess.run(command, cwd=tmp_path / "folder", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "8 copied, 0 there already, 0 failed"
    assert done.stderr == ""
    assert [path.name for path in (tmp_path / "folder").glob("*.log")] == []


def test_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "nowhere", str(tmp_path / "copy")]) == 1
    assert "Error: No registry is named 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # not "0 copied": the path is mistyped
    assert main(["migrate", str(tmp_path / "nowhere"), str(tmp_path / "copy")]) == 1
    assert "There is n" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ConflictError, StorageError])
def test_a_target_that_fails(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    target = modelkeep.registry(provider="local", path=tmp_path / "copy")

    def fail(*_: Any) -> None:
        raise error("no")

    monkeypatch.setattr(type(target), "close", fail)
    failed = [step.key for step in migrate(tree, target) if step.outcome == "failed"]
    assert failed == ["toy/1.0/1", "toy/1.0/2", "toy/1.0/5", "toy/2.0/1"]

from __future__ import annotations

import errno
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelkeep

if TYPE_CHECKING:
    from conftest import Run


def test_push_writes_the_reference(run: Run, package: Callable[..., Path]) -> None:
    done = run("push", package())
    assert (done.code, done.out, done.err) == (0, "digits/1.0\n", "")
    assert run("push", package(version="1.1"), "--json").document == {"project": "digits", "release": "1.1"}


def test_pull_gives_the_bytes_that_were_pushed(run: Run, package: Callable[..., Path]) -> None:
    source = package()
    run("push", source)
    assert run("pull", "digits/1", "-o", "back.4ml").lines == ["back.4ml"]
    assert Path("back.4ml").read_bytes() == source.read_bytes()


def test_a_folder_comes_back_as_a_folder(run: Run, folder: Callable[..., Path]) -> None:
    source = folder()
    (source / "digits" / "run.sh").write_text("#!/bin/sh\n")
    (source / "digits" / "run.sh").chmod(0o755)
    assert run("push", source).code == 0
    document = run("pull", "digits", "-o", "back", "--json").document
    assert document["digest"] == modelkeep.Package(source).digest
    assert Path("back/digits/pipeline.py").read_bytes() == (source / "digits" / "pipeline.py").read_bytes()
    assert stat.S_IMODE(Path("back/digits/run.sh").stat().st_mode) == 0o755


def test_pull_takes_the_latest_by_default(run: Run, filled: Path) -> None:
    assert run("pull", "digits", "-o", "a.4ml", "--json").document["release"] == "1.1"
    assert run("pull", "digits/latest", "-o", "b.4ml", "--json").document["release"] == "1.1"


def test_registries_are_chosen_by_name(run: Run, package: Callable[..., Path]) -> None:
    source = package()
    assert run("-R", "other", "push", source).code == 0
    assert run("ls").lines == []
    assert run("ls", "-R", "other").lines == ["digits"]
    assert run("-R", "dev", "ls", "--registry", "other").lines == ["digits"]


def test_pushing_again_is_a_conflict(run: Run, package: Callable[..., Path]) -> None:
    source = package()
    run("push", source)
    done = run("push", source)
    assert (done.code, done.out) == (5, "")
    assert "digits/1.0" in done.err


def test_a_file_is_replaced_only_when_asked(run: Run, filled: Path) -> None:
    Path("mine.4ml").write_text("mine")
    done = run("pull", "digits", "-o", "mine.4ml")
    assert (done.code, done.out) == (5, "")
    assert "--force" in done.err
    assert Path("mine.4ml").read_text() == "mine"
    assert run("pull", "digits", "-o", "mine.4ml", "--force").code == 0
    assert zipfile.is_zipfile("mine.4ml")


def test_a_folder_is_never_replaced(run: Run, filled: Path) -> None:
    Path("mine").mkdir()
    for force in ([], ["--force"]):
        assert run("pull", "digits", "-o", "mine", *force).code == 5
    assert list(Path("mine").iterdir()) == []


def test_a_dangling_link_is_not_written_through(run: Run, filled: Path) -> None:
    Path("link").symlink_to("elsewhere")
    assert run("pull", "digits", "-o", "link").code == 5
    assert not Path("elsewhere").exists()


def test_a_file_made_meanwhile_is_kept(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = modelkeep.Package.copy

    def meanwhile(self: modelkeep.Package, path: Path) -> modelkeep.Package:
        Path("back.4ml").write_text("theirs")
        return copy(self, path)

    monkeypatch.setattr(modelkeep.Package, "copy", meanwhile)
    assert run("pull", "digits", "-o", "back.4ml").code == 5
    assert Path("back.4ml").read_text() == "theirs"


def test_a_file_system_without_links_will_do(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    assert run("pull", "digits", "-o", "back.4ml").code == 0
    assert zipfile.is_zipfile("back.4ml")
    assert run("pull", "digits", "-o", "back.4ml").code == 5


def test_damage_leaves_no_file(run: Run, filled: Path) -> None:
    path = filled / "1.1" / "package.4ml"
    path.write_bytes(path.read_bytes()[:-1])
    done = run("pull", "digits/1.1", "-o", "back.4ml")
    assert (done.code, done.out) == (6, "")
    assert not [path for path in Path().iterdir() if "partial" in path.name or path.name == "back.4ml"]


def test_the_folder_of_the_output_must_exist(run: Run, filled: Path) -> None:
    done = run("pull", "digits", "-o", "nowhere/back.4ml")
    assert done.code == 4
    assert "nowhere" in done.err


def test_what_is_not_there(run: Run, filled: Path) -> None:
    for ref in ("nope", "digits/9"):
        assert run("pull", ref, "-o", "back.4ml").code == 3
    assert not Path("back.4ml").exists()


def test_a_generation_has_no_package(run: Run, filled: Path) -> None:
    done = run("pull", "digits/1.0/1", "-o", "back.4ml")
    assert done.code == 2
    assert "project/release/generation" in done.err


def test_what_is_no_package(run: Run, folder: Callable[..., Path]) -> None:
    Path("text.4ml").write_text("text")
    Path("empty").mkdir()
    code = folder(version="2.0")
    (code / "__modelkeep__.toml").unlink()
    (code / "__4ml__.py").write_text("NAME = open('ran', 'w').name\n")
    with zipfile.ZipFile("outside.4ml", "w") as archive:
        archive.writestr("../outside", "x")
    for name in ("text.4ml", "empty", code, "outside.4ml"):
        done = run("push", name)
        assert (done.code, done.out) == (4, "")
        assert str(name) in done.err
    assert not Path("ran").exists()
    assert run("ls").lines == []


def test_a_package_that_does_not_exist_is_wrong_usage(run: Run) -> None:
    done = run("push", "nope.4ml")
    assert (done.code, done.out) == (2, "")
    assert "nope.4ml" in done.err

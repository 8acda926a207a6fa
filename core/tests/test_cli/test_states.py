from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import modelkeep

if TYPE_CHECKING:
    from conftest import Run


def _tag(number: int = 1, release: str = "1.1") -> modelkeep.Tag:
    return modelkeep.Directory(modelkeep.registry()).get("digits").get(release).get(number).tag


def test_commit_writes_the_reference(run: Run, filled: Path, states: list[Path]) -> None:
    assert run("commit", "digits/1.0", *states).lines == ["digits/1.0/3"]
    document = run("commit", "digits/latest", *states, "--json").document
    assert document.pop("states") == [str(sid) for sid in _tag().states]
    assert document == {"project": "digits", "release": "1.1", "generation": 1}


def test_states_come_back_in_order_byte_for_byte(run: Run, filled: Path, states: list[Path]) -> None:
    done = run("get", "digits/1.0/1", "-o", "back")
    assert done.lines == [f"back/{index}-{sid}.bin" for index, sid in enumerate(_tag(1, "1.0").states)]
    assert [Path(line).read_bytes() for line in done.lines] == [path.read_bytes() for path in states]
    assert sorted(str(path) for path in Path("back").iterdir()) == done.lines


def test_get_takes_the_latest_by_default(run: Run, filled: Path) -> None:
    assert run("get", "digits/1.0", "-o", "a", "--json").document["generation"] == 2
    assert run("get", "digits", "-o", "b").code == 3  # the latest release has no generation


def test_json_of_get(run: Run, filled: Path, states: list[Path]) -> None:
    document = run("get", "digits/1.0/1", "-o", "back", "--json").document
    assert [each["size"] for each in document["states"]] == [path.stat().st_size for path in states]
    assert all(Path(each["path"]).stat().st_size == each["size"] for each in document["states"])


def test_names_sort_as_the_states_do(run: Run, filled: Path) -> None:
    release = modelkeep.Directory(modelkeep.registry()).get("digits").get("1.1")
    release.put(modelkeep.Tag(states=tuple(release.dump(bytes([number])) for number in range(11))))
    assert run("get", "digits/1.1/1", "-o", "back").code == 0
    assert [path.read_bytes()[0] for path in sorted(Path("back").iterdir())] == list(range(11))


def test_a_state_that_is_named_twice_comes_twice(run: Run, filled: Path) -> None:
    release = modelkeep.Directory(modelkeep.registry()).get("digits").get("1.1")
    sid = release.dump(b"x")
    release.put(modelkeep.Tag(states=(sid, sid)))
    assert run("get", "digits/1.1/1", "-o", "back").lines == [f"back/0-{sid}.bin", f"back/1-{sid}.bin"]


def test_a_generation_without_states_gives_an_empty_folder(run: Run, filled: Path) -> None:
    modelkeep.Directory(modelkeep.registry()).get("digits").get("1.1").put(modelkeep.Tag())
    assert run("get", "digits/1.1/1", "-o", "back").lines == []
    assert list(Path("back").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "ordinal"),
    [
        ("7", 7),
        ("-0.5", -0.5),
        ("true", True),
        ("2024-05-01", dt.date(2024, 5, 1)),
        ("2024-05-01T10:00:00Z", dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC)),
        ("10:00:00", dt.time(10)),
        ('"7"', "7"),
        ("batch 7", "batch 7"),
        ("", ""),
        ("[1, 2]", "[1, 2]"),
        ("{a = 1}", "{a = 1}"),
        ("1\nother = 2", "1\nother = 2"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_an_ordinal_keeps_its_type(run: Run, filled: Path, states: list[Path], text: str, ordinal: Any) -> None:
    assert run("commit", "digits/1.1", states[0], "--ordinal", text).code == 0
    stored = _tag().training.ordinal
    assert (stored, type(stored)) == (ordinal, type(ordinal))


def test_a_generation_is_tuned_only_with_a_score(run: Run, filled: Path, states: list[Path]) -> None:
    before = dt.datetime.now(dt.UTC)
    run("commit", "digits/1.1", states[0])
    run("commit", "digits/1.1", states[0], "--score", "0.5")
    assert _tag(1).tuning == modelkeep.Tuning()
    assert _tag(2).tuning.score == 0.5
    for moment in (_tag(1).training.timestamp, _tag(2).training.timestamp, _tag(2).tuning.timestamp):
        assert moment is not None
        assert before <= moment <= dt.datetime.now(dt.UTC)


def test_a_state_may_be_larger_than_memory(filled: Path, spawn: Run) -> None:
    # sparse; it would not fit into what the process may allocate, while maps of files are shared and don't count
    with Path("large.bin").open("wb") as file:
        file.truncate(256 << 20)
    script = (
        "import resource, sys; import modelkeep._cli as cli; "
        "used = int(open('/proc/self/statm').read().split()[5]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_DATA, (used + (128 << 20),) * 2); "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell how much memory a process uses")
    Path("limited.py").write_text(script)
    for arguments in (
        ["commit", "digits/1.1", "large.bin"],
        ["get", "digits/1.1/1", "-o", "back"],
        ["verify"],
        ["cp", "dev", "other"],
        ["cp", "dev", "other", "--compare"],
    ):
        done = subprocess.run([sys.executable, "limited.py", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (back,) = Path("back").iterdir()
    assert back.stat().st_size == 256 << 20


def test_existing_files_are_replaced_only_when_asked(run: Run, filled: Path) -> None:
    (name,) = [Path(line).name for line in run("get", "digits/1.0/2", "-o", "back").lines]
    (Path("back") / name).write_text("mine")
    done = run("get", "digits/1.0/2", "-o", "back")
    assert (done.code, done.out) == (5, "")
    assert (Path("back") / name).read_text() == "mine"
    assert run("get", "digits/1.0/2", "-o", "back", "-f").code == 0
    assert (Path("back") / name).stat().st_size == 5000


def test_one_existing_file_keeps_all_others_out(run: Run, filled: Path) -> None:
    names = [Path(line).name for line in run("get", "digits/1.0/1", "-o", "first").lines]
    Path("back").mkdir()
    (Path("back") / names[-1]).write_text("mine")
    assert run("get", "digits/1.0/1", "-o", "back").code == 5
    assert [path.name for path in Path("back").iterdir()] == [names[-1]]


def test_other_files_of_the_folder_stay(run: Run, filled: Path) -> None:
    Path("back").mkdir()
    Path("back/mine").write_text("mine")
    assert run("get", "digits/1.0/1", "-o", "back").code == 0
    assert len(list(Path("back").iterdir())) == 4
    assert Path("back/mine").read_text() == "mine"


@pytest.mark.parametrize("exists", [False, True])
def test_one_damaged_state_leaves_no_file(run: Run, filled: Path, exists: bool) -> None:
    if exists:
        Path("back").mkdir()
    last = _tag(1, "1.0").states[-1]
    path = filled / "1.0" / "1" / f"{last}.bin"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    done = run("get", "digits/1.0/1", "-o", "back")
    assert (done.code, done.out) == (6, "")
    assert str(last) in done.err
    assert (list(Path("back").iterdir()) == []) if exists else not Path("back").exists()
    assert not [path for path in Path().iterdir() if "partial" in path.name]


def test_the_output_can_not_be_a_file(run: Run, filled: Path, states: list[Path]) -> None:
    before = states[0].read_bytes()
    for force in ([], ["--force"]):
        assert run("get", "digits/1.0/1", "-o", states[0], *force).code == 5
    assert states[0].read_bytes() == before


@pytest.mark.parametrize("ref", ["nope", "nope/1", "digits/9", "digits/1.0/9", "digits/1.1/latest"])
def test_what_is_not_there(run: Run, filled: Path, ref: str) -> None:
    assert run("get", ref, "-o", "back").code == 3
    assert not Path("back").exists()


def test_committing_to_an_unknown_release(run: Run, filled: Path, states: list[Path]) -> None:
    done = run("commit", "digits/9", *states)
    assert (done.code, done.out) == (3, "")
    assert "digits/9" in done.err
    assert run("commit", "nope/latest", *states).code == 3


def test_a_release_is_needed_to_commit(run: Run, filled: Path, states: list[Path]) -> None:
    for ref in ("digits", "digits/1.0/1"):
        done = run("commit", ref, states[0])
        assert done.code == 2
        assert "project/release" in done.err


def test_files_that_are_no_states_commit_nothing(run: Run, filled: Path, states: list[Path]) -> None:
    os.mkfifo("pipe")
    for name, code in (("nope.bin", 2), (".", 2), ("pipe", 4)):
        done = run("commit", "digits/1.1", states[0], name)
        assert (done.code, done.out) == (code, "")
    assert run("commit", "digits/1.1").code == 2
    assert run("ls", "digits/1.1").lines == []


def test_a_wrong_score_commits_nothing(run: Run, filled: Path, states: list[Path]) -> None:
    assert run("commit", "digits/1.1", states[0], "--score", "good").code == 2
    assert run("ls", "digits/1.1").lines == []


def test_a_state_that_goes_away_is_told(
    run: Run, filled: Path, states: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dump(self: modelkeep.Release, state: object) -> Any:
        states[1].unlink(missing_ok=True)
        return uuid4()

    monkeypatch.setattr(modelkeep.Release, "dump", dump)
    done = run("commit", "digits/1.1", *states)
    assert done.code == 7
    assert str(states[1]) in done.err

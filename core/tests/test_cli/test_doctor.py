from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import modelkeep
from modelkeep._cli import _doctor
from modelkeep.backend import seal

if TYPE_CHECKING:
    from conftest import Outcome, Run


class Finding(NamedTuple):
    status: str
    detail: str


def findings(done: Outcome) -> dict[tuple[str, str], Finding]:
    rows = [line.split("\t") for line in done.lines]
    assert {len(row) for row in rows} == {4}
    return {(what, check): Finding(status, detail) for what, check, status, detail in rows}


@pytest.fixture
def configure(store: Path) -> Callable[[str], None]:
    """Add to the configuration."""

    def configure(text: str) -> None:
        path = store / "modelkeep.toml"
        path.write_text(path.read_text() + text)

    return configure


def test_all_is_well(run: Run, filled: Path, store: Path) -> None:
    done = run("doctor")
    assert (done.code, done.err) == (0, "")
    found = findings(done)
    assert found["modelkeep", modelkeep.__version__].status == "ok"
    assert found["provider", "local registry"] == ("ok", "modelkeep_local:Registry")
    assert found["config", "source"] == ("ok", str(store / "modelkeep.toml"))
    assert found["config", "registry.default"] == ("ok", f"dev ({store / 'modelkeep.toml'})")
    assert found["registry dev", "reach"] == ("ok", "1 project, in a known format")
    assert found["registry dev", "room"].status in ("ok", "note")
    assert str(store / "registry") in found["registry dev", "room"].detail
    # what is not there yet, with the folder that it will be in
    assert found["registry other", "reach"] == ("ok", "0 projects, in a known format")
    assert found["registry other", "room"].detail.endswith(f"free at {store}")
    assert found["inventory dev", "reach"] == ("ok", "0 applications, in a known format")


def test_nothing_is_written(run: Run, store: Path) -> None:
    assert run("doctor").code == 0
    assert [path.name for path in store.iterdir()] == ["modelkeep.toml"]


def test_durability_is_told(run: Run, filled: Path, configure: Callable[[str], None]) -> None:
    configure('[registry.safe]\nprovider = "local"\npath = "safe"\n[registry.volatile]\nprovider = "memory"\n')
    found = findings(run("doctor"))
    assert found["registry safe", "durable"].status == "ok"
    assert found["registry dev", "durable"] == ("note", "sync = false: power loss may undo commits")
    assert found["registry volatile", "durable"].status == "unknown"
    assert ("registry volatile", "room") not in found


def test_json(run: Run, filled: Path) -> None:
    document = run("doctor", "--json").document
    assert {"what": "registry dev", "check": "reach", "status": "ok", "detail": "1 project, in a known format"} in (
        document["findings"]
    )


def test_where_each_value_is_from(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELKEEP_REGISTRY", "other")
    (tmp_path / "xdg" / "modelkeep").mkdir(parents=True)
    (tmp_path / "xdg" / "modelkeep" / "config.toml").write_text('[inventory.own]\nprovider = "memory"\n')
    done = run("doctor")
    assert findings(done)["config", "registry.default"].detail == "other ($MODELKEEP_REGISTRY)"
    assert [line.split("\t")[3] for line in done.lines if line.startswith("config\tsource")] == [
        str(tmp_path / "xdg" / "modelkeep" / "config.toml"),
        os.environ["MODELKEEP_CONFIG"],
    ]
    assert findings(done)["config", "registry.local.provider"].detail == "local (built in)"


def test_secrets_are_never_shown(run: Run, configure: Callable[[str], None], store: Path) -> None:
    (store / "leaky.py").write_text(
        "import modelkeep_local\n"
        "class Registry(modelkeep_local.Registry):\n"
        "    def __init__(self, path, password):\n"
        "        super().__init__(path)\n"
        "        self.password = password\n"
        "    def projects(self):\n"
        "        raise RuntimeError(f'no access with {self.password}')\n"
    )
    configure('[registry.leaky]\nprovider = "leaky:Registry"\npath = "x"\npassword = "hunter2"\n')
    configure('[registry.bad]\nprovider = "local"\npath = "x"\ntoken = "hunter2"\n')
    for options in ([], ["--json"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(store)
            done = run("doctor", *options)
        assert done.code == 1
        assert "hunter2" not in done.out + done.err
    assert findings(run("doctor"))["config", "registry.leaky.password"].detail.startswith("*** (")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('provider = "nope"\n', "There is no registry provider 'nope'"),
        ('provider = "nope:Class"\n', "can not be imported"),
        ('provider = "local"\n', "do not fit"),
        ('provider = "local"\npath = "x"\npth = 1\n', "did you mean 'path'"),
        ('provider = "local"\npath = "modelkeep.toml"\n', ""),
    ],
)
def test_what_is_configured_and_broken(run: Run, configure: Callable[[str], None], table: str, words: str) -> None:
    configure(f"[registry.x]\n{table}")
    done = run("doctor")
    assert done.code == 1
    found = findings(done)
    assert found["registry x", "reach"].status == "broken"
    assert words in found["registry x", "reach"].detail
    # the others are looked at all the same
    assert found["registry dev", "reach"].status == "ok"


def test_a_provider_that_is_an_extra(
    run: Run, configure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"local": "modelkeep_local:Registry"}
    monkeypatch.setattr("modelkeep._provider.installed", lambda kind: installed if kind == "registry" else {})
    found = findings(run("doctor"))
    assert found["provider", "lmdb"] == ("note", "pip install 'modelkeep[lmdb]'")


def test_a_broken_provider_that_nobody_uses_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "site" / "broken-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[modelkeep.registry]\nbroken = broken_provider:Registry\n")
    (info.parent / "broken_provider.py").write_text("raise RuntimeError('no such luck')\n")
    monkeypatch.syspath_prepend(info.parent)
    done = run("doctor")
    assert done.code == 0
    assert findings(done)["provider", "broken registry"].status == "broken"
    assert "no such luck" in findings(done)["provider", "broken registry"].detail


@pytest.mark.parametrize("text", ["[registry\n", "[registri]\n", "[registry.dev]\npath = 1\n"])
def test_a_config_that_can_not_be_right(run: Run, store: Path, text: str) -> None:
    (store / "modelkeep.toml").write_text(text)
    done = run("doctor")
    assert done.code == 1
    found = findings(done)
    assert found["config", "sources"].status == "broken"
    assert str(store / "modelkeep.toml") in found["config", "sources"].detail
    assert found["provider", "local registry"].status == "ok"


def test_a_default_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_INVENTORY", "dve")
    done = run("doctor")
    assert done.code == 1
    assert any("did you mean 'dev'" in line and line.startswith("config\tinventory.default") for line in done.lines)


@pytest.mark.parametrize(("record", "word"), [(b"format = 2\n", "upgrade"), (b"damaged", "damaged")])
def test_formats(run: Run, store: Path, record: bytes, word: str) -> None:
    (store / "registry").mkdir()
    sealed = seal(".modelkeep.toml" if word == "upgrade" else "elsewhere", record)
    (store / "registry" / ".modelkeep.toml").write_bytes(sealed)
    done = run("doctor")
    assert done.code == 1
    found = findings(done)["registry dev", "reach"]
    assert found.status == "broken"
    assert word in found.detail


def test_a_store_that_does_not_answer(spawn: Run, configure: Callable[[str], None], store: Path) -> None:
    (store / "slow.py").write_text(
        "import time, modelkeep_local\n"
        "class Registry(modelkeep_local.Registry):\n"
        "    def projects(self):\n"
        "        time.sleep(60)\n"
    )
    configure("".join(f'[registry.s{index}]\nprovider = "slow:Registry"\npath = "x"\n' for index in range(3)))
    begun = time.monotonic()
    done = spawn("doctor", "--timeout", "1", env={**os.environ, "PYTHONPATH": str(store)})
    # nobody waits for it at the end either
    assert time.monotonic() - begun < 20
    assert done.code == 1
    assert findings(done)["registry s2", "reach"] == ("broken", "no answer within 1 seconds")
    assert findings(done)["registry dev", "reach"].status == "ok"


def test_a_mistake_of_a_provider(run: Run, configure: Callable[[str], None], store: Path) -> None:
    (store / "odd.py").write_text(
        "import modelkeep_local\n"
        "class Registry(modelkeep_local.Registry):\n"
        "    def projects(self):\n"
        "        raise SystemExit('stop')\n"
    )
    configure('[registry.odd]\nprovider = "odd:Registry"\npath = "x"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(store)
        done = run("doctor")
    assert done.code == 1
    assert findings(done)["registry odd", "reach"] == ("broken", "it fails with a SystemExit")


@pytest.mark.parametrize(("free", "status"), [(0, "broken"), (1 << 20, "note"), (1 << 40, "ok")])
def test_room(run: Run, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    class Usage(NamedTuple):
        free: int

    def usage(path: Path) -> Any:
        return Usage(free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    done = run("doctor")
    assert findings(done)["registry dev", "room"].status == status
    assert done.code == (1 if status == "broken" else 0)


def test_a_place_that_can_only_be_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_doctor.os, "access", lambda path, mode: False)  # type: ignore[attr-defined]
    done = run("doctor")
    assert done.code == 0
    assert findings(done)["registry dev", "room"].detail.endswith("which can only be read")


@pytest.mark.parametrize("timeout", ["0", "-1", "x"])
def test_a_timeout_that_can_not_be(run: Run, timeout: str) -> None:
    assert run("doctor", "--timeout", timeout).code == 2


def test_nobody_reads(spawn: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert spawn("doctor", stdout=writer).code == 141
    os.close(writer)

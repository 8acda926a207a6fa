from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Run


@pytest.fixture
def configure(store: Path) -> Callable[[str], Path]:
    def configure(text: str) -> Path:
        path = store / "modelkeep.toml"
        path.write_text(text)
        return path

    return configure


def test_config_tells_each_value(run: Run, store: Path) -> None:
    lines = run("config").lines
    assert "registry.default\tdev" in lines
    assert f"registry.dev.path\t{store / 'registry'}" in lines
    assert "registry.dev.sync\tfalse" in lines


def test_config_tells_where_each_value_is_from(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_REGISTRY", "other")
    lines = run("config", "--origin").lines
    assert "registry.default\tother\t$MODELKEEP_REGISTRY" in lines
    assert f"registry.dev.provider\tlocal\t{store / 'modelkeep.toml'}" in lines
    assert any(line.startswith("registry.local.path\t") and line.endswith("\tbuilt in") for line in lines)


def test_json_of_config(run: Run, store: Path) -> None:
    document = run("config", "--json").document
    assert document["registry"]["default"] == "dev"
    assert document["registry"]["entries"]["dev"]["sync"] is False
    document = run("config", "--json", "--origin").document
    assert document["inventory"]["default"] == {"value": "dev", "origin": str(store / "modelkeep.toml")}


def test_secrets_are_never_shown(run: Run, configure: Callable[[str], Path]) -> None:
    configure(
        """
        [registry.prod]
        provider = "object"
        url = "s3://user:hunter2@host/models"
        secret_access_key = "hunter2"
        since = 2024-05-01
        [registry.prod.options]
        token = "hunter2"
        region = "eu"
        [[registry.prod.hosts]]
        password = "hunter2"
        [registry.prod.credentials]
        user = "hunter2"
        """
    )
    for options in ([], ["--origin"], ["--json"], ["--json", "--origin"]):
        done = run("config", *options)
        assert done.code == 0
        assert "hunter2" not in done.out + done.err
        assert "***" in done.out
    entry = run("config", "--json").document["registry"]["entries"]["prod"]
    assert entry["url"] == "s3://user:***@host/models"
    assert entry["options"] == {"token": "***", "region": "eu"}
    assert entry["hosts"] == [{"password": "***"}]
    assert entry["since"] == "2024-05-01"


def test_config_works_where_the_default_is_unknown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_REGISTRY", "nope")
    assert run("config").code == 0
    done = run("ls")
    assert done.code == 3
    assert "'nope'" in done.err


def test_a_config_that_is_not_toml(run: Run, configure: Callable[[str], Path]) -> None:
    path = configure("[registry\n")
    for command in (["config"], ["ls"], ["apps", "ls"]):
        done = run(*command)
        assert (done.code, done.out) == (4, "")
        assert str(path) in done.err
        assert "line 1" in done.err


@pytest.mark.parametrize(
    "text", ["[registri]\n", "[registry]\ndefault = 1\n", "[registry.dev]\npath = 'x'\n", "registry = 3\n"]
)
def test_a_config_that_can_not_be_right(run: Run, configure: Callable[[str], Path], text: str) -> None:
    path = configure(text)
    done = run("ls")
    assert (done.code, done.out) == (4, "")
    assert str(path) in done.err


def test_a_config_that_is_not_there_or_no_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nope.toml", "."):
        monkeypatch.setenv("MODELKEEP_CONFIG", name)
        assert run("ls").code == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_config_that_can_not_be_read(run: Run, configure: Callable[[str], Path]) -> None:
    configure("").chmod(0)
    assert run("ls").code == 4


def test_an_unknown_registry_lists_the_known_ones(run: Run) -> None:
    done = run("ls", "-R", "othr")
    assert (done.code, done.out) == (3, "")
    assert "did you mean 'other'" in done.err


def test_an_unknown_option_of_a_provider(run: Run, configure: Callable[[str], Path]) -> None:
    configure("[registry.dev]\nprovider = 'local'\npth = 'x'\n")
    done = run("ls", "-R", "dev")
    assert done.code == 4
    assert "did you mean 'path'" in done.err


@pytest.mark.parametrize("provider", ["nope", "nope:Class", "json:JSONDecoder"])
def test_a_provider_that_can_not_be_loaded(run: Run, configure: Callable[[str], Path], provider: str) -> None:
    configure(f"[registry.dev]\nprovider = '{provider}'\n")
    done = run("ls", "-R", "dev")
    assert (done.code, done.out) == (8, "")
    assert provider in done.err


def test_providers(run: Run) -> None:
    lines = run("providers").lines
    assert "local\tregistry\tinstalled\tmodelkeep_local:Registry" in lines
    assert "local\tinventory\tinstalled\tmodelkeep_local:Inventory" in lines
    assert {line.split("\t")[2] for line in lines} <= {"installed", "available"}
    document = run("providers", "--json").document
    assert {"provider": "local", "kind": "registry", "status": "installed", "detail": "modelkeep_local:Registry"} in (
        document["providers"]
    )


def test_extras_are_told_with_how_to_get_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelkeep._provider.installed", lambda kind: {})
    assert "lmdb\t\tavailable\tpip install 'modelkeep[lmdb]'" in run("providers").lines


def test_broken_providers_are_told_when_asked(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "site" / "broken-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[modelkeep.registry]\nbroken = broken_provider:Registry\n")
    (info.parent / "broken_provider.py").write_text("raise RuntimeError('no such luck')\n")
    monkeypatch.syspath_prepend(info.parent)
    assert run("providers").code == 0
    done = run("providers", "--check")
    assert done.code == 8
    (line,) = [line for line in done.lines if line.startswith("broken\t")]
    assert line.startswith("broken\tregistry\tbroken\t")
    assert "no such luck" in line
    assert "'broken'" in done.err

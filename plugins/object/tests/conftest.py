"""A real server for all tests of the run, and a proxy before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelkeep import Manifest, Package
from modelkeep_object.testing import Proxy, Server, own_seaweed, server
from modelkeep_object.testing.seaweed import SeaweedFS


@pytest.fixture(scope="session")
def at() -> Server:
    return server()


@pytest.fixture(scope="session")
def weed() -> SeaweedFS:
    return own_seaweed()


@pytest.fixture
def url(at: Server) -> str:
    return at.url()


@pytest.fixture
def proxy(at: Server) -> Iterator[Proxy]:
    with at.proxy() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    base = tmp_path_factory.mktemp("package")
    (base / "source" / "digits").mkdir(parents=True)
    (base / "source" / "digits" / "__init__.py").touch()
    return Package.create(base / "source", base / "digits.4ml", Manifest("digits", "1.0", "digits"))


@pytest.fixture(autouse=True)
def _no_credentials_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)

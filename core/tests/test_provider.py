from __future__ import annotations

import itertools
import json
import re
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import modelkeep
from modelkeep import Error, InvalidError, MissingError, StorageError, UnsupportedError, _provider

pytestmark = pytest.mark.usefixtures("bare")

ROOT = Path(__file__).parents[2]
_names = itertools.count()

BASE = """
import modelkeep
class Backend(modelkeep.Registry):
    def projects(self): return []
    def releases(self, project): raise modelkeep.MissingError("none")
    def generations(self, project, release): raise modelkeep.MissingError("none")
    def push(self, package): ...
    def pull(self, project, release): ...
    def write(self, project, release, sid, state): ...
    def read(self, project, release, generation, sid): ...
    def open(self, project, release, generation): ...
    def close(self, project, release, generation, tag): ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write a module that can be imported; returns its name."""
    made: list[str] = []
    (tmp_path / "modules").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "modules")

    def module(code: str) -> str:
        name = f"provider_of_a_test_{next(_names)}"
        (tmp_path / "modules" / f"{name}.py").write_text(code, "utf-8")
        made.append(name)
        return name

    yield module
    for name in made:
        sys.modules.pop(name, None)


# finding one


@pytest.mark.parametrize("ask", [modelkeep.registry, modelkeep.inventory])
@pytest.mark.parametrize("provider", ["memory", "local"])
def test_a_provider_is_loaded_by_its_name(ask: Any, provider: str, tmp_path: Path) -> None:
    options = {"path": tmp_path / "store"} if provider == "local" else {}
    assert repr(ask(provider=provider, **options)).startswith(f"modelkeep_{provider}.")


def test_a_class_is_loaded_by_module_and_name(tmp_path: Path) -> None:
    registry = modelkeep.registry(provider="modelkeep_local:Registry", path=tmp_path)
    assert registry == modelkeep.registry(provider="local", path=tmp_path)


def test_a_class_may_be_nested(module: Callable[[str], str]) -> None:
    name = module(f"{BASE}\nclass Outer:\n    Inner = Backend\n")
    assert modelkeep.registry(provider=f"{name}:Outer.Inner").projects() == ()


def test_with_a_provider_and_no_name_the_configuration_is_not_read(bare: Path) -> None:
    (bare / "modelkeep.toml").write_text("= broken", "utf-8")
    assert modelkeep.registry(provider="memory")


def test_a_provider_in_code_takes_the_place_of_the_configured_one(bare: Path) -> None:
    (bare / "modelkeep.toml").write_text("[registry.x]\nprovider = 'no-such'\nname = 'configured'\n", "utf-8")
    assert "configured" in repr(modelkeep.registry("x", provider="memory"))


@pytest.mark.parametrize(("asked", "other"), [("memory", "local"), ("local", "memory")])
def test_only_the_provider_that_is_asked_for_is_imported(python: Callable[..., str], asked: str, other: str) -> None:
    code = (
        "import sys, modelkeep\n"
        f"modelkeep.registry(provider={asked!r}{', path=sys.argv[1]' if asked == 'local' else ''}).projects()\n"
        "print(*sorted(name for name in sys.modules if name.startswith('modelkeep_') and '.' not in name))"
    )
    assert python(code, "store").split() == [f"modelkeep_{asked}"]


def test_naming_the_installed_providers_imports_none(python: Callable[..., str]) -> None:
    code = (
        "import sys\nfrom modelkeep import _provider\n"
        "found = _provider.installed('registry')\n"
        "assert {'local', 'memory'} <= set(found), found\n"
        "print(*[name for name in sys.modules if name.startswith('modelkeep_')])"
    )
    assert not python(code).split()


def test_an_unknown_provider_is_told_with_what_was_meant() -> None:
    with pytest.raises(UnsupportedError, match=r"'locla' \(did you mean 'local'\?.*Installed are: .*local.*memory"):
        modelkeep.registry(provider="locla")


@pytest.mark.parametrize("provider", ["zzz", "", " ", "..", "os", "modelkeep_memory", "Local", "local ", "\0"])
def test_an_unknown_provider_is_unsupported(provider: str) -> None:
    with pytest.raises(UnsupportedError):
        modelkeep.registry(provider=provider)


def test_a_provider_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_provider, "extras", lambda: {"tape": "modelkeep-tape"})
    for ask in (modelkeep.registry, modelkeep.inventory):
        with pytest.raises(UnsupportedError, match=re.escape("pip install 'modelkeep[tape]'")):
            ask(provider="tape")


def test_the_extras_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text("utf-8"))["project"]
    others = {"cli", "all", "forml"}  # the command line, all of them, and a bridge
    expected = {name: f"modelkeep-{name}" for name in project["optional-dependencies"] if name not in others}
    assert _provider.extras() == expected


@pytest.mark.parametrize("provider", [None, 5, b"local", ["local"], object])
def test_a_provider_of_another_type_is_invalid(provider: object) -> None:
    with pytest.raises(InvalidError):
        modelkeep.registry(provider=provider)


@pytest.mark.parametrize(
    "provider", [":", "a:", ":b", "a:b:c", "no_such_module:X", "os:no_such", "os:path:x", "a b:c", "..:x"]
)
def test_a_class_that_can_not_be_found_is_unsupported(provider: str) -> None:
    with pytest.raises(UnsupportedError, match=re.escape(repr(provider))):
        modelkeep.registry(provider=provider)


@pytest.mark.parametrize("code", ["1 / 0", "import no_such_dependency", "def (", "raise KeyError('x')"])
def test_a_broken_module_is_unsupported(module: Callable[[str], str], code: str) -> None:
    name = module(code)
    with pytest.raises(UnsupportedError, match="broken") as caught:
        modelkeep.registry(provider=f"{name}:Backend")
    assert name in str(caught.value)
    assert caught.value.__cause__


@pytest.fixture
def entry(module: Callable[[str], str], tmp_path: Path) -> Callable[..., str]:
    """Install a distribution that offers a provider; returns the name of the module that it is in."""

    def entry(provider: str, code: str, distribution: str = "third-party") -> str:
        name = module(code)
        folder = tmp_path / "modules" / f"{distribution.replace('-', '_')}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n", "utf-8")
        (folder / "entry_points.txt").write_text(
            f"[modelkeep.registry]\n{provider} = {name}:Backend\n[modelkeep.inventory]\n{provider} = {name}:No\n",
            "utf-8",
        )
        return name

    return entry


ASK = """
import sys, modelkeep
sys.path.insert(0, sys.argv[1])
try:
    print(type(modelkeep.registry(provider=sys.argv[2]).inner).__module__)
except modelkeep.Error as error:
    print(type(error).__name__, error)
"""


def test_a_provider_of_another_distribution_is_found(
    entry: Callable[..., str], python: Callable[..., str], tmp_path: Path
) -> None:
    name = entry("tape", BASE)
    assert python(ASK, tmp_path / "modules", "tape") == f"{name}\n"


@pytest.mark.parametrize("code", ["1 / 0", "import no_such_dependency", "def (", "raise SystemError('x')", ""])
def test_a_broken_entry_point_is_unsupported(
    entry: Callable[..., str], python: Callable[..., str], tmp_path: Path, code: str
) -> None:
    entry("tape", code)
    assert python(ASK, tmp_path / "modules", "tape").startswith("UnsupportedError The provider 'tape' is broken")


def test_a_broken_entry_point_does_not_stop_others(
    entry: Callable[..., str], python: Callable[..., str], tmp_path: Path
) -> None:
    entry("tape", "1 / 0")
    assert python(ASK, tmp_path / "modules", "memory").startswith("modelkeep_memory")


def test_two_distributions_that_offer_one_name_are_unsupported(
    entry: Callable[..., str], python: Callable[..., str], tmp_path: Path
) -> None:
    entry("tape", BASE, "first-party")
    entry("tape", BASE, "second-party")
    shown = python(ASK, tmp_path / "modules", "tape")
    assert shown.startswith("UnsupportedError More than one installed package offers the registry provider 'tape'")


@pytest.mark.parametrize(
    "found", ["os:path", "os:getcwd", "builtins:dict", "modelkeep:Inventory", "modelkeep_memory:Inventory"]
)
def test_what_is_no_registry_is_unsupported(found: str) -> None:
    with pytest.raises(UnsupportedError, match=r"modelkeep\.Registry"):
        modelkeep.registry(provider=found)


def test_a_registry_is_no_inventory() -> None:
    with pytest.raises(UnsupportedError, match=r"modelkeep\.Inventory"):
        modelkeep.inventory(provider="modelkeep_memory:Registry")


def test_a_backend_that_lacks_methods_is_an_error_of_ours(module: Callable[[str], str]) -> None:
    name = module("import modelkeep\nclass Backend(modelkeep.Registry):\n    def projects(self): ...\n")
    with pytest.raises(Error, match="abstract"):
        modelkeep.registry(provider=f"{name}:Backend")


# options


def test_an_unknown_option_is_told_with_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"'pth'.*did you mean 'path'\?.*takes: path, staging, sync"):
        modelkeep.registry(provider="local", pth=tmp_path)


def test_an_unknown_option_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidError):
        modelkeep.registry(provider="local", path=tmp_path / "store", snyc=False)
    assert not (tmp_path / "store").exists()


def test_an_unknown_option_in_a_file_names_the_registry(bare: Path) -> None:
    (bare / "modelkeep.toml").write_text("[registry.prod]\nprovider = 'local'\npath = 'x'\nsnyc = true\n", "utf-8")
    with pytest.raises(InvalidError, match=r"'snyc' of registry 'prod'.*'sync'"):
        modelkeep.registry("prod")


def test_a_missing_option_is_invalid() -> None:
    with pytest.raises(InvalidError, match="path"):
        modelkeep.registry(provider="local")


@pytest.mark.parametrize("sync", ["false", 0, 1, None, "no"])
def test_an_option_of_another_type_is_invalid(tmp_path: Path, sync: object) -> None:
    with pytest.raises(InvalidError, match="sync"):
        modelkeep.registry(provider="local", path=tmp_path / "store", sync=sync)


def test_a_provider_that_takes_any_option_is_given_them(module: Callable[[str], str]) -> None:
    name = module(
        f"{BASE}\n    def __init__(self, **options):\n        super().__init__()\n        self.options = options\n"
    )
    registry: Any = modelkeep.registry(provider=f"{name}:Backend", anything=1)
    assert registry.inner.options == {"anything": 1}


@pytest.mark.parametrize("option", ["self", "name", "provider_", "__class__"])
def test_odd_names_of_options_are_invalid(tmp_path: Path, option: str) -> None:
    with pytest.raises(InvalidError):
        modelkeep.registry(provider="local", **{"path": str(tmp_path), option: "x"})


def test_what_opening_raises_becomes_a_storage_error(module: Callable[[str], str]) -> None:
    name = module(f"{BASE}\n    def __init__(self):\n        raise ConnectionError('refused')\n")
    with pytest.raises(StorageError, match="refused") as caught:
        modelkeep.registry(provider=f"{name}:Backend")
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_what_opening_raises_of_ours_passes(module: Callable[[str], str]) -> None:
    name = module(f"{BASE}\n    def __init__(self):\n        raise modelkeep.MissingError('no bucket')\n")
    with pytest.raises(MissingError, match="no bucket"):
        modelkeep.registry(provider=f"{name}:Backend")


# secrets


@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwd", "pwd", "passphrase", "secret", "client_secret", "secret_key", "access_key", "api_key"),
        *("apikey", "api-key", "accesskey", "token", "session_token", "sas", "sas_token", "credentials", "auth", "key"),
        *("private_key", "connection_string", "PASSWORD", "AWS_SECRET_ACCESS_KEY", "bearer"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert _provider.is_secret(name)


@pytest.mark.parametrize(
    "name", ["path", "url", "name", "sync", "staging", "region", "keyboard", "monkey", "author", "level"]
)
def test_names_of_no_secrets(name: str) -> None:
    assert not _provider.is_secret(name)


SECRETS: list[tuple[dict[str, Any], str]] = [
    ({"token": "hunter2"}, "hunter2"),
    ({"options": {"secret_access_key": "hunter2"}}, "hunter2"),
    ({"options": {"deep": {"token": "hunter2"}}}, "hunter2"),
    ({"credentials": {"user": "x", "value": "hunter2"}}, "hunter2"),
    ({"credentials": ["x", "hunter2"]}, "hunter2"),
    ({"url": "https://me:hunter2@host/x"}, "hunter2"),
    ({"url": "redis://:hunter2@host/x"}, "hunter2"),
    ({"hosts": ["https://me:hunter2@host/x"]}, "hunter2"),
    ({"hosts": [{"password": "hunter2"}]}, "hunter2"),
    ({"hosts": [["https://me:hunter2@host/x"]]}, "hunter2"),
    ({"password": 271828}, "271828"),
    ({"pwd": [271828]}, "271828"),
    ({"url": "redis://me:hun&ter2@host/x"}, "ter2"),
    ({"url": "redis://me:hun@ter2@host/x"}, "ter2"),
    ({"url": "postgresql://host/x?user=me&password=hunter2"}, "hunter2"),
    ({"url": "https://host/x?api_key=hunter2"}, "hunter2"),
    ({"token": "hun'ter2"}, "ter2"),
    ({"token": "hun\\ter2"}, "ter2"),
    ({"token": "hun\nter2"}, "ter2"),
    ({"token": "hun\tter2é"}, "ter2"),
]


@pytest.mark.parametrize(("options", "secret"), SECRETS, ids=lambda value: json.dumps(value)[:40])
def test_opening_shows_no_secret(module: Callable[[str], str], options: dict[str, Any], secret: str) -> None:
    code = "    def __init__(self, **options):\n        raise ValueError(str(options))\n"
    with pytest.raises(StorageError) as caught:
        modelkeep.registry(provider=f"{module(BASE + code)}:Backend", **options)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("options", "secret"), SECRETS, ids=lambda value: json.dumps(value)[:40])
def test_using_shows_no_secret(module: Callable[[str], str], options: dict[str, Any], secret: str) -> None:
    code = (
        "    def __init__(self, **options):\n        super().__init__()\n        self.options = options\n"
        "    def __repr__(self):\n        return f'Backend({self.options})'\n"
        "    def projects(self):\n        raise ValueError(str(self.options))\n"
    )
    registry = modelkeep.registry(provider=f"{module(BASE + code)}:Backend", **options)
    assert secret not in repr(registry)
    with pytest.raises(StorageError) as caught:
        registry.projects()
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("options", "secret"), SECRETS, ids=lambda value: json.dumps(value)[:40])
def test_an_error_of_ours_when_opening_shows_no_secret(
    module: Callable[[str], str], options: dict[str, Any], secret: str
) -> None:
    code = "    def __init__(self, **options):\n        raise modelkeep.InvalidError(f'not {options}')\n"
    with pytest.raises(InvalidError) as caught:
        modelkeep.registry(provider=f"{module(BASE + code)}:Backend", **options)
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("method", ["__init__", "projects"])
def test_an_error_of_a_backends_own_class_shows_no_secret(module: Callable[[str], str], method: str) -> None:
    code = (
        "    def __init__(self, token):\n        super().__init__()\n        self.token = token\n"
        "        self.fail('__init__')\n"
        "    def projects(self):\n        self.fail('projects')\n"
        f"    def fail(self, method):\n        if method == {method!r}:\n            raise Full(self.token, 5)\n"
        "class Full(modelkeep.StorageError):\n"
        "    def __init__(self, used, limit):\n        super().__init__(f'{used} of {limit}')\n"
    )
    name, secret = module(BASE + code), "hunter2"  # a name: tracebacks show the lines of this test, too
    with pytest.raises(StorageError, match="of 5") as caught:
        modelkeep.registry(provider=f"{name}:Backend", token=secret).projects()
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_bytes_of_a_secret_are_not_shown(module: Callable[[str], str]) -> None:
    code = "    def __init__(self, password):\n        raise ValueError(password)\n"
    with pytest.raises(StorageError) as caught:
        modelkeep.registry(provider=f"{module(BASE + code)}:Backend", password=b"hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("parameter", ["sig", "token", "X-Amz-Signature", "access_token"])
def test_a_signature_in_a_url_is_a_secret(module: Callable[[str], str], parameter: str) -> None:
    code = "    def __init__(self, url):\n        raise ValueError(url)\n"
    with pytest.raises(StorageError) as caught:
        modelkeep.registry(provider=f"{module(BASE + code)}:Backend", url=f"https://host/x?a=1&{parameter}=hunter2&b=2")
    assert "hunter2" not in str(caught.value)


def test_a_wrong_option_shows_no_secret() -> None:
    with pytest.raises(InvalidError) as caught:
        modelkeep.registry(provider="memory", secret_key="hunter2")
    assert "hunter2" not in str(caught.value)


def test_the_name_of_a_host_is_no_secret(module: Callable[[str], str]) -> None:
    code = "    def __init__(self, url):\n        raise ValueError(url)\n"
    with pytest.raises(StorageError, match=r"https://me:\*\*\*@host:8080/path"):
        modelkeep.registry(provider=f"{module(BASE + code)}:Backend", url="https://me:hunter2@host:8080/path")


def test_a_bridge_is_no_provider() -> None:
    assert "forml" not in _provider.extras()
    with pytest.raises(UnsupportedError, match="There is no registry provider 'forml'"):
        modelkeep.registry(provider="forml")

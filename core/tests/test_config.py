from __future__ import annotations

import pwd
from pathlib import Path
from typing import Any

import pytest

import modelkeep
from modelkeep import Error, InvalidError, MissingError, _config

pytestmark = pytest.mark.usefixtures("bare")

LOCAL = 'provider = "local"\npath = "store"\n'


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def values(name: str | None = None, kind: str = "registry") -> dict[str, Any]:
    return {key: setting.value for key, setting in _config.load().entry(kind, name).items()}


def origins(name: str | None = None, kind: str = "registry") -> dict[str, str]:
    return {key: setting.origin for key, setting in _config.load().entry(kind, name).items()}


@pytest.fixture
def user() -> Path:
    return Path.home() / ".config" / "modelkeep" / "config.toml"


# sources


@pytest.mark.parametrize("kind", _config.KINDS)
def test_with_no_configuration_it_is_local_below_the_data_folder(kind: str) -> None:
    assert values(kind=kind) == {"provider": "local", "path": str(Path.home() / ".local/share/modelkeep" / kind)}
    assert set(origins(kind=kind).values()) == {"built in"}


def test_reading_the_configuration_creates_nothing(bare: Path) -> None:
    modelkeep.registry()
    modelkeep.inventory()
    assert not [path for path in bare.parent.rglob("*") if "modelkeep" in path.name]


def test_the_data_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert values()["path"] == str(tmp_path / "data" / "modelkeep" / "registry")


def test_an_empty_xdg_variable_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    assert values()["path"] == str(Path.home() / ".local/share/modelkeep/registry")


def test_the_users_file_is_read(user: Path) -> None:
    write(user, f'[registry]\ndefault = "mine"\n[registry.mine]\n{LOCAL}')
    assert values() == {"provider": "local", "path": str(user.parent / "store")}
    assert set(origins().values()) == {str(user)}


def test_the_users_file_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "etc"))
    write(tmp_path / "etc" / "modelkeep" / "config.toml", f"[registry.mine]\n{LOCAL}")
    assert values("mine")["path"] == str(tmp_path / "etc" / "modelkeep" / "store")


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_projects_file_is_found_upwards(bare: Path, monkeypatch: pytest.MonkeyPatch, depth: int) -> None:
    write(bare / "modelkeep.toml", f"[registry.mine]\n{LOCAL}")
    deep = bare.joinpath(*["deep"] * depth)
    deep.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(deep)
    assert values("mine")["path"] == str(bare / "store")


def test_the_nearest_project_file_is_the_only_one(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bare / "modelkeep.toml", f"[registry.far]\n{LOCAL}")
    write(bare / "deep" / "modelkeep.toml", f"[registry.near]\n{LOCAL}")
    monkeypatch.chdir(bare / "deep")
    assert set(_config.load().entries["registry"]) == {"local", "near"}


def test_the_table_of_a_pyproject_is_read(bare: Path) -> None:
    path = write(bare / "pyproject.toml", f"[project]\nname = 'x'\n[tool.modelkeep.registry.mine]\n{LOCAL}")
    assert values("mine")["path"] == str(bare / "store")
    assert origins("mine")["path"] == str(path)


def test_a_modelkeep_toml_wins_over_the_pyproject_beside_it(bare: Path) -> None:
    write(bare / "pyproject.toml", "[tool.modelkeep.registry.mine]\nprovider = 'memory'\n")
    write(bare / "modelkeep.toml", f"[registry.mine]\n{LOCAL}")
    assert values("mine")["provider"] == "local"


def test_a_pyproject_without_our_table_is_passed_over(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bare / "modelkeep.toml", f"[registry.mine]\n{LOCAL}")
    write(bare / "deep" / "pyproject.toml", "[project]\nname = 'x'\n[tool.ruff]\nline-length = 120\n")
    monkeypatch.chdir(bare / "deep")
    assert values("mine")["path"] == str(bare / "store")


@pytest.mark.parametrize("text", ["tool = 5", "tool = []", "[[tool]]\nmodelkeep = 1", "tool = 'modelkeep'", ""])
def test_a_pyproject_of_another_shape_is_passed_over(bare: Path, text: str) -> None:
    write(bare / "pyproject.toml", text)
    assert values()["provider"] == "local"


def test_an_empty_table_in_a_pyproject_ends_the_search(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bare / "modelkeep.toml", f"[registry.far]\n{LOCAL}")
    write(bare / "deep" / "pyproject.toml", "[tool.modelkeep]\n")
    monkeypatch.chdir(bare / "deep")
    assert set(_config.load().entries["registry"]) == {"local"}


def test_a_folder_named_as_a_file_of_ours_is_passed_over(bare: Path) -> None:
    (bare / "modelkeep.toml").mkdir()
    assert values()["provider"] == "local"


def test_the_named_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "elsewhere" / "x.conf", f"[registry.mine]\n{LOCAL}")
    monkeypatch.setenv("MODELKEEP_CONFIG", str(path))
    assert values("mine")["path"] == str(tmp_path / "elsewhere" / "store")


@pytest.mark.parametrize("name", ["~/mine.toml", "../home/mine.toml"])
def test_the_named_file_may_be_relative_or_below_home(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write(Path.home() / "mine.toml", f"[registry.mine]\n{LOCAL}")
    monkeypatch.setenv("MODELKEEP_CONFIG", name)
    path = Path(values("mine")["path"])
    assert path.is_absolute()
    assert path.resolve() == (Path.home() / "store").resolve()


@pytest.mark.parametrize("name", ["nowhere.toml", "/", "~nobody-at-all/x", "a/b/c"])
def test_a_named_file_that_is_not_there_is_invalid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MODELKEEP_CONFIG", name)
    with pytest.raises(InvalidError, match=r"MODELKEEP_CONFIG"):
        _config.load()


@pytest.mark.parametrize("kind", _config.KINDS)
def test_a_variable_names_the_default(monkeypatch: pytest.MonkeyPatch, bare: Path, kind: str) -> None:
    write(bare / "modelkeep.toml", f"[{kind}]\ndefault = 'one'\n[{kind}.one]\n{LOCAL}[{kind}.two]\n{LOCAL}x = 2\n")
    monkeypatch.setenv(f"MODELKEEP_{kind.upper()}", "two")
    assert values(kind=kind)["x"] == 2
    assert _config.load().default[kind].origin == f"$MODELKEEP_{kind.upper()}"


def test_an_empty_variable_names_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_REGISTRY", "")
    monkeypatch.setenv("MODELKEEP_CONFIG", "")
    assert values()["provider"] == "local"


# precedence


def test_each_source_wins_over_the_ones_before(
    bare: Path, user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def text(number: int) -> str:
        return "".join(f"{'abc'[i]} = {number}\n" for i in range(4 - number))

    write(user, f"[registry]\ndefault = 'x'\n[registry.x]\nprovider = 'local'\n{text(1)}")
    assert values() == {"provider": "local", "a": 1, "b": 1, "c": 1}
    project = write(bare / "modelkeep.toml", f"[registry.x]\n{text(2)}")
    assert values() == {"provider": "local", "a": 2, "b": 2, "c": 1}
    named = write(tmp_path / "named.toml", f"[registry.x]\n{text(3)}")
    monkeypatch.setenv("MODELKEEP_CONFIG", str(named))
    assert values() == {"provider": "local", "a": 3, "b": 2, "c": 1}
    assert origins() == {"provider": str(user), "a": str(named), "b": str(project), "c": str(user)}


@pytest.mark.parametrize("later", [1, 2, 3, 4])
def test_the_last_default_wins(
    bare: Path, user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, later: int
) -> None:
    tables = "".join(f"[registry.r{i}]\nprovider = 'local'\nnumber = {i}\n" for i in range(1, 5))
    write(user, f"[registry]\ndefault = 'r1'\n{tables}")
    if later > 1:
        write(bare / "modelkeep.toml", "registry.default = 'r2'")
    if later > 2:
        monkeypatch.setenv("MODELKEEP_CONFIG", str(write(tmp_path / "named.toml", "registry.default = 'r3'")))
    if later > 3:
        monkeypatch.setenv("MODELKEEP_REGISTRY", "r4")
    assert values()["number"] == later


def test_a_table_that_names_a_provider_replaces_the_earlier_one(bare: Path, user: Path) -> None:
    write(user, "[registry.x]\nprovider = 'object'\nurl = 's3://x'\nretries = 5\n")
    write(bare / "modelkeep.toml", f"[registry.x]\n{LOCAL}")
    assert set(values("x")) == {"provider", "path"}


def test_a_table_without_a_provider_is_laid_over_the_built_in_one(bare: Path) -> None:
    write(bare / "modelkeep.toml", "[registry.local]\nsync = false\n")
    assert values()["sync"] is False
    assert values()["path"].endswith("modelkeep/registry")


def test_code_wins_over_all(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bare / "modelkeep.toml", f"[registry.x]\n{LOCAL}")
    monkeypatch.setenv("MODELKEEP_REGISTRY", "x")
    assert str(bare / "code") in repr(modelkeep.registry(path=bare / "code"))
    assert str(bare / "code") in repr(modelkeep.registry("x", path=bare / "code"))


def test_a_registry_and_an_inventory_of_one_name_are_apart(bare: Path) -> None:
    write(bare / "modelkeep.toml", f"[registry.x]\n{LOCAL}[inventory.x]\nprovider = 'memory'\n")
    assert values("x", "registry")["provider"] == "local"
    assert values("x", "inventory")["provider"] == "memory"


# paths


@pytest.mark.parametrize("option", ["path", "staging"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [("x", "{file}/x"), ("./x", "{file}/x"), ("../x", "{file}/../x"), ("/abs/x", "/abs/x"), ("~/x", "{home}/x")],
)
def test_a_relative_path_is_taken_from_the_folder_of_its_file(
    bare: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, expected: str
) -> None:
    write(bare / "modelkeep.toml", f"[registry.x]\nprovider = 'local'\n{option} = {value!r}\n")
    (bare / "deep").mkdir()
    monkeypatch.chdir(bare / "deep")
    assert values("x")[option] == expected.format(file=bare, home=Path.home())


def test_other_options_are_no_paths(bare: Path) -> None:
    write(bare / "modelkeep.toml", "[registry.x]\nprovider = 'local'\nname = '~/x'\nsync = 'x'\n")
    assert values("x") == {"provider": "local", "name": "~/x", "sync": "x"}


@pytest.mark.parametrize("value", ["5", "true", "['a']", "{a = 1}", "1979-05-27"])
def test_a_path_of_another_type_is_refused_by_the_provider(bare: Path, value: str) -> None:
    write(bare / "modelkeep.toml", f"[registry.x]\nprovider = 'local'\npath = {value}\n")
    with pytest.raises(InvalidError, match="path"):
        modelkeep.registry("x")


def test_an_unknown_home_is_invalid(bare: Path) -> None:
    write(bare / "modelkeep.toml", "[registry.x]\nprovider = 'local'\npath = '~nobody-at-all/x'\n")
    with pytest.raises(InvalidError, match="nobody-at-all"):
        modelkeep.registry("x")


def test_without_a_home_what_is_configured_works(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a container with a user id that /etc/passwd does not know
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    write(bare / "modelkeep.toml", f"[registry]\ndefault = 'x'\n[registry.x]\n{LOCAL}")
    assert str(bare / "store") in repr(modelkeep.registry())


def test_without_a_home_the_default_is_an_error_of_ours(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(Error):
        modelkeep.registry()


def test_a_working_folder_that_is_gone(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "gone").mkdir()
    monkeypatch.chdir(bare / "gone")
    (bare / "gone").rmdir()
    assert values()["provider"] == "local"


# what is wrong


@pytest.mark.parametrize(
    ("text", "line"),
    [("[registry", 1), ("\n\nx = \n", 3), ("[registry]\ndefault = 'a'\ndefault = 'b'\n", 3), ("a = 1\n\tb = 'x\n", 2)],
)
def test_what_is_not_toml_is_told_with_file_and_line(bare: Path, text: str, line: int) -> None:
    path = write(bare / "modelkeep.toml", text)
    with pytest.raises(InvalidError, match=rf"line {line}\b|end of document") as caught:
        _config.load()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("which", ["user", "modelkeep.toml", "pyproject.toml", "named"])
def test_any_file_that_is_not_toml_is_named(
    bare: Path, user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, which: str
) -> None:
    path = {"user": user, "named": tmp_path / "named.toml"}.get(which, bare / which)
    write(path, "= broken")
    monkeypatch.setenv("MODELKEEP_CONFIG", str(path) if which == "named" else "")
    with pytest.raises(InvalidError) as caught:
        modelkeep.registry()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"x = '\xe9'", b"x = " + b"[" * 100_000, b"x = " + b"9" * 5000, b"\0", b"x = 0001-01-01T25:00:00Z"],
    ids=["utf-16", "latin-1", "deep", "large", "NUL", "time"],
)
def test_a_file_that_can_not_be_read_is_named(bare: Path, content: bytes) -> None:
    (bare / "modelkeep.toml").write_bytes(content)
    with pytest.raises(InvalidError) as caught:
        _config.load()
    assert str(bare / "modelkeep.toml") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[registries.x]\n", "did you mean 'registry'"),
        ("[Inventory]\n", "did you mean 'inventory'"),
        ("registry.defualt = 'x'\n", "did you mean 'default'"),
        ("[zzz]\n", "registry, inventory"),
        ("[registry]\npath = 'x'\n", "NAME"),
    ],
)
def test_an_unknown_key_is_told_with_what_was_meant(bare: Path, text: str, hint: str) -> None:
    path = write(bare / "modelkeep.toml", text)
    with pytest.raises(InvalidError, match=hint) as caught:
        _config.load()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "registry = 5",
        "registry = 'local'",
        "registry = []",
        "[[registry]]\nprovider = 'local'",
        "registry.default = 5",
        "registry.default = ['a']",
        "[registry.default]\nprovider = 'local'",
        "registry.x = 5",
        "[[registry.x]]\nprovider = 'local'",
        "[registry.x]\npath = 'store'",
        "[registry.x]\nprovider = 5",
        "[registry.x]\nprovider = ['local']",
        "[registry.local]\nprovider = {}",
    ],
)
def test_a_table_of_another_shape_is_invalid(bare: Path, text: str) -> None:
    path = write(bare / "modelkeep.toml", text)
    with pytest.raises(InvalidError) as caught:
        _config.load()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["modelkeep = 5", "modelkeep = []", "[[modelkeep]]\nregistry = 5"])
def test_our_table_of_another_shape_in_a_pyproject_is_invalid(bare: Path, text: str) -> None:
    write(bare / "pyproject.toml", text.replace("modelkeep", "tool.modelkeep", 1))
    with pytest.raises(InvalidError, match=r"pyproject\.toml"):
        _config.load()


@pytest.mark.parametrize("ask", [modelkeep.registry, modelkeep.inventory])
def test_an_unknown_name_lists_the_known_ones(bare: Path, ask: Any) -> None:
    write(bare / "modelkeep.toml", f"[registry.prod]\n{LOCAL}[inventory.prod]\n{LOCAL}")
    with pytest.raises(MissingError, match=r"'prdo' \(did you mean 'prod'\?.*local, prod"):
        ask("prdo")


def test_a_default_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_REGISTRY", "nowhere")
    with pytest.raises(MissingError, match="'nowhere'"):
        modelkeep.registry()


@pytest.mark.parametrize("name", [5, b"local", ["local"], True, Path("local")])
def test_a_name_of_another_type_is_invalid(name: Any) -> None:
    with pytest.raises(InvalidError):
        modelkeep.registry(name)


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"[registry.default]\nprovider = 'object'\nsecret_key = '{SECRET}'",
        f"[[registry]]\nsecret_key = '{SECRET}'",
        f"[[registry.x]]\nsecret_key = '{SECRET}'",
        f"[registry.x]\nsecret_key = '{SECRET}'",
        f"[registry.x]\nprovider = {{ token = '{SECRET}' }}",
        f"[registry.x]\nprovider = 'local'\nsecret_key = '{SECRET}",
        f"registry.secret = '{SECRET}'",
        f"registry.default = ['{SECRET}']",
    ],
)
def test_messages_show_no_secret(bare: Path, text: str) -> None:
    write(bare / "modelkeep.toml", text)
    with pytest.raises(InvalidError) as caught:
        modelkeep.registry("x")
    error: BaseException | None = caught.value
    while error:
        assert SECRET not in str(error)
        error = error.__cause__


def test_a_repr_of_the_configuration_shows_no_secret(bare: Path) -> None:
    write(bare / "modelkeep.toml", f"[registry.x]\nprovider = 'local'\nsecret_key = '{SECRET}'\n")
    assert SECRET not in repr(_config.load())

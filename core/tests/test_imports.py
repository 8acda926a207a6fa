"""What may import what, and what is imported when."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").exists())
#: What a plugin may use of the core.
PUBLIC = {"modelkeep", "modelkeep.backend", "modelkeep.hooks", "modelkeep.keyvalue"}
#: The one module of a plugin that knows of the conformance suite: it is loaded by the suite only.
HARNESS = "harness.py"


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in it, `a.b` for `from a import b` as well."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{name.name}" for name in names)
            case ast.ImportFrom(level=level) if level:
                raise AssertionError(f"{path} has a relative import")


def sources(folder: Path) -> list[Path]:
    found = sorted((folder / "src").rglob("*.py"))
    assert found, folder
    return found


def ours(path: Path) -> set[str]:
    return {name for name in imported(path) if name.partition(".")[0].startswith("modelkeep")}


def modules_of_the_core() -> set[str]:
    root = ROOT / "core" / "src"
    return {".".join(path.relative_to(root).with_suffix("").parts) for path in sources(ROOT / "core")}


def test_the_plugins_are_found() -> None:
    assert {"memory", "local"} <= set(PLUGINS)


@pytest.mark.parametrize("path", sources(ROOT / "core"), ids=lambda path: path.name)
def test_the_core_imports_no_plugin_and_no_conformance(path: Path) -> None:
    assert not {name for name in ours(path) if name.partition(".")[0] != "modelkeep"}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_no_other_plugin(plugin: str) -> None:
    for path in sources(ROOT / "plugins" / plugin):
        allowed = {"modelkeep", f"modelkeep_{plugin}"} | ({"modelkeep_conformance"} if path.name == HARNESS else set())
        assert not {name for name in ours(path) if name.partition(".")[0] not in allowed}, path


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_uses_only_public_modules_of_the_core(plugin: str) -> None:
    core = modules_of_the_core()
    for path in sources(ROOT / "plugins" / plugin):
        for name in ours(path):
            if name.partition(".")[0] == "modelkeep":
                module = name if name in core or name == "modelkeep" else name.rpartition(".")[0]
                assert module in PUBLIC, f"{path}: {name}"
                assert not name.rpartition(".")[2].startswith("_"), f"{path}: {name}"


@pytest.mark.parametrize("path", sources(ROOT / "conformance"), ids=lambda path: path.name)
def test_the_conformance_suite_imports_no_plugin(path: Path) -> None:
    assert not {name for name in ours(path) if name.partition(".")[0] not in ("modelkeep", "modelkeep_conformance")}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_distribution_depends_on_what_the_imports_say(plugin: str) -> None:
    project = tomllib.loads((ROOT / "plugins" / plugin / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == f"modelkeep-{plugin}"
    needs = {re.split(r"[^\w-]", need)[0] for need in project["dependencies"]}
    assert "modelkeep" in needs
    assert not {need for need in needs if need.startswith("modelkeep-")}


def test_every_plugin_has_its_extra() -> None:
    extras = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for plugin in PLUGINS:
        assert extras.get(plugin) == [f"modelkeep-{plugin}"]
    assert set(extras) >= {"cli", "all", *PLUGINS}


def test_all_installs_what_is_there() -> None:
    extras = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(re.fullmatch(r"modelkeep\[(.*)\]", everything)[1].split(","))  # type: ignore[index]
    assert named >= {"cli", "memory", "local"}
    assert named <= set(extras)


@pytest.mark.parametrize("page", ["README.md", "core/README.md", *(f"plugins/{name}/README.md" for name in PLUGINS)])
def test_every_extra_that_a_readme_names_exists(page: str) -> None:
    if not (ROOT / page).exists():
        assert page.startswith("plugins/"), page
        return
    extras = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for group in re.findall(r"modelkeep\[([\w,]+)\]", (ROOT / page).read_text("utf-8")):
        assert set(group.split(",")) <= set(extras), group


def test_every_installable_backend_of_the_readme_has_a_row_for_its_extra() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*`pip install \"modelkeep\[(\w+)\]\"` \|$",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert {"local", "memory"} <= {name for name, _ in rows}
    assert all(name == extra for name, extra in rows)


def test_every_plugin_has_the_same_files() -> None:
    for plugin in PLUGINS:
        package = ROOT / "plugins" / plugin / "src" / f"modelkeep_{plugin}"
        assert (package / "__init__.py").exists(), plugin
        assert (package / "py.typed").exists(), plugin
        assert (package / "_backend.py").exists(), plugin


def test_one_version_is_kept_in_one_place() -> None:
    for path in [ROOT / "core", ROOT / "conformance", *(ROOT / "plugins" / plugin for plugin in PLUGINS)]:
        settings = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))
        assert "version" in settings["project"]["dynamic"]
        assert (
            path / settings["tool"]["hatch"]["version"]["path"]
        ).resolve() == ROOT / "core/src/modelkeep/__init__.py"


# what is imported when


@pytest.mark.parametrize(
    "module",
    ["stevedore", "pluggy", "click", "rich", "modelkeep_local", "modelkeep_memory", "modelkeep._copy", "html"],
)
def test_importing_modelkeep_does_not_import(python: Callable[..., str], module: str) -> None:
    assert python(f"import sys, modelkeep\nprint({module!r} in sys.modules)") == "False\n"


def test_importing_modelkeep_creates_no_file(python: Callable[..., str], tmp_path: Path) -> None:
    python("import modelkeep")
    assert not list((tmp_path / "python").iterdir())


def test_everything_public_is_there() -> None:
    import modelkeep
    from modelkeep import backend

    for module in (modelkeep, backend):
        assert sorted(set(module.__all__)) == sorted(module.__all__)
        for name in module.__all__:
            assert getattr(module, name) is not None
            assert name in dir(module)


def test_nothing_else_is_there() -> None:
    import modelkeep

    with pytest.raises(AttributeError, match="'copi'"):
        modelkeep.copi  # type: ignore[attr-defined]  # noqa: B018  # what is tested


def test_the_fixed_names_of_the_contract_are_there() -> None:
    import inspect

    import modelkeep

    expected = {
        "projects": "self",
        "releases": "self, project",
        "generations": "self, project, release",
        "push": "self, package",
        "pull": "self, project, release",
        "mount": "self, project, release",
        "write": "self, project, release, sid, state",
        "read": "self, project, release, generation, sid",
        "view": "self, project, release, generation, sid",
        "open": "self, project, release, generation",
        "close": "self, project, release, generation, tag",
    }
    for name, arguments in expected.items():
        assert ", ".join(inspect.signature(getattr(modelkeep.Registry, name)).parameters) == arguments
    abstract = modelkeep.Registry.__abstractmethods__
    assert abstract == set(expected) - {"mount", "view"}
    assert modelkeep.Inventory.__abstractmethods__ == {"list", "get", "put"}

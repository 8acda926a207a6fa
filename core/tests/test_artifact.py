from __future__ import annotations

import dataclasses
import importlib
import os
import pickle
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from modelkeep import Artifact, InvalidError, MissingError, Package


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """What a test imports is forgotten after it."""
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


@pytest.fixture
def install(pack: Callable[..., Package], tmp_path: Path) -> Callable[..., Artifact]:
    """Make and install a package."""

    def install(files: Mapping[str, str], **options: Any) -> Artifact:
        return pack(files, **options).install(tmp_path / "installed" / uuid4().hex)

    return install


def value(module: ModuleType) -> object:
    found: object = module.VALUE
    return found


def test_a_component_is_loaded_by_its_name(install: Callable[..., Artifact]) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/a.py": "VALUE = 'a'"}, modules={"flow": ".a"})
    assert value(artifact.load("flow")) == "a"


def test_a_component_may_be_named_absolutely(install: Callable[..., Artifact]) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/a.py": "VALUE = 'a'"}, modules={"flow": "pkg.a"})
    assert value(artifact.load("flow")) == "a"


def test_a_module_is_loaded_relative_to_the_package(install: Callable[..., Artifact]) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/sub/b.py": "VALUE = __name__"})
    assert value(artifact.load("sub.b")) == "pkg.sub.b"


def test_a_package_may_be_dotted(install: Callable[..., Artifact]) -> None:
    artifact = install(
        {"top/__init__.py": "", "top/pkg/__init__.py": "", "top/pkg/a.py": "VALUE = 1"}, package="top.pkg"
    )
    assert artifact.load("a").__name__ == "top.pkg.a"


def test_loading_twice_gives_the_same_module(install: Callable[..., Artifact]) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/a.py": ""})
    assert artifact.load("a") is artifact.load("a")


def test_a_relative_path_loads_once(install: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/a.py": ""})
    monkeypatch.chdir(artifact.path.parent)
    relative = dataclasses.replace(artifact, path=Path(artifact.path.name))
    assert relative.load("a") is relative.load("a")


def test_a_relative_path_still_loads_after_the_working_folder_changed(
    install: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/a.py": "", "pkg/b.py": "VALUE = 'b'"})
    monkeypatch.chdir(artifact.path.parent)
    dataclasses.replace(artifact, path=Path(artifact.path.name)).load("a")
    monkeypatch.chdir(tmp_path)
    assert value(importlib.import_module("pkg.b")) == "b"


# two releases in one process


def release(install: Callable[..., Artifact], number: str, **more: str) -> Artifact:
    files = {"pkg/__init__.py": "", "pkg/flow.py": "from pkg.sub import VALUE", "pkg/sub.py": f"VALUE = {number!r}"}
    return install({**files, **more}, version=number)


def test_two_releases_of_a_project_are_loaded_one_after_the_other(install: Callable[..., Artifact]) -> None:
    one, other = release(install, "1.0"), release(install, "2.0")
    assert [value(each.load("flow")) for each in (one, other, one, other)] == ["1.0", "2.0", "1.0", "2.0"]


def test_objects_of_a_forgotten_release_stay_valid(install: Callable[..., Artifact]) -> None:
    code = "def f():\n    return VALUE\n"
    first = install({"pkg/__init__.py": "", "pkg/a.py": f"VALUE = 1\n{code}"}).load("a")
    second = install({"pkg/__init__.py": "", "pkg/a.py": f"VALUE = 2\n{code}"}).load("a")
    assert (first.f(), second.f()) == (1, 2)


def test_a_module_that_only_the_other_release_has_is_missing(install: Callable[..., Artifact]) -> None:
    one, other = release(install, "1.0", **{"pkg/extra.py": ""}), release(install, "2.0")
    one.load("extra")
    with pytest.raises(MissingError):
        other.load("extra")


def test_namespace_packages_of_two_releases_stay_apart(install: Callable[..., Artifact]) -> None:
    one = install({"pkg/a.py": "VALUE = 1", "pkg/only.py": ""})
    other = install({"pkg/a.py": "VALUE = 2"})
    assert [value(each.load("a")) for each in (one, other, one)] == [1, 2, 1]
    with pytest.raises(MissingError):
        other.load("only")


def test_modules_beside_the_package_are_of_this_release_too(install: Callable[..., Artifact]) -> None:
    # ForML packs a project's dependencies beside it
    files = {"pkg/__init__.py": "", "pkg/flow.py": "from vendored_helper import VALUE"}
    one = install({**files, "vendored_helper.py": "VALUE = 1"})
    other = install({**files, "vendored_helper.py": "VALUE = 2"})
    assert [value(each.load("flow")) for each in (one, other, one)] == [1, 2, 1]


def test_a_module_beside_the_package_of_another_release_is_not_found(install: Callable[..., Artifact]) -> None:
    one = install({"pkg/__init__.py": "", "pkg/flow.py": "import vendored_helper", "vendored_helper.py": ""})
    other = install({"pkg/__init__.py": "", "pkg/flow.py": "import vendored_helper"})
    one.load("flow")
    with pytest.raises(ModuleNotFoundError, match="vendored_helper"):
        other.load("flow")


def test_a_development_checkout_is_forgotten(install: Callable[..., Artifact], tmp_path: Path) -> None:
    (tmp_path / "checkout" / "pkg").mkdir(parents=True)
    (tmp_path / "checkout" / "pkg" / "flow.py").write_text("VALUE = 'checkout'", "utf-8")
    sys.path.insert(0, str(tmp_path / "checkout"))
    assert value(importlib.import_module("pkg.flow")) == "checkout"
    assert value(release(install, "1.0").load("flow")) == "1.0"


def test_alternating_loads_do_not_grow_the_search_path(install: Callable[..., Artifact]) -> None:
    one, other = release(install, "1.0"), release(install, "2.0")
    for each in (one, other):
        each.load("flow")
    before = len(sys.path)
    for each in (one, other) * 3:
        each.load("flow")
    assert len(sys.path) <= before


def test_releases_loaded_by_many_threads_give_their_own_code(install: Callable[..., Artifact]) -> None:
    artifacts = [release(install, f"{number}.0") for number in range(1, 5)]
    wrong: list[object] = []

    def work(artifact: Artifact) -> None:
        for _ in range(5):
            module = artifact.load("flow")
            if value(module) != str(artifact.manifest.version):
                wrong.append(value(module))

    threads = [threading.Thread(target=work, args=(artifact,)) for artifact in artifacts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# what it must not do


@pytest.mark.parametrize("top", ["json", "os", "builtins", "this"])
def test_the_standard_library_is_not_hidden(install: Callable[..., Artifact], top: str) -> None:
    artifact = install({f"{top}/__init__.py": "", f"{top}/flow.py": ""}, package=top)
    path = list(sys.path)
    with pytest.raises(InvalidError, match=top):
        artifact.load("flow")
    assert sys.path == path


def test_a_component_of_the_standard_library_is_the_one_that_is_imported(install: Callable[..., Artifact]) -> None:
    assert install({"pkg/__init__.py": ""}, modules={"flow": "os.path"}).load("flow") is os.path


@pytest.mark.parametrize("member", ["wave.py", "wave/__init__.py"])
def test_no_module_in_the_root_may_hide_the_standard_library(install: Callable[..., Artifact], member: str) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/flow.py": "", member: "VALUE = 'evil'"})
    with pytest.raises(InvalidError, match="wave"):
        artifact.load("flow")


def test_an_installed_library_is_not_imported_again(install: Callable[..., Artifact], tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "installed_library.py").write_text("VALUE = object()", "utf-8")
    sys.path.append(str(tmp_path / "library"))
    library = importlib.import_module("installed_library")
    artifact = install({"pkg/__init__.py": ""}, modules={"flow": "installed_library"})
    assert artifact.load("flow") is library
    assert sys.modules["installed_library"] is library


@pytest.mark.parametrize("member", ["installed_library.py", "installed_library/__init__.py", "installed_library/x.npy"])
def test_a_vendored_copy_does_not_replace_what_is_imported(
    install: Callable[..., Artifact], tmp_path: Path, member: str
) -> None:
    # many a library breaks when it is imported a second time, numpy for one
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "installed_library.py").write_text("VALUE = object()", "utf-8")
    sys.path.append(str(tmp_path / "library"))
    library = importlib.import_module("installed_library")
    files = {"pkg/__init__.py": "", "pkg/flow.py": "from installed_library import VALUE", member: "VALUE = 'vendored'"}
    assert value(install(files).load("flow")) is library.VALUE
    assert sys.modules["installed_library"] is library


def test_a_vendored_modelkeep_does_not_replace_ours(install: Callable[..., Artifact]) -> None:
    import modelkeep

    files = {"pkg/__init__.py": "", "pkg/flow.py": "import modelkeep as VALUE", "modelkeep/__init__.py": ""}
    assert value(install(files).load("flow")) is modelkeep


@pytest.mark.parametrize("member", ["test/data.csv", "code/x.txt", "platform/linux/x", "wave/readme.md"])
def test_a_folder_of_data_hides_nothing(install: Callable[..., Artifact], member: str) -> None:
    assert value(install({"pkg/__init__.py": "", "pkg/flow.py": "VALUE = 1", member: ""}).load("flow")) == 1
    __import__("wave").open  # noqa: B018  # still the one of the standard library


class Lazy(ModuleType):
    """As libraries have it that import their parts when they are needed."""

    def __getattr__(self, name: str) -> object:
        raise ImportError(f"{name} is needed, and not installed")


def strange(kind: str) -> Any:
    if kind == "lazy":
        return Lazy("strange")
    module: Any = ModuleType("strange")
    match kind:
        case "none":
            return None
        case "path":
            module.__file__ = Path("/somewhere/strange.py")
        case "number":
            module.__path__ = 5
        case "object":
            return object()
    return module


@pytest.mark.parametrize("kind", ["lazy", "none", "path", "number", "object", "plain"])
def test_strange_modules_elsewhere_do_no_harm(
    install: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    module = strange(kind)
    monkeypatch.setitem(sys.modules, "strange_module_of_a_test", module)
    assert value(release(install, "1.0").load("flow")) == "1.0"
    assert value(release(install, "2.0").load("flow")) == "2.0"
    assert sys.modules["strange_module_of_a_test"] is module


def test_modules_of_a_name_with_the_same_beginning_are_kept(install: Callable[..., Artifact], tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "pkgs.py").touch()
    sys.path.append(str(tmp_path / "library"))
    library = importlib.import_module("pkgs")
    release(install, "1.0").load("flow")
    assert sys.modules["pkgs"] is library


# errors


@pytest.mark.parametrize("module", ["nothing", "flow.nothing", ".", "..flow", "sub..x", "a/b", "a b", "\0", "ä"])
def test_an_unknown_module_is_missing(install: Callable[..., Artifact], module: str) -> None:
    with pytest.raises(MissingError, match=r"digits 1\.0"):
        release(install, "1.0").load(module)


def test_an_installation_that_is_gone_is_missing(install: Callable[..., Artifact]) -> None:
    artifact = release(install, "1.0")
    shutil.rmtree(artifact.path)
    with pytest.raises(MissingError, match=r"digits 1\.0"):
        artifact.load("flow")


def test_the_message_names_the_components(install: Callable[..., Artifact]) -> None:
    artifact = install({"pkg/__init__.py": ""}, modules={"flow": ".a", "source": ".b"})
    with pytest.raises(MissingError, match=r"\['flow', 'source'\]"):
        artifact.load("flwo")


def test_a_component_whose_module_is_not_there_is_missing(install: Callable[..., Artifact]) -> None:
    with pytest.raises(MissingError, match=r"pkg\.gone"):
        install({"pkg/__init__.py": ""}, modules={"flow": ".gone"}).load("flow")


def test_a_package_that_is_not_there_is_missing(install: Callable[..., Artifact]) -> None:
    with pytest.raises(MissingError):
        install({"other/__init__.py": ""}).load("flow")


@pytest.mark.parametrize("module", [None, 5, b"flow", ["flow"], ("flow",), ""])
def test_a_module_is_named_by_a_str(install: Callable[..., Artifact], module: Any) -> None:
    with pytest.raises((InvalidError, MissingError)):
        release(install, "1.0").load(module)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("1 / 0", ZeroDivisionError),
        ("import no_such_dependency", ModuleNotFoundError),
        ("from pkg import no_such_name", ImportError),
        ("def (", SyntaxError),
        ("raise SystemExit(3)", SystemExit),
        ("raise KeyError('x')", KeyError),
    ],
)
def test_errors_inside_the_module_pass_through(
    install: Callable[..., Artifact], code: str, error: type[BaseException]
) -> None:
    with pytest.raises(error) as caught:
        install({"pkg/__init__.py": "", "pkg/flow.py": code}).load("flow")
    assert not isinstance(caught.value, MissingError)


def test_a_dependency_inside_the_package_that_is_missing_passes_through(install: Callable[..., Artifact]) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/flow.py": "import pkg.no_such_part"})
    with pytest.raises(ModuleNotFoundError) as caught:
        artifact.load("flow")
    assert caught.value.name == "pkg.no_such_part"


def test_a_module_that_failed_may_be_loaded_once_it_is_repaired(install: Callable[..., Artifact]) -> None:
    artifact = install({"pkg/__init__.py": "", "pkg/flow.py": "raise ValueError"})
    with pytest.raises(ValueError):  # noqa: PT011  # a bare one
        artifact.load("flow")
    (artifact.path / "pkg" / "flow.py").write_text("VALUE = 'repaired, and of another length'", "utf-8")
    assert value(artifact.load("flow")) == "repaired, and of another length"


# a value


def test_an_artifact_is_a_frozen_value(install: Callable[..., Artifact]) -> None:
    artifact = release(install, "1.0")
    assert artifact == Artifact(artifact.path, artifact.manifest)
    assert pickle.loads(pickle.dumps(artifact)) == artifact
    with pytest.raises(dataclasses.FrozenInstanceError):
        artifact.path = Path()  # type: ignore[misc]

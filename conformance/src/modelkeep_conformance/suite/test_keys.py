"""Names: which are refused, and that no two of them meet."""

from typing import Any

import pytest

import modelkeep
from modelkeep import InvalidError, MissingError, Tag
from modelkeep_conformance.kit import PROJECT, VERSION, Kit, content, package, sid
from modelkeep_conformance.suite import clause

#: What is no name of a project or an application; much of it would reach outside of a folder.
HOSTILE = [
    *(
        "",
        ".",
        "..",
        "../up",
        "a/../../b",
        "/etc",
        "a/b",
        "a\\b",
        "C:x",
        "a\0b",
        "a\n",
        " a",
        "a ",
        "-a",
        "a-",
        "_a",
        "a_",
    ),
    *(
        ".stage",
        ".hidden",
        "a.",
        "\u00e4pfel",
        "a\u0308",
        "\uff41",
        "a*",
        "a?",
        "a:b",
        "a b",
        "%2e%2e",
        "a" * 4000,
        "a" * 256,
    ),
]
WRONG_TYPES: list[Any] = [None, 1, b"a", ["a"], {"a": 1}, object()]
HOSTILE_VERSIONS = [
    "",
    "one",
    "..",
    "1/0",
    "1.0/..",
    "1.0\n",
    " 1.0",
    "1.0\0",
    "\uff11.0",
    "1.0+a/b",
    "1." + "0" * 4000,
    ".stage",
]
HOSTILE_NUMBERS: list[Any] = [
    0,
    -1,
    "0",
    "-1",
    "+1",
    " 1",
    "1 ",
    "1_0",
    "\uff11",
    "1.0",
    1.0,
    "",
    "..",
    "1/2",
    None,
    True,
    2**80,
]


@clause("K1", "K2")
@pytest.mark.parametrize("name", HOSTILE + WRONG_TYPES, ids=lambda name: repr(name)[:20])
def test_a_hostile_project_name_is_invalid_everywhere(kit: Kit, registry: Any, name: Any) -> None:
    for call in (
        lambda: registry.releases(name),
        lambda: registry.generations(name, VERSION),
        lambda: registry.pull(name, VERSION),
        lambda: registry.mount(name, VERSION),
        lambda: registry.write(name, VERSION, sid(1), b"x"),
        lambda: registry.read(name, VERSION, 1, sid(1)),
        lambda: registry.open(name, VERSION, 1),
        lambda: registry.close(name, VERSION, 1, Tag()),
        lambda: modelkeep.Manifest(name, VERSION, "toy"),
    ):
        with pytest.raises(InvalidError):
            call()
    with pytest.raises(InvalidError), registry.view(name, VERSION, 1, sid(1)):
        pass
    assert registry.projects() == ()
    assert not [path for path in kit.root.parent.iterdir() if path.name not in ("store", "staging")]


@clause("K1", "K2")
@pytest.mark.parametrize("version", HOSTILE_VERSIONS + WRONG_TYPES, ids=lambda version: repr(version)[:20])
def test_a_hostile_version_is_invalid_everywhere(registry: Any, version: Any) -> None:
    registry.push(package())
    for call in (
        lambda: registry.generations(PROJECT, version),
        lambda: registry.pull(PROJECT, version),
        lambda: registry.write(PROJECT, version, sid(1), b"x"),
        lambda: registry.read(PROJECT, version, 1, sid(1)),
        lambda: registry.open(PROJECT, version, 1),
        lambda: registry.close(PROJECT, version, 1, Tag()),
    ):
        with pytest.raises(InvalidError):
            call()
    assert [str(key) for key in registry.releases(PROJECT)] == [VERSION]


@clause("K1", "C4")
@pytest.mark.parametrize("number", HOSTILE_NUMBERS, ids=repr)
def test_what_is_no_generation_number_is_invalid_everywhere(registry: Any, number: Any) -> None:
    registry.push(package())
    for call in (
        lambda: registry.read(PROJECT, VERSION, number, sid(1)),
        lambda: registry.open(PROJECT, VERSION, number),
        lambda: registry.close(PROJECT, VERSION, number, Tag()),
    ):
        with pytest.raises(InvalidError):
            call()
    assert registry.generations(PROJECT, VERSION) == ()


@clause("K1", "K2", "I6")
@pytest.mark.parametrize("name", HOSTILE + WRONG_TYPES, ids=lambda name: repr(name)[:20])
def test_a_hostile_application_name_is_invalid_everywhere(kit: Kit, inventory: Any, name: Any) -> None:
    with pytest.raises(InvalidError):
        inventory.get(name)
    if name is not None:
        with pytest.raises(InvalidError):
            modelkeep.Descriptor.Handle(kit.file("module.py", "x = 1\n"), name)
    assert inventory.list() == ()


#: Names that some store could take for one another.
ALIASES = [
    *(
        "a",
        "A",
        "a-b",
        "a_b",
        "a.b",
        "a-b-c",
        "ab",
        "a1",
        "a01",
        "a.1",
        "a.py",
        "con",
        "CON",
        "nul",
        "aux.h",
        "0",
        "00",
    ),
    *(
        "x" * 199 + "a",
        "x" * 199 + "b",
        "x" * 198,
        "release",
        "generation",
        "state",
        "blob",
        "format",
        "application",
        "stage",
    ),
    *(
        "package.4ml",
        "tag.toml",
        "release.toml",
        "latest",
        "index",
        "1.0",
        "modelkeep",
        "__pycache__0",
        "None",
        "true",
        "E1e5",
    ),
]


@clause("K3")
def test_different_projects_never_alias(kit: Kit, registry: Any) -> None:
    names = [name for name in ALIASES if name != "__pycache__0"]
    for number, name in enumerate(names):
        with pytest.raises(MissingError):
            registry.releases(name)
        registry.push(package(name))
        registry.write(name, VERSION, sid(1), content(number))
        registry.close(name, VERSION, 1, Tag(states=[sid(1)]))
    assert list(registry.projects()) == sorted(names)
    for handle in (registry, kit.registry()):
        for number, name in enumerate(names):
            assert [str(key) for key in handle.releases(name)] == [VERSION]
            assert handle.generations(name, VERSION) == (1,)
            assert handle.read(name, VERSION, 1, sid(1)) == content(number)
            assert handle.pull(name, VERSION).manifest.name == name


#: Versions that some store could take for one another.
VERSIONS = [
    "0",
    "0.1",
    "1.1",
    "1.10",
    "1.1.1",
    "1.1a1",
    "1.1.post1",
    "1.1.dev1",
    "1!1.1",
    "1.1+a",
    "1.1+a.b",
    "1.1+ab",
    "11",
    "111",
]


@clause("K3")
def test_different_versions_never_alias(registry: Any) -> None:
    for number, version in enumerate(VERSIONS):
        registry.push(package(version=version))
        registry.write(PROJECT, version, sid(1), content(number))
        registry.close(PROJECT, version, number + 1, Tag(states=[sid(1)]))
    assert len(registry.releases(PROJECT)) == len(VERSIONS)
    for number, version in enumerate(VERSIONS):
        assert registry.generations(PROJECT, version) == (number + 1,)
        assert registry.read(PROJECT, version, number + 1, sid(1)) == content(number)
        assert str(registry.pull(PROJECT, version).manifest.version) == version


@clause("K3", "I6")
def test_different_applications_never_alias(kit: Kit, inventory: Any) -> None:
    names = [name for name in ALIASES if name != "__pycache__0"]
    for name in names:
        with pytest.raises(MissingError):
            inventory.get(name)
        inventory.put(modelkeep.Descriptor.Handle(kit.file("module.py", f"x = {name!r}\n"), name))
    assert list(inventory.list()) == sorted(names)
    for handle in (inventory, kit.inventory()):
        for name in names:
            assert handle.get(name).source == f"x = {name!r}\n".encode()
            assert handle.get(name).name == name


@clause("K4")
@pytest.mark.parametrize(
    ("pushed", "others"),
    [
        ("1.0", ["1", "1.0.0", "v1.0", "1.0.0.0"]),
        ("1.0.0", ["1", "1.0", "V1"]),
        ("v1.0", ["1", "1.0", "1.0.0"]),
        ("1", ["1.0", "v1"]),
        ("1.0a0", ["1alpha", "1.0.alpha0", "1a0", "v1.0.0-A.0"]),
        ("2.0-1", ["2.post1", "2.0.0.post1", "2.0-r1"]),
        ("1.0+ABC", ["1+abc", "1.0.0+abc"]),
        ("0!3.0RC1", ["3rc1", "3.0.0-rc.1", "3.0c1", "3.0preview1"]),
    ],
)
def test_equal_versions_are_one_release(kit: Kit, registry: Any, pushed: str, others: list[str]) -> None:
    registry.push(package(version=pushed))
    registry.write(PROJECT, others[0], sid(1), b"state")
    registry.close(PROJECT, others[-1], 1, Tag(states=[sid(1)]))
    for version in (pushed, *others):
        assert registry.generations(PROJECT, version) == (1,)
        assert registry.read(PROJECT, version, 1, sid(1)) == b"state"
        assert registry.pull(PROJECT, version).path.read_bytes() == package(version=pushed).path.read_bytes()
        with pytest.raises(modelkeep.ConflictError):
            registry.push(package(version=version, text="other"))
        with pytest.raises(modelkeep.ConflictError):
            registry.close(PROJECT, version, 1, Tag())
    for handle in (registry, kit.registry()):
        assert [str(key) for key in handle.releases(PROJECT)] == [pushed]

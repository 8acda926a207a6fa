from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep import InvalidError, Manifest, Project, Release

FORML = """\
NAME = "forml-toy-cancer"
VERSION = "1.0"
PACKAGE = "toycancer.model"
MODULES = {"pipeline": "toycancer.model.flowdef"}"""


def test_the_parts_of_a_manifest_are_keys() -> None:
    manifest = Manifest("digits", "1.0", "pkg", {"flow": ".flow"})
    assert type(manifest.name) is Project.Key
    assert type(manifest.version) is Release.Key
    assert manifest.modules == {"flow": ".flow"}


_texts = st.text(min_size=1, max_size=12).filter(str.isprintable)


@given(st.dictionaries(_texts, st.sampled_from(["a", "a.b", ".a", "ä.ß"]), max_size=4))
def test_a_manifest_comes_back(modules: dict[str, str]) -> None:
    manifest = Manifest("a-b.C", "v1.0.0rc1", "pkg.sub", modules)
    back = Manifest.loads(manifest.dumps())
    assert back == manifest
    assert str(back.version) == "v1.0.0rc1"


def test_the_layout_of_a_manifest() -> None:
    assert Manifest("digits", "1.0", "pkg", {"flow": ".flow", "the source": "pkg.source"}).dumps() == (
        'name = "digits"\nversion = "1.0"\npackage = "pkg"\n\n[modules]\nflow = ".flow"\n"the source" = "pkg.source"\n'
    )


def test_a_manifest_without_modules_is_valid() -> None:
    assert Manifest.loads('name = "a"\nversion = "1"\npackage = "p"\n').modules == {}


@pytest.mark.parametrize("name", ["..", "", "a/b", None, 5, ["a"], b"a", "a" * 201])
def test_a_project_that_is_none_is_invalid(name: object) -> None:
    with pytest.raises(InvalidError):
        Manifest(name, "1.0", "pkg")  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["", "latest", "../1", None, 1, 1.0, ["1"]])
def test_a_version_that_is_none_is_invalid(version: object) -> None:
    with pytest.raises(InvalidError):
        Manifest("a", version, "pkg")  # type: ignore[arg-type]


BAD_MODULES = [
    "",
    ".",
    "..",
    "a..b",
    "a.",
    "a b",
    "a-b",
    "1a",
    "class",
    "a.import",
    "../a",
    "a/b",
    "a\0",
    "\ud800",
    "a\n",
]


@pytest.mark.parametrize("package", [*BAD_MODULES, ".a", None, 5, b"a"])
def test_a_package_that_is_no_dotted_name_is_invalid(package: object) -> None:
    with pytest.raises(InvalidError):
        Manifest("a", "1.0", package)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [*BAD_MODULES, "..a", None, 5, ["a"], {}])
def test_a_module_that_is_no_dotted_name_is_invalid(module: object) -> None:
    with pytest.raises(InvalidError):
        Manifest("a", "1.0", "pkg", {"flow": module})  # type: ignore[dict-item]


@pytest.mark.parametrize("modules", [["a"], "a", 5, [("a", "b")], {5: "a"}, {"": "a"}, {None: "a"}, {("a",): "a"}])
def test_modules_of_another_shape_are_invalid(modules: object) -> None:
    with pytest.raises(InvalidError):
        Manifest("a", "1.0", "pkg", modules)  # type: ignore[arg-type]


@pytest.mark.parametrize("component", ["\ud800", "a\nb", "\0", "\x1b[2J", "\u202ea"])
def test_a_component_that_can_not_be_shown_is_invalid(component: str) -> None:
    with pytest.raises(InvalidError):
        Manifest("a", "1.0", "pkg", {component: "a"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        'name = "a"',
        'name = "a"\nversion = "1"',
        'name = "a"\nversion = 1\npackage = "p"',
        'name = "a"\nversion = 1.0\npackage = "p"',
        'name = ["a"]\nversion = "1"\npackage = "p"',
        'name = "a"\nversion = "1"\npackage = "p"\nmodules = "flow"',
        'name = "a"\nversion = "1"\npackage = "p"\nmodules = ["flow"]',
        'name = "a"\nversion = "1"\npackage = "p"\n[[modules]]\nflow = "x"',
        'name = "a"\nname = "a"\nversion = "1"\npackage = "p"',
        'name = "../../etc"\nversion = "1"\npackage = "p"',
        "import os\nos.system('true')",
        "x = " + "[" * 100_000,
        "x = " + "9" * 5000,
        "\0",
    ],
    ids=lambda text: repr(text[:40]),
)
def test_what_is_no_manifest_is_invalid(text: str) -> None:
    with pytest.raises(InvalidError):
        Manifest.loads(text)


def test_what_is_lacking_is_named() -> None:
    with pytest.raises(InvalidError, match="version, package"):
        Manifest.loads('name = "a"')


def test_keys_that_we_do_not_know_are_ignored() -> None:
    assert Manifest.loads('name = "a"\nversion = "1"\npackage = "p"\nnew = 1\n[table]\n').name == "a"


# ForML's


def test_a_manifest_of_forml_is_read() -> None:
    expected = Manifest("forml-toy-cancer", "1.0", "toycancer.model", {"pipeline": "toycancer.model.flowdef"})
    assert Manifest.loads_forml(FORML) == expected


@pytest.mark.parametrize(
    "source",
    [
        FORML.replace('"', "'"),
        "# a licence\n'''A docstring.'''\n" + FORML,
        FORML.replace("NAME =", "NAME: str ="),
        FORML.replace("\n", "\r\n"),
        FORML.replace("\n", ";"),
        FORML + "\nimport os\nNOT_OURS = 5\nlower = os.environ\n",
        FORML.replace('"1.0"', '("1"\n".0")'),
        "# -*- coding: utf-8 -*-\n" + FORML,
    ],
)
def test_a_manifest_of_forml_may_look_otherwise(source: str) -> None:
    assert Manifest.loads_forml(source) == Manifest.loads_forml(FORML)


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').system('true')",
        "open('/tmp/x', 'w').write('x')",
        "'a' + 'b'",
        "'a' * 10**9",
        "f'{1}'",
        "[x for x in 'a']",
        "(lambda: 'a')()",
        "str('a')",
        "OTHER",
        "...",
        "a.b",
        "'%s' % 'a'",
        "not True",
        "(" * 5000,
        "[" * 5000,
        "-" * 100_000 + "1",
        "1" + "+1" * 50_000,
        "a" + ".b" * 50_000,
        "9" * 5000,
        "'\0'",
        "'",
    ],
    ids=lambda value: value[:30].replace("\0", "NUL"),
)
def test_an_expression_in_a_manifest_is_invalid(value: str) -> None:
    with pytest.raises(InvalidError):
        Manifest.loads_forml(FORML.replace('"forml-toy-cancer"', value))


@pytest.mark.parametrize(
    "source",
    [
        "",
        "raise SystemExit",
        "if True:\n    NAME = 'a'\n    VERSION = '1'\n    PACKAGE = 'p'",
        "def f():\n    NAME = 'a'",
        "NAME, VERSION, PACKAGE = 'a', '1', 'p'",
        "NAME = VERSION = PACKAGE = 'a'",
        "NAME: str\nVERSION: str\nPACKAGE: str",
        "globals().update(NAME='a', VERSION='1', PACKAGE='p')",
        FORML.replace('"1.0"', "1.0"),
        FORML.replace('"forml-toy-cancer"', "None"),
        FORML.replace('{"pipeline"', '{("pipeline",)'),
        FORML.replace('{"pipeline"', "{[1]"),
        FORML.replace('{"pipeline"', "{5"),
        FORML.replace('{"pipeline": "toycancer.model.flowdef"}', '{"pipeline"}'),
    ],
    ids=lambda source: source[:30],
)
def test_code_that_is_no_manifest_is_invalid(source: str) -> None:
    with pytest.raises(InvalidError):
        Manifest.loads_forml(source)


def test_nothing_of_a_manifest_runs(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    Manifest.loads_forml(f"from pathlib import Path\nPath({str(trace)!r}).touch()\n{FORML}\nraise SystemExit(3)\n")
    assert not trace.exists()


@given(st.text(max_size=80))
def test_any_source_is_a_manifest_or_invalid(source: str) -> None:
    for loads in (Manifest.loads, Manifest.loads_forml):
        try:
            loads(source)
        except InvalidError:
            continue


# a value


def test_a_manifest_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Manifest("a", "1.0", "p").name = Project.Key("b")  # type: ignore[misc]


def test_a_manifest_does_not_follow_the_mapping_it_was_made_of() -> None:
    modules = {"flow": "a"}
    manifest = Manifest("a", "1.0", "p", modules)
    modules["flow"] = "b"
    assert manifest.modules == {"flow": "a"}


def test_manifests_are_equal_and_hashed_by_value() -> None:
    one, other = Manifest("a", "1.0", "p", {"flow": "x"}), Manifest("a", "1.0.0", "p", {"flow": "x"})
    assert one == other
    assert hash(one) == hash(other)
    assert one != Manifest("a", "1.0", "p")


def test_a_manifest_survives_pickling() -> None:
    manifest = Manifest("a", "v1.0", "p", {"flow": "x"})
    assert pickle.loads(pickle.dumps(manifest)) == manifest


@pytest.mark.parametrize("text", [None, 5, b"name = 1", {}], ids=repr)
def test_a_text_of_another_type_is_invalid(text: Any) -> None:
    with pytest.raises(InvalidError):
        Manifest.loads(text)
    with pytest.raises(InvalidError):
        Manifest.loads_forml(text)

from __future__ import annotations

import copy
import enum
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from packaging.utils import canonicalize_version
from packaging.version import Version

from modelkeep import Descriptor, Generation, InvalidError, Project, Release

NAMES = [Project.Key, Descriptor.Key]

HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "../x",
    "a/../b",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:evil",
    ".stage",
    ".modelkeep",
    "-rf",
    "_x",
    "x_",
    "x-",
    "x.",
    "a\0",
    "a\0b",
    "a\n",
    "\na",
    "a\r",
    " a",
    "a ",
    "a b",
    "a*",
    "a?",
    "a%2Fb",
    "~",
    "$HOME",
    "ä",
    "аpple",  # noqa: RUF001  # a Cyrillic a
    "ﬁt",  # a ligature
    "a١",  # noqa: RUF001  # an Arabic digit
    "１",  # noqa: RUF001  # a fullwidth digit
    "\u212a",  # the sign of Kelvin
    "ſ",  # noqa: RUF001  # a long s
    "a\u200bb",
    "a\u2028b",
    "\u202ea",
    "\ud800",
    "a" * 201,
]


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_invalid(kind: Callable[[str], str], name: str) -> None:
    with pytest.raises(InvalidError):
        kind(name)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("value", [None, 1, True, 1.5, b"a", ["a"], ("a",), object, Version("1.0")])
def test_a_name_is_a_str(kind: Callable[[object], str], value: object) -> None:
    with pytest.raises(InvalidError, match="is a str"):
        kind(value)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", ["a", "A", "0", "a.b", "a..b", "a-b_c.d", "1.0", "README.md", "a" * 200])
def test_a_name_is_kept_as_written(kind: Callable[[str], str], name: str) -> None:
    assert kind(name) == name
    assert str(kind(name)) == name


@given(st.text(max_size=12))
def test_a_name_that_is_accepted_is_a_plain_file_name(name: str) -> None:
    try:
        key = Project.Key(name)
    except InvalidError:
        return
    assert key.isascii()
    assert not set(key) & set("/\\\0:\n ")
    assert key[0].isalnum()
    assert key[-1].isalnum()


@pytest.mark.parametrize("pair", [("a", "A"), ("a-b", "a_b"), ("a", "a-b"), ("1.0", "1.0.0")])
def test_names_that_are_written_differently_differ(pair: tuple[str, str]) -> None:
    assert Project.Key(pair[0]) != Project.Key(pair[1])


class Names(str, enum.Enum):  # noqa: UP042  # the older form has a __str__ of its own
    DIGITS = "digits"
    VERSION = "4.7"
    NUMBER = "12"


def test_a_member_of_a_str_enum_is_its_text() -> None:
    assert str(Project.Key(Names.DIGITS)) == "digits"
    assert str(Release.Key(Names.VERSION)) == "4.7"
    assert Generation.Key(Names.NUMBER) == 12


def test_a_str_of_numpy_is_not_kept_in_a_version() -> None:
    assert type(str(Release.Key(np.str_("4.7.1")))) is str


def test_a_str_that_lies_about_its_text_gets_nowhere() -> None:
    class Liar(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "../../etc"

    assert str(Project.Key(Liar("honest"))) == "honest"


# versions


@pytest.mark.parametrize(
    "version",
    [
        *("", " ", "latest", "1.0\n", " 1.0", "1.0 ", "1.0\0", "1..0", "1.x", "../1.0", "1/0", "1\\0", ".1", "1."),
        "-1",
        *("1.0+", "1.0+a/b", "1.0+ä", "１.0", "1.٠", "1.0\u200b", "1" * 201, "1.0 # x", "1.0;1", "1.*"),  # noqa: RUF001
    ],
)
def test_a_hostile_version_is_invalid(version: str) -> None:
    with pytest.raises(InvalidError):
        Release.Key(version)


@pytest.mark.parametrize("value", [None, 1, 1.0, True, b"1.0", (1, 0), ["1.0"], object()])
def test_a_version_is_a_str(value: object) -> None:
    with pytest.raises(InvalidError):
        Release.Key(value)  # type: ignore[arg-type]


def test_a_version_object_is_taken() -> None:
    assert Release.Key(Version("1.0")) == Release.Key("1.0")


def test_a_version_object_that_is_too_long_is_invalid() -> None:
    with pytest.raises(InvalidError, match="200"):
        Release.Key(Version("1." + "1" * 300))


@pytest.mark.parametrize("spelling", ["1.0", "1", "1.0.0", "v1.0", "V1", "01.0", "0!1", "1.0.0.0.0"])
def test_equal_versions_are_one_release(spelling: str) -> None:
    key, same = Release.Key("1.0"), Release.Key(spelling)
    assert key == same
    assert hash(key) == hash(same)
    assert key.canonical == same.canonical
    assert not key < same
    assert not key > same


@pytest.mark.parametrize("spelling", ["v1.0", "1.0.0-RC1", "1.0-1", "1.0+Ubuntu-1", "1!2.0"])
def test_a_version_is_shown_as_written(spelling: str) -> None:
    assert str(Release.Key(spelling)) == spelling
    assert f"{Release.Key(spelling)}" == spelling


def test_a_spelling_does_not_leak_into_an_equal_key() -> None:
    assert [str(Release.Key(text)) for text in ("3.1", "3.1.0", "v3.1", "3.1")] == ["3.1", "3.1.0", "v3.1", "3.1"]


_numbers = st.integers(0, 10**6).map(str)
_versions = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "v", "0!", "1!", "7!"]),
        st.lists(st.one_of(_numbers, st.sampled_from(["0", "00", "01"])), min_size=1, max_size=5).map(".".join),
        st.sampled_from(["", "a", "rc1", "-alpha.3", "_BETA2", ".c0", "preview", "b00"]),
        st.sampled_from(["", "-1", ".post", ".post0", "-r4", "_rev5"]),
        st.sampled_from(["", ".dev", ".dev0", "-DEV3", "dev4"]),
        st.sampled_from(["", "+a", "+A.b", "+1", "+01.x-y_z"]),
    ),
)


@given(_versions)
def test_the_canonical_spelling_is_that_of_packaging(text: str) -> None:
    assert Release.Key(text).canonical == canonicalize_version(text)


@given(_versions)
def test_the_canonical_spelling_is_a_version_equal_to_the_key(text: str) -> None:
    key = Release.Key(text)
    assert Release.Key(key.canonical) == key
    assert Release.Key(key.canonical).canonical == key.canonical


@given(_versions)
def test_the_canonical_spelling_is_a_plain_file_name(text: str) -> None:
    canonical = Release.Key(text).canonical
    assert canonical.isascii()
    assert not set(canonical) & set("/\\\0: \n")
    assert canonical[0].isdigit()


@given(_versions, _versions)
def test_keys_compare_as_versions_do(left: str, right: str) -> None:
    one, other, version, another = Release.Key(left), Release.Key(right), Version(left), Version(right)
    assert (one == other) == (version == another)
    assert (one < other) == (version < another)
    assert (one <= other) == (version <= another)
    assert (one > other) == (version > another)
    if one == other:
        assert hash(one) == hash(other)


def test_versions_are_ordered_by_number() -> None:
    spelled = ["1.10", "1.9", "1.0.dev1", "1.0rc1", "1.0", "1!0.1", "1.0.post1"]
    ordered = ["1.0.dev1", "1.0rc1", "1.0", "1.0.post1", "1.9", "1.10", "1!0.1"]
    assert [str(key) for key in sorted(map(Release.Key, spelled))] == ordered


@pytest.mark.parametrize("other", ["1.0", Version("1.0"), 1.0, None])
def test_a_release_key_equals_only_its_like(other: object) -> None:
    assert Release.Key("1.0") != other


@pytest.mark.parametrize("name", ["canonical", "version", "_text", "new"])
def test_release_keys_are_immutable(name: str) -> None:
    key = Release.Key("31.4.15")
    with pytest.raises(AttributeError):
        setattr(key, name, "1.0")


@pytest.mark.parametrize("name", ["canonical", "version", "_text"])
def test_nothing_of_a_release_key_can_be_deleted(name: str) -> None:
    key = Release.Key("31.4.16")
    with pytest.raises(AttributeError):
        delattr(key, name)
    assert Release.Key("31.4.16").canonical == "31.4.16"


# generations


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-1", "+7", "1_0", " 1", "1 ", "1\n", "1.0", "1e3", "0x1", "abc", "..", "1\0", "latest", "00", "#1"),
        *("１", "٣", "²", "Ⅷ", "9" * 20, str(2**63), "0" * 20 + "1"),  # noqa: RUF001
    ],
)
def test_a_hostile_number_is_invalid(text: str) -> None:
    with pytest.raises(InvalidError):
        Generation.Key(text)


@pytest.mark.parametrize(
    "value",
    [0, -1, 2**63, True, False, 1.0, 1.5, float("nan"), None, b"1", [1], np.float64(1), np.bool_(True), np.int8(-1)],
)
def test_a_number_is_a_positive_int(value: object) -> None:
    with pytest.raises(InvalidError):
        Generation.Key(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [7, "7", "007", np.int64(7), np.uint8(7), np.array(7)])
def test_a_number_may_come_in_several_ways(value: int) -> None:
    assert Generation.Key(value) == 7
    assert str(Generation.Key(value)) == "7"


@pytest.mark.parametrize("number", [1, 2**31, 2**63 - 1])
def test_the_limits_of_numbers_are_valid(number: int) -> None:
    assert Generation.Key(number) == Generation.Key(str(number)) == number


@pytest.mark.parametrize("kind", [Generation.Key, Release.Key, Project.Key])
def test_absurdly_large_numbers_are_invalid(kind: Callable[[object], object]) -> None:
    with pytest.raises(InvalidError):
        kind(10**5000)


# all of them

KEYS = [Project.Key("a-b"), Descriptor.Key("app.v1"), Release.Key("v1.0.0"), Generation.Key(12)]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_keys_survive_pickling(key: object, protocol: int) -> None:
    back = pickle.loads(pickle.dumps(key, protocol))
    assert back == key
    assert type(back) is type(key)
    assert str(back) == str(key)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_keys_survive_copying(key: object) -> None:
    assert copy.copy(key) == copy.deepcopy(key) == key


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_keys_take_no_new_attributes(key: object) -> None:
    with pytest.raises(AttributeError):
        key.extra = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_key_of_a_key_is_itself(key: object) -> None:
    kind: Callable[[object], object] = type(key)
    assert kind(key) is key


@pytest.mark.parametrize("text", ["a b", "x" * 300, "1.x/", "\0"])
def test_a_message_shows_what_was_wrong(text: str) -> None:
    for kind in (Project.Key, Release.Key, Generation.Key):
        with pytest.raises(InvalidError) as caught:
            kind(text)
        assert repr(text)[1:20].rstrip("'") in str(caught.value)
        assert len(str(caught.value)) < 400


@given(st.text(max_size=6), st.text(max_size=6))
def test_two_names_are_one_key_only_if_they_are_the_same(left: str, right: str) -> None:
    assume(left != right)
    try:
        assert Project.Key(left) != Project.Key(right)
    except InvalidError:
        return

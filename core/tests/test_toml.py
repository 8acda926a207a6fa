from __future__ import annotations

import datetime as dt
import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep import _toml

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_zones = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
_scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    _texts,
    st.datetimes(),
    st.datetimes(timezones=_zones),
    st.dates(),
    st.times(),
)


@given(st.one_of(_scalars, st.lists(_scalars, max_size=4)))
def test_what_is_written_is_read_back(item: object) -> None:
    back = tomllib.loads(f"x = {_toml.value(item)}\n")["x"]
    assert back == item
    assert type(back) is type(item)


@given(st.floats(allow_nan=True))
def test_a_float_keeps_every_bit_that_counts(number: float) -> None:
    back = tomllib.loads(f"x = {_toml.value(number)}")["x"]
    assert math.copysign(1, back) == math.copysign(1, number) or math.isnan(number)
    assert back == number or (math.isnan(back) and math.isnan(number))


@given(st.datetimes(timezones=_zones))
def test_a_datetime_keeps_its_offset(moment: dt.datetime) -> None:
    assert tomllib.loads(f"x = {_toml.value(moment)}")["x"].utcoffset() == moment.utcoffset()


@given(st.dictionaries(_texts, _scalars, max_size=5))
def test_any_text_is_a_key(items: dict[str, object]) -> None:
    assert tomllib.loads(_toml.lines(items.items())) == items
    assert tomllib.loads(_toml.table("some.table", items)) == {"some": {"table": items}}


@pytest.mark.parametrize(
    "character", [*map(chr, range(0x20)), "\x7f", '"', "\\", "\x85", "\u2028", "\ufeff", "🙂", "é"]
)
def test_every_odd_character_comes_back(character: str) -> None:
    text = f"a{character}b"
    assert tomllib.loads(f"x = {_toml.value(text)}")["x"] == text


@pytest.mark.parametrize("text", ["\r\n", '"""', "'''", "\\u0041", "\\", "#", "]", "\t\n\b\f\r", ""])
def test_text_that_looks_like_syntax_comes_back(text: str) -> None:
    assert tomllib.loads(f"x = {_toml.value(text)}")["x"] == text


def test_a_value_never_leaves_its_line() -> None:
    assert "\n" not in _toml.value("a\nb\r\n[table]\nx = 1")


@pytest.mark.parametrize("item", [None, b"bytes", 1j, object(), {"a": 1}, {1}, [None], dt.timedelta(1)])
def test_what_toml_has_no_word_for_is_a_type_error(item: object) -> None:
    with pytest.raises(TypeError):
        _toml.value(item)


def test_none_is_left_out() -> None:
    assert _toml.lines([("a", None), ("b", 1)]) == "b = 1\n"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (1e-07, "1e-7"),
        (1e16, "1e+16"),
        (17.25, "17.25"),
        (True, "true"),
        ([], "[]"),
        (["a", "b"], '[ "a", "b",]'),
        (dt.datetime(2023, 6, 2, 8, 30, tzinfo=dt.UTC), "2023-06-02T08:30:00Z"),
        (
            dt.datetime(2023, 6, 2, 9, 30, 0, 120000, dt.timezone(dt.timedelta(hours=2))),
            "2023-06-02T09:30:00.120000+02:00",
        ),
        (dt.datetime(2023, 6, 2, 8, 30), "2023-06-02T08:30:00"),  # noqa: DTZ001  # naive
        (dt.date(2023, 7, 31), "2023-07-31"),
        (dt.time(3, 4, 5), "03:04:05"),
        ('say "hé"\t\\', '"say \\"hé\\"\\t\\\\"'),
    ],
)
def test_values_are_laid_out_as_forml_does(item: object, text: str) -> None:
    assert _toml.value(item) == text

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import enum
import fractions
import itertools
import math
import pickle
import tomllib
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelkeep import InvalidError, Tag, Training, Tuning

MOMENT = dt.datetime(2023, 6, 2, 8, 30, tzinfo=dt.UTC)
SIDS = [UUID("c6dc021f-858a-4fb7-b789-b670072757b1"), UUID("18b2719d-4881-4148-a8bc-2b5490727cbf")]

#: As ForML 0.93 wrote it.
FORML = """\
states = [ "c6dc021f-858a-4fb7-b789-b670072757b1", "18b2719d-4881-4148-a8bc-2b5490727cbf",]

[training]
timestamp = 2023-06-02T08:30:00Z
ordinal = 17.25

[tuning]
timestamp = 2023-06-02T09:30:00.120000+02:00
score = -1.5
"""


def exact(value: object) -> object:
    """Everything that must survive: the type, the offset, the sign of zero, NaN."""
    if isinstance(value, dt.datetime):
        return "datetime", value.replace(tzinfo=None), value.utcoffset()
    return type(value), repr(value)


def assert_same(tag: Tag, back: Tag) -> None:
    assert back == tag
    assert hash(back) == hash(tag)
    for one, other in ((tag.training, back.training), (tag.tuning, back.tuning)):
        assert [exact(value) for value in vars(one).values()] == [exact(value) for value in vars(other).values()]
    assert back.states == tag.states


_offsets = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
_zones: Any = st.one_of(
    st.none(),
    st.just(dt.UTC),
    _offsets,
    st.sampled_from(["Europe/Prague", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe"]).map(ZoneInfo),
)
_moments = st.datetimes(
    min_value=dt.datetime(1, 1, 3),  # noqa: DTZ001  # hypothesis wants them naive
    max_value=dt.datetime(9999, 12, 29),  # noqa: DTZ001  # same
    timezones=_zones,
)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_ordinals = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _texts, _moments, st.dates(), st.times())
_tags = st.builds(
    Tag,
    st.builds(Training, st.none() | _moments, _ordinals),
    st.builds(Tuning, st.none() | _moments, st.none() | st.floats()),
    st.lists(st.uuids() | st.sampled_from(SIDS), max_size=6),
)


@given(_tags)
def test_a_tag_comes_back_exactly(tag: Tag) -> None:
    assert_same(tag, Tag.loads(tag.dumps()))


@given(_tags)
def test_a_tag_survives_pickling_and_copying(tag: Tag) -> None:
    assert_same(tag, pickle.loads(pickle.dumps(tag)))
    assert_same(tag, copy.deepcopy(tag))


@given(_tags)
def test_writing_what_was_read_gives_the_same_bytes(tag: Tag) -> None:
    assert Tag.loads(tag.dumps()).dumps() == tag.dumps()


@given(_tags)
def test_what_is_written_is_toml(tag: Tag) -> None:
    assert list(tomllib.loads(tag.dumps())) == ["states", "training", "tuning"]


@given(_moments)
@example(dt.datetime(2023, 10, 29, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=0))
@example(dt.datetime(2023, 10, 29, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=1))
@example(dt.datetime(1890, 1, 1, tzinfo=ZoneInfo("Europe/Prague")))
@example(dt.datetime(2023, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=23, minutes=59))))
def test_a_timestamp_stays_the_same_moment(moment: dt.datetime) -> None:
    kept = Training(moment).timestamp
    back = Tag.loads(Tag(Training(moment)).dumps()).training.timestamp
    assert kept is not None
    assert exact(back) == exact(kept)
    if moment.tzinfo is None:
        assert kept == moment
    else:
        # not by ==, which never finds moments equal that a fold makes doubtful
        assert kept.astimezone(dt.UTC) == moment.astimezone(dt.UTC)
        assert kept.microsecond == moment.microsecond


def test_both_passes_of_a_repeated_hour_are_kept_apart() -> None:
    first, second = (
        Training(dt.datetime(2023, 10, 29, 2, 30, tzinfo=ZoneInfo("Europe/Prague"), fold=fold)) for fold in (0, 1)
    )
    assert first != second


def test_a_timestamp_shows_its_offset() -> None:
    stamp = Training(dt.datetime(2023, 7, 1, tzinfo=ZoneInfo("Asia/Kathmandu"))).timestamp
    assert stamp is not None
    assert stamp.isoformat() == "2023-07-01T00:00:00+05:45"
    assert type(stamp.tzinfo) is dt.timezone


def test_an_offset_with_seconds_becomes_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=1, seconds=30))
    stamp = Training(dt.datetime(2023, 7, 1, 12, 0, 30, tzinfo=zone)).timestamp
    assert stamp is not None
    assert stamp.isoformat() == "2023-07-01T11:00:00+00:00"


@pytest.mark.parametrize("moment", [dt.datetime.min, dt.datetime.max])  # noqa: DTZ901  # the test adds the zone
@pytest.mark.parametrize("hours", [-1, 0, 1, None])
def test_the_ends_of_time_come_back_or_are_invalid(moment: dt.datetime, hours: int | None) -> None:
    zone = None if hours is None else dt.timezone(dt.timedelta(hours=hours))
    try:
        tag = Tag(Training(moment.replace(tzinfo=zone)))
    except InvalidError:
        assert hours not in (0, None)
    else:
        assert_same(tag, Tag.loads(tag.dumps()))


@pytest.mark.parametrize(
    "score", [math.nan, -math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1]
)
def test_special_scores_come_back(score: float) -> None:
    tag = Tag(tuning=Tuning(MOMENT, score), training=Training(MOMENT, score))
    back = Tag.loads(tag.dumps())
    assert_same(tag, back)
    assert back.tuning.score is not None
    assert math.copysign(1, back.tuning.score) == math.copysign(1, score) or math.isnan(score)


def test_a_nan_equals_itself() -> None:
    assert Tuning(score=float("nan")) == Tuning(score=float("nan"))
    assert hash(Tuning(score=float("nan"))) == hash(Tuning(score=float("nan")))
    assert Tuning(score=math.nan) != Tuning(score=0.0)
    assert Tuning(score=math.nan) != Tuning()


def test_a_nan_is_no_text() -> None:
    for text in ("nan", "NaN", "NAN"):
        assert Training(MOMENT, math.nan) != Training(MOMENT, text)


def test_a_nan_survives_pickling() -> None:
    tag = Tag(Training(MOMENT, math.nan), Tuning(MOMENT, math.nan))
    back = pickle.loads(pickle.dumps(tag))
    assert back == tag
    assert hash(back) == hash(tag)


@pytest.mark.parametrize("number", [0, 1, -1])
def test_an_int_as_score_becomes_a_float(number: int) -> None:
    assert type(Tuning(score=number).score) is float


@pytest.mark.parametrize(
    "ordinal",
    [
        *(
            True,
            False,
            0,
            1,
            -1,
            2**63,
            10**100,
            1.0,
            0.0,
            1e-7,
            1e300,
            "",
            "1",
            "true",
            "2023-07-31",
            " a ",
            "a\tb\nc",
        ),
        *("\r\n", "\0\x1b\x7f", "é🙂\u2028", '"', "\\", "\\x41", "'", "#", "[modelkeep.states]", "\x85\xa0"),
        *(dt.date(2023, 7, 31), dt.date.min, dt.date.max, dt.time(3, 4, 5), dt.time(0), dt.time(23, 59, 59, 999999)),
        *(MOMENT, MOMENT.replace(tzinfo=None), MOMENT.replace(microsecond=1)),
    ],
    ids=repr,
)
def test_an_ordinal_keeps_its_type(ordinal: object) -> None:
    tag = Tag(Training(MOMENT, ordinal))  # type: ignore[arg-type]
    back = Tag.loads(tag.dumps())
    assert_same(tag, back)
    assert type(back.training.ordinal) is type(ordinal)
    assert back.training.ordinal == ordinal


def test_the_order_of_states_is_kept() -> None:
    for states in itertools.permutations([*SIDS, uuid4()]):
        assert Tag.loads(Tag(states=states).dumps()).states == states


def test_duplicates_of_states_are_kept() -> None:
    states = (SIDS[0], SIDS[1], SIDS[0], SIDS[0])
    assert Tag.loads(Tag(states=states).dumps()).states == states


def test_states_in_another_order_make_another_tag() -> None:
    assert Tag(states=SIDS) != Tag(states=reversed(SIDS))


def test_states_may_be_any_iterable_and_are_a_tuple() -> None:
    assert Tag(states=iter(SIDS)).states == Tag(states=SIDS).states == tuple(SIDS)


@pytest.mark.parametrize(
    "tag",
    [
        Tag(),
        Tag(states=SIDS),
        Tag(tuning=Tuning(MOMENT, 0.5)),
        Tag(tuning=Tuning(score=0.5)),
        Tag(Training(ordinal="only")),
        Tag(Training(MOMENT)),
    ],
    ids=["null", "states", "tuning", "score", "ordinal", "training"],
)
def test_a_tag_with_parts_left_out_comes_back(tag: Tag) -> None:
    assert_same(tag, Tag.loads(tag.dumps()))


def test_training_and_tuning_are_never_mixed_up() -> None:
    tag = Tag.loads(Tag(tuning=Tuning(MOMENT, 1.0)).dumps())
    assert tag.training == Training()
    assert tag.tuning == Tuning(MOMENT, 1.0)
    assert Training() != Tuning()


# the bytes


def test_the_layout_is_that_of_forml() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    tag = Tag(Training(MOMENT, 17.25), Tuning(dt.datetime(2023, 6, 2, 9, 30, 0, 120000, zone), -1.5), SIDS)
    assert tag.dumps() == FORML


def test_what_forml_wrote_is_read() -> None:
    assert Tag.loads(FORML).dumps() == FORML


def test_the_null_tag_has_both_tables() -> None:
    assert Tag().dumps() == "states = []\n\n[training]\n\n[tuning]\n"


@pytest.mark.parametrize(
    "text",
    [
        FORML.replace("\n", "\r\n"),
        FORML.replace("T0", " 0"),
        FORML.replace("Z", "+00:00"),
        FORML.replace("120000", "12"),
        FORML.replace('"', "'"),
        FORML.replace("states =", "# a comment\nstates ="),
        FORML + "\n[foreign]\nx = [1, {y = 2}]\n",
        FORML.replace("[training]", "[training]\nforeign = [1]"),
        FORML.replace("c6dc021f", "C6DC021F"),
        FORML.replace(", ", ",\n  "),
    ],
)
def test_other_layouts_of_the_same_tag_are_read(text: str) -> None:
    assert Tag.loads(text) == Tag.loads(FORML)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "states",
        "states = ",
        "states = 5",
        'states = "c6dc021f-858a-4fb7-b789-b670072757b1"',
        "states = [5]",
        'states = ["no-uuid"]',
        'states = [["c6dc021f-858a-4fb7-b789-b670072757b1"]]',
        "states = []\ntraining = 5",
        "states = []\ntraining = []",
        "states = []\n[[training]]\n",
        "states = []\n[training]\ntimestamp = 5",
        "states = []\n[training]\ntimestamp = 2023-06-02",
        "states = []\n[training]\nordinal = [1]",
        "states = []\n[training]\nordinal = {a = 1}",
        "states = []\n[tuning]\nscore = true",
        'states = []\n[tuning]\nscore = "0.93"',
        "states = []\n[tuning]\ntimestamp = 0001-01-01T00:00:00+23:59",
        "states = []\n[training]\ntimestamp = 2023-02-30T00:00:00Z",
        "states = []\nstates = []",
        "states = " + "[" * 100_000,
        "states = []\nx = " + "9" * 5000,
        "\0",
        "\ufeff" + FORML,
        '[training]\nordinal = "\\x41"',
    ],
    ids=lambda text: repr(text[:50]),
)
def test_what_is_no_tag_is_invalid(text: str) -> None:
    with pytest.raises(InvalidError):
        Tag.loads(text)


@given(st.text(max_size=60))
def test_any_other_text_is_a_tag_or_invalid(text: str) -> None:
    try:
        assert isinstance(Tag.loads(f"states = []\n{text}"), Tag)
    except InvalidError:
        return


# what goes in


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_a_score_of_numpy_becomes_a_float(kind: Any) -> None:
    score = Tuning(score=kind(0.5)).score
    assert type(score) is float
    assert score == 0.5


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.int64(5), 5),
        (np.uint8(5), 5),
        (np.bool_(True), True),
        (np.float64(0.1), 0.1),
        (np.str_("a"), "a"),
        (np.array(5), 5),
        (np.datetime64("2023-06-02T08:30:00.000001"), MOMENT.replace(tzinfo=None, microsecond=1)),
        (np.datetime64("2023-06-02"), dt.date(2023, 6, 2)),
    ],
    ids=repr,
)
def test_an_ordinal_of_numpy_becomes_a_builtin(scalar: object, plain: object) -> None:
    ordinal = Training(MOMENT, scalar).ordinal  # type: ignore[arg-type]
    assert type(ordinal) is type(plain)
    assert ordinal == plain


class Timestamp(dt.datetime):
    """As pandas has it: a datetime with a method that gives the plain one."""

    def to_pydatetime(self) -> dt.datetime:
        return dt.datetime.combine(self.date(), self.timetz())


def test_a_timestamp_of_pandas_becomes_a_datetime() -> None:
    stamp = Timestamp(2023, 6, 2, 8, 30, tzinfo=dt.UTC)
    training = Training(stamp, stamp)
    assert training == Training(MOMENT, MOMENT)
    assert type(training.timestamp) is type(training.ordinal) is dt.datetime


def test_a_subclass_of_datetime_becomes_a_datetime() -> None:
    class Moment(dt.datetime):
        pass

    stamp = Training(Moment(2023, 6, 2, 8, 30, tzinfo=dt.UTC)).timestamp
    assert type(stamp) is dt.datetime
    assert stamp == MOMENT


def test_a_datetime64_of_nanoseconds_is_invalid() -> None:
    with pytest.raises(InvalidError, match="nanoseconds"):
        Training(np.datetime64("2023-06-02T08:30:00.000000001", "ns"))  # type: ignore[arg-type]


def test_a_timedelta64_is_no_ordinal() -> None:
    for unit in ("ns", "us", "s"):
        with pytest.raises(InvalidError):
            Training(MOMENT, np.timedelta64(5, unit))  # type: ignore[arg-type]


@pytest.mark.parametrize("array", [np.array([1.0, 2.0]), np.zeros(0), np.zeros((2, 2))], ids=repr)
def test_an_array_is_no_scalar(array: object) -> None:
    with pytest.raises(InvalidError):
        Tuning(score=array)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Training(MOMENT, array)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Training(array)  # type: ignore[arg-type]


class Level(enum.IntEnum):
    ONE = 1


WRONG = [[1], (1,), {"a": 1}, b"a", 1j, dt.timedelta(1), uuid4(), fractions.Fraction(1, 2), Decimal(1), object(), Level]


@pytest.mark.parametrize(
    "ordinal", [*WRONG, dt.time(1, tzinfo=dt.UTC), "\ud800", 10**5000], ids=lambda o: type(o).__name__
)
def test_an_ordinal_of_another_type_is_invalid(ordinal: object) -> None:
    with pytest.raises(InvalidError):
        Training(MOMENT, ordinal)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "stamp", [*WRONG, 0, 0.5, "2023-06-02", dt.date(2023, 6, 2), True], ids=lambda o: type(o).__name__
)
def test_a_timestamp_of_another_type_is_invalid(stamp: object) -> None:
    with pytest.raises(InvalidError):
        Training(stamp)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Tuning(stamp)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "score", [*WRONG, "0.5", True, np.bool_(True), MOMENT, 10**400], ids=lambda o: type(o).__name__
)
def test_a_score_of_another_type_is_invalid(score: object) -> None:
    with pytest.raises(InvalidError):
        Tuning(MOMENT, score)  # type: ignore[arg-type]


def test_absurdly_large_numbers_are_invalid() -> None:
    with pytest.raises(InvalidError):
        Training(10**5000)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Tag(states=[10**5000])  # type: ignore[list-item]


@pytest.mark.parametrize("states", [5, None, [str(SIDS[0])], [None], [SIDS], "ab", [b"a" * 16]], ids=repr)
def test_states_of_another_type_are_invalid(states: object) -> None:
    with pytest.raises(InvalidError):
        Tag(states=states)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [None, {}, {"timestamp": MOMENT}, MOMENT, Tag], ids=repr)
def test_parts_of_another_type_are_invalid(part: object) -> None:
    with pytest.raises(InvalidError):
        Tag(part)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Tag(tuning=part)  # type: ignore[arg-type]


def test_a_tuning_is_no_training() -> None:
    with pytest.raises(InvalidError):
        Tag(Tuning())  # type: ignore[arg-type]


# a value


@pytest.mark.parametrize(
    ("value", "name"),
    [(Tag(), "states"), (Tag(), "new"), (Training(MOMENT), "timestamp"), (Tuning(MOMENT), "score"), (Tuning(), "new")],
)
def test_a_tag_and_its_parts_are_frozen(value: object, name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(value, name)


def test_equal_tags_are_one_key_of_a_dict() -> None:
    assert len({Tag(Training(MOMENT, 1), states=SIDS), Tag(Training(MOMENT, 1), states=tuple(SIDS))}) == 1


def test_a_tag_is_made_anew_with_replace() -> None:
    tag = dataclasses.replace(Tag(Training(MOMENT)), states=tuple(SIDS))
    assert tag == Tag(Training(MOMENT), states=SIDS)


def test_now_is_aware_and_in_utc() -> None:
    before = dt.datetime.now(dt.UTC)
    for stamp in (Training.now().timestamp, Tuning.now(0.5).timestamp):
        assert stamp is not None
        assert stamp.tzinfo is dt.UTC
        assert before <= stamp <= dt.datetime.now(dt.UTC)

"""Generations: tags come back equal, and nothing committed changes."""

import datetime as dt
import math
import string
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from modelkeep import ConflictError, Directory, InvalidError, MissingError, Tag, Training, Tuning
from modelkeep_conformance.kit import PROJECT, VERSION, Kit, content, package, sid, tag
from modelkeep_conformance.suite import clause, explore

_CET = dt.timezone(dt.timedelta(hours=1))
TAGS = [
    Tag(),
    Tag(Training(dt.datetime(2023, 6, 2, 8, 30, tzinfo=dt.UTC), 17.25), Tuning(dt.datetime(2023, 6, 2, 9, 30), -1.5)),
    Tag(tuning=Tuning(dt.datetime(2023, 6, 2, 9, 30, 0, 120000, _CET), 0.1 + 0.2)),
    Tag(tuning=Tuning(None, 0.5)),
    Tag(Training(None, 5)),
    Tag(Training(dt.datetime(1, 1, 1, 0, 0, 0, 1), "")),
    Tag(Training(dt.datetime(9999, 12, 31, 23, 59, 59, 999999), 0)),
    Tag(Training(dt.datetime(2024, 3, 31, 2, 30, tzinfo=ZoneInfo("Europe/Prague")), 1)),
    Tag(Training(dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-9, minutes=-30))), 1)),
    *(
        Tag(Training(None, ordinal))
        for ordinal in (True, False, 1, 1.0, "1", -(2**63), 2**100, 1e-7, 1e22, -0.0, 5e-324, math.inf)
    ),
    *(
        Tag(Training(None, text))
        for text in ("\u00fc\U0001f40d", 'a"b\\c', "a\nb\tc\x00\x7f\x1f", "'''", "2023-06-02", "true", "\r\n")
    ),
    *(
        Tag(Training(None, each))
        for each in (dt.date(2023, 7, 31), dt.time(3, 4, 5), dt.time(3, 4, 5, 6), dt.datetime(2020, 1, 1))
    ),
    *(
        Tag(tuning=Tuning(None, score))
        for score in (0.0, -0.0, 1e-300, 1.7976931348623157e308, math.inf, -math.inf, math.nan)
    ),
]


def _same(left: Tag, right: Tag) -> None:
    assert left == right
    assert hash(left) == hash(right)
    for one, other in ((left.training, right.training), (left.tuning, right.tuning)):
        for name in vars(one):
            ours, theirs = getattr(one, name), getattr(other, name)
            assert type(ours) is type(theirs)
            assert repr(ours).replace("datetime.timezone.utc", "UTC") == repr(theirs).replace(
                "datetime.timezone.utc", "UTC"
            )
            if isinstance(ours, dt.datetime):
                assert ours.utcoffset() == theirs.utcoffset()
    assert left.states == right.states


@clause("C1", "C7")
def test_tags_come_back_equal(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for number, each in enumerate(TAGS, 1):
        registry.close(PROJECT, VERSION, number, each)
    for handle in (registry, kit.registry()):
        for number, each in enumerate(TAGS, 1):
            _same(handle.open(PROJECT, VERSION, number), each)


@clause("C1")
def test_states_keep_their_order_and_duplicates(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for number in (3, 1, 2):
        registry.write(PROJECT, VERSION, sid(number), content(number))
    states = [sid(2), sid(3), sid(2), sid(1), sid(2)]
    registry.close(PROJECT, VERSION, 1, Tag(states=states))
    for handle in (registry, kit.registry()):
        assert list(handle.open(PROJECT, VERSION, 1).states) == states
        generation = Directory(handle).get(PROJECT).get(VERSION).get(1)
        assert [generation.get(index) for index in range(5)] == [content(number) for number in (2, 3, 2, 1, 2)]
        assert generation.get(-2) == content(1)


def _zone(minutes: int) -> dt.tzinfo | None:
    """A fixed offset; none at all for the one that no zone has."""
    return None if minutes == -1440 else dt.timezone(dt.timedelta(minutes=minutes))


_zones: st.SearchStrategy[dt.tzinfo | None] = st.integers(-1440, 1439).map(_zone)
_moments = st.none() | st.datetimes(
    timezones=_zones,  # type: ignore[arg-type]  # its signature is inferred from its default
    min_value=dt.datetime(2, 1, 1),
    max_value=dt.datetime(9998, 12, 31),
)
_ordinals = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.times()
    | _moments
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.text(string.printable)
)
_tags = st.builds(
    Tag, st.builds(Training, _moments, _ordinals), st.builds(Tuning, _moments, st.none() | st.floats()),
    st.lists(st.integers(1, 4).map(sid), max_size=6),
)  # fmt: skip


@clause("C1")
def test_all_tags_come_back_equal(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for number in range(1, 5):
        registry.write(PROJECT, VERSION, sid(number), content(number))
    count = 0

    @seed(kit.seed)
    @explore(kit, kit.times(60, 2000))
    @given(_tags)
    def check(each: Tag) -> None:
        nonlocal count
        count += 1
        registry.close(PROJECT, VERSION, count, each)
        _same(registry.open(PROJECT, VERSION, count), each)

    check()


@clause("C2", "L4")
def test_closing_with_a_state_that_was_never_written_changes_nothing(kit: Kit, registry: Any) -> None:
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), b"one")
    each = tag(sid(1), sid(2), sid(3))
    for handle in (registry, kit.registry()):
        with pytest.raises(MissingError, match=r"."):
            handle.close(PROJECT, VERSION, 1, each)
        assert handle.generations(PROJECT, VERSION) == ()
    registry.write(PROJECT, VERSION, sid(2), b"two")
    with pytest.raises(MissingError):
        registry.close(PROJECT, VERSION, 1, each)
    registry.write(PROJECT, VERSION, sid(3), b"three")
    registry.close(PROJECT, VERSION, 1, each)
    assert [registry.read(PROJECT, VERSION, 1, state) for state in each.states] == [b"one", b"two", b"three"]


@clause("C3", "C5")
def test_closing_a_number_again_is_a_conflict(kit: Kit, registry: Any) -> None:
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), b"winner")
    registry.write(PROJECT, VERSION, sid(2), b"loser")
    winner, loser = tag(sid(1), score=1.0), tag(sid(2), score=2.0)
    registry.close(PROJECT, VERSION, 1, winner)
    for handle in (registry, kit.registry()):
        for each in (loser, winner, Tag(), tag(sid(1), sid(2))):
            with pytest.raises(ConflictError):
                handle.close(PROJECT, VERSION, 1, each)
        assert handle.open(PROJECT, VERSION, 1) == winner
        assert handle.read(PROJECT, VERSION, 1, sid(1)) == b"winner"
        assert handle.read(PROJECT, VERSION, 1, sid(2)) == b""
    registry.close(PROJECT, VERSION, 2, loser)
    assert registry.read(PROJECT, VERSION, 2, sid(2)) == b"loser"
    assert registry.open(PROJECT, VERSION, 1) == winner


@clause("C4")
def test_any_unused_number_may_be_closed_in_any_order(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for number in (5, 1, 1000, 3, 2, 4, 2**63 - 1):
        registry.close(PROJECT, VERSION, number, tag(score=number))
    for number in (1, 2, 3, 4, 5, 1000):
        assert kit.registry().open(PROJECT, VERSION, number).tuning.score == number
        assert Directory(registry).get(PROJECT).get(VERSION).get(number).tag.tuning.score == number


@clause("C5")
def test_a_committed_generation_never_changes(kit: Kit, registry: Any) -> None:
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), content(1))
    first = tag(sid(1))
    registry.close(PROJECT, VERSION, 2, first)
    later = {number: tag(sid(number + 10), sid(1), score=number) for number in (1, *range(3, kit.times(20, 200)))}
    for number, each in later.items():
        registry.write(PROJECT, VERSION, sid(1), content(1))
        registry.write(PROJECT, VERSION, sid(number + 10), content(number))
        registry.close(PROJECT, VERSION, number, each)
        with pytest.raises(ConflictError):
            registry.write(PROJECT, VERSION, sid(1), content(number + 1))
    registry.push(package(version="1.0.1"))
    registry.write(PROJECT, "1.0.1", sid(1), b"of another release")
    registry.close(PROJECT, "1.0.1", 2, tag(sid(1), score=9.0))
    for handle in (registry, kit.registry()):
        assert handle.open(PROJECT, VERSION, 2) == first
        assert handle.read(PROJECT, VERSION, 2, sid(1)) == content(1)
        for number, each in later.items():
            assert handle.open(PROJECT, VERSION, number) == each
            assert handle.read(PROJECT, VERSION, number, sid(number + 10)) == content(number)


@clause("C6")
def test_a_state_may_be_named_by_several_generations(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for number in (1, 2):
        registry.write(PROJECT, VERSION, sid(number), content(number))
    for number in range(1, 8):
        registry.close(PROJECT, VERSION, number, tag(sid(1), sid(2)) if number % 2 else tag(sid(2)))
    for handle in (registry, kit.registry()):
        for number in range(1, 8):
            assert handle.read(PROJECT, VERSION, number, sid(2)) == content(2)
            assert handle.read(PROJECT, VERSION, number, sid(1)) == (content(1) if number % 2 else b"")


@clause("C7")
def test_a_generation_without_states_is_valid(kit: Kit, registry: Any) -> None:
    release = kit.release()
    assert release.put(Tag()).key == 1
    assert release.put(tag()).key == 2
    assert release.list() == (1, 2)
    assert kit.registry().open(PROJECT, VERSION, 1) == Tag()
    assert release.get().list() == ()
    assert registry.read(PROJECT, VERSION, 1, sid(1)) == b""


@clause("C8")
def test_an_id_of_another_generation_is_not_readable(kit: Kit, registry: Any) -> None:
    registry.push(package())
    for number in (1, 2):
        registry.write(PROJECT, VERSION, sid(number), content(number))
        registry.close(PROJECT, VERSION, number, tag(sid(number)))
    for handle in (registry, kit.registry()):
        for generation, other in ((1, 2), (2, 1)):
            assert handle.read(PROJECT, VERSION, generation, sid(other)) == b""
            with pytest.raises(MissingError), handle.view(PROJECT, VERSION, generation, sid(other)):
                pass
            with pytest.raises(MissingError):
                Directory(handle).get(PROJECT).get(VERSION).get(generation).get(sid(other))


@clause("E1", "C1")
@pytest.mark.parametrize("wrong", [None, {}, "tag", 1, {"states": []}, (None, None, ())], ids=repr)
def test_what_is_no_tag_is_invalid(registry: Any, wrong: Any) -> None:
    registry.push(package())
    with pytest.raises(InvalidError):
        registry.close(PROJECT, VERSION, 1, wrong)
    assert registry.generations(PROJECT, VERSION) == ()


@clause("E1", "S3")
@pytest.mark.parametrize("wrong", [None, 1, "one", str(sid(1)), sid(1).bytes, "../x"], ids=repr)
def test_what_is_no_state_id_is_invalid(registry: Any, wrong: Any) -> None:
    registry.push(package())
    registry.close(PROJECT, VERSION, 1, Tag())
    with pytest.raises(InvalidError):
        registry.write(PROJECT, VERSION, wrong, b"x")
    with pytest.raises(InvalidError):
        registry.read(PROJECT, VERSION, 1, wrong)
    with pytest.raises(InvalidError), registry.view(PROJECT, VERSION, 1, wrong):
        pass


@clause("C4", "C1")
def test_numbers_that_are_near_each_other_are_different_generations(kit: Kit, registry: Any) -> None:
    registry.push(package())
    numbers = [2**power + more for power in (8, 16, 31, 32, 53, 62) for more in (-1, 0, 1, 2)] + [2**63 - 1, 2**63 - 2]
    for position, number in enumerate(numbers):
        registry.close(PROJECT, VERSION, number, tag(score=position))
    for position, number in enumerate(numbers):
        assert kit.registry().open(PROJECT, VERSION, number).tuning.score == position

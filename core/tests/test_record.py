from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep import CorruptedError
from modelkeep.backend import seal, unseal

RECORD = seal("a/1.0/7", b'states = []\n\xff\0"')


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), st.binary())
def test_a_record_comes_back(place: str, body: bytes) -> None:
    assert unseal("store", place, seal(place, body), "tag") == body


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("at", range(len(RECORD)))
def test_a_flipped_bit_is_noticed(at: int, bit: int) -> None:
    damaged = bytearray(RECORD)
    damaged[at] ^= 1 << bit
    with pytest.raises(CorruptedError):
        unseal("store", "a/1.0/7", bytes(damaged), "tag", "a", "1.0", 7)


@pytest.mark.parametrize("end", range(len(RECORD)))
def test_a_cut_record_is_noticed(end: int) -> None:
    with pytest.raises(CorruptedError):
        unseal("store", "a/1.0/7", RECORD[:end], "tag")


@pytest.mark.parametrize("more", [b"\n", b"\0", RECORD])
def test_a_longer_record_is_noticed(more: bytes) -> None:
    for damaged in (RECORD + more, more + RECORD):
        with pytest.raises(CorruptedError):
            unseal("store", "a/1.0/7", damaged, "tag")


@pytest.mark.parametrize("place", ["a/1.0/8", "b/1.0/7", "a/1.0/7 ", "a/1.0", ""])
def test_a_record_of_another_place_is_noticed(place: str) -> None:
    with pytest.raises(CorruptedError):
        unseal("store", place, RECORD, "tag")


def test_a_line_can_not_move_between_place_and_body() -> None:
    with pytest.raises(CorruptedError):
        unseal("store", "a", seal("a/b", b"c").replace(b"\nc", b"\n/b\nc"), "tag")


def test_the_seal_is_a_comment_in_toml() -> None:
    assert RECORD.startswith(b"# blake3:")
    assert RECORD.index(b"\n") == len("# blake3:") + 64


def test_the_message_names_store_kind_and_keys() -> None:
    with pytest.raises(CorruptedError, match=r"the-store.*the tag of a/1\.0/7 is damaged"):
        unseal("the-store", "a/1.0/7", b"", "tag", "a", "1.0", 7)

from __future__ import annotations

import array
import ctypes
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep import InvalidError
from modelkeep.backend import PREFIX, Hasher, digest, digest_content, lend, octets

#: https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json
EMPTY = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
ONE = "blake3:2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"


def test_the_function_is_blake3() -> None:
    assert digest(b"") == EMPTY
    assert digest(b"\0") == ONE


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, (4 << 20) - 1, 4 << 20, (4 << 20) + 1])
def test_one_thread_and_many_agree(size: int) -> None:
    content = bytes(i * 7 % 251 for i in range(1025)) * (size // 1025 + 1)
    hasher = Hasher()
    for start in range(0, size, 1000_003):
        hasher.update(content[start : min(start + 1000_003, size)])
    assert digest(content[:size]) == PREFIX + hasher.hexdigest()


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_other_bytes_have_another_digest(left: bytes, right: bytes) -> None:
    assert (digest(left) == digest(right)) == (left == right)


_numbers: Any = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"abc", b"abc"),
        (b"", b""),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"abcdef")[2:4], b"cd"),
        (memoryview(b"abcd").cast("I"), b"abcd"),
        (array.array("i", [1, 2]), array.array("i", [1, 2]).tobytes()),
        (ctypes.create_string_buffer(b"abc", 3), b"abc"),
        (_numbers, _numbers.tobytes()),
        (_numbers[1:2], _numbers[1:2].tobytes()),
        (np.zeros(0), b""),
        (np.zeros((0, 3)), b""),
        (np.array(5, dtype=np.int16), np.array(5, dtype=np.int16).tobytes()),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.array([(1, 2.0)], dtype="i4, f8").tobytes()),
        (np.array([(2.0,)], dtype=[("Ohm", "f8")]), np.array([2.0]).tobytes()),
        (np.array([True, False]), b"\1\0"),
        (np.array([b"ab", b"c"]), b"abc\0"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_contiguous_buffer_is_flat_bytes(data: object, expected: bytes) -> None:
    flat = octets(data)  # type: ignore[arg-type]
    assert bytes(flat) == expected
    assert (flat.ndim, flat.format, flat.readonly) == (1, "B", True)


def test_an_array_in_the_order_of_columns_is_taken_as_it_lies_in_memory() -> None:
    assert bytes(octets(_numbers.T)) == _numbers.tobytes()


def test_octets_are_no_copy() -> None:
    data = bytearray(b"abc")
    flat = octets(data)
    data[0] = ord("x")
    assert bytes(flat) == b"xbc"


def test_octets_of_octets_are_the_same_view() -> None:
    # a view of a view that goes through the buffer protocol is an export, and CPython up to 3.12.1 crashes when its
    # collector meets a view that has one
    flat = octets(b"abc")
    assert octets(flat) is flat
    flat.release()


def test_a_map_of_a_file_is_flat_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        flat = octets(content)
        assert digest(flat) == digest(b"abc")
        flat.release()


@pytest.mark.parametrize(
    "data",
    [
        *("text", None, 5, 1.5, [1, 2], (b"a",), {"a": 1}, object(), bytes, range(3)),
        _numbers[:, ::2],
        _numbers[::-1],
        memoryview(b"abcdef")[::2],
        np.array(["2023-06-02"], dtype="M8[s]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_contiguous_buffer_is_invalid(data: object) -> None:
    with pytest.raises(InvalidError, match="buffer"):
        octets(data)  # type: ignore[arg-type]


def test_a_released_view_is_invalid() -> None:
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(InvalidError):
        octets(view)


@pytest.mark.parametrize(
    "data",
    [np.array([{"a": 1}], dtype=object), np.array([("x", 1)], dtype=[("a", object), ("b", "i4")])],
    ids=["object", "record"],
)
def test_arrays_of_objects_are_refused(data: object) -> None:
    # their bytes are pointers, worth nothing in another process
    with pytest.raises(InvalidError):
        octets(data)  # type: ignore[arg-type]


def test_what_is_lent_is_read_only_and_ends_with_the_block() -> None:
    with lend(bytearray(b"abc")) as view:
        assert view.readonly
        assert bytes(view) == b"abc"
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_an_array_made_of_what_is_lent_outlives_the_block() -> None:
    with lend(b"abc") as view:
        kept = np.frombuffer(view, np.uint8)
    assert kept.tobytes() == b"abc"


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\0")
    assert digest_content(tmp_path / "file") == ONE


def tree(root: Path) -> Path:
    (root / "a" / "empty").mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"abc")
    (root / "b").write_bytes(b"")
    return root


def test_the_digest_of_a_folder_does_not_tell_where_it_lies(tmp_path: Path) -> None:
    assert digest_content(tree(tmp_path / "one")) == digest_content(tree(tmp_path / "two"))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "b").write_bytes(b"x"),
        lambda root: (root / "b").rename(root / "c"),
        lambda root: (root / "b").chmod(0o755),
        lambda root: (root / "a").chmod(0o700),
        lambda root: (root / "b").rename(root / "a" / "b"),
        lambda root: (root / "a" / "empty").rmdir(),
        lambda root: (root / "new").mkdir(),
        lambda root: (root / "new").touch(),
    ],
    ids=["content", "name", "mode", "mode of folder", "place", "folder less", "folder more", "file more"],
)
def test_the_digest_of_a_folder_notices(tmp_path: Path, change: object) -> None:
    root = tree(tmp_path / "root")
    before = digest_content(root)
    assert callable(change)
    change(root)
    assert digest_content(root) != before

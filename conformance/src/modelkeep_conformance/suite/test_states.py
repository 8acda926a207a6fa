"""States: staged, written once, given back to the byte."""

import array
import mmap
from typing import Any

import pytest

from modelkeep import ConflictError, InvalidError, MissingError, Tag
from modelkeep_conformance.kit import PROJECT, VERSION, Kit, content, package, sid, tag, viewed
from modelkeep_conformance.suite import clause


def _commit(registry: Any, number: int, **states: bytes) -> None:
    for name, state in states.items():
        registry.write(PROJECT, VERSION, sid(int(name[1:])), state)
    registry.close(PROJECT, VERSION, number, tag(*(sid(int(name[1:])) for name in states)))


@clause("S1")
def test_a_state_is_invisible_until_it_is_committed(kit: Kit, registry: Any) -> None:
    registry.push(package())
    _commit(registry, 1, s1=b"one")
    registry.write(PROJECT, VERSION, sid(2), b"two")
    for handle in (registry, kit.registry()):
        assert handle.read(PROJECT, VERSION, 1, sid(2)) == b""
        with pytest.raises(MissingError), handle.view(PROJECT, VERSION, 1, sid(2)):
            pass
        with pytest.raises(MissingError):
            handle.read(PROJECT, VERSION, 2, sid(2))
        assert handle.generations(PROJECT, VERSION) == (1,)
    registry.close(PROJECT, VERSION, 2, tag(sid(2)))
    assert registry.read(PROJECT, VERSION, 2, sid(2)) == b"two"
    assert registry.read(PROJECT, VERSION, 1, sid(2)) == b""


@clause("S2")
def test_writing_to_an_unknown_release_leaves_no_trace(kit: Kit, registry: Any) -> None:
    registry.push(package())
    before = sorted(path.name for path in kit.root.rglob("*") if path.is_file())
    for name, version in (("beta", VERSION), (PROJECT, "2.0"), (PROJECT, "1.0.1"), ("alpha-b", VERSION)):
        with pytest.raises(MissingError):
            registry.write(name, version, sid(1), content(1, 5000))
    assert sorted(path.name for path in kit.root.rglob("*") if path.is_file()) == before
    registry.push(package(version="2.0"))
    with pytest.raises(MissingError):
        registry.close(PROJECT, "2.0", 1, tag(sid(1)))


@clause("S3")
@pytest.mark.parametrize("committed", [False, True])
def test_a_state_id_is_written_once(kit: Kit, registry: Any, *, committed: bool) -> None:
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), b"first")
    if committed:
        registry.close(PROJECT, VERSION, 1, tag(sid(1)))
    for handle in (registry, kit.registry()):
        handle.write(PROJECT, VERSION, sid(1), b"first")
        for other in (b"other", b"firs", b"first!", b"", b"First"):
            with pytest.raises(ConflictError):
                handle.write(PROJECT, VERSION, sid(1), other)
    if not committed:
        registry.close(PROJECT, VERSION, 1, tag(sid(1)))
    assert registry.read(PROJECT, VERSION, 1, sid(1)) == b"first"


@clause("S3")
def test_an_empty_state_counts_as_written(registry: Any) -> None:
    registry.push(package())
    registry.write(PROJECT, VERSION, sid(1), b"")
    registry.write(PROJECT, VERSION, sid(1), b"")
    with pytest.raises(ConflictError):
        registry.write(PROJECT, VERSION, sid(1), b"x")
    registry.close(PROJECT, VERSION, 1, tag(sid(1)))
    assert registry.read(PROJECT, VERSION, 1, sid(1)) == b""


@clause("S4")
def test_the_same_id_elsewhere_is_another_state(kit: Kit, registry: Any) -> None:
    places = [(PROJECT, "1.0"), (PROJECT, "1.1"), (PROJECT, "1.10"), ("alpha-b", "1.0"), ("beta", "1.0")]
    for number, (name, version) in enumerate(places):
        registry.push(package(name, version))
        registry.write(name, version, sid(1), content(number))
    with pytest.raises(MissingError):
        registry.close(PROJECT, "1.0", 1, tag(sid(2)))
    for name, version in places:
        registry.close(name, version, 1, tag(sid(1)))
    for number, (name, version) in enumerate(places):
        assert kit.registry().read(name, version, 1, sid(1)) == content(number)


SIZES = [0, 1, 4095, 4096, 4097, 65535, 65536, 65537, (2 << 20) + 1]


@clause("S5", "S9")
def test_every_size_round_trips(kit: Kit, registry: Any) -> None:
    registry.push(package())
    states = {}
    for number, size in enumerate(SIZES):
        for kind, make in enumerate(
            (kit.chance.randbytes, lambda size: b"\0" * size, lambda size: bytes(range(256)) * (size // 256 + 1))
        ):
            states[sid(10 * number + kind)] = make(size)[:size]
    for each, state in states.items():
        registry.write(PROJECT, VERSION, each, state)
    registry.close(PROJECT, VERSION, 1, Tag(states=states))
    for handle in (registry, kit.registry()):
        for each, state in states.items():
            assert handle.read(PROJECT, VERSION, 1, each) == state
            assert viewed(handle, 1, each) == state


@clause("S5")
def test_large_states_round_trip(kit: Kit, registry: Any) -> None:
    registry.push(package())
    state = kit.chance.randbytes(1 << 20) * 64
    registry.write(PROJECT, VERSION, sid(1), state)
    registry.write(PROJECT, VERSION, sid(2), state[1:])
    registry.close(PROJECT, VERSION, 1, tag(sid(1), sid(2)))
    assert kit.registry().read(PROJECT, VERSION, 1, sid(1)) == state
    with registry.view(PROJECT, VERSION, 1, sid(2)) as view:
        assert view == state[1:]


@clause("S5")
@pytest.mark.parametrize(
    "state", [b"\n", b"\r\n", b"\xff\xfe", b"\0", b"# blake3:" + b"0" * 64 + b"\n", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"]
)
def test_contents_that_look_like_something_round_trip(registry: Any, state: bytes) -> None:
    registry.push(package())
    _commit(registry, 1, s1=state, s2=state * 2)
    assert registry.read(PROJECT, VERSION, 1, sid(1)) == state
    assert registry.read(PROJECT, VERSION, 1, sid(2)) == state * 2


@clause("S6")
def test_any_contiguous_buffer_is_accepted(kit: Kit, registry: Any) -> None:
    registry.push(package())
    text = content(1, 8000)
    with mmap.mmap(-1, 8000) as mapped:
        mapped.write(text)
        buffers: list[Any] = [
            text,
            bytearray(text),
            memoryview(text),
            memoryview(text).cast("d"),
            memoryview(text).cast("B", (80, 100)),
            memoryview(b"xx" + text + b"xx")[2:-2],
            array.array("B", text),
            mapped,
        ]
        for number, buffer in enumerate(buffers):
            registry.write(PROJECT, VERSION, sid(number + 1), buffer)
    registry.close(PROJECT, VERSION, 1, tag(*(sid(number + 1) for number in range(len(buffers)))))
    for number in range(len(buffers)):
        assert kit.registry().read(PROJECT, VERSION, 1, sid(number + 1)) == text


@clause("S6", "E1")
@pytest.mark.parametrize(
    "state",
    ["text", None, 1, [1, 2], memoryview(b"abcdef")[::2], object(), {"a": 1}],
    ids=lambda state: type(state).__name__,
)
def test_what_is_no_contiguous_buffer_is_invalid(registry: Any, state: Any) -> None:
    registry.push(package())
    with pytest.raises(InvalidError):
        registry.write(PROJECT, VERSION, sid(1), state)
    with pytest.raises(MissingError):
        registry.close(PROJECT, VERSION, 1, tag(sid(1)))


@clause("S6")
@pytest.mark.parametrize("size", [100, 5000, 3 << 20])
def test_the_caller_may_change_the_buffer_afterwards(kit: Kit, registry: Any, size: int) -> None:
    registry.push(package())
    buffer = bytearray(content(1, size))
    registry.write(PROJECT, VERSION, sid(1), buffer)
    buffer[:] = b"\xee" * size
    registry.write(PROJECT, VERSION, sid(2), buffer)
    buffer[:] = b"\xdd" * size
    registry.close(PROJECT, VERSION, 1, tag(sid(1), sid(2)))
    for handle in (registry, kit.registry()):
        assert handle.read(PROJECT, VERSION, 1, sid(1)) == content(1, size)
        assert handle.read(PROJECT, VERSION, 1, sid(2)) == b"\xee" * size


@clause("S7")
def test_an_id_that_the_generation_does_not_name_reads_as_nothing(kit: Kit, registry: Any) -> None:
    registry.push(package())
    _commit(registry, 1, s1=b"one", s2=b"")
    registry.write(PROJECT, VERSION, sid(3), b"staged")
    for handle in (registry, kit.registry()):
        assert handle.read(PROJECT, VERSION, 1, sid(2)) == b""
        assert viewed(handle, 1, sid(2)) == b""
        for unknown in (sid(3), sid(4), sid(0)):
            assert handle.read(PROJECT, VERSION, 1, unknown) == b""
            with pytest.raises(MissingError), handle.view(PROJECT, VERSION, 1, unknown):
                pass


@clause("S8")
@pytest.mark.parametrize("unknown", [2, 3, 11, 2**63 - 1])
def test_an_unknown_generation_is_missing(registry: Any, unknown: int) -> None:
    registry.push(package())
    _commit(registry, 1, s1=b"one")
    with pytest.raises(MissingError):
        registry.read(PROJECT, VERSION, unknown, sid(1))
    with pytest.raises(MissingError):
        registry.open(PROJECT, VERSION, unknown)
    with pytest.raises(MissingError), registry.view(PROJECT, VERSION, unknown, sid(1)):
        pass


@clause("S9")
def test_a_view_is_read_only_and_lasts_while_others_commit(kit: Kit, registry: Any) -> None:
    registry.push(package())
    sizes = [1, 100, 5000, 300_000]
    # each begins otherwise, so that no two could share a buffer
    states = [(b"%d" % number + content(number, size))[:size] for number, size in enumerate(sizes)]
    for number, state in enumerate(states):
        registry.write(PROJECT, VERSION, sid(number + 1), state)
    registry.close(PROJECT, VERSION, 1, tag(*(sid(number + 1) for number in range(len(sizes)))))
    other = kit.registry()
    for number, state in enumerate(states):
        with registry.view(PROJECT, VERSION, 1, sid(number + 1)) as view:
            assert isinstance(view, memoryview)
            assert view.readonly
            assert (view.format, view.ndim, view.nbytes) == ("B", 1, len(state))
            for commits in range(2, 12):
                generation = 100 * number + commits
                other.write(PROJECT, VERSION, sid(10_000 + generation), kit.chance.randbytes(20_000))
                other.close(PROJECT, VERSION, generation, tag(sid(10_000 + generation)))
                assert view == state
            with registry.view(PROJECT, VERSION, 1, sid(1)) as inner:
                assert inner == states[0]
            assert view == state


@clause("S9")
def test_an_error_of_the_caller_passes_through_a_view(registry: Any) -> None:
    registry.push(package())
    _commit(registry, 1, s1=b"one")
    with pytest.raises(ZeroDivisionError), registry.view(PROJECT, VERSION, 1, sid(1)):
        raise ZeroDivisionError
    assert viewed(registry, 1, sid(1)) == b"one"


@clause("S3", "S4")
def test_ids_that_differ_in_one_bit_are_different_states(kit: Kit, registry: Any) -> None:
    registry.push(package())
    ids = [sid(0), *(sid(1 << bit) for bit in range(0, 128, 5)), sid((1 << 128) - 1)]
    for number, each in enumerate(ids):
        registry.write(PROJECT, VERSION, each, content(number))
    registry.close(PROJECT, VERSION, 1, tag(*ids))
    for number, each in enumerate(ids):
        assert kit.registry().read(PROJECT, VERSION, 1, each) == content(number)


@clause("S4")
def test_the_same_id_in_another_store_is_another_state(kit: Kit, registry: Any) -> None:
    """Also where both stage what they write in the same place."""
    other = kit.registry(kit.folder("other"))
    for number, handle in enumerate((registry, other)):
        handle.push(package())
        handle.write(PROJECT, VERSION, sid(1), content(number))
    for handle in (registry, other):
        handle.close(PROJECT, VERSION, 1, tag(sid(1)))
    assert [handle.read(PROJECT, VERSION, 1, sid(1)) for handle in (registry, other)] == [content(0), content(1)]

from __future__ import annotations

import dataclasses
import pickle
import sys
from pathlib import Path

import pytest

from modelkeep import Descriptor, InvalidError
from modelkeep.backend import digest

SOURCE = "# é\r\nVALUE = 1\n".encode()


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "serving.py"
    path.write_bytes(SOURCE)
    return path


def test_a_handle_reads_a_module_file(module: Path) -> None:
    handle = Descriptor.Handle(module)
    assert handle.path == module
    assert handle.descriptor == Descriptor("serving", SOURCE)


def test_the_name_is_that_of_the_file_unless_given(module: Path) -> None:
    assert Descriptor.Handle(str(module), "other.app").descriptor.name == "other.app"
    assert type(Descriptor.Handle(module).descriptor.name) is Descriptor.Key


def test_the_source_is_kept_byte_for_byte(module: Path) -> None:
    source = bytes(range(256))
    module.write_bytes(source)
    assert Descriptor.Handle(module).descriptor.source == source


def test_a_handle_keeps_what_it_read(module: Path) -> None:
    handle = Descriptor.Handle(module)
    module.write_bytes(b"changed")
    assert handle.descriptor.source == SOURCE


def test_reading_a_module_file_runs_nothing(module: Path) -> None:
    module.write_text("raise SystemExit(3)", "utf-8")
    assert Descriptor.Handle(module).descriptor.source == b"raise SystemExit(3)"


@pytest.mark.parametrize("path", [None, 5, b"a", ["a"], "", "a\0b", "nowhere.py", "/", "/nowhere/at/all.py", "\ud800"])
def test_a_file_that_can_not_be_read_is_invalid(path: object) -> None:
    with pytest.raises(InvalidError):
        Descriptor.Handle(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["..", "a/b", "", "a b", "a" * 201, "ä", 5, b"a", ".hidden"])
def test_an_application_name_that_is_none_is_invalid(module: Path, name: object) -> None:
    with pytest.raises(InvalidError):
        Descriptor.Handle(module, name)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Descriptor(name, b"")  # type: ignore[arg-type]


def test_a_file_whose_name_is_no_application_name_needs_one(tmp_path: Path) -> None:
    (tmp_path / "my app.py").touch()
    with pytest.raises(InvalidError, match="my app"):
        Descriptor.Handle(tmp_path / "my app.py")
    assert Descriptor.Handle(tmp_path / "my app.py", "my-app").descriptor.source == b""


@pytest.mark.parametrize("source", ["text", None, 5, bytearray(b"a"), memoryview(b"a"), ["a"]])
def test_a_source_is_bytes(source: object) -> None:
    with pytest.raises(InvalidError, match="bytes"):
        Descriptor("a", source)  # type: ignore[arg-type]


def test_a_source_that_is_too_long_is_invalid() -> None:
    with pytest.raises(InvalidError, match="16777216"):
        Descriptor("a", bytes((16 << 20) + 1))


# loading


def test_loading_runs_the_source_as_a_module() -> None:
    module = Descriptor("my-app", SOURCE + b"NAME = __name__").load()
    assert module.VALUE == 1
    assert isinstance(module.NAME, str)


def test_each_load_is_a_module_of_its_own() -> None:
    descriptor = Descriptor("app", b"VALUE = []")
    assert descriptor.load().VALUE is not descriptor.load().VALUE


@pytest.mark.parametrize("name", ["json", "modelkeep", "sys"])
def test_a_descriptor_never_takes_the_place_of_a_module(name: str) -> None:
    before = sys.modules.get(name)
    Descriptor(name, b"VALUE = 1").load()
    assert sys.modules.get(name) is before


def test_source_is_compiled_without_our_future_imports() -> None:
    module = Descriptor("app", b"class A:\n    x: int\n").load()
    assert module.A.__annotations__ == {"x": int}


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_a_descriptor_may_define_dataclasses(future: str) -> None:
    source = (
        f"{future}import dataclasses\n\n\n@dataclasses.dataclass\nclass Query:\n    text: str\n    limit: int = 5\n"
    )
    assert Descriptor("app", source.encode()).load().Query("a").limit == 5


def test_the_encoding_that_a_source_declares_is_used() -> None:
    source = "# -*- coding: latin-1 -*-\nVALUE = 'é'\n".encode("latin-1")
    assert Descriptor("app", source).load().VALUE == "é"


def test_a_byte_order_mark_is_no_part_of_the_source() -> None:
    assert Descriptor("app", b"\xef\xbb\xbfVALUE = 1").load().VALUE == 1


@pytest.mark.parametrize("source", [b"def (", b"\0", b"\xff\xfe", b"# coding: no-such\n", b"  x", b"VALUE = '\xe9'"])
def test_what_is_not_python_is_invalid(source: bytes) -> None:
    with pytest.raises(InvalidError, match=r"app.*not Python"):
        Descriptor("app", source).load()


@pytest.mark.parametrize(
    "source",
    [b"-" * 100_000 + b"1", b"1" + b"+1" * 50_000, b"a" + b".b" * 50_000, b"(" * 1000],
    ids=["unary", "binary", "attributes", "brackets"],
)
def test_source_that_the_compiler_gives_up_on_is_invalid(source: bytes) -> None:
    with pytest.raises(InvalidError):
        Descriptor("app", source).load()


@pytest.mark.parametrize(
    ("source", "error"),
    [(b"1 / 0", ZeroDivisionError), (b"raise SystemExit(3)", SystemExit), (b"import nowhere", ImportError)],
)
def test_errors_inside_the_source_pass_through(source: bytes, error: type[BaseException]) -> None:
    with pytest.raises(error):
        Descriptor("app", source).load()


def test_a_traceback_tells_which_application_it_was() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        Descriptor("my-app", b"\n1 / 0\n").load()
    assert "my-app" in str(caught.traceback[-1].path)
    assert caught.traceback[-1].lineno == 1


# a value


def test_descriptors_are_equal_and_hashed_by_value() -> None:
    assert Descriptor("a", b"x") == Descriptor("a", b"x")
    assert hash(Descriptor("a", b"x")) == hash(Descriptor("a", b"x"))
    assert len({Descriptor("a", b"x"), Descriptor("a", b"y"), Descriptor("b", b"x")}) == 3


def test_a_descriptor_survives_pickling() -> None:
    descriptor = Descriptor("a", SOURCE)
    back = pickle.loads(pickle.dumps(descriptor))
    assert back == descriptor
    assert type(back.name) is Descriptor.Key


def test_a_descriptor_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Descriptor("a", b"").source = b"x"  # type: ignore[misc]


def test_the_digest_is_that_of_the_source() -> None:
    assert Descriptor("a", SOURCE).digest == digest(SOURCE)


def test_a_repr_does_not_show_the_source() -> None:
    assert "hunter2" not in repr(Descriptor("a", b"PASSWORD = 'hunter2'"))

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

import modelkeep
from modelkeep import (
    ConflictError,
    CorruptedError,
    Descriptor,
    Generation,
    MissingError,
    Package,
    Project,
    Release,
    Tag,
    UnsupportedError,
    keyvalue,
)
from modelkeep.backend import digest, seal

from .dictionary import Dictionary

PROJECT = Project.Key("digits")
RELEASE = Release.Key("1.0")
ONE = Generation.Key(1)
SID = UUID(int=1)


@pytest.fixture
def engine() -> Dictionary:
    return Dictionary()


@pytest.fixture
def registry(engine: Dictionary, pack: Callable[..., Package]) -> keyvalue.Registry:
    """With one release and one generation of one state."""
    registry = keyvalue.Registry(engine)
    registry.push(pack())
    registry.write(PROJECT, RELEASE, SID, b"state")
    registry.close(PROJECT, RELEASE, ONE, Tag(states=[SID]))
    return registry


def blob(content: bytes) -> str:
    return f"blob/{digest(content).removeprefix('blake3:')}"


# what is stored


def test_the_keys_are_those_that_are_documented(registry: keyvalue.Registry, engine: Dictionary) -> None:
    package = next(key for key in engine.values if key.startswith("blob/") and key != blob(b"state"))
    assert set(engine.values) == {
        "format",
        package,
        blob(b"state"),
        f"state/digits/1/{SID}",
        f"generation/digits/1/{'1':0>19}",
        "release/digits/1",
    }


def test_the_longest_keys_fit_an_engine(engine: Dictionary, pack: Callable[..., Package]) -> None:
    project, version = "p" * 200, ("1" * 150 + "crdev+" + "a" * 200)[:200]
    registry = keyvalue.Registry(engine)
    registry.push(pack(name=project, version=version))
    key, release = Project.Key(project), Release.Key(version)
    registry.write(key, release, SID, b"state")
    registry.close(key, release, Generation.Key(2**63 - 1), Tag(states=[SID]))
    assert registry.read(key, release, Generation.Key(2**63 - 1), SID) == b"state"
    assert max(map(len, engine.values)) <= 460
    assert all(name.isascii() for name in engine.values)


def test_a_commit_names_what_has_to_be_durable_before_it(registry: keyvalue.Registry, engine: Dictionary) -> None:
    creates = {key: (needs, durable) for key, needs, durable in engine.creates}
    assert creates[f"state/digits/1/{SID}"] == ((blob(b"state"),), False)
    assert creates[f"generation/digits/1/{'1':0>19}"] == ((f"state/digits/1/{SID}", blob(b"state")), True)
    needs, durable = creates["release/digits/1"]
    assert durable
    assert len(needs) == 1
    assert needs[0].startswith("blob/")


def test_an_engine_may_store_a_state_and_its_record_at_once(engine: Dictionary, pack: Callable[..., Package]) -> None:
    class Both(Dictionary):
        def stage(self, blob: str, content: memoryview, key: str, value: bytes) -> bool:
            if key in self.values:
                return False
            self.values |= {blob: bytes(content), key: value}
            return True

    both = Both()
    registry = keyvalue.Registry(both)
    registry.push(pack())
    puts = list(both.puts)
    registry.write(PROJECT, RELEASE, SID, b"state")
    registry.write(PROJECT, RELEASE, SID, b"state")
    with pytest.raises(ConflictError):
        registry.write(PROJECT, RELEASE, SID, b"other")
    assert both.puts == puts
    registry.close(PROJECT, RELEASE, ONE, Tag(states=[SID]))
    assert registry.read(PROJECT, RELEASE, ONE, SID) == b"state"


def test_a_view_and_a_commit_read_as_of_one_moment_that_ends_before_the_caller_goes_on(
    registry: keyvalue.Registry, engine: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextlib.contextmanager
    def reading() -> Iterator[None]:
        told.append("begin")
        yield
        told.append("end")

    def get(key: str) -> bytes | None:
        told.append(key.partition("/")[0])
        return engine.values.get(key)

    monkeypatch.setattr(engine, "reading", reading)
    monkeypatch.setattr(engine, "get", get)
    with registry.view(PROJECT, RELEASE, ONE, SID):
        told.append("block")
    assert told == ["begin", "generation", "blob", "end", "block"]
    told.clear()
    registry.close(PROJECT, RELEASE, Generation.Key(2), Tag(states=[SID]))
    assert told == ["begin", "release", "state", "end"]


def test_equal_bytes_are_stored_once(registry: keyvalue.Registry, engine: Dictionary) -> None:
    before = list(engine.puts)
    registry.write(PROJECT, RELEASE, UUID(int=2), b"state")
    assert engine.puts == before


def test_reading_writes_nothing(registry: keyvalue.Registry, engine: Dictionary) -> None:
    before = dict(engine.values)
    registry.pull(PROJECT, RELEASE)
    registry.read(PROJECT, RELEASE, ONE, SID)
    registry.open(PROJECT, RELEASE, ONE)
    registry.projects(), registry.releases(PROJECT), registry.generations(PROJECT, RELEASE)
    assert engine.values == before


def test_listing_an_empty_store_creates_nothing(engine: Dictionary) -> None:
    assert keyvalue.Registry(engine).projects() == []
    assert keyvalue.Inventory(engine).list() == []
    assert not engine.values


# damage


def test_a_damaged_blob_is_repaired_by_writing_the_same_bytes_again(
    registry: keyvalue.Registry, engine: Dictionary
) -> None:
    engine.values[blob(b"state")] = b"stale"
    with pytest.raises(CorruptedError):
        registry.read(PROJECT, RELEASE, ONE, SID)
    registry.write(PROJECT, RELEASE, SID, b"state")
    assert registry.read(PROJECT, RELEASE, ONE, SID) == b"state"


@pytest.mark.parametrize("damage", [b"", b"stat", b"state\0", b"sTate", None])
def test_a_damaged_blob_is_never_trusted_for_a_second_id(
    registry: keyvalue.Registry, engine: Dictionary, damage: bytes | None
) -> None:
    if damage is None:
        del engine.values[blob(b"state")]
    else:
        engine.values[blob(b"state")] = damage
    registry.write(PROJECT, RELEASE, UUID(int=2), b"state")
    registry.close(PROJECT, RELEASE, Generation.Key(2), Tag(states=[UUID(int=2)]))
    assert registry.read(PROJECT, RELEASE, Generation.Key(2), UUID(int=2)) == b"state"


@pytest.mark.parametrize("damage", [b"", b"stat", b"state\0", b"sTate", None])
def test_a_damaged_blob_is_never_returned(
    registry: keyvalue.Registry, engine: Dictionary, damage: bytes | None
) -> None:
    if damage is None:
        del engine.values[blob(b"state")]
    else:
        engine.values[blob(b"state")] = damage
    with pytest.raises(CorruptedError, match=rf"{SID} of digits/1\.0/1"):
        registry.read(PROJECT, RELEASE, ONE, SID)
    with pytest.raises(CorruptedError), registry.view(PROJECT, RELEASE, ONE, SID):
        pass


def test_a_damaged_package_is_repaired_by_nobody_but_never_returned(
    registry: keyvalue.Registry, engine: Dictionary
) -> None:
    (key,) = (key for key in engine.values if key.startswith("blob/") and key != blob(b"state"))
    engine.values[key] = engine.values[key][:-1]
    with pytest.raises(CorruptedError, match=r"digits/1\.0"):
        registry.pull(PROJECT, RELEASE)
    assert registry.read(PROJECT, RELEASE, ONE, SID) == b"state"


RECORDS: dict[str, tuple[str, Callable[[keyvalue.Registry], object]]] = {
    "generation": (f"generation/digits/1/{'1':0>19}", lambda r: r.open(PROJECT, RELEASE, ONE)),
    "generation read": (f"generation/digits/1/{'1':0>19}", lambda r: r.read(PROJECT, RELEASE, ONE, SID)),
    "release": ("release/digits/1", lambda r: r.pull(PROJECT, RELEASE)),
    "state": (f"state/digits/1/{SID}", lambda r: r.close(PROJECT, RELEASE, Generation.Key(2), Tag(states=[SID]))),
    "state written": (f"state/digits/1/{SID}", lambda r: r.write(PROJECT, RELEASE, SID, b"state")),
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize(
    "damage", [lambda r: b"", lambda r: r[:-1], lambda r: r[:70], lambda r: r.replace(b"1", b"2", 1)]
)
def test_a_damaged_record_is_corrupted(
    registry: keyvalue.Registry, engine: Dictionary, name: str, damage: Callable[[bytes], bytes]
) -> None:
    key, use = RECORDS[name]
    engine.values[key] = damage(engine.values[key])
    with pytest.raises(CorruptedError, match="digits/1"):
        use(registry)


def test_exchanged_records_are_noticed(registry: keyvalue.Registry, engine: Dictionary) -> None:
    registry.close(PROJECT, RELEASE, Generation.Key(2), Tag())
    one, two = (f"generation/digits/1/{number:019d}" for number in (1, 2))
    engine.values[one], engine.values[two] = engine.values[two], engine.values[one]
    for number in (1, 2):
        with pytest.raises(CorruptedError):
            registry.open(PROJECT, RELEASE, Generation.Key(number))


def test_a_damaged_release_is_listed_and_leaves_its_siblings_alone(
    registry: keyvalue.Registry, engine: Dictionary, pack: Callable[..., Package]
) -> None:
    registry.push(pack(version="v2.0"))
    engine.values["release/digits/1"] = b"damaged"
    assert registry.projects() == ["digits"]
    assert [str(key) for key in registry.releases(PROJECT)] == ["1", "v2.0"]
    assert registry.pull(PROJECT, Release.Key("2.0")).manifest.name == "digits"


# foreign keys

FOREIGN = [
    "release/ghost",
    "release/ghost/",
    "release/ghost/not-a-version",
    "release/..",
    "release/a b/1",
    "release//1",
    "release/digits/1/2.0",
    "release/digits/.DS_Store",
    "release/digits/v3.0",
    "release/digits/3.0.0",
    "generation/digits/1/zzz",
    "generation/digits/1/.DS_Store",
    "generation/digits/1/7",
    "generation/digits/1/9999999999999999999",
    "generation/digits/1/0000000000000000000",
    f"generation/digits/1/{'1':0>19}/x",
    f"generation/digits/1/{'8':0>19}~",
    f"generation/digits/1/sub/{'9':0>19}",
    f"generation/digits/1.0/{'9':0>19}",
    "generation/digits/1/",
    "state/digits/1/not-a-uuid",
    "application/..",
    "application/sub/app",
    "application/a b",
    "blob/zzz",
    "unknown",
    "zzz/a/b",
]


@pytest.mark.parametrize("key", FOREIGN)
def test_a_foreign_key_is_ignored(registry: keyvalue.Registry, engine: Dictionary, key: str) -> None:
    engine.values[key] = b"foreign"
    assert registry.projects() == ["digits"]
    assert [str(each) for each in registry.releases(PROJECT)] == ["1.0"]
    assert registry.generations(PROJECT, RELEASE) == [1]
    assert registry.latest(PROJECT, RELEASE) == 1
    assert keyvalue.Inventory(engine).list() == []
    assert modelkeep.Directory(registry).get("digits").get("1.0").put(Tag()).key == 2


# the format


REGISTRY_CALLS: dict[str, Callable[[keyvalue.Registry], object]] = {
    "projects": lambda r: r.projects(),
    "releases": lambda r: r.releases(PROJECT),
    "generations": lambda r: r.generations(PROJECT, RELEASE),
    "latest": lambda r: r.latest(PROJECT, RELEASE),
    "pull": lambda r: r.pull(PROJECT, RELEASE),
    "write": lambda r: r.write(PROJECT, RELEASE, SID, b""),
    "read": lambda r: r.read(PROJECT, RELEASE, ONE, SID),
    "open": lambda r: r.open(PROJECT, RELEASE, ONE),
    "close": lambda r: r.close(PROJECT, RELEASE, ONE, Tag()),
}


@pytest.mark.parametrize("use", REGISTRY_CALLS.values(), ids=REGISTRY_CALLS.keys())
def test_a_newer_format_is_refused_by_name(use: Callable[[keyvalue.Registry], object]) -> None:
    engine = Dictionary("my-place")
    engine.values["format"] = seal("format", b"2")
    before = dict(engine.values)
    with pytest.raises(UnsupportedError, match=r"my-place.*format 2.*upgrade"):
        use(keyvalue.Registry(engine))
    assert engine.values == before


def test_a_newer_format_of_an_inventory_is_refused_by_name(tmp_path: Path) -> None:
    engine = Dictionary("my-place")
    engine.values["format"] = seal("format", b"2")
    (tmp_path / "serving.py").touch()
    handle = Descriptor.Handle(tmp_path / "serving.py")
    inventory = keyvalue.Inventory(engine)
    uses: list[Callable[[], object]] = [inventory.list, lambda: inventory.put(handle)]
    uses.append(lambda: inventory.get(Descriptor.Key("a")))
    for use in uses:
        with pytest.raises(UnsupportedError, match=r"my-place.*format 2.*upgrade"):
            use()
    assert set(engine.values) == {"format"}


def test_a_newer_format_refuses_a_push(pack: Callable[..., Package]) -> None:
    engine = Dictionary()
    engine.values["format"] = seal("format", b"2")
    with pytest.raises(UnsupportedError):
        keyvalue.Registry(engine).push(pack())
    assert set(engine.values) == {"format"}


def test_a_damaged_format_marker_is_corrupted(engine: Dictionary) -> None:
    engine.values["format"] = b"1"
    with pytest.raises(CorruptedError):
        keyvalue.Registry(engine).projects()


# states and generations


def test_an_id_is_written_once(registry: keyvalue.Registry) -> None:
    registry.write(PROJECT, RELEASE, SID, b"state")
    with pytest.raises(ConflictError, match=str(SID)):
        registry.write(PROJECT, RELEASE, SID, b"other")
    assert registry.read(PROJECT, RELEASE, ONE, SID) == b"state"


def test_a_state_of_an_unknown_release_leaves_no_trace(engine: Dictionary) -> None:
    with pytest.raises(MissingError):
        keyvalue.Registry(engine).write(PROJECT, RELEASE, SID, b"state")
    assert not engine.values


def test_a_failed_push_leaves_no_trace_that_is_seen(engine: Dictionary, pack: Callable[..., Package]) -> None:
    class Failing(Dictionary):
        def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
            if key.startswith("release/"):
                raise OSError("no room")
            return super().create(key, value, needs=needs, durable=durable)

    failing = Failing()
    with pytest.raises(OSError, match="no room"):
        keyvalue.Registry(failing).push(pack())
    assert keyvalue.Registry(failing).projects() == []


def test_of_racing_pushers_one_wins(pack: Callable[..., Package]) -> None:
    class Racing(Dictionary):
        """Another pusher commits between the look and the create."""

        def create(self, key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
            if key.startswith("release/"):
                self.values.setdefault(key, b"theirs")
            return super().create(key, value, needs=needs, durable=durable)

    engine = Racing()
    with pytest.raises(ConflictError):
        keyvalue.Registry(engine).push(pack())
    assert engine.values["release/digits/1"] == b"theirs"


def test_of_racing_writers_of_one_id_the_later_is_told(
    registry: keyvalue.Registry, engine: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = engine.create

    def race(key: str, value: bytes, *, needs: Sequence[str] = (), durable: bool = True) -> bool:
        if key.endswith(str(UUID(int=9))):
            other = keyvalue._dump(key, digest=digest(theirs), size=len(theirs))
            engine.values.setdefault(key, other)
        return create(key, value, needs=needs, durable=durable)

    monkeypatch.setattr(engine, "create", race)
    theirs = b"theirs"
    with pytest.raises(ConflictError):
        registry.write(PROJECT, RELEASE, UUID(int=9), b"ours")
    theirs = b"ours"
    registry.write(PROJECT, RELEASE, UUID(int=9 + (1 << 64)), b"ours")


# values


def test_stores_of_one_place_are_equal() -> None:
    assert keyvalue.Registry(Dictionary("a")) == keyvalue.Registry(Dictionary("a"))
    assert keyvalue.Registry(Dictionary("a")) != keyvalue.Registry(Dictionary("b"))
    assert keyvalue.Registry(Dictionary("a")) != keyvalue.Inventory(Dictionary("a"))
    assert len({keyvalue.Registry(Dictionary("a")), keyvalue.Registry(Dictionary("a"))}) == 1


def test_engines_of_other_classes_are_not_equal() -> None:
    class Other(Dictionary):
        pass

    assert Dictionary("a") != Other("a")
    assert keyvalue.Registry(Dictionary("a")) != keyvalue.Registry(Other("a"))


def test_a_repr_names_the_backend_and_the_place() -> None:
    assert repr(keyvalue.Registry(Dictionary("a"))) == "modelkeep.Registry('a')"


# applications


def test_an_application_is_replaced(engine: Dictionary, tmp_path: Path) -> None:
    inventory = keyvalue.Inventory(engine)
    for source in (b"1", b"2"):
        (tmp_path / "app.py").write_bytes(source)
        inventory.put(Descriptor.Handle(tmp_path / "app.py"))
        assert inventory.get(Descriptor.Key("app")).source == source
    assert inventory.list() == ["app"]


def test_a_damaged_application_is_corrupted(engine: Dictionary, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_bytes(b"x = 1")
    inventory = keyvalue.Inventory(engine)
    inventory.put(Descriptor.Handle(tmp_path / "app.py"))
    engine.values["application/app"] = engine.values["application/app"].replace(b"x = 1", b"x = 2")
    with pytest.raises(CorruptedError, match="app"):
        inventory.get(Descriptor.Key("app"))

from __future__ import annotations

import concurrent.futures
import pickle
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

import modelkeep
from modelkeep import (
    ConflictError,
    Directory,
    Generation,
    InvalidError,
    MissingError,
    Package,
    Project,
    Registry,
    Release,
    Tag,
    Training,
)

LAST = 2**63 - 1


@pytest.fixture
def release(registry: Registry, pack: Callable[..., Package]) -> Release:
    return Directory(registry).get("digits").put(pack())


@pytest.fixture
def generation(release: Release) -> Generation:
    """A generation of three states."""
    return release.put(Tag(states=[release.dump(state) for state in (b"a", b"", b"ccc")]))


# directory and project


def test_an_empty_registry_lists_nothing(registry: Registry) -> None:
    assert Directory(registry).list() == ()


def test_a_project_needs_not_be_there(registry: Registry, pack: Callable[..., Package]) -> None:
    project = Directory(registry).get("digits")
    assert Directory(registry).list() == ()
    project.put(pack())
    assert Directory(registry).list() == ("digits",)


@pytest.mark.parametrize("name", ["..", "", 5, None])
def test_a_project_of_an_invalid_name_is_invalid(registry: Registry, name: Any) -> None:
    with pytest.raises(InvalidError):
        Directory(registry).get(name)


def test_what_is_not_there_is_missing_when_it_is_needed(registry: Registry) -> None:
    project = Directory(registry).get("nowhere")
    with pytest.raises(MissingError, match="nowhere"):
        project.list()
    with pytest.raises(MissingError, match="nowhere"):
        project.get()
    release = project.get("1.0")
    uses: list[Callable[[], object]] = [release.list, release.get, release.package, release.mount]
    uses += [lambda: release.dump(b""), lambda: release.put(Tag()), lambda: release.get(1).tag, release.get(1).list]
    for use in uses:
        with pytest.raises(MissingError):
            use()


def test_projects_are_listed_by_name(registry: Registry, pack: Callable[..., Package]) -> None:
    for name in ("b", "a-b", "a", "B"):
        Directory(registry).get(name).put(pack(name=name))
    assert Directory(registry).list() == ("B", "a", "a-b", "b")


def test_releases_are_listed_by_version(registry: Registry, pack: Callable[..., Package]) -> None:
    project = Directory(registry).get("digits")
    for version in ("1.10", "1.9", "2.0rc1", "2.0.dev1", "1!0.1", "2.0"):
        project.put(pack(version=version))
    assert [str(key) for key in project.list()] == ["1.9", "1.10", "2.0.dev1", "2.0rc1", "2.0", "1!0.1"]


def test_the_latest_release_has_the_highest_version(registry: Registry, pack: Callable[..., Package]) -> None:
    project = Directory(registry).get("digits")
    for version in ("1.9", "1.10", "1.2"):
        project.put(pack(version=version))
    assert str(project.get().key) == "1.10"


def test_a_release_is_found_by_any_spelling(registry: Registry, pack: Callable[..., Package]) -> None:
    project = Directory(registry).get("digits")
    project.put(pack(version="v1.0.0"))
    assert project.get("1").package().manifest.version == Release.Key("1.0")
    assert [str(key) for key in project.list()] == ["v1.0.0"]


def test_a_package_of_another_project_is_invalid(registry: Registry, pack: Callable[..., Package]) -> None:
    with pytest.raises(InvalidError, match="other"):
        Directory(registry).get("digits").put(pack(name="other"))
    assert Directory(registry).list() == ()


@pytest.mark.parametrize("package", [None, "digits.4ml", b"PK", 5])
def test_only_a_package_can_be_put(registry: Registry, package: Any) -> None:
    with pytest.raises(InvalidError):
        Directory(registry).get("digits").put(package)


def test_a_version_is_put_once(registry: Registry, release: Release, pack: Callable[..., Package]) -> None:
    with pytest.raises(ConflictError, match="digits/1"):
        Directory(registry).get("digits").put(pack(version="1.0.0"))


def test_what_put_returns_is_the_release(registry: Registry, release: Release) -> None:
    assert release == Directory(registry).get("digits").get("1.0")
    assert release.package().manifest.name == "digits"
    assert release.mount().load("flow").VALUE == 1


# release


def test_a_release_without_generations_has_no_latest(release: Release) -> None:
    assert release.list() == ()
    with pytest.raises(MissingError, match=r"digits/1\.0"):
        release.get()


def test_generations_are_numbered_from_one(release: Release) -> None:
    assert [release.put(Tag()).key for _ in range(3)] == [1, 2, 3]
    assert release.list() == (1, 2, 3)


def test_the_next_number_follows_the_highest(release: Release) -> None:
    release.registry.close(release.project, release.key, Generation.Key(41), Tag())
    assert release.put(Tag()).key == 42
    assert release.list() == (41, 42)


def test_generations_are_listed_as_numbers(release: Release) -> None:
    for number in (10, 9, 100, 2):
        release.registry.close(release.project, release.key, Generation.Key(number), Tag())
    assert release.list() == (2, 9, 10, 100)


@pytest.mark.parametrize("number", [1, "1", Generation.Key(1), np.int64(1)])
def test_a_generation_is_found_by_its_number(release: Release, number: Any) -> None:
    release.put(Tag(Training.now("x")))
    assert release.get(number).tag.training.ordinal == "x"


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "latest", "+1", LAST + 1])
def test_a_number_that_is_none_is_invalid(release: Release, number: Any) -> None:
    with pytest.raises(InvalidError):
        release.get(number)


def test_the_latest_generation_has_the_highest_number(release: Release) -> None:
    for number in (3, 1, 2):
        release.registry.close(release.project, release.key, Generation.Key(number), Tag())
    assert release.get().key == 3


def test_generation_zero_is_not_the_latest(release: Release) -> None:
    release.put(Tag())
    with pytest.raises(InvalidError):
        release.get(0)


def test_a_tag_that_names_what_was_not_dumped_is_missing_and_takes_no_number(release: Release) -> None:
    with pytest.raises(MissingError, match=str(UUID(int=5))):
        release.put(Tag(states=[UUID(int=5)]))
    assert release.put(Tag()).key == 1


def test_every_dump_has_an_id_of_its_own(release: Release) -> None:
    assert len({release.dump(b"same") for _ in range(5)}) == 5


def test_when_the_last_number_is_used_put_says_so(release: Release) -> None:
    release.registry.close(release.project, release.key, Generation.Key(LAST), Tag())
    with pytest.raises(ConflictError, match="last generation number"):
        release.put(Tag())


def test_the_number_before_the_last_is_followed_by_it(release: Release) -> None:
    release.registry.close(release.project, release.key, Generation.Key(LAST - 1), Tag())
    assert release.put(Tag()).key == LAST


@pytest.mark.parametrize("tag", [None, {}, "states = []", [uuid4()]])
def test_only_a_tag_can_be_put(release: Release, tag: Any) -> None:
    with pytest.raises(InvalidError):
        release.put(tag)
    assert release.list() == ()


@pytest.mark.parametrize("state", [None, "text", 5, ["a"]])
def test_only_a_buffer_can_be_dumped(release: Release, state: Any) -> None:
    with pytest.raises(InvalidError):
        release.dump(state)


@pytest.mark.parametrize("provider", ["memory", "local"])
def test_concurrent_trainers_get_a_generation_each(provider: str, tmp_path: Any, pack: Callable[..., Package]) -> None:
    options = {"path": tmp_path / "store", "sync": False} if provider == "local" else {"name": uuid4().hex}
    release = Directory(modelkeep.registry(provider=provider, **options)).get("digits").put(pack())

    def train(number: int) -> Generation:
        states = [release.dump(b"%d-%d" % (number, index)) for index in range(3)]
        return release.put(Tag(Training.now(number), states=states))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(train, range(40)))
    assert sorted(each.key for each in made) == list(range(1, 41))
    assert release.list() == tuple(range(1, 41))
    for each in made:
        assert [each.get(index) for index in range(3)] == [
            f"{each.tag.training.ordinal}-{index}".encode() for index in range(3)
        ]


def test_who_is_left_behind_by_others_catches_up_at_once(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    close, tried = type(release.registry).close, []

    def overtaken(registry: Registry, project: Any, version: Any, generation: Any, tag: Tag) -> None:
        tried.append(int(generation))
        if len(tried) == 1:
            for number in range(1, 6):
                close(registry, project, version, Generation.Key(number), Tag())
        close(registry, project, version, generation, tag)

    monkeypatch.setattr(type(release.registry), "close", overtaken)
    assert release.put(Tag()).key == 6
    assert tried == [1, 6]


def test_putting_and_getting_list_no_generation(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("listed")

    release.put(Tag(states=[release.dump(b"a")]))
    for name in ("projects", "releases", "generations"):
        monkeypatch.setattr(type(release.registry), name, refuse)
    assert release.put(Tag()).key == 2
    assert release.get(1).get(0) == b"a"
    assert release.get().key == 2


# generation


def test_a_state_is_found_by_its_id(generation: Generation) -> None:
    assert [generation.get(sid) for sid in generation.list()] == [b"a", b"", b"ccc"]


@pytest.mark.parametrize(("index", "state"), [(0, b"a"), (1, b""), (2, b"ccc"), (-1, b"ccc"), (-3, b"a")])
def test_a_state_is_found_by_its_index(generation: Generation, index: int, state: bytes) -> None:
    assert generation.get(index) == state
    with generation.view(index) as view:
        assert bytes(view) == state


@pytest.mark.parametrize("index", [3, -4, 10**30])
def test_an_index_beyond_the_states_is_missing(generation: Generation, index: int) -> None:
    with pytest.raises(MissingError, match="3 states"):
        generation.get(index)


@pytest.mark.parametrize("index", [np.int64(1), np.uint8(1)])
def test_an_index_of_numpy_is_an_index(generation: Generation, index: Any) -> None:
    # as argmax gives it; keys take such integers too
    assert generation.get(index) == b""


def test_a_state_that_the_generation_does_not_name_is_missing(release: Release, generation: Generation) -> None:
    other = release.dump(b"other")
    for sid in (other, UUID(int=0)):
        with pytest.raises(MissingError, match=str(sid)):
            generation.get(sid)
        with pytest.raises(MissingError), generation.view(sid):
            pass


@pytest.mark.parametrize("state", [None, "0", 1.0, True, b"a", str(UUID(int=0)), slice(0, 1)])
def test_a_state_is_named_by_id_or_index(generation: Generation, state: Any) -> None:
    with pytest.raises(InvalidError):
        generation.get(state)


def test_duplicates_are_states_of_their_own_index(release: Release) -> None:
    one, two = release.dump(b"1"), release.dump(b"2")
    generation = release.put(Tag(states=[one, two, one]))
    assert [generation.get(index) for index in range(3)] == [b"1", b"2", b"1"]


def test_a_view_is_read_only(generation: Generation) -> None:
    with generation.view(0) as view, pytest.raises(TypeError):
        view[0] = 0


def test_a_missing_generation_is_missing(release: Release) -> None:
    uses: list[Callable[[], object]] = [lambda: release.get(9).tag, release.get(9).list, lambda: release.get(9).get(0)]
    for use in uses:
        with pytest.raises(MissingError, match=r"digits/1\.0/9"):
            use()


# values


def test_levels_are_values(registry: Registry, release: Release, generation: Generation) -> None:
    assert Directory(registry).get("digits") == Project(registry, Project.Key("digits"))
    assert release.get(1) == generation
    assert len({release.get(1), generation, release.get(2)}) == 2


def test_levels_survive_pickling(generation: Generation) -> None:
    back = pickle.loads(pickle.dumps(generation))
    assert back == generation
    assert back.get(0) == b"a"


def test_levels_work_over_a_bare_backend(pack: Callable[..., Package]) -> None:
    from modelkeep_memory import Registry as Memory

    release = Directory(Memory(uuid4().hex)).get("digits").put(pack())
    assert release.put(Tag(states=[release.dump(b"a")])).get(0) == b"a"

"""The registry as ForML uses it."""
# ruff: noqa: DTZ001  # the timestamps of ForML are naive

from __future__ import annotations

import datetime as dt
import pickle
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import forml
import numpy as np
import pandas as pd
import pytest
from forml import project as prj
from forml.io import asset
from forml.provider.registry.filesystem import posix

import modelkeep
from modelkeep_forml import Registry

Recipe = Callable[..., dict[str, Any]]
MakePackage = Callable[..., prj.Package]
PROJECT, RELEASE = asset.Project.Key("toy"), asset.Release.Key("1.0")
SIDS = (uuid.UUID(int=1), uuid.UUID(int=2))
TAG = asset.Tag(
    training=asset.Tag.Training(dt.datetime(2019, 4, 1), dt.datetime(2019, 1, 2)),
    tuning=asset.Tag.Tuning(dt.datetime(2019, 4, 5), 3.3),
    states=SIDS,
)


@pytest.fixture
def empty(backend: str, recipe: Recipe, tmp_path: Path) -> Registry:
    return Registry(**recipe(backend), staging=tmp_path / "staging")


@pytest.fixture
def populated(empty: Registry, make_package: MakePackage) -> Registry:
    empty.push(make_package())
    for number, sid in enumerate(SIDS):
        empty.write(PROJECT, RELEASE, sid, bytes([number]) * 8)
    # ForML passes a plain int for the first generation
    empty.close(PROJECT, RELEASE, 1, TAG)
    return empty


class TestListings:
    def test_empty(self, empty: Registry) -> None:
        assert list(empty.projects()) == []
        # to ForML these are empty listings, as with its own provider
        assert list(empty.releases(PROJECT)) == []
        assert list(empty.generations(PROJECT, RELEASE)) == []

    def test_keys_are_those_of_forml(self, populated: Registry) -> None:
        for listing, expected in (
            (populated.projects(), PROJECT),
            (populated.releases(PROJECT), RELEASE),
            (populated.generations(PROJECT, RELEASE), asset.Generation.Key(1)),
        ):
            (key,) = listing
            assert key == expected
            assert type(key) is type(expected)

    def test_levels(self, populated: Registry) -> None:
        directory = asset.Directory(populated)
        assert directory.list() == (PROJECT,)
        assert directory.get("toy").list() == (RELEASE,)
        generation = directory.get("toy").get("1.0").get()
        assert generation.key == 1
        assert generation.tag == TAG
        assert generation.list() == SIDS
        assert [generation.get(0), generation.get(SIDS[1])] == [bytes(8), b"\x01" * 8]

    def test_a_version_however_it_is_spelled(self, empty: Registry, make_package: MakePackage) -> None:
        empty.push(make_package("v1.0"))
        assert list(empty.releases(PROJECT)) == [RELEASE]
        assert asset.Directory(empty).get("toy").get("1").list() == ()


class TestPackages:
    def test_file(self, empty: Registry, make_package: MakePackage) -> None:
        package = make_package()
        empty.push(package)
        pulled = empty.pull(PROJECT, RELEASE)
        assert isinstance(pulled, prj.Package)
        assert pulled.manifest == package.manifest
        assert pulled.path.read_bytes() == package.path.read_bytes()
        assert pickle.loads(pickle.dumps(pulled)) == pulled

    def test_folder(self, empty: Registry, make_package: MakePackage, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        make_package().install(folder)
        shutil.copytree(folder, tmp_path / "expected")
        # what running code leaves there does not belong to it, a link is what it points to
        (folder / "toy" / "__pycache__").mkdir()
        (folder / "toy" / "__pycache__" / "flow.pyc").write_bytes(b"")
        (folder / "toy" / "data.txt").rename(tmp_path / "data.txt")
        (folder / "toy" / "data.txt").symlink_to(tmp_path / "data.txt")
        empty.push(prj.Package(folder))
        pulled = empty.pull(PROJECT, RELEASE)
        assert pulled.path.is_dir()
        assert {path.relative_to(pulled.path) for path in pulled.path.rglob("*")} == {
            path.relative_to(tmp_path / "expected") for path in (tmp_path / "expected").rglob("*")
        }
        assert (pulled.path / "toy" / "data.txt").read_text() == "some data"

    def test_mount(self, populated: Registry) -> None:
        artifact = populated.mount(PROJECT, RELEASE)
        assert isinstance(artifact, prj.Artifact)
        assert (artifact.package, dict(artifact.modules)) == ("toy", {"pipeline": "toy.flow"})
        assert (artifact.path / "toy" / "flow.py").is_file()
        assert sys.path[0] == str(artifact.path.resolve())
        sys.path.remove(str(artifact.path.resolve()))

    def test_mount_takes_no_other_package_of_that_version(
        self, populated: Registry, recipe: Recipe, tmp_path: Path, make_package: MakePackage
    ) -> None:
        path = populated.mount(PROJECT, RELEASE).path
        other = Registry(**recipe("memory", "other"), staging=tmp_path / "staging")
        shutil.rmtree(tmp_path / "source-toy-1.0")
        other.push(make_package(text="LIMIT = 4\n"))
        assert (other.mount(PROJECT, RELEASE).path / "toy" / "flow.py").read_text() == "LIMIT = 4\n"
        assert (path / "toy" / "flow.py").read_text() == "LIMIT = 3\n"

    def test_nothing_of_a_package_runs(self, populated: Registry, backend: str, tmp_path: Path) -> None:
        folder = tmp_path / "loud"
        (folder / "loud").mkdir(parents=True)
        (folder / "loud" / "__init__.py").write_text("raise SystemExit")
        (folder / "__4ml__.py").write_text(
            '"""A manifest."""\nimport sys\nNAME = \'loud\'\nVERSION = "1.0"\nPACKAGE = "loud"\nMODULES = {}\n'
            f'open({str(tmp_path / "ran")!r}, "w")\n'
        )
        populated._inner.push(modelkeep.Package(folder))
        key = asset.Project.Key("loud")
        assert populated.pull(key, RELEASE).manifest.package == "loud"
        assert populated.mount(key, RELEASE).package == "loud"
        assert not (tmp_path / "ran").exists()

    def test_native_package(self, populated: Registry, tmp_path: Path) -> None:
        (tmp_path / "native" / "own").mkdir(parents=True)
        (tmp_path / "native" / "own" / "flow.py").write_text("")
        manifest = modelkeep.Manifest("own", "2.0", "own", {"pipeline": ".flow"})
        populated._inner.push(modelkeep.Package.create(tmp_path / "native", tmp_path / "own.zip", manifest))
        artifact = populated.mount(asset.Project.Key("own"), asset.Release.Key("2"))
        assert (artifact.package, dict(artifact.modules)) == ("own", {"pipeline": "own.flow"})

    def test_a_manifest_that_reads_otherwise_than_it_runs(self, empty: Registry, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "__4ml__.py").write_text('NAME = "a"\nVERSION = "1"\nPACKAGE = "a"\nMODULES = {}\nNAME += "b"\n')
        with pytest.raises(asset.Level.Invalid, match=r"says a-1 when it is read, and ab-1 when it is run"):
            empty.push(prj.Package(folder))
        assert empty.projects() == []


class TestStates:
    def test_read(self, populated: Registry) -> None:
        assert populated.read(PROJECT, RELEASE, 1, SIDS[1]) == b"\x01" * 8
        assert populated.read(PROJECT, RELEASE, asset.Generation.Key(1), SIDS[0]) == bytes(8)

    def test_absent_is_empty(self, populated: Registry) -> None:
        assert populated.read(PROJECT, RELEASE, 1, uuid.uuid4()) == b""

    def test_empty(self, populated: Registry) -> None:
        release = asset.Directory(populated).get("toy").get("1.0")
        generation = release.put(TAG.replace(states=[release.dump(b"")]))
        assert generation.get(0) == b""


class TestTags:
    @pytest.mark.parametrize(
        "tag",
        [
            TAG,
            asset.Tag(),
            asset.Tag(tuning=asset.Tag.Tuning(dt.datetime(2020, 1, 1), 0.5)),
            asset.Tag(training=asset.Tag.Training(dt.datetime(2020, 1, 1, 1, 2, 3, 4))),
            *(
                asset.Tag(training=asset.Tag.Training(dt.datetime(2020, 1, 1), ordinal))
                for ordinal in (0, 17.25, "x\\x41", True, dt.date(2020, 2, 3), dt.time(1, 2, 3))
            ),
            asset.Tag(training=asset.Tag.Training(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))),
            asset.Tag(training=asset.Tag.Training(dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))))),
        ],
    )
    def test_round_trip(self, populated: Registry, tag: asset.Tag) -> None:
        populated.close(PROJECT, RELEASE, 2, tag)
        found = populated.open(PROJECT, RELEASE, 2)
        assert found == tag
        assert type(found.training.ordinal) is type(tag.training.ordinal)
        # ForML's own zones can't be pickled
        assert pickle.loads(pickle.dumps(found)) == tag

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            (np.float64(0.93), 0.93),
            (np.float32(0.5), 0.5),
            (np.int64(1), 1.0),
            (1, 1.0),
            (Decimal("0.25"), 0.25),
        ],
    )
    def test_score_is_a_float(self, populated: Registry, given: Any, kept: float) -> None:
        populated.close(PROJECT, RELEASE, 2, TAG.tuning.replace(score=given))
        score = populated.open(PROJECT, RELEASE, 2).tuning.score
        assert (score, type(score)) == (kept, float)

    def test_timestamp_of_pandas(self, populated: Registry) -> None:
        populated.close(PROJECT, RELEASE, 2, TAG.training.replace(ordinal=pd.Timestamp("2020-01-02T03:04:05.000006")))
        assert populated.open(PROJECT, RELEASE, 2).training.ordinal == dt.datetime(2020, 1, 2, 3, 4, 5, 6)

    def test_what_no_tag_can_hold(self, populated: Registry) -> None:
        with pytest.raises(asset.Level.Invalid, match="ordinal"):
            populated.close(PROJECT, RELEASE, 2, TAG.training.replace(ordinal=object()))


class TestErrors:
    def test_missing(self, populated: Registry) -> None:
        unknown = asset.Project.Key("unknown")
        # each is the type that ForML's own provider raises
        with pytest.raises(forml.MissingError, match="unknown"):
            populated.pull(unknown, RELEASE)
        with pytest.raises(forml.MissingError, match="unknown"):
            populated.mount(unknown, RELEASE)
        with pytest.raises(asset.Level.Listing.Empty, match=r"toy/1\.0/7"):
            populated.open(PROJECT, RELEASE, 7)
        with pytest.raises(asset.Level.Invalid, match=r"toy/1\.0/7"):
            populated.read(PROJECT, RELEASE, 7, SIDS[0])
        with pytest.raises(asset.Level.Invalid, match="unknown"):
            populated.write(unknown, RELEASE, SIDS[0], b"")
        assert populated.projects() == [PROJECT]

    def test_a_state_that_was_not_written(self, populated: Registry) -> None:
        sid = uuid.uuid4()
        with pytest.raises(asset.Level.Invalid, match=str(sid)):
            populated.close(PROJECT, RELEASE, 2, TAG.replace(states=[sid]))
        assert populated.generations(PROJECT, RELEASE) == [1]
        populated.write(PROJECT, RELEASE, sid, b"now")
        populated.close(PROJECT, RELEASE, 2, TAG.replace(states=[sid]))
        assert populated.read(PROJECT, RELEASE, 2, sid) == b"now"

    def test_a_number_that_is_taken(self, populated: Registry) -> None:
        with pytest.raises(asset.Level.Invalid, match=r"toy/1\.0/1"):
            populated.close(PROJECT, RELEASE, 1, asset.Tag())
        assert populated.open(PROJECT, RELEASE, 1) == TAG

    def test_a_release_that_exists(self, populated: Registry, make_package: MakePackage, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "source-toy-1.0")
        before = populated.pull(PROJECT, RELEASE).path.read_bytes()
        with pytest.raises(asset.Level.Invalid, match=r"toy/1\.0"):
            populated.push(make_package(text="LIMIT = 4\n"))
        assert populated.pull(PROJECT, RELEASE).path.read_bytes() == before

    def test_a_name_that_modelkeep_refuses(self, populated: Registry, make_package: MakePackage) -> None:
        with pytest.raises(forml.InvalidError, match="project name"):
            populated.push(make_package(name="-toy-"))
        with pytest.raises(forml.InvalidError, match="project name"):
            populated.releases(asset.Project.Key("../toy"))

    def test_damage(self, recipe: Recipe, make_package: MakePackage, tmp_path: Path) -> None:
        registry = Registry(**recipe("local"))
        registry.push(make_package())
        registry.write(PROJECT, RELEASE, SIDS[0], b"state")
        registry.close(PROJECT, RELEASE, 1, TAG.replace(states=SIDS[:1]))
        (tmp_path / "store" / "toy" / "1.0" / "1" / f"{SIDS[0]}.bin").write_bytes(b"STATE")
        with pytest.raises(forml.FailedError, match="digest"):
            registry.read(PROJECT, RELEASE, 1, SIDS[0])


class TestOptions:
    def test_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_package: MakePackage) -> None:
        (tmp_path / "modelkeep.toml").write_text(
            '[registry]\ndefault = "dev"\n[registry.dev]\nprovider = "local"\npath = "dev"\n'
            '[registry.prod]\nprovider = "local"\npath = "prod"\n'
        )
        monkeypatch.chdir(tmp_path)
        Registry(name="prod").push(make_package())
        assert Registry(backend="local", path=tmp_path / "prod").projects() == ["toy"]
        assert Registry() == Registry(name="dev") != Registry(name="prod")

    def test_misuse(self, tmp_path: Path) -> None:
        with pytest.raises(forml.MissingError, match="nowhere"):
            Registry(name="nowhere")
        with pytest.raises(forml.InvalidError, match="Unknown option 'pth'"):
            Registry(backend="local", pth=tmp_path)
        with pytest.raises(forml.FailedError, match="no registry provider 'loacl'"):
            Registry(backend="loacl", path=tmp_path)

    def test_found_by_forml(self) -> None:
        assert asset.Registry["modelkeep_forml:Registry"] is Registry


class TestHandles:
    def test_pickle(self, populated: Registry) -> None:
        copy = pickle.loads(pickle.dumps(populated))
        assert copy == populated
        assert hash(copy) == hash(populated)
        assert copy.open(PROJECT, RELEASE, 1) == TAG

    def test_equal_by_place(self, populated: Registry, recipe: Recipe, backend: str, tmp_path: Path) -> None:
        assert populated == Registry(**recipe(backend), staging=tmp_path / "elsewhere")
        assert hash(populated) == hash(Registry(**recipe(backend)))
        assert populated != Registry(**recipe(backend, "other"))
        assert populated != posix.Registry(tmp_path / "store")

    def test_places_do_not_mix_in_the_caches_of_forml(
        self, populated: Registry, recipe: Recipe, backend: str, make_package: MakePackage, tmp_path: Path
    ) -> None:
        other = Registry(**recipe(backend, "other"), staging=tmp_path / "staging")
        shutil.rmtree(tmp_path / "source-toy-1.0")
        other.push(make_package())
        tag = TAG.replace(states=[]).tuning.replace(score=9.0)
        other.close(PROJECT, RELEASE, 1, tag)
        assert asset.Directory(populated).get("toy").get("1.0").get(1).tag == TAG
        assert asset.Directory(other).get("toy").get("1.0").get(1).tag == tag

    def test_repr(self, populated: Registry, backend: str) -> None:
        assert f"modelkeep_{backend}" in repr(populated)
        assert repr(asset.Directory(populated).get("toy").get("1.0").get(1)) == f"{populated!r}-toy-1.0-1"


class TestPut:
    def test_numbers(self, populated: Registry) -> None:
        release = asset.Directory(populated).get("toy").get("1.0")
        assert [release.put(TAG).key for _ in range(3)] == [2, 3, 4]

    def test_first(self, empty: Registry, make_package: MakePackage) -> None:
        release = asset.Directory(empty).get("toy").put(make_package())
        assert release.put(TAG.replace(states=[release.dump(b"x")])).key == 1

    def test_not_written(self, populated: Registry) -> None:
        with pytest.raises(asset.Level.Invalid, match="never written"):
            asset.Directory(populated).get("toy").get("1.0").put(TAG.replace(states=[uuid.uuid4()]))

    def test_lost_race(self, populated: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        inner, close = type(populated._inner), type(populated._inner).close
        rivals = 3

        def beaten(self: Any, project: Any, release: Any, generation: Any, tag: Any) -> None:
            nonlocal rivals
            if rivals:
                rivals -= 1
                close(self, project, release, generation, modelkeep.Tag())
            close(self, project, release, generation, tag)

        monkeypatch.setattr(inner, "close", beaten)
        release = asset.Directory(populated).get("toy").get("1.0")
        sid = release.dump(b"mine")
        generation = release.put(TAG.replace(states=[sid]))
        # the caller goes on with its own generation, not with that of a rival
        assert generation.key == 5
        assert generation.get(sid) == b"mine"
        assert populated.generations(PROJECT, RELEASE) == [1, 2, 3, 4, 5]

    def test_registries_of_others_are_left_alone(self, tmp_path: Path, make_package: MakePackage) -> None:
        release = asset.Directory(posix.Registry(tmp_path / "posix")).get("toy").put(make_package())
        sid = release.dump(b"x")
        assert release.put(TAG.replace(states=[sid])).get(sid) == b"x"
        assert release.put(TAG.replace(states=[])).key == 2


def test_import_is_without_forml(tmp_path: Path) -> None:
    # importing ForML begins a log file in the working folder
    script = "import sys, modelkeep_forml.__main__; sys.exit('forml' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_unknown_name() -> None:
    import modelkeep_forml

    with pytest.raises(AttributeError, match="nothing"):
        _ = modelkeep_forml.nothing

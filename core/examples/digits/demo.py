"""Publishes, trains, lists and loads real models, through every installed backend by its name alone.

Run it by `tox run -e demo`, or where modelkeep, some backends and scikit-learn are installed by `python demo.py`.
"""

import inspect
import os
import pickle
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import modelkeep
from modelkeep import Descriptor, Directory, Manifest, Package, Tag, Training, Tuning
from modelkeep.backend import digest

HERE = Path(__file__).parent
PROJECT = "digits"
GENERATIONS = 3
#: What the releases differ in.
GAMMAS = {"1.0": 0.001, "1.1": 0.01}
#: What the newest model has to reach on digits that it has not seen.
ACCURACY = 0.97


@dataclass
class Result:
    """What a backend did."""

    backend: str
    commit: float
    load: float
    size: int
    accuracy: float
    digests: list[str]


def packages(folder: Path) -> list[Package]:
    """Pack two releases of the project, which differ in a setting."""
    made = []
    for version, gamma in GAMMAS.items():
        source = folder / version
        shutil.copytree(HERE / "project", source, ignore=shutil.ignore_patterns("__pycache__"))
        (source / "digits_project" / "settings.py").write_text(
            f'"""What the releases differ in."""\n\nGAMMA = {gamma}\n'
        )
        manifest = Manifest(PROJECT, version, "digits_project", {"pipeline": ".pipeline"})
        made.append(Package.create(source, folder / f"{PROJECT}-{version}.4ml", manifest))
    return made


def run(name: str, published: list[Package]) -> Result:
    """The main job, the same for every backend."""
    registry, inventory = modelkeep.registry(name), modelkeep.inventory(name)
    features, labels = load_digits(return_X_y=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(features, labels, random_state=0)

    # publish: each release is pushed once, and never changes
    project = Directory(registry).get(PROJECT)
    for package in published:
        project.put(package)
    release = project.get()
    assert str(release.key) == "1.1"

    # train: code from the release itself, ever more data, a generation each
    pipeline = release.mount().load("pipeline")
    commit = 0.0
    for number in range(1, GENERATIONS + 1):
        count = len(seen) * number // GENERATIONS
        states = pipeline.train(seen[:count], seen_labels[:count])
        score = float(np.mean(pipeline.predict(states, unseen) == unseen_labels))
        begin = time.perf_counter()
        sids = [release.dump(state) for state in states]
        generation = release.put(Tag(Training.now(ordinal=count), Tuning.now(score), sids))
        commit += time.perf_counter() - begin
        assert generation.key == number
    trained = pipeline.predict(states, unseen)

    # serve: the descriptor is data until somebody loads it
    inventory.put(Descriptor.Handle(HERE / "digits.py"))
    application = inventory.get("digits").load()

    # load: by a new handle, as another process would
    begin = time.perf_counter()
    newest = Directory(modelkeep.registry(name)).get(PROJECT).get().get()
    loaded = [newest.get(index) for index in range(len(newest.list()))]
    load = time.perf_counter() - begin
    assert loaded == states
    assert newest.tag.training.ordinal == len(seen)
    with newest.view(1) as view:
        assert pickle.loads(view).gamma == GAMMAS["1.1"], "the state is not of the newest release"
    predicted = application.select(registry, unseen)
    assert np.array_equal(predicted, trained)
    accuracy = float(np.mean(predicted == unseen_labels))
    assert accuracy >= ACCURACY, f"the newest model of {name} is right in {accuracy:.1%} only"
    return Result(name, commit / GENERATIONS, load, 0, accuracy, [digest(state) for state in loaded])


def configure(folder: Path) -> list[str]:
    """Write a configuration with a registry and an inventory for each installed backend; return their names."""
    lines, names = [], []
    for entry in sorted(entry_points(group="modelkeep.registry")):
        options = inspect.signature(entry.load()).parameters.values()
        needed = {option.name for option in options if option.default is option.empty}
        if needed - {"path"}:
            print(f"{entry.name}: left out, it needs {', '.join(sorted(needed))}")
            continue
        names.append(entry.name)
        for kind in ("registry", "inventory"):
            lines += [f"[{kind}.{entry.name}]", f'provider = "{entry.name}"']
            lines += [f'path = "stores/{entry.name}"'] if needed else []
    (folder / "modelkeep.toml").write_text("\n".join(lines) + "\n")
    return names


def size_of(path: Path) -> int:
    """The bytes that a file or folder takes, files with several names counted once."""
    found = [each.stat() for each in (path, *path.rglob("*"))]
    return sum({(each.st_dev, each.st_ino): each.st_blocks * 512 for each in found}.values())


def main() -> int:
    """Run the job on each backend and print a table."""
    warnings.filterwarnings("ignore", "modelkeep.* has no staging folder")
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        names = configure(folder)
        published = packages(folder)
        os.environ["MODELKEEP_CONFIG"] = str(folder / "modelkeep.toml")
        results = []
        for name in names:
            result = run(name, published)
            store = folder / "stores" / name
            result.size = size_of(store) if store.exists() else 0
            results.append(result)
    first = results[0].digests
    print(f"{'backend':10} {'commit':>10} {'load':>10} {'on disk':>12} {'accuracy':>9}  digests verified")
    for each in results:
        assert each.digests == first, f"{each.backend} gave back other bytes than {results[0].backend}"
        size = f"{each.size / 1024:.0f} KiB" if each.size else "-"
        print(
            f"{each.backend:10} {each.commit * 1e3:7.2f} ms {each.load * 1e3:7.2f} ms {size:>12} {each.accuracy:9.1%}"
            f"  yes, the same in all {len(results)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

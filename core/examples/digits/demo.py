"""Publishes, trains, lists and loads real models through every installed backend, each by its name alone.

Run it with `tox run -e demo`, or where modelkeep, some backends and scikit-learn are installed with `python demo.py`.
The job is `main_job`; what is around it packs the project, writes the configuration and prints a table.
"""

import dataclasses
import inspect
import os
import pickle
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import modelkeep
from modelkeep import Descriptor, Directory, Package, Tag, Training, Tuning
from modelkeep.backend import digest

HERE = Path(__file__).parent
#: How many generations of the newest release are trained, on ever more data.
GENERATIONS = 3
#: The share of unseen digits that the newest model has to recognise.
ACCURACY = 0.97


@dataclasses.dataclass
class Result:
    """What the main job did on a backend.

    Attributes:
        commit: The seconds that a generation took to commit: two states and a tag, the median.
        load: The seconds that it took to find the newest generation and read its states.
        accuracy: The share of unseen digits that each release recognises.
        digests: Those of the states that were read, computed anew.
    """

    commit: float
    load: float
    accuracy: dict[str, float]
    digests: list[str]


def main_job(name: str, packages: list[Package]) -> Result:
    """Publish, train, list and load. Nothing here knows what kind of backend the name stands for."""
    registry, inventory = modelkeep.registry(name), modelkeep.inventory(name)
    features, labels = load_digits(return_X_y=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(features, labels, random_state=0)
    commits: list[float] = []
    accuracy: dict[str, float] = {}

    project = Directory(registry).get("digits")
    for package in packages:
        # Publish: a release is pushed once, and never changes.
        release = project.put(package)

        # Train: the code comes out of the release itself, so that it is the one that was published.
        pipeline = release.mount().load("pipeline")
        for number in range(1, GENERATIONS + 1):
            count = len(seen) * number // GENERATIONS
            trained = pipeline.train(seen[:count], seen_labels[:count])
            score = float(np.mean(pipeline.predict(trained, unseen) == unseen_labels))
            states = [pickle.dumps(step) for step in trained]

            # Commit: states wait unseen until their tag is put; then all of them are there, for good.
            begin = time.perf_counter()
            sids = [release.dump(state) for state in states]
            generation = release.put(Tag(Training.now(ordinal=count), Tuning.now(score), sids))
            commits.append(time.perf_counter() - begin)
            check(generation.key == number, "generations are numbered from 1")
        accuracy[str(release.key)] = score

    # Serve: the descriptor is published as data; loading it, later and elsewhere, is what runs it.
    inventory.put(Descriptor.Handle(HERE / "digits.py"))
    check(list(inventory.list()) == ["digits"], "the inventory lists the application")
    application = inventory.get("digits").load()

    # Load, with a registry opened anew as another process would: newest release, newest generation, its states.
    begin = time.perf_counter()
    newest = Directory(modelkeep.registry(name)).get("digits").get().get()
    loaded = [newest.get(sid) for sid in newest.list()]
    load = time.perf_counter() - begin
    check(str(newest.release) == str(packages[-1].manifest.version), "the newest release is the last one pushed")
    check(newest.key == GENERATIONS, "the newest generation is the last one committed")
    check(newest.tag.training.ordinal == len(seen) and newest.tag.tuning.score == score, "the tag is as it was put")
    check(loaded == states, "states come back byte for byte")

    # Predict with what was loaded, and compare with the model in memory that it was saved from.
    predicted = application.predict(registry, unseen)
    check(np.array_equal(predicted, pipeline.predict(trained, unseen)), "the loaded model predicts as the trained one")
    check(float(np.mean(predicted == unseen_labels)) >= ACCURACY, f"the newest model reaches {ACCURACY:.0%}")
    check(len(set(accuracy.values())) == len(packages), "the releases differ in what they learn")
    return Result(sorted(commits)[len(commits) // 2], load, accuracy, [digest(state) for state in loaded])


def check(truth: bool, what: str) -> None:
    """Raise an error unless something holds; `assert` would not be looked at under `python -O`."""
    if not truth:
        raise RuntimeError(f"it does not hold that {what}")


def pack(folder: Path) -> list[Package]:
    """Pack the project as it is, and once more as if somebody had changed a setting and raised the version."""
    shutil.copytree(HERE / "project", folder / "project")
    first = Package.create(folder / "project", folder / "digits-1.0.4ml")
    for file, old, new in (
        ("digits_project/settings.py", "GAMMA = 0.001", "GAMMA = 0.01"),
        ("__modelkeep__.toml", 'version = "1.0"', 'version = "1.1"'),
    ):
        path = folder / "project" / file
        text = path.read_text("utf-8")
        check(old in text, f"{file} says {old}")
        path.write_text(text.replace(old, new), "utf-8")
    return [first, Package.create(folder / "project", folder / "digits-1.1.4ml")]


def configure(file: Path) -> list[str]:
    """Write a configuration with a registry and an inventory of each installed provider, named as the provider is."""
    names: list[str] = []
    lines: list[str] = []
    for entry in sorted(entry_points(group="modelkeep.registry")):
        try:
            tables = [*table("registry", entry)]
            for inventory in entry_points(group="modelkeep.inventory", name=entry.name):
                tables += table("inventory", inventory)
        except LookupError as error:
            print(f"{entry.name}: left out, this script has no value for its option {error}", file=sys.stderr)
            continue
        names.append(entry.name)
        lines += tables
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return names


def table(kind: str, entry: EntryPoint) -> Iterator[str]:
    """Write the table of one provider; which options it needs, its signature tells."""
    yield f"[{kind}.{entry.name}]"
    yield f'provider = "{entry.name}"'
    for name, option in inspect.signature(entry.load()).parameters.items():
        if name == "path":
            yield f'path = "stores/{entry.name}"'
        elif name == "staging":
            # where packages are mounted; with several machines, a folder that all of them reach
            yield f'staging = "mounted/{entry.name}"'
        elif option.default is option.empty and option.kind not in (option.VAR_POSITIONAL, option.VAR_KEYWORD):
            raise LookupError(name)


def size_on_disk(path: Path) -> int:
    """The bytes that a file or folder takes; a file of several names counts once."""
    found = [each.stat() for each in (path, *path.rglob("*"))] if path.exists() else []
    return sum({(each.st_dev, each.st_ino): each.st_blocks * 512 for each in found}.values())


def main() -> int:
    """Run the job on each backend and print a table; 1 if one failed, else 0."""
    with tempfile.TemporaryDirectory(prefix="modelkeep-demo-") as base:
        folder = Path(base)
        packages = pack(folder)
        names = configure(folder / "modelkeep.toml")
        os.environ["MODELKEEP_CONFIG"] = str(folder / "modelkeep.toml")
        results: dict[str, Result] = {}
        sizes: dict[str, int] = {}
        for name in names:
            try:
                results[name] = main_job(name, packages)
                sizes[name] = size_on_disk(folder / "stores" / name)
            except Exception:
                traceback.print_exc()
                print(f"{name}: FAILED, see above", file=sys.stderr)
    return report(names, results, sizes)


def report(names: list[str], results: dict[str, Result], sizes: dict[str, int]) -> int:
    """Print the table, and compare what the backends gave back."""
    if not results:
        print("No backend did the job", file=sys.stderr)
        return 1
    reference = next(iter(results.values()))
    releases = "".join(f"{'accuracy ' + release:>15}" for release in reference.accuracy)
    print(f"{'backend':10}{'commit':>12}{'load':>12}{'on disk':>12}{releases}  digests verified")
    same = True
    for name, result in results.items():
        equal = result.digests == reference.digests
        same &= equal
        size = f"{sizes[name] / 1024:.0f} KiB" if sizes[name] else "-"
        accuracies = "".join(f"{share:15.1%}" for share in result.accuracy.values())
        verdict = f"{len(result.digests)} of {len(result.digests)}, equal in all backends" if equal else "NO"
        print(f"{name:10}{result.commit * 1e3:9.2f} ms{result.load * 1e3:9.2f} ms{size:>12}{accuracies}  {verdict}")
    return 0 if same and len(results) == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Measure what `delta = true` gains and costs on models that are trained again.

    pip install "modelkeep[archive]" scikit-learn
    python delta.py

Each row is one way to make the next generation of a model, five generations long: what an archive grows by for each
generation after the first one, without and with differences, and how long a commit and a read of one take.
"""

from __future__ import annotations

import pickle
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

import modelkeep
from modelkeep import Manifest, Package, Tag

GENERATIONS = 5
X, Y = make_classification(20_000, 30, n_informative=15, n_classes=4, random_state=0)


def forest_grown() -> Iterator[object]:
    """A forest of 100 trees, 10 more each time."""
    model = RandomForestClassifier(warm_start=True, random_state=0, max_depth=14, n_jobs=-1)
    for number in range(GENERATIONS):
        yield model.set_params(n_estimators=100 + 10 * number).fit(X, Y)


def forest_again() -> Iterator[object]:
    """A forest of 100 trees, trained anew on 2 % more data."""
    for number in range(GENERATIONS):
        rows = 18_000 + 400 * number
        yield RandomForestClassifier(random_state=0, max_depth=14, n_jobs=-1).fit(X[:rows], Y[:rows])


def boosting_grown() -> Iterator[object]:
    """Gradient boosting of 60 rounds, 5 more each time."""
    model = GradientBoostingClassifier(warm_start=True, random_state=0, subsample=0.5)
    for number in range(GENERATIONS):
        yield model.set_params(n_estimators=60 + 5 * number).fit(X[:5000], Y[:5000])


def histogram_grown() -> Iterator[object]:
    """Histogram boosting of 100 rounds, 10 more each time."""
    model = HistGradientBoostingClassifier(warm_start=True, random_state=0, early_stopping=False)
    for number in range(GENERATIONS):
        yield model.set_params(max_iter=100 + 10 * number).fit(X, Y)


def network() -> Iterator[object]:
    """A network of 512 and 256 neurons, two epochs more each time."""
    model = MLPClassifier((512, 256), warm_start=True, max_iter=2, random_state=0)
    for _ in range(GENERATIONS):
        yield model.fit(X, Y)


def weights() -> Iterator[object]:
    """The weights of that network alone, as arrays of float32."""
    for model in network():
        yield [layer.astype(np.float32) for layer in model.coefs_]  # type: ignore[attr-defined]


def tuned() -> Iterator[object]:
    """The same, and only the last layer is trained."""
    layers = next(weights())
    for number in range(GENERATIONS):
        layers[-1] = layers[-1] + np.float32(number)  # type: ignore[index]
        yield layers


def linear() -> Iterator[object]:
    """A linear model of 20,000 features, one epoch more each time, which changes every weight."""
    data = np.random.default_rng(0).normal(size=(500, 20_000)).astype(np.float32)
    model = SGDClassifier(random_state=0)
    for _ in range(GENERATIONS):
        yield model.partial_fit(data, Y[:500], classes=np.arange(4))


def commits(folder: Path, states: list[bytes], *, delta: bool) -> tuple[float, float, float]:
    """Return bytes, and seconds of commit and read, for each generation but the first."""
    path = folder / f"{delta}.tar.zst"
    (folder / "source" / "x").mkdir(parents=True, exist_ok=True)
    package = Package.create(folder / "source", folder / f"{delta}.4ml", Manifest("x", "1", "x"))
    registry = modelkeep.registry(provider="archive", path=str(path), delta=delta)
    release = modelkeep.Directory(registry).get("x").put(package)
    size, wrote, read = 0, 0.0, 0.0
    for number, state in enumerate(states):
        if number == 1:
            size, wrote, read = path.stat().st_size, 0.0, 0.0
        begin = time.perf_counter()
        generation = release.put(Tag(states=[release.dump(state)]))
        middle = time.perf_counter()
        same = generation.get(0) == state
        read += time.perf_counter() - middle
        wrote += middle - begin
        if not same:
            raise SystemExit(f"generation {number} came back as other bytes")
    count = len(states) - 1
    return (path.stat().st_size - size) / count, wrote / count, read / count


def main() -> None:
    """Print a table."""
    warnings.simplefilter("ignore")
    print("| the next generation | pickle | stored whole | with delta | commit | with | read | with |")
    print("|---|---|---|---|---|---|---|---|")
    makers = (forest_grown, forest_again, boosting_grown, histogram_grown, network, weights, tuned, linear)
    for make in makers:
        states = [pickle.dumps(model, protocol=5) for model in make()]
        with tempfile.TemporaryDirectory() as folder:
            whole, wrote, read = commits(Path(folder), states, delta=False)
            delta, wrote_delta, read_delta = commits(Path(folder), states, delta=True)
        sizes = [f"{size / 1000:,.0f} kB" for size in (sum(map(len, states[1:])) / (len(states) - 1), whole, delta)]
        times = [f"{seconds * 1000:.0f} ms" for seconds in (wrote, wrote_delta, read, read_delta)]
        print("|", " | ".join([str(make.__doc__).rstrip("."), *sizes, *times]), "|", flush=True)


if __name__ == "__main__":
    main()

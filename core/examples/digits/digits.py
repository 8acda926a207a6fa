"""How the application `digits` is served: by the newest release, with the states of its newest generation."""

import numpy as np
from numpy.typing import NDArray

from modelkeep import Directory, Registry

PROJECT = "digits"


def select(registry: Registry, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Predict with the newest of all models."""
    release = Directory(registry).get(PROJECT).get()
    generation = release.get()
    states = [generation.get(index) for index in range(len(generation.list()))]
    predicted: NDArray[np.int64] = release.mount().load("pipeline").predict(states, features)
    return predicted

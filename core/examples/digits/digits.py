"""How the application `digits` is served: by the newest release, with the states of its newest generation.

An inventory keeps this module as it stands. Nothing of it runs until somebody loads the descriptor.
"""

import pickle

import numpy as np
from numpy.typing import NDArray

from modelkeep import Directory, Registry

PROJECT = "digits"


def predict(registry: Registry, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Predict with the newest of all models."""
    release = Directory(registry).get(PROJECT).get()
    generation = release.get()
    steps = [pickle.loads(generation.get(sid)) for sid in generation.list()]
    labels: NDArray[np.int64] = release.mount().load("pipeline").predict(steps, features)
    return labels

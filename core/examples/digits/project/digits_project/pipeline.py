"""The pipeline of the project: two steps that each learn a state."""

import pickle
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from digits_project.settings import GAMMA


def steps() -> tuple[StandardScaler, SVC]:
    """The steps, not trained yet."""
    return StandardScaler(), SVC(gamma=GAMMA)


def train(features: NDArray[np.float64], labels: NDArray[np.int64]) -> list[bytes]:
    """Train the steps one after the other; return the state of each."""
    scaler, classifier = steps()
    classifier.fit(scaler.fit_transform(features), labels)
    return [pickle.dumps(scaler), pickle.dumps(classifier)]


def predict(states: Sequence[bytes], features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Predict with trained states."""
    scaler, classifier = (pickle.loads(state) for state in states)
    predicted: NDArray[np.int64] = classifier.predict(scaler.transform(features))
    return predicted

"""The pipeline: two steps that each learn a state."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from digits_project.settings import GAMMA


def train(features: NDArray[np.float64], labels: NDArray[np.int64]) -> list[Any]:
    """Train the steps one after the other, and return them."""
    scaler = StandardScaler().fit(features)
    classifier = SVC(gamma=GAMMA).fit(scaler.transform(features), labels)
    return [scaler, classifier]


def predict(steps: Sequence[Any], features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pass features through trained steps."""
    scaler, classifier = steps
    labels: NDArray[np.int64] = classifier.predict(scaler.transform(features))
    return labels

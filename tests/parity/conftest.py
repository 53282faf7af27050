"""Simulated data sets that the tests of the references share."""

from __future__ import annotations

import numpy as np
import pytest
from parity import published_data as simulated


@pytest.fixture(scope="module")
def pereira() -> tuple[np.ndarray, simulated.Data]:
    X = simulated.pereira_features(0)
    return X, simulated.pereira(X, seed=1, n_voxels=4)


@pytest.fixture(scope="module")
def blank() -> tuple[np.ndarray, simulated.Data]:
    X = simulated.features(144, 6, seed=2)
    return X, simulated.blank(X, seed=3)


@pytest.fixture(scope="module")
def fedorenko() -> tuple[np.ndarray, simulated.Data]:
    X = simulated.features(96, 6, seed=4)
    return X, simulated.fedorenko(X, seed=5)


@pytest.fixture(scope="module")
def futrell() -> tuple[np.ndarray, simulated.Data]:
    X = simulated.features(168, 4, seed=6)
    return X, simulated.futrell(X, seed=7)

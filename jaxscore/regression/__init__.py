"""Cross-validated regression from features to responses: arrays in, arrays out; no language, no cards."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "cross_validate": "crossval",
    "CrossValidation": "crossval",
    "OLS": "estimators",
    "Ridge": "estimators",
    "RidgeCV": "estimators",
    "BandedRidgeCV": "banded",
    "PLS": "estimators",
    "variance_partition": "partition",
    "permutation_test": "permutations",
    "PermutationTest": "permutations",
    "bootstrap": "intervals",
    "Bootstrap": "intervals",
    "make_folds": "splits",
    "nested": "splits",
    "rdm_similarity": "jaxscore.metrics.rdm",
    "linear_cka": "jaxscore.metrics.cka",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    return getattr(importlib.import_module(home if "." in home else f"{__name__}.{home}"), name)

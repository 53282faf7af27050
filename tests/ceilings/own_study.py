"""A study of several subjects as a person has it: a long table and a card beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from conftest import sentences, toml

STIMULI, ROIS = 24, ("x", "y", "z")


def responses(subjects: int = 3, repetitions: int = 1, seed: int = 0, noise: float = 1.0) -> np.ndarray:
    """[repetition, stimulus, subject, region]: four signals that all share, mixed, and noise."""
    rng = np.random.default_rng(seed)
    shape = (STIMULI, subjects, len(ROIS))
    signal = np.einsum("ik,kjl->ijl", rng.normal(size=(STIMULI, 4)), rng.normal(size=(4, *shape[1:])))
    return signal + noise * rng.normal(size=(repetitions, *shape))


def write_study(folder: Path, values: np.ndarray | None = None, **tables: Any) -> str:
    """Write both with changes to the card's tables, and return the card's path."""
    values = responses() if values is None else values
    repetitions, stimuli, subjects, rois = (axis.ravel() for axis in np.indices(values.shape))
    frame = pd.DataFrame(
        {
            "item": [f"i{i:02}" for i in stimuli],
            "sentence": np.array(sentences(STIMULI))[stimuli],
            "passage": [f"P{i // 4}" for i in stimuli],
            "rep": repetitions,
            "who": [f"s{i}" for i in subjects],
            "roi": np.array(ROIS)[rois],
            "bold": values.ravel(),
        }
    )
    frame.dropna().to_csv(folder / "own.csv", index=False)
    data = {
        "source": "own.csv", "stimulus_id": "item", "group": "passage", "value": "bold", "neuroid": ["who", "roi"],
        "subject": "who",
    }  # fmt: skip
    if len(values) > 1:
        data["repetition"] = "rep"
    content = {
        "identifier": "own", "title": "Own data", "follows": "nobody",
        "data": data | tables.pop("data", {}),
        "splits": {"scheme": "contiguous", "folds": 3},
        "regression": {"solver": "ridge", "alpha": 1.0},
        "ceiling": {"kind": "none", "source": "raw"} | tables.pop("ceiling", {}),
    }  # fmt: skip
    (folder / "own.toml").write_text(toml(content | tables), encoding="utf-8")
    return str(folder / "own.toml")

"""Results to read: a study scored for real, and others with the same arrays under changed records."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import sentences, toml

import jaxscore

Change = Callable[[dict[str, Any]], None]


def score_study(folder: Path, model: str | Path, **options: Any) -> jaxscore.Score:
    """Score a small study of simulated responses; the results lie in folder/out."""
    rng, texts = np.random.default_rng(1), sentences(30)
    table = pd.DataFrame({"sentence": texts, "passage": np.repeat(list("PQRSTU"), 5)})
    for name in "abcd":
        table[name] = [len(text) + rng.normal(0, 5) for text in texts]
    table.to_csv(folder / "study.csv", index=False)
    card = {
        "identifier": "study",
        "title": "A study",
        "follows": "nobody",
        "simulated": "Lengths and noise.",
        "data": {"source": "study.csv", "group": "passage", "responses": list("abcd")},
        "context": {"group": "passage"},
        "splits": {"scheme": "shuffled", "folds": 3},
        "regression": {"solver": "ridge", "alpha": 10.0},
        "ceiling": {"kind": "none", "source": "raw correlations"},
    }
    (folder / "study.toml").write_text(toml(card), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXSCORE_CACHE", str(folder / "cache"))
        return jaxscore.score(str(model), folder / "study.toml", out=folder / "out", **options)


def another(scored: jaxscore.Score, folder: Path, change: Change = lambda record: None, number: int = 0) -> Path:
    """Store the result again under another name and with a changed record; returns where the record is."""
    record = copy.deepcopy(scored.record)
    path = Path(folder) / "study" / f"{record['model']['name']}.{number:016x}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record["files"] = {}
    for each in (scored.paths.arrays, scored.paths.figure):
        copied = path.with_suffix(Path(each).suffix)
        copied.write_bytes(Path(each).read_bytes())
        record["files"][copied.name] = scored.record["files"][Path(each).name]
    change(record)
    part = path.with_name(f".{path.name}.part")  # renamed when the others are there, as by the store
    part.write_text(json.dumps(record), encoding="utf-8")
    return part.rename(path)

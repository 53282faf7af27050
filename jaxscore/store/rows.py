"""A record as rows of a table: one for each layer, every value typed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from jaxscore.models.families import families

Row = dict[str, Any]

_T, _N, _F, _B = "string", "Int64", "float64", "bool"
COLUMNS = {
    "model": _T, "source": _T, "folder": _T, "revision": _T, "commit": _T, "step": _N, "untrained": _B, "seed": _N,
    "dtype": _T, "benchmark": _T, "layer": _T, "layer_index": _N, "depth": _F, "score": _F, "unclipped": _F,
    "error": _F, "low": _F, "high": _F, "r": _F, "ceiling": _F, "grouped": _F, "chosen": _B, "nested_score": _F,
    "nested_r": _F, "layers": _T, "pooling": _T, "context": _T, "protocol": _T, "window": _N, "stride": _N,
    "bidirectional": _T, "reduction": _T, "regression": _T, "rcond": _F, "splits": _T, "folds": _N, "bos": _T,
    "simulated": _B, "warnings": "int64", "seconds": _F, "device": _T, "jaxscore": _T,
    "created": "datetime64[us, UTC]", "key": _T, "record": _T,
}  # fmt: skip
"""Columns of the table and their pandas dtypes, which are the same whatever the records."""

_KINDS = {_T: str, _N: int, _F: int | float, _B: bool, "int64": int, "datetime64[us, UTC]": datetime}
_STEP = re.compile(
    r"(?<![a-z])(?:global[_-]?step|step|checkpoint|iter(?:ation)?)[_-]?([0-9]{1,12})([km]?)(?![a-z0-9])", re.I
)
_NESTED = ("score", "unclipped", "error", "low", "high", "r")


def rows_of(record: dict[str, Any], *, chosen: bool = False) -> Iterator[Row]:
    """The rows of a result, in the order of its layers; `key` and `record` are left to who knows where it lies.

    Args:
        record: of the store.
        chosen: only the row of the chosen layer, with score, error and r as on folds that did not choose it.

    Raises:
        LookupError, TypeError, ValueError, ArithmeticError, AttributeError: if it is not a whole record.
    """
    common, best, layers = _common(record), record["result"]["chosen"], record["result"]["layers"]
    if best["chosen_layer"] not in [row["layer"] for row in layers]:
        raise LookupError(f"the chosen layer {best['chosen_layer']!r} is none of its layers")
    states = _states(record)
    nested = {name: best[f"chosen_{name}"] for name in _NESTED} if chosen else {}
    for row in layers:
        own = row | {"chosen": row["layer"] == best["chosen_layer"]} | _depth(row["layer"], states)
        if own["chosen"] or not chosen:
            whole = common | own | nested
            yield {name: _typed(whole.get(name), dtype) for name, dtype in COLUMNS.items()}


def _depth(layer: str, states: list[str]) -> Row:
    """Where a layer stands among the model's hidden states; missing for what is none, such as surprisal."""
    index = states.index(layer) if layer in states else None
    if index is None and states and layer.startswith("before_"):  # its norm or projection: as deep as the last one
        index = len(states)
    depth = None if index is None or len(states) < 2 else min(index / (len(states) - 1), 1.0)
    return {"layer_index": index, "depth": depth}


def _states(record: dict[str, Any]) -> list[str]:
    """Names of the model's hidden states, or of what a foreign model gave, whether or not they were all asked for."""
    if record["in_force"]["protocol"]["metric"] == "surprisal":
        return []
    if about := record["model"].get("architecture"):
        family = families().get(about["family"])
        return family.names(about["layers"]) if family else []
    scored = [row["layer"] for row in record["result"]["layers"]]
    return list(record["model"]["reading"].get("layers", scored))  # word vectors and baselines have one


def _common(record: dict[str, Any]) -> Row:
    """What all layers of a result share."""
    model, best = record["model"], record["result"]["chosen"]
    name = model["name"].removesuffix("-untrained") if model["untrained"] else model["name"]
    revision = name.rpartition("@")[2] if "@" in name else None
    where = revision or (name if model["source"] == "local" else "")  # a hub id such as "step-3" says nothing
    device = record["device"]
    return {
        **{key: model[key] for key in ("source", "commit", "untrained", "seed", "dtype")},
        "model": model["name"],
        "folder": model.get("folder"),  # tells checkpoint-500 of two runs apart
        "revision": revision or model["commit"],
        "step": None if model["untrained"] else step_of(where),
        "benchmark": record["benchmark"]["identifier"],
        "nested_score": best["chosen_score"],
        "nested_r": best["chosen_r"],
        **_options(record),
        "simulated": bool(record["in_force"]["protocol"]["simulated"]),
        "warnings": len(record["result"]["warnings"]),
        "seconds": round(sum(record["seconds"].values()), 3),
        "device": device["kind"] if device["count"] == 1 else f"{device['count']} x {device['kind']}",
        "jaxscore": record["versions"]["jaxscore"],
        "created": datetime.fromisoformat(record["created"]),
    }


def _options(record: dict[str, Any]) -> Row:
    """The options in force, spelled as they are typed; what has no effect in a result is missing."""
    in_force, reading = record["in_force"], record["model"]["reading"]
    card = in_force["protocol"]
    found = {"layers": in_force["layers"], "bos": in_force["bos"], "context": card["context"]["group"]}
    found |= {name: reading.get(name) for name in ("protocol", "window", "stride", "bidirectional")}
    if card["metric"] != "surprisal":  # nothing is pooled, nothing is fitted
        folds = len(record["result"]["chosen"]["layer_of_fold"])
        found |= {"pooling": card["pooling"], "reduction": card["reduction"]}
        found |= {"splits": card["splits"]["scheme"], "folds": folds}
    if card["metric"] in ("encoding", "decoding"):
        solver, alpha = card["regression"]["solver"], card["regression"]["alpha"]
        found["regression"] = f"ridge:{alpha:.15g}" if solver == "ridge" else solver
        found["rcond"] = card["regression"]["rcond"] if solver == "ols" else None
    return found


def step_of(name: str) -> int | None:
    """The training step in the name of a revision or folder: step1000, step_20k, checkpoint-500, iter_0001000."""
    found = _STEP.search(name)
    return int(found[1]) * {"": 1, "k": 1000, "m": 1_000_000}[found[2].lower()] if found else None


def _typed(value: Any, dtype: str) -> Any:
    """A value that fits its column; TypeError or ValueError if the record has something else there."""
    if value is None and dtype in (_T, _N, _F):
        return math.nan if dtype == _F else None
    if not isinstance(value, _KINDS[dtype]) or (dtype == _N and not 0 <= value < 2**63):
        raise TypeError(f"{value!r} where {dtype} is expected")
    return float(value) if dtype == _F else value

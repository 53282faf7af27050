"""From correlations to what is printed, drawn and stored: the table of layers, the chosen layer, the notes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from jaxscore.cards import Card
from jaxscore.data.assemblies import Dropped, some
from jaxscore.errors import CardError, DataError
from jaxscore.extract.reduction import Reduction
from jaxscore.metrics.aggregate import Aggregate, Ceiled, median_present
from jaxscore.metrics.encoding import Choice, Encoding, Protocol, choose_layer

HOW_CHOSEN = (
    "For each fold the layer with the highest score on the other folds, predicted without that fold; "
    "it is then scored on that fold."
)
SPLITS = {
    "shuffled": "{} shuffled folds",
    "contiguous": "{} contiguous folds",
    "grouped": "{} folds grouped by passage",
}
TABLE = ("score", "error", "median_r", "ceiling", "grouped", "subjects")


def protocol_of(card: Card) -> Protocol:
    """The regression and the splits of a card."""
    from jaxscore.regression import OLS, Ridge, RidgeCV

    asked = card.regression
    reduction = Reduction.parse(card.reduction) if card.reduction else None
    components = reduction.size if reduction and reduction.kind == "pca" else None
    if asked.solver == "ols":
        solver = OLS(asked.rcond, components=components)
    elif asked.solver == "ridge":
        solver = Ridge(asked.alpha, components=components)
    else:
        solver = RidgeCV(asked.alphas, select=asked.solver.removeprefix("ridge-"), components=components)
    return Protocol(scheme=card.splits.scheme, folds=card.splits.folds, seed=card.splits.seed, solver=solver)


def aggregated_neuroids(card: Card, assembly: xr.DataArray) -> np.ndarray:
    """Mask [neuroid] of the neuroids that the score is made of; an assembly without the coordinate has no others."""
    mask = np.ones(assembly.sizes["neuroid"], bool)
    for name, value in card.aggregation.neuroids.items():
        if name in assembly.coords:
            mask &= assembly[name].values.astype(str) == value
    if not mask.any():
        raise DataError(
            f"No neuroid has {dict(card.aggregation.neuroids)}, which the score is made of", "Check the card."
        )
    return mask


def neuroid_ceilings(card: Card, assembly: xr.DataArray) -> np.ndarray:
    """What each neuroid's r is divided by [neuroid]; NaN where it has no ceiling or one that is not positive."""
    ceiling, ids = card.ceiling, assembly["neuroid_id"].values.astype(str)
    if ceiling.kind == "neuroid" and ceiling.coordinate:
        if ceiling.coordinate not in assembly.coords:
            raise DataError(
                f"The assembly has no ceilings: no coordinate {ceiling.coordinate!r}", "Check ceiling.coordinate."
            )
        values = assembly[ceiling.coordinate].values.astype(float)
    elif ceiling.kind == "neuroid":
        values = np.array([ceiling.values.get(name, np.nan) for name in ids])
        if np.isnan(values).all():
            raise CardError(
                f"{card.identifier}: ceiling.values names none of the neuroids",
                f"It has {some(list(ceiling.values))}; the data have {some(ids.tolist())}.",
            )
    else:
        values = np.full(len(ids), ceiling.value if ceiling.kind == "published" else 1.0)
    return np.where(values > 0, values, np.nan)


def tabulate(
    model: str,
    card: Card,
    assembly: xr.DataArray,
    aggregated: np.ndarray,
    encoding: Encoding,
    names: list[str],
    dropped: Dropped,
) -> tuple[xr.Dataset, xr.Dataset, dict[str, Any]]:
    """Aggregate, choose, and lay out.

    Args:
        model: the model's name.
        card: the card in force.
        assembly: the responses.
        aggregated: mask of the neuroids that the score is made of.
        encoding: correlations.
        names: of the layers.
        dropped: neuroids that were dropped on reading.

    Returns:
        The table of layers; the arrays to store, table included; the notes for the record.
    """
    ceilings = neuroid_ceilings(card, assembly)
    ceiled = Ceiled(assembly["subject"].values.astype(str)[aggregated], ceilings[aggregated])
    found = ceiled.aggregate(encoding.r[..., aggregated])
    inner = np.stack([ceiled.aggregate(encoding.inner_r[:, :, [k]]).score for k in range(card.splits.folds)], axis=1)
    choice = choose_layer(inner, encoding.r[..., aggregated])
    best = ceiled.aggregate(choice.r)
    grouped = ceiled.aggregate(encoding.grouped_r).score if encoding.grouped_r is not None else None
    warnings = _warnings(card, dropped, encoding, ceiled, names)
    attrs = _attributes(model, card, ceiled, names, choice, best) | {"warnings": json.dumps(warnings)}
    arrays = _arrays(assembly, aggregated, encoding, names, ceilings)
    arrays = arrays.assign(
        score=("layer", found.score),
        error=("layer", found.error),
        median_r=("layer", found.r),
        ceiling=("layer", np.full(len(names), _whole_ceiling(card, ceiled))),
        subjects=(("layer", "subject"), found.subjects),
        inner_score=(("layer", "fold"), inner),
        chosen_layer_index=("fold", np.array(choice.layers)),
    ).assign_coords(subject=ceiled.names)
    if grouped is not None:
        arrays = arrays.assign(grouped=("layer", grouped))
    arrays = arrays.assign_attrs(attrs)
    return layers_of(arrays), arrays, _notes(arrays, encoding, dropped, warnings)


def layers_of(arrays: xr.Dataset) -> xr.Dataset:
    """The table of layers inside the stored arrays."""
    single = arrays.sizes["subject"] == 1  # one subject's scores are the scores
    return arrays[[name for name in TABLE if name in arrays and not (name == "subjects" and single)]].rename(
        median_r="r"
    )


def _attributes(
    model: str, card: Card, ceiled: Ceiled, names: list[str], choice: Choice, best: Aggregate
) -> dict[str, Any]:
    votes = choice.layers.count(choice.layer)
    return {
        "model": model,
        "benchmark": card.identifier,
        "simulated": card.simulated,
        "splits": SPLITS[card.splits.scheme].format(card.splits.folds),
        "error_over": "subjects (scaled MAD)" if len(ceiled.names) > 1 else "folds (scaled MAD)",
        "ceiling_source": card.ceiling.source,
        "chosen_layer": names[choice.layer],
        "chosen_score": float(best.score),
        "chosen_error": float(best.error),
        "chosen_r": float(best.r),
        "chosen_votes": f"{votes} of {len(choice.layers)} folds",
        "chosen_how": HOW_CHOSEN,
    }


def _whole_ceiling(card: Card, ceiled: Ceiled) -> float:
    """The one ceiling, or the neuroids' own aggregated as the scores are; NaN where there is none."""
    if card.ceiling.kind == "none":
        return np.nan
    return float(median_present(ceiled.subject_medians(ceiled.ceilings), -1))


def _arrays(
    assembly: xr.DataArray, aggregated: np.ndarray, encoding: Encoding, names: list[str], ceilings: np.ndarray
) -> xr.Dataset:
    """Correlations with the neuroids' coordinates; the aggregated subset is spread over all neuroids."""
    dims = ("layer", "part", "fold", "neuroid")
    labels = {
        str(name): ("neuroid", coordinate.values)
        for name, coordinate in assembly.coords.items()
        if coordinate.dims == ("neuroid",) and name not in ("subject", "ceiling")
    }
    data = {"r": (dims, encoding.r), "neuroid_ceiling": ("neuroid", ceilings)}
    if encoding.grouped_r is not None:
        spread = np.full(encoding.r.shape, np.nan, np.float32)
        spread[..., aggregated] = encoding.grouped_r
        data["grouped_r"] = (dims, spread)
    coords = {
        "layer": names,
        "part": list(encoding.stimuli),
        "neuroid_subject": ("neuroid", assembly["subject"].values),
    }
    return xr.Dataset(data, {**coords, **labels})


def _warnings(card: Card, dropped: Dropped, encoding: Encoding, ceiled: Ceiled, names: list[str]) -> list[str]:
    """What a reader of the score should know, in sentences."""
    notes = []
    for kind, ids in (("missing responses", dropped.missing), ("constant responses", dropped.constant)):
        if ids:
            notes.append(f"{len(ids)} neuroids dropped for {kind}: {some(ids)}.")
    for part, count in encoding.undefined.items():
        if count:
            where = "" if part == "all" else f" in {part}"
            notes.append(
                f"{count} neuroids have no r in some layer and fold{where}: constant predictions or responses."
            )
    if unusable := int(np.isnan(ceiled.ceilings).sum()):
        notes.append(f"{unusable} neuroids have no positive ceiling and are left out of the score.")
    notes += [f"{note}." for note in encoding.notes]
    deficient = {
        names[i] for found in encoding.diagnoses.values() for i, d in enumerate(found) if "refit-svd" in d.paths
    }
    # ridge takes the path for other reasons, and principal components are as few as were asked for
    if deficient and card.regression.solver == "ols" and not (card.reduction or "").startswith("pca:"):
        notes.append(
            f"{len(deficient)} layers are rank-deficient at rcond {card.regression.rcond:g} and were solved by SVD: "
            f"{some([name for name in names if name in deficient])}."
        )
    return notes


def _notes(arrays: xr.Dataset, encoding: Encoding, dropped: Dropped, warnings: list[str]) -> dict[str, Any]:
    table = layers_of(arrays)
    columns = [name for name in ("score", "error", "r", "ceiling", "grouped") if name in table]
    rows = [
        {"layer": str(name)} | {column: _number(table[column].values[i]) for column in columns}
        for i, name in enumerate(table["layer"].values)
    ]
    chosen = {key: _number(v) for key, v in arrays.attrs.items() if key.startswith("chosen_")}
    chosen["layer_of_fold"] = [str(table["layer"].values[i]) for i in arrays["chosen_layer_index"].values]
    regression = {
        part: [
            {"layer": str(name), "paths": d.paths, "condition": _number(d.condition), "rank": list(d.rank)}
            for name, d in zip(table["layer"].values, found, strict=True)
        ]
        for part, found in encoding.diagnoses.items()
    }
    counts = {
        "stimuli": encoding.stimuli,
        "neuroids": encoding.neuroids,
        "undefined": encoding.undefined,
        "dropped": {"missing": len(dropped.missing), "constant": len(dropped.constant)},
    }
    return {"layers": rows, "chosen": chosen, "counts": counts, "regression": regression, "warnings": warnings}


def _number(value: Any) -> Any:
    """A float as JSON knows it: None for NaN and infinity."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value

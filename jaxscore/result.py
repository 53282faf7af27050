"""From correlations to what is printed, drawn and stored: the table of layers, the chosen layer, the notes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from jaxscore.cards import Card
from jaxscore.ceilings.known import Ceilings
from jaxscore.data.assemblies import some
from jaxscore.data.material import Material
from jaxscore.extract.reduction import Reduction
from jaxscore.metrics.aggregate import Aggregate, Ceiled, Rule
from jaxscore.metrics.comparisons import Metric
from jaxscore.metrics.measure import Choice, Measured, Protocol, choose_layer
from jaxscore.metrics.targets import Targets

HOW_CHOSEN = (
    "For each fold the layer with the highest score on the other folds, predicted without that fold; "
    "it is then scored on that fold."
)
SPLITS = {
    "shuffled": "{} shuffled folds",
    "contiguous": "{} contiguous folds",
    "grouped": "{} folds grouped by passage",
}
TABLE = ("score", "unclipped", "error", "low", "high", "median_r", "ceiling", "grouped", "subjects")
OVER_SUBJECTS = {
    "mad": "subjects (scaled MAD)",
    "sd": "subjects (standard deviation)",
    "bootstrap": "subjects (bootstrap)",
}
MEANINGS = {
    "r": "r on held-out stimuli",
    "grouped_r": "r on held-out passages",
    "median_r": "r, aggregated as the score is",
    "neuroid_ceiling": "what r is divided by",
    "ceiling": "ceiling of the whole",
    "score": "score",
    "unclipped": "score before it is clipped",
    "error": "error of the score",
    "low": "2.5th percentile of the score over resampled subjects",
    "high": "97.5th percentile of the score over resampled subjects",
    "grouped": "score with folds grouped by passage",
    "subject_score": "score of each subject",
    "inner_score": "score on the other folds, predicted without the fold",
    "layer_of_fold": "layer chosen without the fold",
}


def protocol_of(card: Card) -> Protocol:
    """The metric and the splits of a card."""
    from jaxscore.regression import OLS, Ridge, RidgeCV

    asked, splits = card.regression, card.splits
    reduction = Reduction.parse(card.reduction) if card.reduction else None
    components = reduction.size if reduction and reduction.kind == "pca" else None
    if asked.solver == "ols":
        solver = OLS(asked.rcond, components=components)
    elif asked.solver == "ridge":
        solver = Ridge(asked.alpha, components=components)
    else:
        select = asked.solver.removeprefix("ridge-")
        solver = RidgeCV(asked.alphas, select=select, per_neuroid=asked.per_neuroid, components=components)
    return Protocol(
        Metric(card.metric, solver, card.correlation), splits.scheme, splits.folds, splits.seed, splits.trim
    )


def tabulate(
    model: str,
    card: Card,
    material: Material,
    targets: Targets,
    measured: Measured,
    ceilings: Ceilings,
    names: list[str],
) -> tuple[xr.Dataset, xr.Dataset, dict[str, Any]]:
    """Aggregate, choose, and lay out.

    Args:
        model: the model's name.
        card: the card in force.
        material: the responses, and what was dropped.
        targets: what the values belong to.
        measured: values on held-out stimuli.
        ceilings: of the targets.
        names: of the layers.

    Returns:
        The table of layers; the arrays to store, table included; the notes for the record.
    """
    rule = Rule(card.aggregation.kind, card.aggregation.clip, card.aggregation.error)
    scored = targets.aggregated(card)
    subjects = targets.coords["subject"].astype(str)
    ceiled = Ceiled(subjects[scored], ceilings.values[scored], rule)
    found = ceiled.aggregate(measured.r[..., scored])
    folds = range(measured.r.shape[2])
    inner = np.stack([ceiled.aggregate(measured.inner_r[:, :, [k]]).unclipped for k in folds], axis=1)
    choice = choose_layer(inner, measured.r[..., scored])
    best = ceiled.aggregate(choice.r)
    warnings = _warnings(card, material, measured, ceiled, found, names) + ceilings.warnings
    attrs = _attributes(model, card, ceiled, ceilings, names, choice, best) | {"warnings": json.dumps(warnings)}
    arrays = _arrays(targets, scored, measured, names, ceilings)
    arrays = arrays.assign(
        score=("layer", found.score),
        unclipped=("layer", found.unclipped),
        error=("layer", found.error),
        low=("layer", found.low),
        high=("layer", found.high),
        median_r=("layer", found.r),
        ceiling=("layer", np.full(len(names), ceilings.whole)),
        subjects=(("layer", "subject"), found.subjects),
        inner_score=(("layer", "fold"), inner),
        chosen_layer_index=("fold", np.array(choice.layers)),
    ).assign_coords(subject=ceiled.names)
    if measured.grouped_r is not None:
        arrays = arrays.assign(grouped=("layer", ceiled.aggregate(measured.grouped_r).score))
    if (by := card.aggregation.by) and targets.has(by, card, "aggregation.by"):
        arrays = arrays.assign(_each(by, targets, measured, ceilings, rule))
        scores = arrays[f"{by}_score"].values[choice.layer].tolist()
        named = dict(zip(map(str, arrays[f"each_{by}"].values.tolist()), scores, strict=True))
        attrs["by"] = json.dumps({by: {name: _number(score) for name, score in named.items()}})
    arrays = arrays.assign_attrs(attrs)
    return layers_of(arrays), arrays, _notes(arrays, measured, material, ceilings, warnings)


def _each(by: str, targets: Targets, measured: Measured, ceilings: Ceilings, rule: Rule) -> dict[str, Any]:
    """The score of each layer for every value of a coordinate, such as each atlas or time bin."""
    column, found = targets.coords[by], []
    column = column.astype(str) if column.dtype.kind == "O" else column
    values = np.unique(column)
    for value in values:
        own = column == value
        ceiled = Ceiled(targets.coords["subject"].astype(str)[own], ceilings.values[own], rule)
        found.append(ceiled.aggregate(measured.r[..., own]))
    dims = ("layer", f"each_{by}")
    return {
        f"{by}_score": (dims, np.stack([one.score for one in found], -1)),
        f"{by}_r": (dims, np.stack([one.r for one in found], -1)),
        f"each_{by}": (f"each_{by}", values),
    }


def layers_of(arrays: xr.Dataset) -> xr.Dataset:
    """The table of layers inside the stored arrays."""
    single = arrays.sizes["subject"] == 1  # one subject's scores are the scores
    return arrays[[name for name in TABLE if name in arrays and not (name == "subjects" and single)]].rename(
        median_r="r"
    )


def dataset_of(arrays: xr.Dataset) -> xr.Dataset:
    """The stored arrays as `Score.to_dataset` gives them."""
    # scores by subject are there already; their dimension would take the name
    found = arrays.drop_dims("each_subject", errors="ignore")
    found = found.rename(subject="each_subject", neuroid_subject="subject", subjects="subject_score")
    names = found["layer"].values[found["chosen_layer_index"].values]
    found = found.drop_vars("chosen_layer_index").assign(layer_of_fold=("fold", names))
    unit = "ceiling" if np.isfinite(found["ceiling"]).any() else "1"
    for name, values in found.data_vars.items():
        values.attrs["long_name"] = MEANINGS.get(name) or str(name).replace("_", " of each ", 1)
        if values.dtype.kind == "f":
            of_r = name in ("ceiling", "neuroid_ceiling", "r") or name.endswith("_r")
            values.attrs["units"] = "1" if of_r else unit
    return found


def _attributes(
    model: str, card: Card, ceiled: Ceiled, ceilings: Ceilings, names: list[str], choice: Choice, best: Aggregate
) -> dict[str, Any]:
    votes = choice.layers.count(choice.layer)
    return {
        "model": model,
        "benchmark": card.identifier,
        "simulated": card.simulated,
        "splits": _described(card, len(choice.layers)),
        "error_over": "folds (scaled MAD)" if ceiled.over_folds else OVER_SUBJECTS[card.aggregation.error],
        "ceiling_source": ceilings.source,
        "chosen_layer": names[choice.layer],
        "chosen_score": float(best.score),
        "chosen_unclipped": float(best.unclipped),
        "chosen_error": float(best.error),
        "chosen_low": float(best.low),
        "chosen_high": float(best.high),
        "chosen_r": float(best.r),
        "chosen_votes": f"{votes} of {len(choice.layers)} folds",
        "chosen_how": HOW_CHOSEN,
    }


def _described(card: Card, folds: int) -> str:
    """The splits in words."""
    if card.metric == "surprisal":
        return "no folds: nothing is fitted"
    return SPLITS.get(card.splits.scheme, f"{{}} folds of {card.splits.scheme}").format(folds)


def _arrays(
    targets: Targets, scored: np.ndarray, measured: Measured, names: list[str], ceilings: Ceilings
) -> xr.Dataset:
    """Values with the targets' coordinates; the aggregated subset is spread over all of them."""
    dims = ("layer", "part", "fold", "neuroid")
    labels = {
        name: ("neuroid", values) for name, values in targets.coords.items() if name not in ("subject", "ceiling")
    }
    data = {"r": (dims, measured.r), "neuroid_ceiling": ("neuroid", ceilings.values)}
    if measured.grouped_r is not None:
        spread = np.full((*measured.grouped_r.shape[:3], len(targets)), np.nan, np.float32)
        spread[..., scored] = measured.grouped_r
        data["grouped_r"] = ((*dims[:2], "grouped_fold", dims[3]), spread)
    coords = {
        "layer": names,
        "part": list(measured.stimuli),
        "neuroid_subject": ("neuroid", targets.coords["subject"]),
    }
    return xr.Dataset(data, {**coords, **labels})


def _warnings(
    card: Card, material: Material, measured: Measured, ceiled: Ceiled, found: Aggregate, names: list[str]
) -> list[str]:
    """What a reader of the score should know, in sentences."""
    notes, dropped = list(material.notes), material.dropped
    for kind, ids in (("missing responses", dropped.missing), ("constant responses", dropped.constant)):
        if ids:
            notes.append(f"{len(ids)} neuroids dropped for {kind}: {some(ids)}.")
    for part, count in measured.undefined.items():
        if count:
            where = "" if part == "all" else f" in {part}"
            notes.append(
                f"{count} neuroids have no r in some layer and fold{where}: constant predictions or responses."
            )
    if unusable := int(np.isnan(ceiled.ceilings).sum()):
        notes.append(f"{unusable} neuroids have no positive ceiling and are left out of the score.")
    notes += [f"{note}." for note in measured.notes]
    deficient = {
        names[i] for found in measured.diagnoses.values() for i, d in enumerate(found) if "refit-svd" in d.paths
    }
    # ridge takes the path for other reasons, and principal components are as few as were asked for
    if deficient and card.regression.solver == "ols" and not (card.reduction or "").startswith("pca:"):
        notes.append(
            f"{len(deficient)} layers are rank-deficient at rcond {card.regression.rcond:g} and were solved by SVD: "
            f"{some([name for name in names if name in deficient])}."
        )
    return notes


def _notes(
    arrays: xr.Dataset, measured: Measured, material: Material, ceilings: Ceilings, warnings: list[str]
) -> dict[str, Any]:
    table, dropped = layers_of(arrays), material.dropped
    columns = [
        name for name in ("score", "unclipped", "error", "low", "high", "r", "ceiling", "grouped") if name in table
    ]
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
        for part, found in measured.diagnoses.items()
    }
    counts = {
        "stimuli": measured.stimuli,
        "neuroids": measured.neuroids,
        "undefined": measured.undefined,
        "dropped": {"missing": len(dropped.missing), "constant": len(dropped.constant)},
    }
    by = {"by": json.loads(arrays.attrs["by"])} if "by" in arrays.attrs else {}
    return {
        "layers": rows, "chosen": chosen, **by, "counts": counts, "regression": regression, "warnings": warnings,
    }  # fmt: skip


def _number(value: Any) -> Any:
    """A float as JSON knows it: None for NaN and infinity."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value

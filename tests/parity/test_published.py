"""Every protocol of both pipelines, by its card, against references that share no code with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from parity import published_data as simulated
from parity import published_scores as published

import jaxscore
from jaxscore.cards import Card, load_benchmark
from jaxscore.data.assemblies import write_assembly
from jaxscore.metrics.aggregate import DEVIATION_SCALE

TOLERANCE = 1e-6
SIZES = (48, 60)


def assembly_of(data: dict) -> xr.DataArray:
    """The dict of a simulated data set as an assembly of the published layout."""
    dims = ("presentation", "neuroid")
    text = next(data[name] for name in ("sentence", "stimulus", "word") if name in data)
    data, coords = {"sentence": text, "stimulus": text} | data, {}
    for name, values in data.items():
        if name == "responses":
            continue
        values = (
            np.array([np.nan if value == "nan" else value for value in values.tolist()], dtype=object)
            if (name == "filter_strategy")
            else values
        )
        coords[name] = (dims[name in simulated.NEUROID], values)
    return xr.DataArray(data["responses"], dims=dims, coords=coords, name="data")


def card_on(identifier: str, path: Path, ceiling: float | dict | None) -> Card:
    """A card on a local file, with a given ceiling of the whole, of each neuroid, or its own (None)."""
    card = load_benchmark(identifier)
    changes = {"data": card.data.model_copy(update={"source": str(path), "sha1": None, "sha256": None})}
    if ceiling is not None:
        given = {"kind": "neuroid", "values": ceiling} if isinstance(ceiling, dict) else {"kind": "published"}
        given |= {} if isinstance(ceiling, dict) else {"value": ceiling}
        changes["ceiling"] = type(card.ceiling)(source="given", **given)
    return card.model_copy(update=changes)


@pytest.fixture
def scored(tmp_path):
    """Score features [stimulus, feature] by a card on a simulated data set."""

    def run(identifier: str, X: np.ndarray, data: dict, ceiling=None) -> jaxscore.Score:
        write_assembly(assembly_of(data), tmp_path / "data.nc")
        np.save(tmp_path / "features.npy", X)
        where = str(tmp_path / "features.npy")
        return jaxscore.score(
            "random-embedding",
            card_on(identifier, tmp_path / "data.nc", ceiling),
            out=None,
            layers="0",
            on_activations=lambda layer, states: np.load(where),
        )

    return run


def close(found: jaxscore.Score, expected: dict, error_scale: float | None = None) -> None:
    """Score, unclipped score and error of the one layer."""
    layer = found.layers.isel(layer=0)
    assert abs(float(layer["score"]) - expected["score"]) <= TOLERANCE
    if "unclipped" in expected:
        assert abs(float(layer["unclipped"]) - expected["unclipped"]) <= TOLERANCE
    if error_scale is not None:
        assert abs(float(layer["error"]) - error_scale * expected["error"]) <= TOLERANCE


def pereira() -> tuple[np.ndarray, dict]:
    X = simulated.pereira_features(3, SIZES)
    return X, simulated.pereira(X, 4, SIZES, n_voxels=4)


def blank() -> tuple[np.ndarray, dict]:
    X = simulated.features(144, 8, 5)
    return X, simulated.blank(X, 6)


def fedorenko() -> tuple[np.ndarray, dict]:
    X = simulated.features(96, 8, 7)
    return X, simulated.fedorenko(X, 8)


@pytest.mark.parametrize(
    ("identifier", "reference"),
    [
        ("Pereira2018-encoding", published.nn_encoding),
        ("Pereira2018-rdm", published.nn_rdm),
        ("Pereira2018-cka", published.nn_cka),
        ("Pereira2018-decoding", published.nn_decoding),
    ],
)
def test_nn_pereira(scored, identifier, reference):
    X, data = pereira()
    close(scored(identifier, X, data, 0.4), reference(X, data, 0.4), DEVIATION_SCALE)


@pytest.mark.parametrize(
    ("kind", "make", "cards"),
    [("blank", blank, "Blank2014fROI"), ("fedorenko", fedorenko, "Fedorenko2016v3")],
)
def test_nn_others(scored, kind, make, cards):
    X, data = make()
    own = np.random.default_rng(1).uniform(-0.1, 0.9, data["responses"].shape[1])
    named = dict(zip(data["neuroid_id"].tolist(), own.tolist(), strict=True))
    close(scored(f"{cards}-encoding", X, data, named), published.nn_encoding(X, data, own), DEVIATION_SCALE)
    for metric, reference in (("rdm", published.nn_rdm), ("cka", published.nn_cka)):
        close(scored(f"{cards}-{metric}", X, data, 0.3), reference(X, data, 0.3), DEVIATION_SCALE)


@pytest.mark.parametrize("number", [1, 3])
def test_nn_blank_sentences(scored, number):
    X, data = blank()
    rows, part = published.blank_sentence(X, data, number)
    own = np.full(data["responses"].shape[1], 0.5)
    named = dict(zip(data["neuroid_id"].tolist(), own.tolist(), strict=True))
    found = scored(f"Blank2014sentence{number}fROI-encoding", X, data, named)
    close(found, published.nn_encoding(rows, part, own), DEVIATION_SCALE)


def test_nn_futrell(scored):
    X = simulated.features(168, 4, 9)
    data = simulated.futrell(X, 10)
    close(scored("Futrell2018-encoding", X, data, 0.76), published.nn_futrell_encoding(X, data, 0.76), 1.0)


@pytest.mark.parametrize("experiment", ["243sentences", "384sentences"])
@pytest.mark.parametrize(
    ("suffix", "reference"), [("linear-shuffle", published.bl_linear_shuffle), ("ridge", published.bl_ridge)]
)
def test_bl_pereira(scored, experiment, suffix, reference):
    X, data = pereira()
    own, part = published.experiment_part(X, data, experiment)
    found = scored(f"Pereira2018.{experiment}-{suffix}", own, part, 0.35)
    close(found, reference(own, part, 0.35))


@pytest.mark.parametrize(("make", "cards"), [(blank, "Blank2014"), (fedorenko, "Fedorenko2016")])
@pytest.mark.parametrize(
    ("suffix", "reference"), [("linear-shuffle", published.bl_linear_shuffle), ("ridge", published.bl_ridge)]
)
def test_bl_others(scored, make, cards, suffix, reference):
    X, data = make()
    close(scored(f"{cards}-{suffix}", X, data, 0.2), reference(X, data, 0.2))


@pytest.mark.parametrize("metric", ["linear", "ridge", "cka", "rdm"])
def test_bl_tuckute(scored, metric):
    X = simulated.features(100, 8, 11)
    data = simulated.tuckute(X, 12)
    found, expected = scored(f"Tuckute2024-{metric}", X, data), published.bl_tuckute(X, data, metric)
    if metric == "rdm":  # one region has no dissimilarities
        assert np.isnan(expected["score"])
        assert np.isnan(found.layers["score"]).all()
    else:
        close(found, expected)

"""Ceilings of every kind, by their cards, against references that share no code with the package; the same draws."""

from __future__ import annotations

import numpy as np
import pytest
from parity import published_ceilings as reference
from parity import published_data as simulated
from parity import published_metrics as metrics
from parity import published_scores as published
from parity.test_published import assembly_of, card_on

from jaxscore.ceilings.asked import ceiling_of
from jaxscore.ceilings.pools import Plan
from jaxscore.data.assemblies import write_assembly

TOLERANCE = 1e-6
BOOTSTRAPS = 12


@pytest.fixture
def computed(tmp_path):
    """The ceiling of a card on a simulated data set."""

    def run(identifier: str, data: dict, **options):
        write_assembly(assembly_of(data), tmp_path / "data.nc")
        card = card_on(identifier, tmp_path / "data.nc", None)
        return ceiling_of(card, bootstraps=BOOTSTRAPS, **options)[0]

    return run


def close(found, expected: dict) -> None:
    """The whole with its interval, and every unit's ceiling."""
    for name, key in (("whole", "centre"), ("whole_low", "error_low"), ("whole_high", "error_high")):
        assert abs(found.attrs[name] - expected[key]) <= TOLERANCE, name
    np.testing.assert_allclose(np.sort(found["ceiling"].values), np.sort(expected["raw"]), atol=TOLERANCE, rtol=0)


def blank() -> dict:
    return simulated.blank(simulated.features(144, 8, 5), 6, n_subjects=4)


def fedorenko() -> dict:
    return simulated.fedorenko(simulated.features(96, 8, 7), 8, electrodes=(4, 7, 3, 6))


def test_nn_encoding(computed):
    data = blank()
    folds = metrics.nn_folds(data)
    expected = reference.extrapolation(data, lambda X, Y: metrics.encoding(X, Y, folds), BOOTSTRAPS)
    close(computed("Blank2014fROI-encoding", data, method="extrapolation"), expected)


@pytest.mark.parametrize(
    ("suffix", "regression", "splits"),
    [("linear-shuffle", metrics.ols, lambda data: metrics.shuffled(96)), ("ridge", metrics.ridge, metrics.bl_groups)],
)
def test_bl_encoding(computed, suffix, regression, splits):
    data = fedorenko()
    folds = splits(data)
    expected = reference.extrapolation(
        data, lambda X, Y: metrics.encoding(X, Y, folds, regression, metrics.pearson_guarded), BOOTSTRAPS
    )
    close(computed(f"Fedorenko2016-{suffix}", data, method="extrapolation"), expected)


@pytest.mark.parametrize("name", ["rdm", "cka"])
def test_nn_subject_wise(computed, name):
    data = fedorenko()
    similarity = {"rdm": metrics.rdm_similarity, "cka": metrics.linear_cka}[name]
    folds = metrics.stratified(data["sentence_id"])
    expected = reference.extrapolation(data, lambda X, Y: metrics.on_test_parts(X, Y, folds, similarity), BOOTSTRAPS)
    close(computed(f"Fedorenko2016v3-{name}", data, method="extrapolation"), expected)


def test_electrodes(computed):
    data = fedorenko()
    folds = metrics.nn_folds(data)
    expected = reference.electrode_extrapolation(
        data, lambda X, Y: metrics.encoding(X, Y, folds), reference.electrode_choices(data), BOOTSTRAPS
    )
    found = computed("Fedorenko2016v3-encoding", data, method="extrapolation", over="electrodes")
    close(found, expected)


def test_pereira_with_the_same_draws(computed):
    data = simulated.pereira(simulated.pereira_features(3), 4, n_voxels=3)
    usable, experiments = published.usable(data), ("243sentences", "384sentences")
    subsets, held, folds = {}, {}, {}
    for name in experiments:
        rows = usable["experiment"] == name
        present = np.isfinite(usable["responses"][rows]).all(0)
        folds[name] = metrics.folds(int(rows.sum()))
        for k, drawn in Plan(4, 3, 0).draw(usable["subject"][present].tolist()).items():
            subsets[name, k] = [subset for subset, _ in drawn]
            held[name, k] = [out for _, out in drawn]
    by_experiment = {name: (lambda X, Y, own=own: metrics.encoding(X, Y, own)) for name, own in folds.items()}
    expected = reference.pereira_extrapolation(data, by_experiment, subsets, held, BOOTSTRAPS)
    found = computed("Pereira2018-encoding", data, method="extrapolation", subsets=4, held_out=3)
    for name, key in (("whole", "centre"), ("whole_low", "error_low"), ("whole_high", "error_high")):
        assert abs(found.attrs[name] - expected[key]) <= TOLERANCE, name


def test_subject_halves(computed):
    data = simulated.futrell(simulated.features(168, 4, 9), 10)
    expected = reference.futrell_split_half(data)
    found = computed("Futrell2018-pearsonr", data)
    assert abs(found.attrs["whole"] - expected["centre"]) <= TOLERANCE

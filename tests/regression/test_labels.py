"""xarray in and out: dimensions in any order, the same stimuli on both sides, coordinates on what comes out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from parity.regimes import SPLITS, N, gaussian, responses

from jaxscore.errors import DataError
from jaxscore.regression import OLS, RidgeCV, cross_validate
from jaxscore.regression.labels import Labels
from jaxscore.regression.scores import SCORES

pytestmark = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")

LAYERS, FEATURES = 3, 7
FOLDS = SPLITS["shuffled"]


def features() -> xr.DataArray:
    values = np.stack([gaussian(FEATURES, seed) for seed in range(LAYERS)])
    return xr.DataArray(
        values,
        dims=("layer", "presentation", "feature"),
        coords={
            "layer": ["drop", "h.0", "h.1"],
            "depth": ("layer", [0, 1, 2]),
            "stimulus_id": ("presentation", [f"s{i}" for i in range(N)]),
        },
    )


def voxels() -> xr.DataArray:
    Y = responses(gaussian(9))
    return xr.DataArray(
        Y,
        dims=("presentation", "neuroid"),
        coords={
            "stimulus_id": ("presentation", [f"s{i}" for i in range(N)]),
            "story": ("presentation", np.arange(N) // 6),
            "neuroid_id": ("neuroid", [f"v{i}" for i in range(Y.shape[1])]),
            "subject": ("neuroid", list("aabbcc")),
        },
    )


def plain(**options) -> np.ndarray:
    return cross_validate(features().values, voxels().values, FOLDS, dtype="float64", **options).r


def run(X, Y, **options) -> np.ndarray:
    return cross_validate(X, Y, FOLDS, dtype="float64", **options).r


def test_labelled_arrays_are_the_arrays():
    np.testing.assert_array_equal(run(features(), voxels()), plain())
    np.testing.assert_array_equal(run(features().values, voxels()), plain())
    np.testing.assert_array_equal(run(features(), voxels().values), plain())
    np.testing.assert_array_equal(run(list(features()), voxels()), plain())


@pytest.mark.parametrize(
    "order",
    [
        ("layer", "feature", "presentation"),
        ("presentation", "layer", "feature"),
        ("layer", "presentation", "feature"),
        ("feature", "presentation", "layer"),
        ("feature", "layer", "presentation"),
        ("presentation", "feature", "layer"),
    ],
)
def test_dimensions_of_features_in_another_order(order):
    np.testing.assert_array_equal(run(features().transpose(*order), voxels()), plain())


def test_one_layer_needs_no_layer_dimension():
    one = features()[1]
    np.testing.assert_array_equal(run(one, voxels()), plain()[1:2])
    np.testing.assert_array_equal(run(one.T, voxels()), plain()[1:2])


def test_responses_in_another_order():
    np.testing.assert_array_equal(run(features(), voxels().T), plain())
    square = voxels().isel(neuroid=np.arange(N) % 6)  # as many neuroids as stimuli: the shape does not tell
    np.testing.assert_array_equal(run(features(), square.T), run(features(), square))


def test_a_multi_index_names_the_axes_by_its_levels():
    Y = voxels().set_index(presentation=["stimulus_id", "story"], neuroid=["neuroid_id", "subject"])
    found = cross_validate(features(), Y, FOLDS, dtype="float64")
    np.testing.assert_array_equal(found.r, plain())
    dataset = found.to_dataset()
    assert list(dataset["subject"].values) == list("aabbcc")
    assert list(dataset["neuroid_id"].values) == [f"v{i}" for i in range(6)]


# --- the same stimuli -------------------------------------------------------------------------------------------------


def test_other_stimuli_are_an_error():
    Y = voxels()
    Y["stimulus_id"] = "presentation", [f"s{i}" for i in range(N - 1)] + ["extra"]
    with pytest.raises(DataError, match="stimulus_id differs between X and Y: 's59' and 'extra' in row 59"):
        run(features(), Y)


def test_another_order_of_stimuli_is_an_error():
    with pytest.raises(DataError, match="stimulus_id differs between X and Y: 's0' and 's1' in row 0") as caught:
        run(features(), voxels().roll(presentation=-1, roll_coords=True))
    assert "same order" in caught.value.hint
    with pytest.raises(DataError, match="stimulus_id differs"):
        run(features().isel(layer=0, drop=True), voxels().isel(presentation=slice(None, None, -1)))


def test_fewer_stimuli_are_an_error_of_shapes():
    with pytest.raises(DataError, match=r"shape \(60, 7\), Y has shape \(59, 6\)"):
        run(features(), voxels()[:-1])


def test_a_shared_coordinate_may_have_holes():
    X, Y, pace = features(), voxels(), np.where(np.arange(N) % 5, np.arange(N), np.nan)
    X["pace"], Y["pace"] = ("presentation", pace), ("presentation", pace)
    np.testing.assert_array_equal(run(X, Y), plain())
    Y["pace"] = "presentation", pace + 1
    with pytest.raises(DataError, match="pace differs between X and Y"):
        run(X, Y)


@pytest.mark.parametrize("dims", [("presentation",), ("layer", "more", "presentation", "feature")])
def test_dimensions_that_are_too_few_or_too_many(dims):
    with pytest.raises(DataError, match="expected three: layer, stimulus"):
        run(xr.DataArray(np.zeros([N] * len(dims) if len(dims) == 1 else (1, 1, N, 2)), dims=dims), voxels())
    with pytest.raises(DataError, match="expected two: stimulus"):
        run(features(), voxels().expand_dims("time"))


# --- out --------------------------------------------------------------------------------------------------------------


def test_a_dataset_carries_the_coordinates():
    found = cross_validate(features(), voxels(), FOLDS, RidgeCV([1.0, 1e3]), scores=SCORES)
    dataset = found.to_dataset()
    assert dict(dataset.sizes) == {"layer": 3, "fold": 5, "neuroid": 6}
    for name in SCORES:
        variable = dataset[name.replace("-", "_")]
        assert variable.dims == ("layer", "fold", "neuroid")
        np.testing.assert_array_equal(variable.values, found.scores[name])
    np.testing.assert_array_equal(dataset["alpha"].values, found.alphas)
    np.testing.assert_array_equal(dataset["pooled_r2"].values, found.pooled_r2)
    assert dataset["pooled_r2"].dims == ("layer", "neuroid")
    assert list(dataset["layer"].values) == ["drop", "h.0", "h.1"]
    assert dataset["depth"].dims == ("layer",)
    assert dataset["subject"].dims == ("neuroid",)
    assert "story" not in dataset.coords
    assert list(dataset["path"].values) == ["primal"] * 3
    assert dataset["pearson"].sel(layer="h.0").groupby("subject").median().sizes["subject"] == 3


def test_plain_arrays_give_a_dataset_without_coordinates_of_their_own():
    found = cross_validate([gaussian(20), gaussian(70)], responses(gaussian(9)), FOLDS, OLS())
    dataset = found.to_dataset()
    assert set(dataset.coords) == {"path", "condition"}
    assert list(dataset["path"].values) == ["complement", "dual"]
    np.testing.assert_array_equal(dataset["condition"].values, [d.condition for d in found.diagnoses])
    assert set(dataset.data_vars) == {"pearson"}


def test_dimensions_keep_their_own_names():
    X = features().rename(layer="block", presentation="sentence")
    Y = voxels().rename(neuroid="voxel", presentation="sentence")
    dataset = cross_validate(X, Y, FOLDS).to_dataset()
    assert dataset["pearson"].dims == ("block", "fold", "voxel")
    assert list(dataset["block"].values) == ["drop", "h.0", "h.1"]


def test_a_dataset_is_written_and_read(tmp_path):
    Y = voxels().assign_coords(neuroid=pd.RangeIndex(6))
    dataset = cross_validate(features(), Y, FOLDS, scores=("pearson", "r2")).to_dataset()
    dataset.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "found.nc", engine="h5netcdf") as read:
        xr.testing.assert_equal(read.load(), dataset)


def test_labels_are_taken_apart_once():
    X, Y, labels = Labels.take(features(), voxels())
    assert type(X) is type(Y) is np.ndarray
    assert set(labels.layer) == {"layer", "depth"}
    assert set(labels.neuroid) == {"neuroid_id", "subject"}
    assert Labels.take([1], [[2]])[2] == Labels()

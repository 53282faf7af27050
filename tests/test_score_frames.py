"""A score and a cross-validation as an xarray Dataset and as tidy tables: names, units, dtypes, numbers, NetCDF."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import jaxscore
from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression import BandedRidgeCV, RidgeCV, cross_validate
from jaxscore.scoring import reopen
from jaxscore.store.rows import COLUMNS

SHARED = ["model", "benchmark", "layer", "layer_index", "depth", "chosen"]
EDGES = pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning")
SHARED_DTYPES = {name: COLUMNS[name] for name in SHARED}


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> jaxscore.Score:
    """Six simulated subjects; ceilings that are known."""
    return jaxscore.score("mini", "Simulated2026-encoding", out=tmp_path_factory.mktemp("scored"))


@pytest.fixture
def own(tiny, study):
    """Score a study of one's own, with changes of its card."""

    def score(**card) -> jaxscore.Score:
        study.card |= card
        return jaxscore.score(str(tiny), study.write(), out=None)

    return score


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


# --- Score.to_dataset -------------------------------------------------------------------------------------------------


def test_a_dataset_has_names_units_and_what_was_run(scored):
    data = scored.to_dataset()
    dims = {"layer": 5, "part": 1, "fold": 5, "neuroid": 180, "each_subject": 6}
    assert dict(data.sizes) == dims
    assert set(data.data_vars) == {
        "r", "neuroid_ceiling", "score", "unclipped", "error", "low", "high", "median_r", "ceiling", "subject_score",
        "inner_score", "layer_of_fold",
    }  # fmt: skip
    assert data["r"].dims == ("layer", "part", "fold", "neuroid")
    units = {name: values.attrs.get("units") for name, values in data.data_vars.items()}
    assert {name for name, unit in units.items() if unit == "1"} == {"r", "median_r", "neuroid_ceiling", "ceiling"}
    assert {name for name, unit in units.items() if unit is None} == {"layer_of_fold"}
    assert all(values.attrs["long_name"] for values in data.data_vars.values())
    assert data.attrs == scored.layers.attrs
    assert data["layer_of_fold"].values.tolist() == scored.record["result"]["chosen"]["layer_of_fold"]
    assert not any(values.attrs for values in scored.arrays.values())  # what is stored is as it was


def test_layers_and_subjects_are_taken_by_name(scored):
    data, layer = scored.to_dataset(), scored.layers.attrs["chosen_layer"]
    r = data["r"].sel(layer=layer).mean(["part", "fold"])
    by_subject = (r / data["neuroid_ceiling"]).groupby("subject").median()
    assert by_subject.dims == ("subject",)
    np.testing.assert_allclose(by_subject, data["subject_score"].sel(layer=layer), rtol=1e-6)
    assert by_subject["subject"].values.tolist() == data["each_subject"].values.tolist()
    assert float(by_subject.median()) == pytest.approx(float(data["score"].sel(layer=layer)), rel=1e-6)


def test_a_multi_index_is_made_in_one_call(scored):
    data = scored.to_dataset().set_index(neuroid=["subject", "neuroid_id"])
    assert data["r"].sel(subject="sub2").shape == (5, 1, 5, 30)
    one = data["r"].sel(neuroid=("sub2", "sub2.3"))
    assert one.dims == ("layer", "part", "fold")
    xr.testing.assert_identical(data.reset_index("neuroid"), scored.to_dataset())


def test_a_dataset_goes_through_netcdf(scored, tmp_path):
    scored.to_dataset().to_netcdf(tmp_path / "score.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "score.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), scored.to_dataset())
    again = reopen(scored.paths.record)
    xr.testing.assert_identical(again.to_dataset(), scored.to_dataset())


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"aggregation": {"by": "subject"}},
        {"metric": "rdm", "units": ["subject"], "splits": {"scheme": "shuffled", "folds": 3}},
        {"metric": "cka", "units": ["subject"], "splits": {"scheme": "shuffled", "folds": 3}},
        {"metric": "decoding", "units": ["subject"]},
        {"metric": "surprisal"},
    ],
    ids=["encoding", "by", "rdm", "cka", "decoding", "surprisal"],
)
def test_any_card_has_a_dataset_and_frames(own, card, tmp_path):
    found = own(**card)
    data = found.to_dataset()
    data.to_netcdf(tmp_path / "score.nc", engine="h5netcdf")
    assert data["score"].attrs["units"] == "1"  # no ceiling
    for level in ("layer", "subject", "neuroid", "fold"):
        frame = found.to_frame(level)
        assert frame.columns.is_unique
        assert frame["layer"].unique().tolist() == found.layers["layer"].values.tolist()
    np.testing.assert_allclose(found.to_frame("subject")["score"], data["subject_score"].values.ravel())


# --- Score.to_frame ---------------------------------------------------------------------------------------------------


def test_layers_are_the_rows_of_the_table_of_results(scored, own):
    expected = jaxscore.results(scored.paths.place.path)
    pd.testing.assert_frame_equal(scored.to_frame(), expected)
    assert scored.to_frame().loc[lambda t: t["chosen"], "layer"].tolist() == [scored.layers.attrs["chosen_layer"]]
    unsaved = own().to_frame("layer")
    assert dtypes(unsaved) == COLUMNS
    assert unsaved[["key", "record"]].isna().all(axis=None)
    both = pd.concat([scored.to_frame(), unsaved], ignore_index=True)
    assert dtypes(both) == COLUMNS
    assert both.groupby(["model", "benchmark"]).size().to_dict() == {
        ("mini", "Simulated2026-encoding"): 5,
        ("tiny", "study"): 3,
    }


def test_subjects(scored):
    frame = scored.to_frame("subject")
    assert dtypes(frame) == SHARED_DTYPES | {"subject": "string", "score": "float64"}
    assert len(frame) == 5 * 6
    wide = frame.pivot(index="layer", columns="subject", values="score")
    expected = scored.layers["subjects"]
    np.testing.assert_array_equal(wide.loc[expected["layer"].values, expected["subject"].values], expected)


def test_neuroids(scored):
    frame = scored.to_frame("neuroid")
    values = {"ceiling": "float64", "r": "float64", "score": "float64"}
    assert (
        dtypes(frame) == SHARED_DTYPES | {"subject": "string", "neuroid_id": "string", "noise_sd": "float64"} | values
    )
    assert isinstance(frame.index, pd.RangeIndex)
    assert len(frame) == 5 * 180
    assert not frame.duplicated(["layer", "neuroid_id"]).any()
    medians = frame.groupby(["layer", "subject"])["score"].median().groupby("layer").median()
    np.testing.assert_allclose(medians[scored.layers["layer"].values], scored.layers["score"], rtol=1e-6)


def test_folds(scored):
    frame = scored.to_frame("fold")
    assert list(frame) == [
        *SHARED, "part", "fold", "subject", "neuroid_id", "noise_sd", "ceiling", "r", "score",
    ]  # fmt: skip
    assert dtypes(frame)["part"] == "string"
    assert dtypes(frame)["fold"] == "int64"
    one = frame[(frame["layer"] == "drop") & (frame["fold"] == 2) & (frame["neuroid_id"] == "sub3.4")]
    at = scored.arrays["neuroid_id"].values.tolist().index("sub3.4")
    assert one["r"].tolist() == [float(scored.arrays["r"].sel(layer="drop", part="all").values[2, at])]
    means = frame.groupby(["layer", "neuroid_id"], sort=False)["r"].mean()
    np.testing.assert_allclose(means, scored.to_frame("neuroid")["r"], rtol=1e-12)


def test_two_models_side_by_side(scored, own):
    both = pd.concat([scored.to_frame("neuroid"), own().to_frame("neuroid")], ignore_index=True)
    assert both.groupby("benchmark")["score"].count().to_dict() == {"Simulated2026-encoding": 900, "study": 12}
    assert dtypes(both)["neuroid_id"] == "string"


@pytest.mark.parametrize("level", ["neuroids", 3, None])
def test_an_unknown_level(scored, level):
    with pytest.raises(JaxscoreError, match="Unknown level") as caught:
        scored.to_frame(level)
    assert "layer, subject, neuroid, fold" in caught.value.hint


def test_a_notebook_shows_what_a_terminal_does(scored):
    html = scored._repr_html_()
    assert html.startswith("<pre>mini on Simulated2026-encoding")
    assert "SIMULATED responses" in html
    assert "<" not in html.removeprefix("<pre>").removesuffix("</pre>")


# --- CrossValidation --------------------------------------------------------------------------------------------------


def arrays(labelled: bool = True):
    """Two layers, 40 stimuli, 3 neuroids with subjects."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2, 40, 6))
    Y = X[0] @ rng.standard_normal((6, 3)) + rng.standard_normal((40, 3))
    if not labelled:
        return X, Y
    subject = ("neuroid", ["s1", "s1", "s2"])
    X = xr.DataArray(X, {"layer": ["h.0", "h.1"]}, ("layer", "stimulus", "feature"))
    return X, xr.DataArray(Y, {"neuroid": ["a", "b", "c"], "subject": subject}, ("stimulus", "neuroid"))


@EDGES
def test_cross_validation_as_a_tidy_table():
    found = cross_validate(*arrays(), 4, RidgeCV((1.0, 10.0)), scores=("pearson", "r2"))
    frame = found.to_frame()
    assert {name: str(frame[name].dtype) for name in ("layer", "fold", "neuroid", "subject", "path")} == {
        "layer": "string", "fold": "int64", "neuroid": "string", "subject": "string", "path": "string",
    }  # fmt: skip
    assert len(frame) == 2 * 4 * 3
    np.testing.assert_array_equal(frame["pearson"], found.r.ravel())
    np.testing.assert_array_equal(frame["alpha"], found.alphas.ravel())
    one = frame[(frame["layer"] == "h.1") & (frame["neuroid"] == "c")]
    assert one["r2"].tolist() == found.scores["r2"][1, :, 2].tolist()
    assert set(one["pooled_r2"]) == {found.pooled_r2[1, 2]}
    assert set(one["subject"]) == {"s2"}
    by = found.to_dataset()["pearson"].sel(layer="h.0").mean("fold").groupby("subject").median()
    assert by["subject"].values.tolist() == ["s1", "s2"]
    assert found.to_dataset()["pearson"].attrs["units"] == "1"


def test_without_names_axes_are_numbered():
    found = cross_validate(*arrays(labelled=False), 4)
    frame = found.to_frame()
    assert list(frame[["layer", "fold", "neuroid"]].iloc[-1]) == [1, 3, 2]
    assert {str(frame[name].dtype) for name in ("layer", "fold", "neuroid")} == {"int64"}


@EDGES
def test_weights_of_feature_spaces_have_a_column_each():
    solver = BandedRidgeCV([0, 0, 0, 1, 1, 1], (0.1, 1.0, 10.0, 100.0), candidates=5)
    found = cross_validate(*arrays(), 4, solver)
    frame = found.to_frame()
    np.testing.assert_array_equal(frame[["weight_0", "weight_1"]].to_numpy(), found.weights.reshape(-1, 2))
    assert found.to_dataset()["weight"].dims == ("layer", "fold", "neuroid", "space")


def test_data_frames_are_a_layer_and_named_neuroids():
    X, Y = arrays(labelled=False)
    frame = pd.DataFrame(Y, columns=["a", "b", "c"], index=np.arange(40) + 100)
    found = cross_validate(pd.DataFrame(X[0]), frame, 4)
    np.testing.assert_array_equal(found.r, cross_validate(X[:1], Y, 4).r)
    assert found.to_dataset()["pearson"].sel(neuroid="b").shape == (1, 4)
    assert found.to_frame()["neuroid"].unique().tolist() == ["a", "b", "c"]
    frame.columns = pd.MultiIndex.from_tuples([("s1", 0), ("s1", 1), ("s2", 0)], names=["subject", None])
    table = cross_validate([X[0]], frame, 4).to_frame()
    assert table.groupby(["subject", "level_1"]).size().to_dict() == {("s1", 0): 4, ("s1", 1): 4, ("s2", 0): 4}


def test_data_frames_with_the_same_rows_in_another_order():
    X, Y = arrays(labelled=False)
    names = [f"s{i}" for i in range(40)]
    features, responses = pd.DataFrame(X[0], names), pd.DataFrame(Y, names)
    expected = cross_validate(features, responses, 4).r
    for layers in (features, [X[0], features]):
        with pytest.raises(DataError, match="in another order: row 0 is 's0' and 's39'\nPut them in one order"):
            cross_validate(layers, responses[::-1], 4)
    np.testing.assert_array_equal(cross_validate(features, responses[::-1].loc[features.index], 4).r, expected)
    np.testing.assert_array_equal(cross_validate(features.reset_index(drop=True), responses, 4).r, expected)

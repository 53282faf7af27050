"""What values belong to: neuroids, units, units and features, the mean over subjects."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from jaxscore.cards import Card
from jaxscore.errors import CardError, DataError
from jaxscore.metrics.targets import MEAN, Targets


def card(metric: str = "encoding", **changes) -> Card:
    content = {
        "identifier": "own", "title": "Own", "follows": "nobody", "metric": metric, "data": {"source": "own.csv"},
        "splits": {"scheme": "contiguous"}, "regression": {"solver": "ols"},
        "ceiling": {"kind": "none", "source": "raw"},
    }  # fmt: skip
    return Card(**content | changes)


def assembly(*left_out: str) -> xr.DataArray:
    """Five neuroids of two subjects in two atlases."""
    coords = {
        "neuroid_id": ["1.0", "1.1", "2.0", "2.1", "2.2"],
        "subject": ["p1", "p1", "p2", "p2", "p2"],
        "atlas": ["language", "auditory", "language", "language", "auditory"],
        "roi": [7, 8, 7, 8, 9],
    }
    coords = {name: ("neuroid", values) for name, values in coords.items() if name not in left_out}
    return xr.DataArray(
        np.zeros((3, 5)), dims=("presentation", "neuroid"), coords=coords | {"run": ("presentation", list("abc"))}
    )


def test_neuroids_are_the_targets_of_encoding():
    found = Targets.of(card(), assembly(), 7)
    assert len(found) == 5
    np.testing.assert_array_equal(found.units, np.arange(5))
    assert set(found.coords) == {"neuroid_id", "subject", "atlas", "roi"}
    assert found.aggregated(card()).all()
    language = card(aggregation={"neuroids": {"atlas": "language", "subject": "p2"}})
    np.testing.assert_array_equal(found.aggregated(language), [False, False, True, True, False])
    numbers = card(aggregation={"neuroids": {"roi": "7"}})
    np.testing.assert_array_equal(found.aggregated(numbers), [True, False, True, False, False])


@pytest.mark.parametrize("metric", ["rdm", "cka"])
def test_units_by_atlas_and_subject(metric):
    own = card(metric, units=("atlas", "subject"), aggregation={"neuroids": {"atlas": "language"}})
    found = Targets.of(own, assembly(), 7)
    assert found.coords["neuroid_id"].tolist() == ["auditory.p1", "auditory.p2", "language.p1", "language.p2"]
    assert found.coords["atlas"].tolist() == ["auditory"] * 2 + ["language"] * 2
    assert found.coords["subject"].tolist() == ["p1", "p2", "p1", "p2"]
    np.testing.assert_array_equal(found.units, [2, 0, 3, 3, 1])
    np.testing.assert_array_equal(found.aggregated(own), [False, False, True, True])


def test_an_assembly_of_one_atlas_need_not_name_it():
    own = card("cka", units=("atlas", "subject"), aggregation={"neuroids": {"atlas": "language"}})
    found = Targets.of(own, assembly("atlas"), 7)
    assert found.coords["neuroid_id"].tolist() == ["p1", "p2"]
    np.testing.assert_array_equal(found.units, [0, 0, 1, 1, 1])
    assert found.aggregated(own).all()
    encoding = card(aggregation={"neuroids": {"atlas": "language"}})
    assert Targets.of(encoding, assembly("atlas"), 7).aggregated(encoding).all()


@pytest.mark.parametrize("units", [(), ("atlas",)])
def test_all_neuroids_together(units):
    """Without units, or where the only one is an atlas that is not named, subjects are not told apart."""
    found = Targets.of(card("rdm", units=units), assembly("atlas"), 7)
    assert {name: values.tolist() for name, values in found.coords.items()} == {
        "neuroid_id": ["all"], "subject": ["all"],
    }  # fmt: skip
    np.testing.assert_array_equal(found.units, np.zeros(5))


def test_decoding_has_a_target_for_each_unit_and_feature():
    found = Targets.of(card("decoding"), assembly(), 3)
    assert len(found) == 6
    assert found.coords["neuroid_id"].tolist() == ["p1.0", "p1.1", "p1.2", "p2.0", "p2.1", "p2.2"]
    assert found.coords["subject"].tolist() == ["p1"] * 3 + ["p2"] * 3
    assert found.coords["feature"].tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(found.units, [0, 0, 1, 1, 1])
    own = card("decoding", aggregation={"neuroids": {"subject": "p2"}})
    np.testing.assert_array_equal(found.aggregated(own), [False] * 3 + [True] * 3)


def test_reading_times_are_scored_as_their_mean_and_shown_for_each_subject():
    own = card("surprisal", aggregation={"neuroids": {"atlas": "language"}})
    found = Targets.of(own, assembly(), 7)
    expected = [MEAN, "1.0", "1.1", "2.0", "2.1", "2.2"]
    assert found.coords["neuroid_id"].tolist() == found.coords["subject"].tolist() == expected
    np.testing.assert_array_equal(found.aggregated(own), [True] + [False] * 5)


def test_units_that_the_neuroids_do_not_have():
    with pytest.raises(CardError, match=r"own: units: the neuroids have no region[^\n]*\nThey have: .*roi"):
        Targets.of(card("cka", units=("subject", "region")), assembly(), 7)
    with pytest.raises(CardError, match="no run"):  # of presentations
        Targets.of(card("cka", units=("run",)), assembly(), 7)


@pytest.mark.parametrize(
    ("name", "near"), [("atlass", "atlas"), ("subjects", "subject"), ("rois", "roi"), ("neuroid-id", "neuroid_id")]
)
def test_a_misspelt_coordinate_of_the_aggregate_is_an_error(name, near):
    own = card(aggregation={"neuroids": {name: "language"}})
    with pytest.raises(CardError, match=f"own: aggregation.neuroids: .*'{name}'.* Did you mean '{near}'"):
        Targets.of(own, assembly(), 7).aggregated(own)


def test_a_value_that_no_neuroid_has():
    own = card(aggregation={"neuroids": {"atlas": "langauge"}})
    with pytest.raises(DataError, match=r"No neuroid has .*langauge"):
        Targets.of(own, assembly(), 7).aggregated(own)

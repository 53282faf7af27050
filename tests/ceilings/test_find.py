"""Ceilings that scores are divided by: of a card, of the data, of a file, computed once and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import xarray as xr
from ceilings.own_study import responses, write_study

from jaxscore.cards import Card, load_benchmark
from jaxscore.cards.parts import Behaviour, Ceiling, Context, Data, Regression
from jaxscore.ceilings.find import computed, find_ceilings
from jaxscore.data.fetch import default_cache
from jaxscore.data.material import Material, load_material
from jaxscore.data.netcdf import write_array
from jaxscore.data.source import Source, open_source
from jaxscore.errors import CardError, DataError
from jaxscore.metrics.targets import Targets
from jaxscore.progress import Reporter
from jaxscore.result import protocol_of

HOLDOUT = {"kind": "computed", "method": "holdout", "source": "each from all others"}


class Made(NamedTuple):
    """A card with what is read for it."""

    card: Card
    material: Material
    source: Source

    def ask(self, card: Card | None = None, **options) -> tuple[xr.Dataset, Path]:
        """The computed ceiling of the card, or of another one on the same data."""
        card = card or self.card
        targets = Targets.of(card, self.material.assembly, 1)
        source = options.pop("source", self.source)
        return computed(card, self.material, targets, protocol_of(card), source, Reporter(), **options)

    def find(self, card: Card | None = None):
        card = card or self.card
        targets = Targets.of(card, self.material.assembly, 1)
        return find_ceilings(card, self.material, targets, protocol_of(card), self.source, Reporter())

    def of(self, **ceiling: Any) -> Card:
        """The card with another ceiling."""
        return self.card.model_copy(update={"ceiling": Ceiling(**{"source": "somewhere"} | ceiling)})


@pytest.fixture
def made(tmp_path, monkeypatch) -> Made:
    """Three subjects with three regions each, measured twice and held out in turn; a cache of its own."""
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    card = load_benchmark(write_study(tmp_path, responses(repetitions=2), ceiling=HOLDOUT))
    source = open_source(card)
    return Made(card, load_material(card, source), source)


@pytest.fixture
def quick(made) -> Made:
    """A ceiling of repetitions, which takes no regression."""
    return made._replace(card=changed(made.card, "ceiling", method="test-retest"))


def changed(card: Card, table: str, **values: Any) -> Card:
    return card.model_copy(update={table: getattr(card, table).model_copy(update=values)})


# --- what is computed is kept ---------------------------------------------------------------------------------------


def marked(path: Path) -> None:
    """Change the ceiling in the cache, so that it can be told from one that was computed."""
    with xr.open_dataset(path, engine="h5netcdf") as file:
        found = file.load()
    path.write_bytes(bytes(found.assign_attrs(whole=99.0).to_netcdf(engine="h5netcdf")))


def test_the_second_answer_is_the_cache_s_and_can_be_overwritten(quick):
    found, path = quick.ask()
    assert path.is_relative_to(default_cache())
    again, same = quick.ask()
    assert same == path
    xr.testing.assert_identical(again, found)
    marked(path)
    assert quick.ask()[0].attrs["whole"] == 99
    xr.testing.assert_identical(quick.ask(overwrite=True)[0], found)
    xr.testing.assert_identical(quick.ask()[0], found)


def test_a_damaged_file_is_computed_again(quick):
    found, path = quick.ask()
    content = path.read_bytes()
    for damaged in (b"", b"no NetCDF at all", content[:100], content[: len(content) // 2], content[:-1]):
        path.write_bytes(damaged)
        xr.testing.assert_identical(quick.ask()[0], found)
        assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_loses_nothing(quick, tmp_path, monkeypatch):
    found, _ = quick.ask()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "file"))
    again, path = quick.ask()
    xr.testing.assert_identical(again, found)
    assert not path.exists()


def test_the_benchmark_is_that_of_the_card_that_asked(quick):
    other = quick.card.model_copy(update={"identifier": "Other"})
    (first, path), (second, same) = quick.ask(), quick.ask(other)
    assert path == same
    assert (first.attrs["benchmark"], second.attrs["benchmark"]) == ("own", "Other")
    assert second.drop_attrs().identical(first.drop_attrs())


# --- what names it --------------------------------------------------------------------------------------------------

DATA = {
    "sentence": "text", "stimulus_id": "id", "group": "story", "responses": ["a*"], "subject": "reader",
    "neuroid_id": ["who"], "select": {"atlas": ["x"]}, "scored": {"a": ["1"]}, "unscored": {"a": ["2"]},
    "labels": {"first": "item:0"}, "per": "experiment", "passage": ["p"], "story": ["s"], "missing": "keep",
    "run": "run", "repetition": "again", "time_bin": "ms", "preprocess": ["zscore"], "stimuli": "stimuli.csv",
    "neuroids": "voxels.csv", "mask": "mask.nii", "variable": "bold", "value": "beta", "neuroid": ["roi"],
}  # fmt: skip
PLACES = {"source", "sha256", "sha1"}


def test_every_key_of_the_data_names_it(quick):
    assert DATA.keys() == set(Data.model_fields) - PLACES
    others = [changed(quick.card, "data", **{key: value}) for key, value in DATA.items()]
    assert len({quick.ask(card)[1] for card in (quick.card, *others)}) == len(others) + 1


def test_splits_regression_correlation_and_scored_neuroids_name_it(quick):
    card = quick.card
    others = [
        changed(card, "splits", scheme="shuffled"),
        changed(card, "splits", folds=4),
        changed(card, "splits", scheme="shuffled", seed=3),
        changed(card, "splits", by="story"),
        changed(card, "splits", values="word"),
        changed(card, "splits", scheme="blocks", trim=1),
        changed(card, "regression", alpha=2.0),
        card.model_copy(update={"regression": Regression(solver="ols")}),
        card.model_copy(update={"regression": Regression(solver="ols", rcond=1e-3)}),
        card.model_copy(update={"regression": Regression(solver="ridge-loo")}),
        card.model_copy(update={"regression": Regression(solver="ridge-gcv")}),
        card.model_copy(update={"regression": Regression(solver="ridge-loo", alphas=(1.0, 2.0))}),
        card.model_copy(update={"regression": Regression(solver="ridge-loo", per_neuroid=False)}),
        card.model_copy(update={"correlation": "pearson-eps"}),
        card.model_copy(update={"units": ("subject", "roi")}),
        card.model_copy(update={"units": ()}),
        card.model_copy(update={"behaviour": Behaviour(shift=1)}),
        changed(card, "aggregation", neuroids={"roi": "x"}),
        changed(card, "aggregation", neuroids={"roi": "y"}),
        changed(card, "aggregation", neuroids={"subject": "s0"}),
    ]
    assert len({quick.ask(own)[1] for own in (card, *others)}) == len(others) + 1


def test_every_setting_of_the_ceiling_names_it(quick):
    settings = {"method": "split-half", "over": "electrodes", "subsets": 2, "held_out": 2, "bootstraps": 5}
    settings |= {"splits": 3, "seed": 7}
    cards = [quick.card, *(changed(quick.card, "ceiling", **{key: value}) for key, value in settings.items())]
    assert len({quick.ask(card)[1] for card in cards}) == len(cards)


def test_the_metric_names_it_and_the_regression_where_there_is_one(made):
    found = {}
    for metric in ("encoding", "decoding", "cka"):
        own = made.card.model_copy(update={"metric": metric})
        found[metric] = {made.ask(card)[1] for card in (own, changed(own, "regression", alpha=5.0))}
    assert {metric: len(paths) for metric, paths in found.items()} == {"encoding": 2, "decoding": 2, "cka": 1}
    assert len(set().union(*found.values())) == 5


def test_what_was_read_names_it(quick):
    assert quick.ask(source=replace(quick.source, sha256="0" * 64))[1] != quick.ask()[1]


def test_what_changes_no_ceiling_does_not_name_it(quick):
    card = quick.card
    others = [
        card.model_copy(update={key: value})
        for key, value in {
            "identifier": "other", "title": "Another", "citation": "Somebody", "follows": "all", "simulated": "yes",
            "reduction": "pca:2", "pooling": "mean", "context": Context(group="passage"),
        }.items()
    ]  # fmt: skip
    others += [changed(card, "data", **{place: "elsewhere"}) for place in sorted(PLACES)]
    others += [changed(card, "ceiling", source="from us", each=True)]
    assert {quick.ask(own)[1] for own in others} == {quick.ask()[1]}


@pytest.mark.parametrize("regression", [Regression(solver="ols"), Regression(solver="ridge", alpha=1.0)])
def test_components_of_a_model_s_layers_are_none_of_other_subjects(made, regression):
    """Subjects are predicted from all that others have, whatever the layers are reduced to."""
    plain = made.card.model_copy(update={"regression": regression})
    reduced = plain.model_copy(update={"reduction": "pca:1"})
    assert protocol_of(reduced).metric.solver.components == 1
    found, again = (made.ask(card, overwrite=True)[0] for card in (plain, reduced))
    xr.testing.assert_identical(again, found)


# --- what a score makes of it ---------------------------------------------------------------------------------------


def test_one_for_all_or_each_its_own(made):
    whole, each = made.find(), made.find(changed(made.card, "ceiling", each=True))
    kept = made.ask()[0]
    assert whole.whole == kept.attrs["whole"]
    np.testing.assert_array_equal(whole.values, np.full(9, whole.whole))
    expected = dict(zip(kept["neuroid_id"].values.tolist(), kept["ceiling"].values, strict=True))
    own = np.array([expected[name] for name in made.material.assembly["neuroid_id"].values])
    np.testing.assert_array_equal(each.values, np.where(own > 0, own, np.nan))
    owners = made.material.assembly["subject"].values
    medians = [np.nanmedian(each.values[owners == subject]) for subject in ("s0", "s1", "s2")]
    assert each.whole == pytest.approx(np.median(medians))
    assert whole.source == each.source == "each from all others"
    assert whole.notes | {"file": ""} == {"file": "", "method": "holdout", "seed": 0, "whole": whole.whole, "failed": 0}
    assert whole.warnings == []


def test_neuroids_that_are_not_scored_have_none_of_their_own(made):
    card = changed(changed(made.card, "ceiling", each=True), "aggregation", neuroids={"roi": "y"})
    found = made.find(card)
    scored = made.material.assembly["roi"].values == "y"
    assert np.isnan(found.values[~scored]).all()
    assert np.isfinite(found.values[scored]).any()
    assert found.whole == pytest.approx(np.nanmedian(found.values[scored]))


def test_subjects_without_a_scored_neuroid_still_predict_the_others(made):
    whole = made.ask()[0]
    found, _ = made.ask(changed(made.card, "aggregation", neuroids={"subject": "s1"}))
    own = whole["target_subject"].values == "s1"
    np.testing.assert_allclose(found["ceiling"].values, whole["ceiling"].values[own], rtol=0, atol=1e-9)
    assert found.attrs["whole"] == pytest.approx(np.median(found["ceiling"]))


def test_neuroids_of_one_name_are_not_told_apart(made):
    assembly = made.material.assembly.assign_coords(neuroid_id=("neuroid", list("aabcdefgh")))
    twice = made._replace(material=replace(made.material, assembly=assembly))
    with pytest.raises(DataError, match=r"several neuroids have one neuroid_id\n.*data\.neuroid_id"):
        twice.find(changed(made.card, "ceiling", each=True))
    assert np.isfinite(twice.find().whole)


def test_what_the_regressions_and_the_curves_said(made):
    edge = made.card.model_copy(update={"regression": Regression(solver="ridge-loo", alphas=(1e-9, 1e-8))})
    for method in ("holdout", "extrapolation"):
        assert "edge" in made.find(changed(edge, "ceiling", method=method, bootstraps=4)).warnings[0]
    kept, path = made.ask()
    path.write_bytes(bytes(kept.assign_attrs(failed=3).to_netcdf(engine="h5netcdf")))
    assert any(warning.startswith("3 curves") for warning in made.find().warnings)


# --- ceilings that are known ----------------------------------------------------------------------------------------


def test_no_ceiling(made):
    found = made.find(made.of(kind="none"))
    np.testing.assert_array_equal(found.values, 1)
    assert np.isnan(found.whole)
    assert found.source == "somewhere"


def test_a_published_one(made):
    found = made.find(made.of(kind="published", value=0.32))
    np.testing.assert_array_equal(found.values, np.full(9, 0.32))
    assert found.whole == 0.32


def test_values_by_neuroid(made):
    """What is not positive is none; the whole is the median over subjects of the medians over their neuroids."""
    found = made.find(
        made.of(kind="neuroid", values={"s0.x": 0.4, "s0.y": 0.2, "s1.z": 0.9, "s2.x": 0.0, "s2.y": -1.0})
    )
    named = dict(zip(made.material.assembly["neuroid_id"].values.tolist(), found.values.tolist(), strict=True))
    assert {name: value for name, value in named.items() if value == value} == {"s0.x": 0.4, "s0.y": 0.2, "s1.z": 0.9}
    assert found.whole == pytest.approx((0.3 + 0.9) / 2)
    with pytest.raises(CardError, match=r"own: ceiling\.values names none of the neuroids"):
        made.find(made.of(kind="neuroid", values={"s0": 0.4}))


def test_a_coordinate(made):
    values = np.array([0.1, -0.2, 0.3, np.nan, 0.5, 0.6, 0.7, 0.8, 0.9])
    assembly = made.material.assembly.assign_coords(reliability=("neuroid", values))
    with_coordinate = made._replace(material=replace(made.material, assembly=assembly))
    found = with_coordinate.find(made.of(kind="neuroid", coordinate="reliability"))
    np.testing.assert_array_equal(found.values, np.where(values > 0, values, np.nan))
    with pytest.raises(DataError, match="no coordinate 'reliability'"):
        made.find(made.of(kind="neuroid", coordinate="reliability"))


def test_a_file(made, tmp_path):
    """Of neuroids, in an order of its own: each, or their median; or a single number."""
    ids = made.material.assembly["neuroid_id"].values[::-1][:6]
    write_array(xr.DataArray(np.arange(1, 7) / 10, {"neuroid_id": ("neuroid", ids)}, "neuroid"), tmp_path / "own.nc")
    whole, each = (made.find(made.of(kind="file", file="own.nc", each=each)) for each in (False, True))
    np.testing.assert_array_equal(whole.values, np.full(9, 0.35))
    np.testing.assert_array_equal(each.values, [np.nan] * 3 + [0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert each.whole == pytest.approx((0.5 + 0.2) / 2)
    assert each.notes["sha256"] == whole.notes["sha256"]
    write_array(xr.DataArray(0.4), tmp_path / "one.nc")
    assert made.find(made.of(kind="file", file="one.nc")).whole == pytest.approx(0.4)
    with pytest.raises(DataError, match=r"no ceilings of single neuroids\n.*ceiling\.each = false"):
        made.find(made.of(kind="file", file="one.nc", each=True))
    with pytest.raises(DataError, match="sha1"):
        made.find(made.of(kind="file", file="one.nc", sha1="0" * 40))


def test_a_whole_that_is_not_positive_is_none(made):
    kept, path = made.ask()
    path.write_bytes(bytes(kept.assign_attrs(whole=-0.1).to_netcdf(engine="h5netcdf")))
    assert np.isnan(made.find().values).all()


def test_responses_have_a_ceiling_to_find(made):
    """The others know about as much of a subject as the noise lets them."""
    assert 0.2 < made.ask()[0].attrs["whole"] < 0.95

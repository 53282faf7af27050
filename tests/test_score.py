"""`jaxscore.score`: the same as the command line, every option with its effect, own data with ceilings."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from contexts.chained import make_windows
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import GroupKFold, KFold

import jaxscore
from jaxscore.contexts.alignment import tokenise
from jaxscore.contexts.windows import group_stimuli
from jaxscore.errors import JaxscoreError
from jaxscore.extract.passes import extract


@pytest.fixture
def score(tiny, study):
    def score(model=str(tiny), **options) -> jaxscore.Score:
        return jaxscore.score(model, study.write(), **{"out": None} | options)

    return score


def _features(folder, study, *, groups=None, pooling="last", start=(), limit=256, **options) -> np.ndarray:
    """States [layer, stimulus, feature], each stimulus in a window of its own."""
    model = jaxscore.load_model(folder, **options)
    stimuli = tokenise(model.tokenizer, study.table["sentence"].tolist(), study.table["item"].tolist())
    labels = study.table["passage"] if groups is None else groups
    windows = make_windows(group_stimuli(list(labels)), stimuli, start, causal=False, limit=limit)
    return extract(model.transformer(), windows, range(3), pooling=pooling).states


def _r(features, study, folds, make) -> np.ndarray:
    """Mean over folds of Pearson r [layer, neuroid] by scikit-learn in float64."""
    Y = study.table[list("abcd")].to_numpy()
    found = np.empty((len(features), len(folds), 4))
    for i, X in enumerate(features.astype(np.float64)):
        for k, (train, test) in enumerate(folds):
            predicted = make().fit(X[train], Y[train]).predict(X[test])
            found[i, k] = [np.corrcoef(predicted[:, j], Y[test, j])[0, 1] for j in range(4)]
    return found.mean(1)


def _close(found: jaxscore.Score, r: np.ndarray) -> None:
    """Ridge of well-conditioned features: the same r of every layer and neuroid."""
    np.testing.assert_allclose(found.arrays["r"].mean("fold").isel(part=0), r, atol=2e-5)
    np.testing.assert_allclose(found.layers["r"], np.median(r, axis=1), atol=2e-5)


SHUFFLED = list(KFold(3, shuffle=True, random_state=1).split(np.zeros(30)))


def ridge(alpha: float = 10.0):
    return lambda: Ridge(alpha)


def test_python_equals_the_command_line(cli, tiny, study):
    asked = ["--layers", "1-2", "--regression", "ridge:3", "--folds", "4", "--splits", "grouped", "--bos", "always"]
    record = json.loads(cli("run", tiny, "-b", study.write(), *asked, "--json").out)
    found = jaxscore.score(
        tiny, study.write(), layers="1-2", regression="ridge:3", folds=4, splits="grouped", bos="always", out="other"
    )
    assert found.record["result"] == record["result"]
    assert found.record["in_force"] == record["in_force"]
    assert found.paths.record.name == record["paths"]["record"].rsplit("/", 1)[1]
    again = jaxscore.score(
        tiny, study.write(), layers="1-2", regression="ridge:3", folds=4, splits="grouped", bos="always"
    )
    assert again.resumed  # the command line's own result


def test_defaults_are_those_of_the_command_line():
    from jaxscore.cli.run import run

    shell = {name: p.default for name, p in inspect.signature(run).parameters.items()}
    for name, parameter in inspect.signature(jaxscore.score).parameters.items():
        if name not in ("model", "benchmark", "reporter", "on_stimuli", "on_activations"):
            assert shell[name] == parameter.default, name


def test_card_in_force_without_options(score, tiny, study):
    found = score()
    _close(found, _r(_features(tiny, study), study, SHUFFLED, ridge()))
    groups = study.table["passage"]
    grouped = list(GroupKFold(3, shuffle=True, random_state=1).split(np.zeros(30), groups=groups))
    expected = np.median(_r(_features(tiny, study), study, grouped, ridge()), axis=1)
    np.testing.assert_allclose(found.layers["grouped"], expected, atol=2e-5)
    assert np.isnan(found.layers["ceiling"]).all()


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_pooling(score, tiny, study, pooling):
    _close(score(pooling=pooling), _r(_features(tiny, study, pooling=pooling), study, SHUFFLED, ridge()))


def test_context(score, tiny, study):
    alone = _features(tiny, study, groups=range(30))
    assert np.abs(alone - _features(tiny, study)).max() > 0.1
    _close(score(context="sentence"), _r(alone, study, SHUFFLED, ridge()))


def test_window(score, tiny, study):
    """A window that slides over the passage, of the length that the card says."""
    study.card["context"]["window"] = 50
    short = _features(tiny, study, limit=50)
    assert np.abs(short - _features(tiny, study)).max() > 0.1
    # the input of the first block is the same for every last token at the end of a full window: nothing to predict from
    np.testing.assert_allclose(
        score(layers="1-2").arrays["r"].mean("fold").isel(part=0), _r(short[1:], study, SHUFFLED, ridge()), atol=2e-5
    )


def test_bos(score, tiny, study):
    end = jaxscore.load_model(tiny).tokenizer.bos_token_id
    found = score(bos="always")
    _close(found, _r(_features(tiny, study, start=[end]), study, SHUFFLED, ridge()))
    assert found.record["model"]["start_tokens"] == ["<|endoftext|>"]
    np.testing.assert_array_equal(score(bos="never").arrays["r"], score().arrays["r"])  # this tokenizer adds none


def test_regression(score, tiny, study):
    features = _features(tiny, study)
    _close(score(regression="ridge:0.3"), _r(features, study, SHUFFLED, ridge(0.3)))
    chosen = score(regression="ridge-loo")
    grid = [10.0**k for k in range(-3, 4)]
    _close(chosen, _r(features, study, SHUFFLED, lambda: RidgeCV(grid, alpha_per_target=True)))
    assert any("chosen alphas sit on the edge of the grid" in note for note in chosen.record["result"]["warnings"])
    ols = score(regression="ols", layers="1").arrays["r"].mean("fold").isel(part=0)
    np.testing.assert_allclose(ols, _r(features[1:2], study, SHUFFLED, LinearRegression), atol=1e-4)


def test_rcond(score):
    strict, loose = score(regression="ols", rcond=0.3), score(regression="ols")
    ranks = [[row["rank"][1] for row in found.record["result"]["regression"]["all"]] for found in (strict, loose)]
    assert all(a < b for a, b in zip(*ranks, strict=True)), ranks


@pytest.mark.parametrize(
    ("options", "folds"),
    [
        ({"folds": 5}, list(KFold(5, shuffle=True, random_state=1).split(np.zeros(30)))),
        ({"splits": "contiguous"}, list(KFold(3).split(np.zeros(30)))),
    ],
    ids=["folds", "contiguous"],
)
def test_splits(score, tiny, study, options, folds):
    found = score(**options)
    assert found.arrays.sizes["fold"] == len(folds)
    _close(found, _r(_features(tiny, study), study, folds, ridge()))
    assert ("grouped" in found.layers) == ("splits" not in options)


@pytest.mark.parametrize("options", [{"folds": 0}, {"folds": 2}, {"folds": -3}, {"regression": ""}, {"seed": -1}])
def test_refused(score, options):
    with pytest.raises(JaxscoreError):
        score(untrained="seed" in options, **options)


def test_layers(score):
    every, two = score(), score(layers="encoder.h.1,0")
    assert two.layers["layer"].values.tolist() == ["drop", "encoder.h.1"]
    for name in ("score", "error", "r"):
        np.testing.assert_allclose(two.layers[name], every.layers[name][[0, 2]], atol=1e-6)
    one = score(layers="-1")
    assert one.layers.attrs["chosen_layer"] == "encoder.h.1"
    assert one.value == pytest.approx(one.layers["score"].item(), abs=1e-6)


def test_untrained_draws(score, tiny, study):
    first, second, other = (score(untrained=True, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.arrays["r"], second.arrays["r"])
    assert np.abs(first.arrays["r"] - other.arrays["r"]).max() > 1e-3
    assert np.abs(first.arrays["r"] - score().arrays["r"]).max() > 1e-3
    _close(other, _r(_features(tiny, study, untrained=True, seed=1), study, SHUFFLED, ridge()))
    np.testing.assert_array_equal(score(seed=5).arrays["r"], score().arrays["r"])  # trained weights have no seed


def test_dtype(score):
    exact = score().arrays["r"].values
    for dtype, most in (("bfloat16", 0.2), ("float16", 0.03)):
        found = score(dtype=dtype)
        assert found.record["model"]["dtype"] == dtype
        assert 1e-6 < np.abs(found.arrays["r"].values - exact).max() < most


def test_data_in_place_of_the_source(score, study, tmp_path):
    first = score()
    study.table.to_csv(tmp_path / "elsewhere.csv", index=False)
    study.card["data"] |= {"source": "s3://nowhere/study.csv", "sha256": "0" * 64}
    found = score(data="elsewhere.csv", offline=True)
    np.testing.assert_array_equal(found.arrays["r"], first.arrays["r"])
    assert score(data=tmp_path / "elsewhere.csv").record["benchmark"]["data"] == found.record["benchmark"]["data"]


def test_loaded_model_and_card(tiny, study, score):
    card = jaxscore.load_benchmark(study.write())
    found = jaxscore.score(jaxscore.load_model(tiny, untrained=True, seed=3), card, out=None)
    np.testing.assert_array_equal(found.arrays["r"], score(untrained=True, seed=3).arrays["r"])


def test_text_of_a_score(score):
    text = str(score())
    assert text.startswith("tiny on study\n")
    assert all(name in text for name in ("drop", "encoder.h.0", "encoder.h.1", "chosen on inner folds"))
    assert max(map(len, text.splitlines())) <= 80


def test_own_data_with_ceilings(score, study):
    """A card beside a CSV, each region over its own ceiling; one region has none, and is said to be left out."""
    ceilings = {"a": 0.5, "b": 0.6, "c": 0.8}
    study.card["ceiling"] = {"kind": "neuroid", "source": "split halves of mine", "values": ceilings}
    found = score()
    r = found.arrays["r"].mean("fold").isel(part=0)
    by_hand = np.median([r.sel(neuroid=i) / c for i, c in enumerate(ceilings.values())], axis=0)
    np.testing.assert_allclose(found.layers["score"], by_hand, atol=1e-6)
    np.testing.assert_allclose(found.layers["ceiling"], 0.6)
    assert "split halves of mine" in str(found)
    assert "1 neuroids have no positive ceiling" in " ".join(str(found).split())


def test_one_published_ceiling(score, study):
    raw = score()
    study.card["ceiling"] = {"kind": "published", "value": 0.4, "source": "a paper"}
    found = score()
    np.testing.assert_allclose(found.layers["score"], raw.layers["score"] / 0.4, atol=1e-6)
    np.testing.assert_allclose(found.layers["error"], raw.layers["error"] / 0.4, atol=1e-6)
    np.testing.assert_allclose(found.layers["r"], raw.layers["r"], atol=1e-6)
    assert found.value == pytest.approx(raw.value / 0.4, abs=1e-6)


def test_the_layer_is_chosen_without_the_test_fold(score):
    """By hand: for each fold the layer with the best inner score, and its r on that fold."""
    found = score()
    inner, r = found.arrays["inner_score"].values, found.arrays["r"].isel(part=0).values
    layers = inner.argmax(0)
    chosen = np.stack([r[layer, fold] for fold, layer in enumerate(layers)]).mean(0)
    assert found.value == pytest.approx(np.median(chosen), abs=1e-6)
    names = found.arrays["layer"].values[layers].tolist()
    assert found.record["result"]["chosen"]["layer_of_fold"] == names


def test_embedded_pair():
    found = jaxscore.score("mini", "Simulated2026-encoding", out=None)
    assert found.arrays.sizes["neuroid"] == 180
    assert 0.05 < found.value < 1
    assert found.layers.attrs["simulated"]
    control = jaxscore.score("mini", "Simulated2026-encoding", out=None, layers="0")
    assert control.layers["score"].item() == pytest.approx(found.layers["score"].values[0], abs=1e-6)

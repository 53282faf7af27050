"""Checks of the references of the published scores: values known beforehand, and facts that cannot be otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from parity import published_data as simulated
from parity import published_metrics as metrics
from parity import published_scores as scores
from scipy import stats

EXPERIMENTS = ("243sentences", "384sentences")


def exact(X: np.ndarray, data: simulated.Data) -> simulated.Data:
    """The same data with responses that are linear in the features, NaN where it had NaN."""
    weights = np.random.default_rng(0).standard_normal((X.shape[1], data["responses"].shape[1]))
    return {**data, "responses": np.where(np.isnan(data["responses"]), np.nan, X @ weights)}


# --- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_features", [4, 60])
def test_ols_predicts_as_minimum_norm_least_squares_of_centred_features(n_features: int):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((40, n_features)) + 2, rng.standard_normal((40, 3))
    train, test = slice(0, 30), slice(30, 40)
    centre = X[train].mean(axis=0)
    weights = np.linalg.lstsq(X[train] - centre, Y[train] - Y[train].mean(axis=0))[0]
    expected = (X[test] - centre) @ weights + Y[train].mean(axis=0)
    np.testing.assert_allclose(metrics.ols(X[train], Y[train], X[test]), expected, atol=1e-10)


def test_ridge_takes_the_alpha_of_the_least_leave_one_out_error_over_all_neuroids():
    rng = np.random.default_rng(1)
    X, new = rng.standard_normal((24, 10)), rng.standard_normal((5, 10))
    Y = X @ rng.standard_normal((10, 3)) + np.array([0.1, 3.0, 9.0]) * rng.standard_normal((24, 3))

    def predict(X: np.ndarray, Y: np.ndarray, new: np.ndarray, alpha: float) -> np.ndarray:
        centred = X - X.mean(axis=0)
        weights = np.linalg.solve(centred.T @ centred + alpha * np.eye(10), centred.T @ (Y - Y.mean(axis=0)))
        return (new - X.mean(axis=0)) @ weights + Y.mean(axis=0)

    def left_out(alpha: float) -> float:
        rest = [np.delete(np.arange(24), i) for i in range(24)]
        return sum(float(np.sum((predict(X[r], Y[r], X[[i]], alpha) - Y[i]) ** 2)) for i, r in enumerate(rest))

    alpha = min(metrics.ALPHAS, key=left_out)
    assert metrics.ALPHAS[0] < alpha < metrics.ALPHAS[-1]
    np.testing.assert_allclose(metrics.ridge(X, Y, new), predict(X, Y, new, alpha), atol=1e-9)


def test_the_two_correlations_differ_by_what_a_constant_gives():
    rng = np.random.default_rng(2)
    p, y = rng.standard_normal((9, 2)), np.column_stack([rng.standard_normal(9), np.ones(9)])
    r = stats.pearsonr(p[:, 0], y[:, 0]).statistic
    np.testing.assert_allclose(metrics.pearson(p, y), [r, np.nan])
    np.testing.assert_allclose(metrics.pearson_guarded(p, y), [r, 0.0], atol=1e-7)


def test_similarities_are_1_for_a_rotation_and_undefined_for_a_single_neuroid():
    x = np.random.default_rng(3).standard_normal((12, 5))
    rotation = np.linalg.qr(np.random.default_rng(4).standard_normal((5, 5)))[0]
    assert metrics.linear_cka(x, 3 * x @ rotation + 1) == pytest.approx(1, abs=1e-12)
    assert metrics.rdm_similarity(x, 3 * x + 1) == pytest.approx(1, abs=1e-12)
    assert np.isnan(metrics.rdm_similarity(x, x[:, :1]))


def test_splits_are_drawn_with_the_published_seeds():
    """Row numbers that the protocols' splitters drew when this was written, so that no seed can slip."""

    def tests(splits: list[metrics.Fold]) -> list[list[int]]:
        return [test.tolist() for _, test in splits]

    assert tests(metrics.folds(10)) == [[2, 9], [4, 6], [0, 3], [1, 7], [5, 8]]
    labels = np.repeat([0, 1, 2], 5)
    assert tests(metrics.stratified(labels)) == [[3, 5, 14], [1, 9, 12], [0, 6, 10], [4, 8, 11], [2, 7, 13]]
    assert tests(metrics.shuffled(20))[:3] == [[3, 16], [15, 8], [4, 2]]
    assert tests(metrics.grouped(np.arange(10))) == [[7], [2], [9], [1], [0], [8], [4], [5], [6], [3]]
    assert [train.tolist() for train, _ in metrics.mostly_test(20)][:3] == [[11, 5], [11, 18], [0, 1]]


def test_splits_are_those_of_the_table(pereira, blank, fedorenko):
    X, data = scores.experiment_part(*pereira, "384sentences")
    for one, n_splits in ((data, 10), (blank[1], 8), (fedorenko[1], 10)):
        groups = one["story"] if "story" in one else one["sentence_id"]
        splits = metrics.bl_groups(one)
        assert len(splits) == n_splits
        assert not any(set(groups[train]) & set(groups[test]) for train, test in splits)
    assert [(len(train), len(test)) for train, test in metrics.shuffled(384)] == [(345, 39)] * 10
    assert {len(test) for _, test in metrics.mostly_test(60)} == {54}
    for one, key in ((blank[1], "story"), (fedorenko[1], "sentence_id")):
        assert all(len(set(one[key][test])) == len(set(one[key])) for _, test in metrics.nn_folds(one))
    assert sorted(np.concatenate([test for _, test in metrics.folds(len(X))])) == list(range(len(X)))


# --- scores ---------------------------------------------------------------------------------------------------------


def test_features_that_explain_everything_score_1_over_the_ceiling(pereira, blank, fedorenko, futrell):
    for X, data in (blank, fedorenko):
        own = np.linspace(0.4, 0.8, data["responses"].shape[1])
        expected = {s: np.median(1 / own[data["subject_UID"] == s]) for s in set(data["subject_UID"].tolist())}
        result = scores.nn_encoding(X, exact(X, data), own)
        assert result["score"] == pytest.approx(np.median(list(expected.values())), abs=1e-9)
        for score in (scores.bl_linear_shuffle, scores.bl_ridge):
            assert score(X, exact(X, data), 0.5)["unclipped"] == pytest.approx(2, abs=1e-5)
            assert score(X, exact(X, data), 0.5)["score"] == 1
    X, data = pereira
    result = scores.nn_encoding(X, exact(X, data), 0.5)
    assert (result["score"], result["error"]) == pytest.approx((2, 0), abs=1e-9)
    enough = simulated.pereira(X, seed=1, n_voxels=9)  # 9 voxels hold all 8 features
    assert scores.nn_decoding(X, exact(X, enough), 0.5)["score"] == pytest.approx(2, abs=1e-9)
    X, data = futrell
    result = scores.nn_futrell_encoding(X, exact(X, data), 0.5)
    assert (result["score"], result["error"]) == pytest.approx((2, 0), abs=1e-9)
    X = simulated.features(90, 6, seed=8)
    for metric in ("linear", "ridge"):
        assert scores.bl_tuckute(X, exact(X, simulated.tuckute(X, 9)), metric)["score"] == pytest.approx(1, abs=1e-6)


def test_subjects_who_are_the_features_have_similarity_1():
    cases = [
        (X := simulated.pereira_features(0), simulated.pereira(X, 1, n_voxels=8)),
        (X := simulated.features(144, 12, 2), simulated.blank(X, 3)),
        (X := simulated.features(96, 6, 4), simulated.fedorenko(X, 5, electrodes=(6,) * 5)),
    ]
    for X, data in cases:
        absent = np.isnan(data["responses"])
        copies = {**data, "responses": np.where(absent, np.nan, np.tile(X, absent.shape[1] // X.shape[1]))}
        for score in (scores.nn_rdm, scores.nn_cka):
            result = score(X, copies, 0.5)
            assert (result["score"], result["error"]) == pytest.approx((2, 0), abs=1e-9)
            assert score(X, data, 0.5)["score"] < 1.9
        if not absent.any():
            assert scores.bl_cka(X, copies)["score"] == pytest.approx(1)
            assert scores.bl_rdm(X, copies)["score"] == pytest.approx(1)


def test_medians_and_deviations_by_hand(pereira, fedorenko, futrell):
    X, data = pereira
    result, used = scores.nn_encoding(X, data, 0.5), scores.usable(data)
    subjects = sorted(set(data["subject"].tolist()))
    language = [(used["subject"] == s) & (used["atlas"] == "language") for s in subjects]
    medians = np.array([np.median(result["neuroid_r"][own]) for own in language])
    expected = np.median(medians), np.median(abs(medians - np.median(medians)))
    assert (result["score"], result["error"]) == pytest.approx((expected[0] / 0.5, expected[1] / 0.5))
    result = scores.nn_decoding(X, data, 0.5)
    assert result["score"] == pytest.approx(np.median(np.median(result["unit_r"], axis=1)) / 0.5)
    units, part = scores.experiment_part(X, data, EXPERIMENTS[0])
    voxels = part["responses"][:, part["subject"] == subjects[0]]
    np.testing.assert_array_equal(result["r"][0, :, 0], metrics.encoding(voxels, units, metrics.shuffled(48)))
    X, data = fedorenko
    own = data["responses"][:, data["subject_UID"] == sorted(set(data["subject_UID"].tolist()))[0]]
    by_hand = [metrics.rdm_similarity(X[test], own[test]) for _, test in metrics.stratified(data["sentence_id"])]
    np.testing.assert_array_equal(scores.nn_rdm(X, data)["r"][0, :, 0], by_hand)
    result = scores.nn_futrell_encoding(*futrell, 0.76)
    of_subject = result["r"].mean(axis=1) / 0.76
    expected = np.median(of_subject), np.sqrt(np.mean((of_subject - of_subject.mean()) ** 2))
    assert (result["score"], result["error"]) == pytest.approx(expected)


def test_order_of_features_does_not_matter_where_their_ids_are_kept(blank):
    X, data = blank
    rows = list(zip(data["stimulus_id"].tolist(), X, strict=True))
    shuffled = dict(rows[i] for i in np.random.default_rng(0).permutation(len(rows)))
    np.testing.assert_array_equal(scores.in_file_order(shuffled, data), X)


def test_pereira_leaves_out_what_does_not_count_and_averages_experiments(pereira):
    X, data = pereira
    expected = scores.nn_encoding(X, data, 0.5)
    unused = (data["atlas_selection_lower"] != 90) | (data["filter_strategy"] == "HminusF")
    assert unused.sum() == 2 * 6 * 4
    changed = {**data, "responses": np.where(unused, exact(X, data)["responses"], data["responses"])}
    assert scores.nn_encoding(X, changed, 0.5)["score"] == expected["score"]
    by_experiment = expected["r"].mean(axis=1)
    both = ~np.isnan(by_experiment).any(axis=0)
    np.testing.assert_allclose(expected["neuroid_r"][both], by_experiment[:, both].mean(axis=0))
    only = np.isnan(by_experiment[1])
    assert set(scores.usable(data)["subject"][only].tolist()) == {data["subject"][0]}
    np.testing.assert_array_equal(expected["neuroid_r"][only], by_experiment[0, only])


def test_neuroids_without_a_usable_ceiling_are_left_out_and_counted(fedorenko):
    X, data = fedorenko
    own = np.full(data["responses"].shape[1], 0.5)
    own[:3] = [np.nan, 0.0, -0.2]
    result = scores.nn_encoding(X, data, own)
    without = scores.nn_encoding(X, simulated.select(data, neuroids=np.arange(3, len(own))), own[3:])
    assert result["unusable"] == 3
    assert (result["score"], result["error"]) == (without["score"], without["error"])


def test_one_sentence_of_blank_is_its_rows(blank):
    X, data = scores.blank_sentence(*blank, 3)
    assert len(X) == 8 * 6
    assert all(stimulus.split(".")[1] == "3" for stimulus in data["stimulus_id"])
    np.testing.assert_array_equal(X[0], blank[0][12])


def test_platform_takes_the_median_in_each_split_before_the_mean(fedorenko):
    X, data = fedorenko
    result = scores.bl_linear_shuffle(X, data, 0.9)
    assert result["raw"] == pytest.approx(np.mean(np.median(result["r"], axis=1)))
    assert result["raw"] != pytest.approx(np.median(np.mean(result["r"], axis=0)), abs=1e-6)
    negative = scores.clipped(-0.2, 0.5)
    assert (negative["score"], negative["unclipped"]) == (0, -0.4)
    assert scores.bl_layers([negative, scores.clipped(0.25, 0.5)])["score"] == 0.25


def test_words_that_repeat_are_on_both_sides(futrell):
    X, data = futrell
    unique = {**data, "word": np.array([f"w{i}" for i in range(len(X))])}
    times = np.nan_to_num(data["responses"][:, :1], nan=350)
    plain = metrics.encoding(X, times, metrics.stratified(data["sentence_id"]))
    np.testing.assert_allclose(scores.word_encoding(X, unique, times[:, 0]), plain, atol=1e-12)
    one_word = {**data, "word": np.full(len(X), "the")}  # then every fold trains and tests on everything
    fitted = metrics.pearson(metrics.ols(X, times, X), times)[0]
    np.testing.assert_allclose(scores.word_encoding(X, one_word, times[:, 0]), fitted, atol=1e-12)


def test_reading_times_are_compared_without_first_words(futrell):
    data = futrell[1]
    later = data["word_within_sentence_id"] > 1
    surprisal = np.where(later, -np.nanmean(data["responses"], axis=1), np.nan)
    assert scores.bl_futrell_pearsonr(surprisal, data, 0.8)["unclipped"] == pytest.approx(1.25)


# --- data -----------------------------------------------------------------------------------------------------------


def test_simulated_data_have_the_published_layouts(pereira, blank, fedorenko, futrell):
    for X, data in (pereira, blank, fedorenko, futrell):
        assert len(set(data["stimulus_id"].tolist())) == len(X)
        n_neuroids = data["responses"].shape[1]
        for key, values in data.items():
            assert len(values) == (n_neuroids if key in simulated.NEUROID else len(X)), key
    data = pereira[1]
    for experiment, n_subjects in zip(EXPERIMENTS, (5, 5), strict=True):
        part = scores.experiment_part(*pereira, experiment, atlas=None)[1]
        assert len(set(part["subject"].tolist())) == n_subjects
        assert len(set(part["story"].tolist())) == 10
    assert np.isnan(data["responses"]).any()
    assert np.isnan(futrell[1]["responses"]).mean() == pytest.approx(0.17, abs=0.05)
    assert (~np.isnan(futrell[1]["responses"])).sum(axis=1).min() >= 2
    again = simulated.pereira(pereira[0], seed=1, n_voxels=4)
    np.testing.assert_array_equal(again["responses"], data["responses"])


def test_simulated_signal_is_well_away_from_0_and_1(pereira, blank, fedorenko):
    raw = [scores.nn_encoding(*pereira, 1.0)["score"]]
    raw += [scores.nn_encoding(X, data, np.ones(data["responses"].shape[1]))["score"] for X, data in (blank, fedorenko)]
    assert all(0.3 < r < 0.9 for r in raw)

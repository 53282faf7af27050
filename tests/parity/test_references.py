"""Checks of the references themselves: values computed by hand, and facts of the libraries they stand on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parity.reference_protocol import (
    Assembly,
    experiment_folds,
    nested_layer_choice,
    own_ceiling_score,
    pereira_score,
    subject_aggregate,
)
from parity.reference_regression import ols_fold_r, ridge_fold_r
from parity.reference_torch import (
    bert_tokenizer,
    context_windows,
    gpt2_tokenizer,
    load_folder,
    save_bert,
    save_gpt2,
    sentence_states,
    token_states,
)
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
needs_tokenizers = pytest.mark.skipif(
    not (SHARED / "tokenizer_gpt2").is_dir(), reason="the real tokenizers (../shared/data) are not here"
)
PASSAGE = ["The old bridge fell.", "Nobody had crossed it since the flood!  ", "They built another, twice as wide."]


# --- regression -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("singular_value", "rank"), [(1.1e-6, 5), (0.9e-6, 4)])
def test_sklearn_cuts_singular_values_of_centred_features_at_1e_6_of_the_largest(singular_value: float, rank: int):
    rng = np.random.default_rng(0)
    left = rng.standard_normal((40, 5))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    X = (left * [1.0, 0.5, 0.2, 0.1, singular_value]) @ right + 3.0  # the offset must not count
    y = left.sum(axis=1)
    model = LinearRegression().fit(X, y)
    assert model.rank_ == rank
    explained = left[:, :rank].sum(axis=1)  # a direction under the cut-off predicts nothing
    np.testing.assert_allclose(model.predict(X), explained, atol=1e-8)


def test_fold_r_equals_the_normal_equations():
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((30, 4)).astype(np.float32), rng.standard_normal((30, 3))
    train, test = np.arange(20), np.arange(20, 30)
    design = np.column_stack([np.ones(30), X.astype(np.float64)])
    for alpha, r in [(0.0, ols_fold_r(X, Y, [(train, test)])), (7.0, ridge_fold_r(X, Y, [(train, test)], 7.0))]:
        penalty = np.diag([0.0] + [alpha] * 4)  # the intercept is free
        weights = np.linalg.solve(design[train].T @ design[train] + penalty, design[train].T @ Y[train])
        prediction = design[test] @ weights
        expected = [np.corrcoef(prediction[:, v], Y[test][:, v])[0, 1] for v in range(3)]
        np.testing.assert_allclose(r, [expected], atol=1e-12)


def test_a_constant_response_gives_nan_and_no_warning():
    X, Y = np.arange(10.0)[:, None], np.column_stack([np.arange(10.0), np.full(10, 2.0)])
    r = ols_fold_r(X, Y, [(np.arange(6), np.arange(6, 10))])
    assert r[0, 0] == pytest.approx(1)
    assert np.isnan(r[0, 1])


# --- protocol ---------------------------------------------------------------------------------------------------------


def toy(signs: dict[str, list[list[int]]], subject: list[str], atlas: list[str]) -> tuple[Assembly, np.ndarray]:
    """Ten stimuli an experiment, two in each test fold, so that r is the sign given for (neuroid, fold); 0 is absent.

    The stimuli of a fold are neighbours on x, and a response is x with the neighbours of the folds marked -1 swapped:
    every training slope stays positive, and two test points correlate by +1 or -1.
    """
    names = sorted(signs)
    experiment = np.repeat(names, 10)
    stimulus_id = np.array([f"{name}.{i}" for name in names for i in range(10)])
    empty = Assembly(np.zeros((20, len(subject))), experiment, stimulus_id, np.array(subject), np.array(atlas))
    x, responses = np.zeros(20), np.full((20, len(subject)), np.nan)
    for e, (name, folds) in enumerate(experiment_folds(empty).items()):
        for k, (_, test) in enumerate(folds):
            rows = 10 * e + test
            x[rows] = [4 * k, 4 * k + 1]
            for neuroid, fold_signs in enumerate(signs[name]):
                if fold_signs[k]:
                    responses[rows, neuroid] = x[rows][:: fold_signs[k]]
    return Assembly(responses, experiment, stimulus_id, np.array(subject), np.array(atlas)), x


def first(n: int) -> list[int]:
    """Sign -1 in the first n folds: the mean r over five folds is 1 - 2n / 5."""
    return [-1] * n + [1] * (5 - n)


def test_protocol_by_hand():
    absent = [0] * 5
    signs = {
        "243sentences": [first(1), first(2), absent, first(0)],
        "384sentences": [first(3), absent, first(1), first(0)],
    }
    assembly, x = toy(signs, ["a", "a", "b", "b"], ["language", "language", "language", "auditory"])
    order = np.random.default_rng(2).permutation(20)  # rows of features are found by stimulus id
    result = pereira_score([x[order, None], -x[order, None]], assembly.stimulus_id[order], assembly, ceiling=0.5)
    # neuroids: (.6 - .2) / 2 = .2; .2 alone; .6 alone; the auditory one (1) does not count
    np.testing.assert_allclose(result.neuroid_r[0], [0.2, 0.2, 0.6, 1.0], atol=1e-12)
    # subjects: a .2, b .6; median .4; deviations .2 and .2
    np.testing.assert_allclose([result.raw[0], result.score[0], result.error[0]], [0.4, 0.8, 0.4], atol=1e-12)
    np.testing.assert_allclose(result.fold_r[0, 0, :, 1], first(2), atol=1e-12)
    assert np.isnan(result.fold_r[0, 0, :, 2]).all()
    np.testing.assert_allclose(result.score[1], result.score[0], atol=1e-12)  # the sign of a feature does not matter


def test_subject_aggregate_and_own_ceilings_by_hand():
    subject = np.array(["a", "a", "a", "b", "b", "c", "d"])
    r = np.array([0.1, 0.3, 0.2, 0.3, np.nan, 0.7, np.nan])
    # medians .2 .3 .7 NaN -> .3; with 0 for d the deviations from .25 are .05 .05 .45 .25 -> .15
    np.testing.assert_allclose(subject_aggregate(r, subject), [0.3, 0.15])
    np.testing.assert_allclose(subject_aggregate(r, subject, error_scale=1.4826)[1], 0.15 * 1.4826)
    ceiling = np.array([0.5, 0.0, 0.4, 0.5, 1.0, np.nan, -1.0])
    # normalised .2 - .5 | .6 | - | -: subjects .35 .6 NaN NaN -> .475; with zeros: median .175 -> .175
    score, error, unusable = own_ceiling_score(r, ceiling, subject)
    np.testing.assert_allclose([score, error], [0.475, 0.175])
    assert unusable == 3


def test_nested_choice_by_hand():
    assembly, x = toy({"e": [first(0)], "f": [first(0)]}, ["a"], ["language"])
    # a layer is x with the neighbours of some folds swapped: layer 0 fails in fold 4, layer 1 in fold 3
    folds = experiment_folds(assembly)
    layers = [x.copy(), x.copy()]
    for layer, failing in [(0, 4), (1, 3)]:
        for e, splits in enumerate(folds.values()):
            rows = 10 * e + splits[failing][1]
            layers[layer][rows] = x[rows][::-1]
    nested = nested_layer_choice([X[:, None] for X in layers], assembly.stimulus_id, assembly, ceiling=0.5)
    # without fold 3 layer 1 is perfect, so it is chosen there, where it fails; layer 0 in fold 4 likewise
    assert nested.layers[3:].tolist() == [1, 0]
    np.testing.assert_allclose(nested.inner[3:], [[0.5, 1.0], [1.0, 0.5]], atol=1e-12)
    np.testing.assert_allclose([nested.raw, nested.score, nested.error], [0.2, 0.4, 0.0], atol=1e-12)


def test_nested_choice_is_blind_to_the_responses_of_the_outer_fold():
    rng = np.random.default_rng(3)
    assembly, _ = toy({"e": [first(0)] * 3, "f": [first(0)] * 3}, ["a", "b", "c"], ["language"] * 3)
    features = [rng.standard_normal((20, 2)) for _ in range(2)]
    responses = rng.standard_normal((20, 3))
    changed = responses.copy()
    for e, splits in enumerate(experiment_folds(assembly).values()):
        changed[10 * e + splits[2][1]] = rng.standard_normal((2, 3)) * 9
    inner, inner_changed = (
        nested_layer_choice(features, assembly.stimulus_id, replace(assembly, responses=values), ceiling=0.5).inner
        for values in (responses, changed)
    )
    np.testing.assert_array_equal(inner[2], inner_changed[2])
    assert (inner[[0, 1, 3, 4]] != inner_changed[[0, 1, 3, 4]]).any()


def test_grouped_folds_keep_passages_whole():
    assembly, _ = toy({"e": [first(0)], "f": [first(0)]}, ["a"], ["language"])
    passage = np.repeat(np.arange(10), 2)
    for e, folds in enumerate(experiment_folds(assembly, GroupKFold(5), passage).values()):
        assert len(folds) == 5
        assert all(not set(passage[10 * e + train]) & set(passage[10 * e + test]) for train, test in folds)


# --- torch ------------------------------------------------------------------------------------------------------------


@needs_tokenizers
def test_real_tokenizers():
    gpt2, bert = gpt2_tokenizer(SHARED), bert_tokenizer(SHARED)
    assert gpt2.is_fast
    assert bert.is_fast
    assert gpt2("Hello world")["input_ids"] == [15496, 995]
    assert bert("Hello world")["input_ids"] == [101, 7592, 2088, 102]


@needs_tokenizers
def test_windows_chain_pool_the_last_word_and_slide():
    gpt2, bert = gpt2_tokenizer(SHARED), bert_tokenizer(SHARED)
    hello, space = [15496, 995], 220
    repeated = ["Hello world "] * 3  # the space at the end is a token of its own: kept in the chain, never pooled
    assert context_windows(gpt2, repeated) == [
        hello,
        [*hello, space, *hello],
        [*hello, space, *hello, space, *hello],
    ]
    assert context_windows(gpt2, repeated, window=4)[-1] == [995, space, *hello]
    words, cls = [7592, 2088], 101
    assert context_windows(bert, repeated) == [[cls, *words * n] for n in (1, 2, 3)]
    assert context_windows(bert, repeated, window=6) == [
        [cls, *words],
        [cls, *words * 2],
        [cls, *(words * 3)[-5:]],
    ]


@needs_tokenizers
def test_causal_states_of_prefixes_equal_those_of_one_pass(tmp_path: Path):
    model, tokenizer = save_gpt2(tmp_path, {"n_layer": 2, "n_embd": 16, "n_head": 2}, 0, SHARED, perturb=0.1)
    windows = context_windows(tokenizer, PASSAGE)
    chain = [token for sentence in PASSAGE for token in tokenizer(sentence)["input_ids"]]
    whole = token_states(load_folder(tmp_path)[0], chain)
    states = sentence_states(tmp_path, [PASSAGE])
    assert states.shape == (3, 3, 16)
    np.testing.assert_allclose(states, whole[:, [len(ids) - 1 for ids in windows]], atol=1e-5)
    # the folder, the objects and float64 agree, and a second context starts anew
    np.testing.assert_allclose(sentence_states((model, tokenizer), [PASSAGE, PASSAGE])[:, 3:], states, atol=1e-6)
    np.testing.assert_allclose(sentence_states(tmp_path, [PASSAGE], dtype="float64"), states, atol=1e-5)


@needs_tokenizers
def test_bidirectional_states_see_nothing_to_the_right(tmp_path: Path):
    sizes = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    save_bert(tmp_path, sizes, 0, SHARED, perturb=0.1)
    states = sentence_states(tmp_path, [PASSAGE])
    np.testing.assert_allclose(sentence_states(tmp_path, [PASSAGE[:1]]), states[:, :1], atol=1e-5)
    model, tokenizer = load_folder(tmp_path)
    ids = tokenizer(PASSAGE[0])["input_ids"]
    np.testing.assert_allclose(token_states(model, ids[:-1])[:, -1], states[:, 0], atol=1e-5)
    assert np.abs(token_states(model, ids)[-1, -2] - states[-1, 0]).max() > 1e-3  # SEP would have been seen

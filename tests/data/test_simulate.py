"""The embedded simulated benchmark: remade from its seed, with the ceiling that it claims."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict

from jaxscore.data.sentence_features import FUNCTION_WORDS, GROUPS, PAST, PRONOUNS, features, word_vector
from jaxscore.data.simulate import main, read_stimuli, signals, simulate, write
from jaxscore.errors import DataError, StoreError

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "Simulated2026"


@pytest.fixture(scope="module")
def stimuli():
    return read_stimuli(FOLDER / "stimuli.csv")


@pytest.fixture(scope="module")
def stored():
    return xr.load_dataset(FOLDER / "Simulated2026.nc", engine="h5netcdf")


@pytest.fixture(scope="module")
def known(stimuli):
    return features(stimuli["sentence"].tolist(), stimuli["passage_id"].tolist())


@pytest.fixture(scope="module")
def signal(known):
    """The noise-free signal of the stored file, from the first of the seed's three streams."""
    return signals(known, 180, np.random.Generator(np.random.PCG64(np.random.SeedSequence(2026).spawn(3)[0])))


def correlate(x, y):
    x, y = (values - values.mean(axis=0) for values in (x, y))
    return (x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))


def test_stimuli_are_passages_of_distinct_sentences(stimuli):
    assert list(stimuli) == ["stimulus_id", "passage_id", "sentence"]
    assert stimuli["sentence"].is_unique
    assert stimuli["stimulus_id"].is_unique
    assert stimuli.groupby("passage_id").size().eq(6).all()
    words = stimuli["sentence"].str.split().str.len()
    assert (words.min(), words.max()) == (6, 18)


def test_remade_from_its_seed(stimuli, stored):
    again = simulate(stimuli)
    for name in ("data", "repetitions"):
        np.testing.assert_allclose(again[name], stored[name], atol=1e-6, rtol=1e-6)
    assert set(again.coords) == set(stored.coords)
    for name in stored.coords:
        assert again[name].dims == stored[name].dims
        if stored[name].dtype.kind == "f":
            np.testing.assert_allclose(again[name], stored[name], rtol=1e-12)
        else:
            np.testing.assert_array_equal(again[name].values.astype(str), stored[name].values.astype(str))


def test_file_says_what_it_is(stored, stimuli):
    assert all(array.attrs["simulated"].startswith("yes") for array in (stored, stored["data"], stored["repetitions"]))
    assert dict(stored.sizes) == {"presentation": 192, "neuroid": 180, "repetition": 2}
    np.testing.assert_array_equal(stored["sentence"].values.astype(str), stimuli["sentence"].to_numpy(str))
    assert stored["neuroid_id"].values[[0, 31]].tolist() == ["sub1.0", "sub2.1"]
    np.testing.assert_allclose(stored["data"], stored["repetitions"].mean("repetition"), atol=1e-6)
    assert (FOLDER / "Simulated2026.nc").stat().st_size < 600_000
    assert 0.6 < float(stored["ceiling"].median()) < 0.8


def test_signal_is_standard_and_noise_has_the_known_size(signal, stored):
    np.testing.assert_allclose(signal.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(signal.std(axis=0), 1, rtol=1e-12)
    noise = (stored["repetitions"].values - signal) / stored["noise_sd"].values
    values = noise.size  # 69,120 independent standard normal values
    assert abs(noise.mean()) < 4.5 / np.sqrt(values)
    assert abs(noise.var() - 1) < 4.5 * np.sqrt(2 / values)
    assert abs((noise[0] * noise[1]).mean()) < 4.5 / np.sqrt(values / 2)
    z = (noise.var(axis=(0, 1)) - 1) / np.sqrt(2 / noise[:, :, 0].size)
    assert np.abs(z).max() < 5


def test_oracle_reaches_the_closed_form_ceiling(signal, stored):
    ceiling, stimuli = stored["ceiling"].values, stored.sizes["presentation"]
    # Delta method for a fixed signal: var r = (1 - c^2)^2 (1 - c^2 / 2) / n.
    z = (correlate(signal, stored["data"].values) - ceiling) / (
        (1 - ceiling**2) * np.sqrt((1 - ceiling**2 / 2) / stimuli)
    )
    assert np.abs(z).max() < 5
    assert abs(z.mean()) < 4 / np.sqrt(len(z))


def test_known_features_predict_and_random_ones_do_not(known, stored, stimuli):
    responses, ceiling = stored["data"].values.astype(float), stored["ceiling"].values

    def normalised(x):
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        folds = GroupKFold(5).split(x, groups=stimuli["passage_id"])
        return correlate(cross_val_predict(Ridge(alpha=1.0), x, responses, cv=folds), responses) / ceiling

    # Least squares on p of n rows adds an error of variance noise * p / n to a prediction of variance 1.
    count, (n, p) = 2, known.shape
    expected = 1 / np.sqrt(1 + stored["noise_sd"].values ** 2 / count * (p + 1) / (0.8 * n))
    assert abs(np.median(normalised(known)) - np.median(expected)) < 0.03
    # A mean over voxels varies at most like one voxel (they share signals): 1 / sqrt(n) a seed, over a ceiling of 0.4.
    random = [normalised(np.random.default_rng(seed).standard_normal(known.shape)).mean() for seed in range(10)]
    assert abs(np.mean(random)) < 3 / np.sqrt(10 * n) / ceiling.min()


def test_voxels_weigh_the_groups_differently(known, signal):
    edges = np.cumsum([0, *GROUPS.values()])
    assert edges[-1] == known.shape[1]
    explained = []
    for start, stop in pairwise(edges):
        fit = Ridge(alpha=1e-6).fit(known[:, start:stop], signal).predict(known[:, start:stop])
        explained.append(fit.var(axis=0))
    assert set(np.argmax(explained, axis=0)) == set(range(len(GROUPS)))  # every group leads in some voxel


def test_features_by_hand():
    sentences = ["The old boat sailed, and she waited.", "Rain fell."]
    found = features(sentences, ["p", "p"])
    np.testing.assert_allclose(found[0, :7], [7, 28 / 7, 0, 3 / 7, 1 / 7, 2 / 7, 1])
    np.testing.assert_allclose(found[1, :7], [2, 4, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(found[0, 7:10], [*word_vector("waited", "last"), 6])
    np.testing.assert_allclose(found[1, 10:14], (word_vector("rain", "content") + word_vector("fell", "content")) / 2)
    weights = 2 ** (-np.array([4, 3, 2, 1]) / 8)
    earlier = np.array([word_vector(word, "context") for word in ("old", "boat", "sailed", "waited")])
    np.testing.assert_allclose(found[1, 14:], weights @ earlier)
    np.testing.assert_array_equal(found[0, 14:], 0)


def test_features_do_not_look_ahead_or_across_passages():
    alone = features(["A cat sat.", "It slept."], ["p", "p"])
    mixed = features(["A cat sat.", "Rain fell.", "It slept.", "A bell rang."], ["p", "q", "p", "p"])
    np.testing.assert_array_equal(mixed[[0, 2]], alone)


def test_kindred_words_are_near():
    def cosine(first, second):
        x, y = (
            np.concatenate([word_vector(word, group) for group in ("content", "context")]) for word in (first, second)
        )
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    assert cosine("lantern", "lanterns") > 0.6
    assert np.abs(word_vector("lantern", "content")).max() < np.sqrt(len("lantern"))
    assert not np.allclose(word_vector("lantern", "content"), word_vector("lantern", "context"))


def test_word_lists():
    assert PRONOUNS < FUNCTION_WORDS
    assert all(word == word.lower() and word.isalpha() for word in FUNCTION_WORDS | PAST)


def test_seeds_sizes_and_repetitions(stimuli):
    few = stimuli.head(12)
    one, other = simulate(few, seed=1, subjects=2, voxels=3), simulate(few, seed=2, subjects=2, voxels=3)
    assert not np.allclose(one["data"], other["data"])
    many = simulate(few, seed=1, subjects=2, voxels=3, repetitions=8)
    np.testing.assert_array_equal(many["noise_sd"], one["noise_sd"])
    np.testing.assert_allclose(many["ceiling"], 1 / np.sqrt(1 + many["noise_sd"] ** 2 / 8))
    np.testing.assert_array_equal(many["repetitions"][:2], one["repetitions"])


def test_command_writes_what_xarray_reads(tmp_path, stimuli, capsys):
    folder = tmp_path / "Mine"
    folder.mkdir()
    stimuli.head(12).to_csv(folder / "stimuli.csv", index=False)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "Mine.nc")
    assert xr.load_dataset(folder / "Mine.nc", engine="h5netcdf").sizes["presentation"] == 12
    assert sorted(path.name for path in folder.iterdir()) == ["Mine.nc", "stimuli.csv"]


def test_bad_tables(tmp_path, stimuli, capsys):
    table = tmp_path / "stimuli.csv"
    assert main([str(tmp_path)]) == 2
    assert "no stimulus table" in capsys.readouterr().err
    stimuli.drop(columns="passage_id").to_csv(table, index=False)
    with pytest.raises(DataError, match=r"lacks the columns \['passage_id'\]"):
        read_stimuli(table)
    pd.concat([stimuli, stimuli.head(1)]).to_csv(table, index=False)
    with pytest.raises(DataError, match=r"repeats the stimulus ids \['s001'\]"):
        read_stimuli(table)
    with pytest.raises(DataError, match="no word in the sentence '1234'"):
        features(["1234"], ["p"])


def test_failed_write_leaves_what_was_there(tmp_path, stimuli):
    dataset = simulate(stimuli.head(12), subjects=1, voxels=2)
    blocked = tmp_path / "taken.nc"
    blocked.mkdir()
    with pytest.raises(StoreError, match=r"cannot write .*taken\.nc"):
        write(dataset, blocked)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.nc"]
    with pytest.raises(StoreError):
        write(dataset, tmp_path / "absent" / "file.nc")

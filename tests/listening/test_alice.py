"""The real study: what its files hold, and that words heard predict the temporal lobe."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.listening.alice import ROIS
from jaxscore.listening.downsampling import downsample, empty, word_weights
from jaxscore.listening.nuisance import clean_responses, zscore
from jaxscore.listening.recording import read_recording
from jaxscore.regression import RidgeCV, cross_validate
from jaxscore.regression.blocks import TrimmedBlocks

FOLDER = Path(__file__).resolve().parents[2] / "../shared/data/alice_brennan2016"
pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is absent: it holds the data of Brennan et al. (2016)"),
    pytest.mark.filterwarnings("ignore::jaxscore.errors.GridEdgeWarning"),
]


@pytest.fixture(scope="module")
def alice():
    return read_recording("alice2016", FOLDER)


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(FOLDER, tmp_path / "alice"))


def test_what_the_files_hold(alice):
    assert len(alice.words) == 2127
    assert alice.words[:6] == ("Alice", "was", "beginning", "to", "get", "very")
    assert alice.words[-3:] == ("one", "eats", "cake")
    assert not {"", "sp"} & set(alice.words)
    assert alice.onsets[0] == pytest.approx(20.0589, abs=1e-4)
    assert alice.offsets[-1] == pytest.approx(743.3351, abs=1e-4)
    assert (alice.times[0], alice.times[-1], alice.tr) == (20.0, 742.0, 2.0)
    assert alice.dropped == ("s33",)
    assert alice.responses.shape == (362, 27 * 6)
    assert alice.shared.shape == (362, 1)
    assert {own.shape for own in alice.nuisance.values()} == {(362, 6)}
    assert len(alice.nuisance) == 27


def test_regions_of_subjects_stand_in_the_order_of_the_file(alice):
    published = np.loadtxt(FOLDER / "6mm" / "s26-timecourses.txt")
    for column, roi in enumerate(ROIS):
        own = alice.responses[:, alice.responses["neuroid_id"].values == f"s26.{roi}"]
        np.testing.assert_array_equal(own.values[:, 0], published[:, column])
        assert (own["subject"].item(), own["roi"].item()) == ("s26", roi)


def test_movement_is_that_of_the_volumes_that_were_kept(alice):
    published = np.loadtxt(next(FOLDER.glob("s18-rp_*")))
    assert len(published) == 372
    assert np.abs(published[0]).max() < 1e-12  # the first volume is what the others moved from
    np.testing.assert_array_equal(alice.nuisance["s18"], published[10:])


def test_radius_and_shared_regressors(alice):
    wide = read_recording("alice2016", FOLDER, radius="10mm", shared=("sndpwr", "rate"))
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(alice.responses.values.T, wide.responses.values.T, strict=True)]
    assert 0.5 < min(r) < max(r) < 1
    assert wide.shared.shape == (362, 2)
    np.testing.assert_array_equal(wide.shared[:, :1], alice.shared)
    assert np.corrcoef(wide.shared[:, 1], np.loadtxt(FOLDER / "s18-rate.txt"))[0, 1] > 0.9999
    assert read_recording("alice2016", FOLDER, shared=()).shared.shape == (362, 0)


def test_the_authors_word_rate_is_an_impulse_at_the_end_of_each_word(alice):
    published = np.loadtxt(FOLDER / "s18-rate.txt")
    ones = [np.ones((2127, 1))]

    def r(at, shift=0.0):
        weights = word_weights(at, at, alice.times + shift, alice.tr, "impulse")
        return np.corrcoef(downsample(ones, weights)[0][:, 0], published)[0, 1]

    assert r(alice.offsets) == pytest.approx(0.9903, abs=5e-4)
    assert r(alice.offsets) > max(r(alice.onsets), r(alice.offsets, -0.5), r(alice.offsets, 0.5))


def test_words_of_a_volume(alice):
    weights = word_weights(alice.onsets, alice.offsets, alice.times, alice.tr, "sum")
    assert weights.sum() == 2127
    assert empty(weights) == 1


def test_words_and_sound_predict_the_temporal_lobe():
    alice = read_recording("alice2016", FOLDER, shared=())
    splitter = TrimmedBlocks(5, 5)
    responses = clean_responses(alice, splitter.blocks(362, alice.runs))
    weights = word_weights(alice.onsets, alice.offsets, alice.times, alice.tr, "lanczos")
    lengths = np.log([len(word) for word in alice.words])
    (words,) = downsample([np.column_stack([np.ones(2127), lengths])], weights)
    sound = read_recording("alice2016", FOLDER).shared
    one = np.zeros(362, int)
    layers = [zscore(X, one) for X in (words, np.hstack([words, sound]))]
    found = cross_validate(
        layers, responses.values, splitter, RidgeCV(np.logspace(-1, 4, 6)),
        groups=alice.runs, runs=alice.runs, delays=(0, 1, 2, 3, 4), dtype="float64",
    )  # fmt: skip
    temporal = responses["roi"].values == "LPTL"
    for r in found.r.mean(1)[:, temporal]:
        assert np.median(r) > 0.08
        assert (r > 0).mean() > 0.8


def test_a_subject_resembles_the_others(alice):
    blocks = TrimmedBlocks(5, 5).blocks(362)
    cleaned = clean_responses(alice, blocks).values[blocks >= 0]
    own = cleaned[:, alice.responses["roi"].values == "LPTL"]
    r = [np.corrcoef(np.delete(own, i, 1).mean(1), own[:, i])[0, 1] for i in range(27)]
    assert np.median(r) > 0.2


def test_damaged_studies_are_refused(copy):
    with pytest.raises(JaxscoreError, match="'8mm' is unknown"):
        read_recording("alice2016", copy, radius="8mm")
    with pytest.raises(JaxscoreError, match="'rte' is unknown"):
        read_recording("alice2016", copy, shared=("rte",))
    movement = next(copy.glob("s18-rp_*"))
    rows = movement.read_text().splitlines()
    movement.write_text("\n".join(rows[10:]))
    with pytest.raises(DataError, match=r"s18-rp_.*has \(362, 6\) rows and columns, expected \(372, 6\)"):
        read_recording("alice2016", copy)
    movement.write_text("\n".join([*rows[1:], "what is this"]))
    with pytest.raises(DataError, match="no table of numbers"):
        read_recording("alice2016", copy)
    movement.unlink()
    with pytest.raises(DataError, match="has no s18-rp_"):
        read_recording("alice2016", copy)
    movement.write_text("\n".join(rows))
    shutil.copy(copy / "s33-sndpwr.txt", copy / "s40-sndpwr.txt")
    with pytest.raises(DataError, match=r"s40-sndpwr.txt differs"):
        read_recording("alice2016", copy)

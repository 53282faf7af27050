"""Published values, on the real files: only with `pytest -m network` (gigabytes; the models come from the hub)."""

from __future__ import annotations

import os

import numpy as np
import pytest
from mirror_ceilings import PLATFORM, WHOLE

import jaxscore
from jaxscore.cards import known_cards, load_benchmark
from jaxscore.data.assemblies import read_assembly
from jaxscore.data.fetch import fetch
from jaxscore.data.material import load_material
from jaxscore.data.scores import read_ceiling
from jaxscore.data.source import open_source

pytestmark = pytest.mark.network

ENVIRONMENT = dict(os.environ)  # before any test has put the network and the person's cache out of reach
OWN = ("HF_", "AWS_", "JAXSCORE_")
STORE = "s3://brainscore-storage/brainscore-language"
FROM_BUCKETS = [name for name in known_cards() if load_benchmark(name).data.source.startswith("s3://")]
PUBLISHED = {key: value for key, value in WHOLE.items() if key.endswith("-encoding")}
SHAPES = {
    f"{STORE}/assy_Pereira2018_language.nc": (627, 13_553),
    f"{STORE}/assy_Pereira2018_auditory.nc": (627, 5_692),
    f"{STORE}/assy_Blank2014_fROI.nc": (1317, 60),
    f"{STORE}/assy_Fedorenko2016_language.nc": (416, 97),
    f"{STORE}/assy_Futrell2018.nc": (10_256, 180),
    f"{STORE}/assy_Tuckute2024_language.nc": (1000, 1),
    "s3://brainio-language/Blank2014fROI.nc": (1317, 60),
    "s3://brainio-language/Fedorenko2016v3.nc": (416, 97),
    "s3://brainio-language/Fedorenko2016v3nonlang.nc": (416, 105),
    "s3://brainio-language/Futrell2018.nc": (10_256, 178),
}


@pytest.fixture(autouse=True)
def network(request, surroundings, monkeypatch) -> None:
    """The person's own addresses and caches; without -m network the tests are skipped."""
    if "network" not in request.config.getoption("markexpr"):
        pytest.skip("needs the public network: pytest -m network")
    for name in [name for name in os.environ if name.startswith(OWN)]:
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        if name.startswith(OWN) or name.lower().endswith("_proxy"):
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("url", "shape"), SHAPES.items())
def test_shapes(url, shape):
    assert read_assembly(fetch(url).path).shape == shape


@pytest.mark.parametrize("name", FROM_BUCKETS)
def test_every_card_finds_what_it_names(name):
    """Hashes, coordinates, texts and labels are what the card says."""
    card = load_benchmark(name)
    material = load_material(card, open_source(card))
    assert all(text.strip() for text in material.texts)
    assert np.isfinite(material.assembly.values).any(0).all()


@pytest.mark.parametrize(("identifier", "value"), PLATFORM.items())
def test_stored_ceilings_of_the_platform(identifier, value):
    ceiling = load_benchmark(identifier.replace("-linear", "-linear-shuffle")).ceiling
    assert read_ceiling(fetch(ceiling.file, sha1=ceiling.sha1).path).whole == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize(("key", "value"), PUBLISHED.items())
def test_stored_ceilings_of_2021(key, value):
    found = read_ceiling(fetch(f"s3://brainio-language/{key}-ceiling.nc").path).whole
    assert found == pytest.approx(value, abs=5e-3 if key.startswith("Futrell") else 1e-5)  # .76 was published


@pytest.mark.parametrize(("name", "value"), [("Blank2014-linear-shuffle", 0.21026591), ("Futrell2018-pearsonr", 0.858)])
def test_computed_ceilings(name, value):
    """Computed at run time by today's platform, and here; its own tests allow as much."""
    found = jaxscore.score("random-embedding" if "Blank" in name else "distilgpt2", name, out=None)
    assert found.layers["ceiling"].values[0] == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize(
    ("model", "name", "layer", "value"),
    [
        ("distilgpt2", "Pereira2018.243sentences-linear-shuffle", "transformer.h.5", 0.82228507),
        ("distilgpt2", "Futrell2018-pearsonr", None, 0.36144805),
        ("openai-gpt", "Tuckute2024-ridge", "transformer.h.11", 0.337),
    ],
)
def test_scores_of_the_platform(model, name, layer, value):
    """Within what its own tests allow."""
    assert jaxscore.score(model, name, layers=layer, out=None).value == pytest.approx(value, abs=5e-3)


@pytest.mark.parametrize(
    ("model", "layer", "value"), [("distilgpt2", "encoder.h.5", 0.806830902), ("gpt2", "encoder.h.11", 0.826374627)]
)
def test_scores_of_2021(model, layer, value):
    """With the published contexts, whole topics; regressions of that time were in float32."""
    found = jaxscore.score(model, "Pereira2018-encoding", layers=layer, context="story", out=None)
    assert float(found.layers["score"].item()) == pytest.approx(value, abs=0.02)

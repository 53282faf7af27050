"""Every card that is shipped, from `s3://` to a stored score, on a small mirror of both buckets (see `mirror`)."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from mirror import LOCAL, PARTICIPANTS, REGIONS, build, serve
from mirror_assemblies import voxels as simulated_voxels
from mirror_ceilings import PLATFORM, WHOLE
from mirror_stimuli import SHARED

import jaxscore
from jaxscore.cards import known_cards, load_benchmark
from jaxscore.data.material import load_material
from jaxscore.data.scores import read_ceiling
from jaxscore.data.source import open_source
from jaxscore.errors import DataError
from jaxscore.store.records import find_result

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data with the real stimuli is absent")

ELSEWHERE = ("Alice2016-encoding", "Simulated2026-encoding")  # local, and scored by tests of their own
CARDS = [name for name in known_cards() if name not in ELSEWHERE]
UNDEFINED = "Tuckute2024-rdm"  # one neuroid has no dissimilarities
GROUPED = (
    "Pereira2018-decoding", "Pereira2018-encoding",
    "Pereira2018.243sentences-linear-shuffle", "Pereira2018.384sentences-linear-shuffle",
    "Blank2014-linear-shuffle", "Fedorenko2016-linear-shuffle",
    "Blank2014fROI-encoding", "Fedorenko2016v3-encoding", "Fedorenko2016v3nonlang-encoding",
)  # fmt: skip
"""Cards whose folds put stimuli of a passage, story or sentence on both sides."""
CONTEXTS = {
    "Pereira2018-encoding": 24, "Pereira2018.243sentences-ridge": 12, "Pereira2018.384sentences-linear-shuffle": 12,
    "Pereira2018-recommended": 24, "Blank2014fROI-rdm": 8, "Blank2014-ridge": 8, "Blank2014-recommended": 8,
    "Fedorenko2016v3-cka": 12, "Fedorenko2016v3nonlang-encoding": 12, "Fedorenko2016-ridge": 12,
    "Fedorenko2016-recommended": 12, "Tuckute2024-linear": 60, "Tuckute2024roi-cka": 60, "Tuckute2024-recommended": 60,
    "Tuckute2024participant-linear": 80, "Futrell2018-encoding": 3, "Futrell2018-recommended": 3,
    "Futrell2018-pearsonr": 1,
}  # fmt: skip
"""How many contexts there are: passages; topics of an experiment; stories; sentences; one text."""
KEYS = {
    "brainio-language": [
        "Pereira2018", "Pereira2018-encoding-ceiling", "Pereira2018-rdm-ceiling", "Fedorenko2016v3",
        "Fedorenko2016v3nonlang", "Fedorenko2016v3-encoding-ceiling", "Fedorenko2016v3nonlang-encoding-ceiling",
        "Blank2014fROI", "Blank2014fROI-encoding-ceiling", "Blank2014fROI-rdm-ceiling", "Futrell2018",
        "Futrell2018-encoding-ceiling",
    ],
    "brainscore-storage/brainscore-language": [
        *(f"assy_{name}" for name in (
            "Pereira2018_language", "Pereira2018_auditory", "Blank2014_fROI", "Fedorenko2016_language", "Futrell2018",
            "Tuckute2024_language",
        )),
        *(f"ceiling_{raw}Pereira2018_{n}sentences-{metric}"
          for raw in ("", "raw_", "raw_raw_") for n in (243, 384) for metric in ("linear", "ridge")),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve(build(tmp_path_factory.mktemp("mirror") / "small")) as mirror:
        yield mirror


@pytest.fixture
def mirror(served, monkeypatch):
    """The mirror where `s3://` leads to, with a cache of its own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", served.endpoint)
    monkeypatch.setenv("JAXSCORE_CACHE", str(served.folder.parent / "cache"))
    return served


def _data(name, mirror) -> dict:
    """What people give themselves, for cards whose data are in no bucket."""
    if name.startswith("Tuckute2024participant"):
        return {"data": mirror.folder / LOCAL / PARTICIPANTS}
    if name.startswith("Tuckute2024roi") or name == "Tuckute2024-recommended":
        return {"data": mirror.folder / LOCAL / REGIONS}
    return {}


@pytest.mark.parametrize("name", CARDS)
def test_every_card(name, mirror, tiny, tmp_path):
    card, data = mirror.card(name), _data(name, mirror)
    model = tiny if card.metric == "surprisal" else mirror.vectors
    found = jaxscore.score(model, card, out=tmp_path / "out", **data)
    assert found.record["benchmark"]["identifier"] == name
    assert found.record["benchmark"]["data"]["url"] == str(data.get("data", card.data.source))
    assert bool(data) or card.source().startswith("s3://")
    assert find_result(found.paths) == json.loads(found.paths.record.read_text(encoding="utf-8"))
    if name == UNDEFINED:
        assert np.isnan(found.value)
        assert any("1 neuroids have no r" in note for note in found.record["result"]["warnings"])
        return
    assert np.isfinite(found.layers["score"].values).all()
    assert np.isfinite(found.value)
    _check_ceiling(card, found)
    if card.ceiling.kind == "file":
        _check_stored(name, card, mirror, found)
    assert ("grouped" in found.layers) == (name in GROUPED)
    if card.aggregation.clip:
        assert 0 <= found.value <= 1
    if by := card.aggregation.by:
        assert np.isfinite(found.arrays[f"{by}_score"].values).all()
        assert found.arrays.sizes[f"each_{by}"] > 1


def _check_ceiling(card, found) -> None:
    """The score is r over the ceiling, of the whole or of each target."""
    whole, own = found.layers["ceiling"].values[0], found.arrays["neuroid_ceiling"].values
    unclipped, r = (found.layers.attrs[f"chosen_{name}"] for name in ("unclipped", "r"))
    if card.ceiling.kind == "none":
        assert np.isnan(whole)
        assert unclipped == r
        return
    assert 0 < whole < 1.5
    if card.ceiling.each or card.ceiling.kind == "neuroid":
        assert len(np.unique(own[np.isfinite(own)])) > 1
    else:
        np.testing.assert_array_equal(own, whole)
        assert unclipped == pytest.approx(r / whole, rel=1e-6)


def _check_stored(name, card, mirror, found) -> None:
    """What a score is divided by is the number in the bucket, or for each neuroid its own in the nested file."""
    url = card.ceiling.file.partition("?")[0]
    stored = url.rpartition("/")[2].removesuffix("-ceiling.nc")
    if card.ceiling.each:
        path = mirror.folder / url.removeprefix("s3://")
        own = read_ceiling(path, lambda key: path.parent / key).neuroids
        own = dict(zip(own["neuroid_id"].values.astype(str), own.values, strict=True))
        expected = [own[neuroid] if own[neuroid] > 0 else np.nan for neuroid in found.arrays["neuroid_id"].values]
        np.testing.assert_array_equal(found.arrays["neuroid_ceiling"], expected)
    else:
        published = WHOLE | {f"ceiling_{key.replace('.', '_')}.nc": value for key, value in PLATFORM.items()}
        assert found.layers["ceiling"].values[0] == published[stored]


@pytest.mark.parametrize(("name", "count"), CONTEXTS.items())
def test_contexts(name, count, mirror):
    """Which stimuli are read together."""
    path = _data(name, mirror).get("data")
    options = {"source": str(path), "sha256": None} if path else {}
    card = mirror.card(name)
    card = card.model_copy(update={"data": card.data.model_copy(update=options)})
    material = load_material(card, open_source(card))
    assert len(set(material.contexts)) == count
    assert len(set(material.ids)) == len(material.texts)


@pytest.mark.parametrize("n", [1, 9])
def test_one_sentence_of_each_story_is_scored_and_all_are_read(n, mirror):
    card = mirror.card(f"Blank2014sentence{n}fROI-encoding")
    material = load_material(card, open_source(card))
    scored = [name.split(".") for name in material.assembly["stimulus_id"].values]
    assert {sentence for _, sentence, _ in scored} == {str(n)}
    assert len({story for story, *_ in scored}) >= 6  # not every chunked story has a part that ends in each sentence
    assert {name.split(".")[1] for name in material.ids} == set("0123456789")


def test_a_full_mirror_has_the_published_voxels():
    voxels = simulated_voxels(small=False)
    voxels = voxels[voxels.atlas_selection_lower == 90]
    language = voxels[voxels.atlas == "language"]
    assert (len(language), language.in_384.sum(), language.in_243.sum()) == (13_553, 12_155, 8_031)
    assert (language.in_384 & language.in_243).sum() == 6_633
    assert (voxels.atlas == "auditory").sum() == 5_692
    assert language.neuroid_id.is_unique
    assert not voxels.neuroid_id.is_unique  # a voxel may lie in several atlases
    read = voxels.groupby("subject")[["in_384", "in_243"]].first()
    assert (len(read), read.in_384.sum(), read.in_243.sum()) == (10, 9, 6)


def test_every_published_key_is_in_the_mirror(mirror):
    keys = {f"s3://{bucket}/{key}.nc" for bucket, names in KEYS.items() for key in names}
    assert keys <= set(mirror.objects)


def test_simulated_data_do_not_pass_for_the_real_ones(mirror):
    """The hashes of the cards are those of the published files."""
    with pytest.raises(DataError, match=r"assy_Tuckute2024_language\.nc has the wrong content: expected sha1 5c8fc7f3"):
        jaxscore.score("random-embedding", "Tuckute2024-linear", out=None)


def test_the_hash_of_the_regions_is_that_of_the_real_table():
    content = (SHARED / "tuckute2024/bold_response_LH.csv").read_bytes()
    for name in ("Tuckute2024roi-linear", "Tuckute2024-recommended"):
        assert load_benchmark(name).data.sha256 == hashlib.sha256(content).hexdigest()

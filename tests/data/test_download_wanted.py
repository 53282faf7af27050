"""Which files a card needs."""

from __future__ import annotations

import hashlib

import pytest
import xarray as xr

from jaxscore.cards import known_cards, load_benchmark
from jaxscore.data.download_wanted import Wanted, bring, needed
from jaxscore.errors import FetchError

NN, BL = "s3://brainio-language", "s3://brainscore-storage/brainscore-language"


@pytest.mark.parametrize(
    ("name", "urls"),
    [
        ("Pereira2018-encoding", [f"{NN}/Pereira2018.nc"]),
        ("Fedorenko2016v3-encoding", [f"{NN}/Fedorenko2016v3.nc", f"{NN}/Fedorenko2016v3-encoding-ceiling.nc"]),
        ("Tuckute2024-linear", [f"{BL}/assy_Tuckute2024_language.nc"]),
    ],
)
def test_shipped_cards(name, urls):
    card = load_benchmark(name)
    found = needed(card)
    assert [each.url for each in found] == urls
    assert found[0].sha1 == card.data.sha1


def test_the_hashes_are_those_of_the_card():
    """Today's platform pins its files by sha1, ceilings by version id as well."""
    card = load_benchmark("Pereira2018.243sentences-ridge")
    data, ceiling = needed(card)
    assert data == Wanted(card.data.source, None, card.data.sha1, ("stimulus_set",))
    assert ceiling == Wanted(card.ceiling.file, None, card.ceiling.sha1, ())
    assert data.sha1
    assert ceiling.sha1


def test_every_shipped_card_needs_what_it_names():
    for name in known_cards():
        card = load_benchmark(name)
        if not card.listening:
            urls = {each.url for each in needed(card)}
            assert {card.source(), *([card.ceiling.file] if card.ceiling.file else [])} <= urls


def test_files_beside_a_card(study, tmp_path):
    study.card["data"]["stimuli"] = "texts.csv"
    card = load_benchmark(study.write())
    assert [each.url for each in needed(card)] == [str(tmp_path / "study.csv"), str(tmp_path / "texts.csv")]
    with pytest.raises(FetchError, match=r"texts.csv is not a file"):
        list(bring(needed(card), offline=True, progress=None))


def test_recording_of_many_files(tmp_path):
    card = load_benchmark("Alice2016-encoding").model_copy(update={"folder": tmp_path})
    with pytest.raises(FetchError, match=r"alice_data_shared is no folder[\s\S]*--data FOLDER"):
        needed(card)
    (tmp_path / "alice_data_shared" / "stim").mkdir(parents=True)
    (tmp_path / "alice_data_shared" / "stim" / "words.csv").touch()
    assert [each.url for each in needed(card)] == [str(tmp_path / "alice_data_shared" / "stim" / "words.csv")]


def test_nested_files_in_the_same_place(tmp_path):
    """Those that are asked for, each file once."""
    attrs = {"stimulus_set": "s3:study-texts.csv", "raw": "s3:study-raw.nc"}
    xr.DataArray([1.0], dims="neuroid", name="data", attrs=attrs).to_netcdf(tmp_path / "study.nc", engine="h5netcdf")
    (tmp_path / "study-texts.csv").write_text("stimulus_id\n")
    wanted = [Wanted(str(tmp_path / "study.nc"), nested=("stimulus_set",))] * 2
    found = list(bring(wanted, offline=True, progress=None))
    assert [each.path for each in found] == [tmp_path / "study.nc", tmp_path / "study-texts.csv"]
    assert found[1].sha256 == hashlib.sha256(b"stimulus_id\n").hexdigest()
    (tmp_path / "study-texts.csv").unlink()
    with pytest.raises(FetchError, match=r"study-texts.csv is not a file"):
        list(bring(wanted, offline=True, progress=None))

"""`jaxscore ceiling`: a row a subject, the whole, two files; the same as one line of JSON; what is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import xarray as xr
from ceilings.own_study import responses, write_study
from rich.cells import cell_len

from jaxscore.cards.parts import Ceiling
from jaxscore.ceilings.asked import ceiling_of

METHODS = get_args(get_args(Ceiling.model_fields["method"].annotation)[0])


@pytest.fixture
def study(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("JAXSCORE_CACHE", str(tmp_path / "cache"))
    return write_study(tmp_path)


def rows(text: str) -> dict[str, list[str]]:
    """The cells behind the name in each row of the table."""
    return {cells[0]: cells[1:] for line in text.splitlines() if len(cells := line.split()) > 2 and cells[1].isdigit()}


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def test_a_row_a_subject_the_whole_and_two_files(cli, study):
    ran = cli("ceiling", study, "--bootstraps", 4, "--seed", 2, "--quiet")
    assert (ran.code, ran.err) == (0, "")
    *table, arrays, figure = ran.out.splitlines()
    found, _ = ceiling_of(study, bootstraps=4, seed=2)
    shown = rows("\n".join(table))
    assert list(shown) == ["s0", "s1", "s2", "whole"]
    for name, (count, center, *interval) in shown.items():
        own = found if name == "whole" else found.isel(target=found["target_subject"].values == name)
        middle, low, high = (np.median(own[key]) for key in ("ceiling", "error_low", "error_high"))
        assert (int(count), center) == (own.sizes["target"], f"{middle:.3f}")
        assert interval == [f"{middle - low:.3f}", "to", f"{middle + high:.3f}"]
    assert "4 bootstraps" in ran.out
    assert "seed 2" in ran.out
    assert max(map(cell_len, table)) <= 80
    with xr.open_dataset(arrays, engine="h5netcdf") as file:
        xr.testing.assert_identical(file.load(), found)
    assert png_size(Path(figure)) == (1920, 1080)
    assert sorted(map(str, Path("jaxscore-results").rglob("*.*"))) == sorted([arrays, figure])


def test_the_same_numbers_again(cli, study, tmp_path):
    first, second = (cli("ceiling", study, "--method", "holdout", *more) for more in ([], ["--quiet"]))
    assert (first.code, first.out) == (second.code, second.out) == (0, first.out)  # progress is on stderr alone
    assert second.err == ""
    third = cli("ceiling", study, "--method", "holdout", "--overwrite", "--out", tmp_path / "other")
    assert rows(third.out) == rows(first.out)
    assert third.out.splitlines()[-1].startswith(str(tmp_path / "other"))


def test_one_line_of_json(cli, study):
    ran = cli("ceiling", study, "--method", "holdout", "--json", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("\n") == 1
    told = json.loads(ran.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    found, _ = ceiling_of(study, method="holdout")
    assert told["whole"] == found.attrs["whole"]
    assert (told["benchmark"], told["method"], told["seed"], told["failed"]) == ("own", "holdout", 0, 0)
    assert told["whole_low"] is None
    assert [Path(path).suffix for path in told["paths"]] == [".nc", ".png"]
    assert all(Path(path).is_file() for path in told["paths"])


@pytest.mark.parametrize("method", METHODS[1:])
def test_the_other_methods(cli, study, tmp_path, method):
    """Each on data that have what it needs."""
    values = responses(repetitions=1 + (method in ("split-half", "test-retest")))
    metric = "surprisal" if method == "subject-halves" else "encoding"
    path = write_study(tmp_path, values, metric=metric)
    ran = cli("ceiling", path, "--method", method, "--quiet")
    assert (ran.code, ran.err) == (0, "")
    _, center, *interval = rows(ran.out)["whole"]
    assert 0 < float(center) <= 1
    assert interval == ["\N{EN DASH}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "holdouts"], "--method 'holdouts'"),
        (["--over", "voxels"], "--over 'voxels'"),
        (["--subsets", "0"], "--subsets"),
        (["--held-out", "none"], "--held-out"),
        (["--splits", "groupd"], "Did you mean 'grouped'"),
        (["--folds", "2"], "2 folds are too few"),
        (["--regression", "ridge:-1"], "Not a regression: ridge:-1"),
        (["--method", "split-half"], "data.repetition"),
        (["--method", "subject-halves"], "subject-halves is no ceiling of encoding"),
        (["--data", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_typing_errors(cli, study, arguments, message):
    ran = cli("ceiling", study, *arguments, "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert not Path("jaxscore-results").exists()


def test_an_unknown_method_is_answered_by_the_methods_there_are(cli, study):
    err = " ".join(cli("ceiling", study, "--method", "bootstrap").err.split())
    assert len(METHODS) == 5
    assert all(method in err for method in METHODS)
    help_text = " ".join(cli("ceiling", "--help").out.split())
    assert all(method in help_text for method in METHODS)


def test_an_unknown_benchmark(cli):
    ran = cli("ceiling", "Blank2014-rige", "--offline")
    assert (ran.code, ran.out) == (2, "")
    assert "Did you mean 'Blank2014-ridge'" in ran.err


def test_too_many_subjects_for_every_subset(cli, study, tmp_path):
    path = write_study(tmp_path, responses(11))
    ran = cli("ceiling", path)
    assert ran.code == 2
    assert "--subsets 10 --held-out 5" in ran.err


def test_a_folder_that_cannot_be_written(cli, study, tmp_path):
    (tmp_path / "file").write_text("")
    ran = cli("ceiling", study, "--method", "holdout", "--out", tmp_path / "file", "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be written" in ran.err
    assert "--out FOLDER" in ran.err
    locked = tmp_path / "locked"
    locked.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    try:
        (locked / "probe").touch()
    except PermissionError:  # but for root, who may write anywhere
        assert cli("ceiling", study, "--method", "holdout", "--out", locked).code == 2

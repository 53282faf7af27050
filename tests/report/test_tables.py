import io
import json
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from jaxscore.errors import DataError
from jaxscore.report.tables import GROUPED_NOTE, SIMULATED, layer_table, render, shorten, three_decimals

NAMES = ["drop", "encoder.h.0", "encoder.h.1"]
DASH = "\N{EN DASH}"


def dataset(names=NAMES, *, grouped=True, score=None, **attrs):
    score = np.linspace(0.1234, 0.7891, len(names)) if score is None else np.asarray(score, float)
    columns = {"score": score, "error": score / 10, "r": score * 0.3186, "ceiling": np.full(len(names), 0.318567)}
    if grouped:
        columns["grouped"] = score / 2
    known = {
        "model": "gpt2",
        "benchmark": "Pereira2018-encoding",
        "error_over": "subjects",
        "ceiling_source": "published with the assembly",
        "simulated": "",
        "splits": "5 shuffled folds",
        "chosen_layer": names[-1],
        "chosen_score": 0.7654,
        "chosen_error": 0.0432,
        "chosen_r": 0.2341,
        "chosen_votes": "4 of 5 folds",
        "chosen_how": "The best layer of five inner folds was scored on the held-out stimuli.",
    }
    return xr.Dataset({k: ("layer", v) for k, v in columns.items()}, {"layer": list(names)}, known | attrs)


def flat(text):
    return " ".join(text.split())


def test_every_number_stands_in_its_row():
    lines = render(dataset()).splitlines()
    assert lines[0] == "gpt2 on Pereira2018-encoding"
    header = next(line for line in lines if "± error" in line)
    assert header.split() == ["layer", "score", "±", "error", "r", "ceiling", "grouped"]
    rows = {cells[-6]: cells[-5:] for line in lines if len(cells := line.split()) >= 6 and cells[-2] == "0.319"}
    assert rows == {
        "drop": ["0.123", "0.012", "0.039", "0.319", "0.062"],
        "encoder.h.0": ["0.456", "0.046", "0.145", "0.319", "0.228"],
        "encoder.h.1": ["0.789", "0.079", "0.251", "0.319", "0.395"],
    }


def test_chosen_layer_is_marked_and_told():
    text = render(dataset(chosen_layer="encoder.h.0"))
    marked = [line for line in text.splitlines() if line.startswith("→")]
    assert [line.split()[1].rstrip(",") for line in marked] == ["encoder.h.0", "encoder.h.0"]
    assert "chosen on inner folds (4 of 5 folds)" in text
    assert "score 0.765 ± 0.043, r 0.234" in text
    assert "The best layer of five inner folds was scored on the held-out stimuli." in flat(text)


def test_without_a_chosen_layer_nothing_is_marked():
    assert "→" not in render(dataset(chosen_layer=""))


def test_what_was_run_is_told():
    text = flat(render(dataset()))
    assert "5 shuffled folds · error over subjects · published with the assembly" in text


def test_grouped_column_and_its_note_come_together():
    assert GROUPED_NOTE in flat(render(dataset()))
    assert "grouped" not in render(dataset(grouped=False))


def test_simulated_responses_are_announced():
    text = render(dataset(simulated="Voxels were made from a seed."))
    assert SIMULATED in text.splitlines()
    assert "Voxels were made from a seed." in text
    assert "SIMULATED" not in render(dataset())


@pytest.mark.parametrize("pack", [list, json.dumps])
def test_warnings_are_printed(pack):
    text = flat(render(dataset(warnings=pack(["3 voxels are constant.", "alpha lies at the edge."]))))
    assert "warning: 3 voxels are constant." in text
    assert "warning: alpha lies at the edge." in text


def test_a_warning_that_is_no_json_is_printed_as_it_is():
    assert "warning: 3 voxels are constant." in render(dataset(warnings="3 voxels are constant."))


def test_nan_is_a_dash_and_each_of_97_layers_has_a_row():
    names = [f"transformer.h.{i}" for i in range(97)]
    score = np.where(np.arange(97) % 2, np.nan, 0.5)
    rows = [line.split() for line in render(dataset(names, score=score, chosen_layer="")).splitlines() if ".h." in line]
    assert [row[0] for row in rows] == names
    assert rows[0][1:] == ["0.500", "0.050", "0.159", "0.319", "0.250"]
    assert rows[1][1:] == [DASH, DASH, DASH, "0.319", DASH]


def test_piped_text_has_no_ansi_codes_and_coloured_text_has(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in render(dataset())
    assert "\x1b[" in render(dataset(), color=True)


def test_markup_in_names_is_text():
    assert "[bold]x[/bold]" in render(dataset(["[bold]x[/bold]"], model="[red]"))
    assert "[red] on" in render(dataset(model="[red]"))


def test_the_renderable_stays_within_its_width_on_a_wide_console():
    console = Console(width=200, file=io.StringIO())
    console.print(layer_table(dataset(chosen_how="word " * 80)))
    assert max(map(len, console.file.getvalue().splitlines())) <= 80


@pytest.mark.parametrize("missing", ["score", "error", "r", "ceiling"])
def test_an_incomplete_result_is_refused(missing):
    with pytest.raises(DataError, match=missing):
        render(dataset().drop_vars(missing))


def test_no_layers_are_refused():
    with pytest.raises(DataError, match="at least one layer"):
        render(dataset().isel(layer=slice(0)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-0.0001, "0.000"),
        (1, "1.000"),
        (-2.5, "-2.500"),
        (math.nan, DASH),
        (math.inf, "inf"),
        (9999.9994, "9999.999"),
        (-9999.9999, "-1e+04"),
        (123456.0, "1.2e+05"),
    ],
)
def test_three_decimals(value, text):
    assert three_decimals(value) == text


@given(st.floats())
def test_numbers_take_nine_columns_at_most(value):
    assert len(three_decimals(value)) <= 9


@given(st.text(), st.integers(5, 40))
def test_shortened_names_fit(name, width):
    assert cell_len(shorten(name, width)) <= width


def test_shortening_keeps_both_ends():
    short = shorten("language_model.encoder.layer.11.output", 20)
    assert len(short) == 20
    assert short.startswith("languag")
    assert short.endswith("r.11.output")
    assert shorten("encoder.h.11", 12) == "encoder.h.11"


awkward = st.text(max_size=120) | st.text("abcdefghij.[]/\\$ \n\t\x1b", max_size=200)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(awkward.filter(bool), min_size=1, max_size=6, unique=True),
    texts=st.lists(awkward, min_size=9, max_size=9),
    numbers=st.lists(st.floats(), min_size=6, max_size=6),
    width=st.integers(66, 100),
    grouped=st.booleans(),
)
def test_every_line_fits_for_awkward_input(names, texts, numbers, width, grouped):
    with np.errstate(all="ignore"):
        layers = dataset(names, grouped=grouped, score=numbers[: len(names)])
    keys = ["model", "benchmark", "error_over", "ceiling_source", "simulated", "splits", "chosen_votes", "chosen_how"]
    layers.attrs |= dict(zip(keys, texts, strict=False)) | {"warnings": [texts[-1]], "chosen_score": numbers[0]}
    lines = render(layers, width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    rule = next(i for i, line in enumerate(lines) if line.startswith("──"))
    for i, value in enumerate(numbers[: len(names)]):
        assert f" {three_decimals(value)} " in lines[rule + 1 + i]

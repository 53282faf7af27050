"""A computed ceiling as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread
from rich.cells import cell_len

from jaxscore.cards.parts import Ceiling
from jaxscore.report.ceilings import describe, plot_ceiling, render_ceiling

DASH = "\N{EN DASH}"
METHODS = get_args(get_args(Ceiling.model_fields["method"].annotation)[0])
ORANGE, BLUE, BLACK = (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x22, 0x22, 0x22)


def ceilings(owners: list[str], values, low=np.nan, high=np.nan, **attrs) -> xr.Dataset:
    """Of a method without curves."""
    values = np.asarray(values, float)
    data = {"ceiling": values, "error_low": np.full(len(values), low), "error_high": np.full(len(values), high)}
    known = {
        "benchmark": "own", "method": "holdout", "seed": 0, "failed": 0, "whole": 0.5, "whole_low": low,
        "whole_high": high,
    }  # fmt: skip
    return xr.Dataset(
        {name: ("target", column) for name, column in data.items()},
        {"target_subject": ("target", owners), "neuroid_id": ("target", np.arange(len(values)).astype(str))},
        known | attrs,
    )


def curved(subjects: int = 3, **attrs) -> xr.Dataset:
    """Of an extrapolation to 0.5."""
    names, sizes, x = [f"s{i}" for i in range(subjects)], np.arange(2, 6), np.linspace(0, 20, 41)
    middle = 0.5 * (1 - np.exp(-x / 3))
    more = {
        "points": (("subject", "size"), 0.4 + 0.01 * np.arange(subjects * 4).reshape(subjects, 4)),
        "medians": ("size", 0.5 * (1 - np.exp(-sizes / 3))),
        "curves": (("percentile", "x"), np.stack([0.9 * middle, middle, 1.1 * middle])),
    }
    plain = ceilings(names, np.full(subjects, 0.5), 0.05, 0.04, method="extrapolation", over="subjects", bootstraps=100)
    coords = {"subject": names, "size": sizes, "x": x, "percentile": [2.5, 50, 97.5]}
    return plain.assign(more).assign_coords(coords).assign_attrs(attrs)


def table(text: str) -> list[list[str]]:
    """Cells of the rows behind the line under the header."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 3))
    return [cells for line in lines[start + 1 :] if len(cells := line.split()) > 3]


# --- the table ------------------------------------------------------------------------------------------------------


def test_a_row_a_subject_with_the_median_of_its_neuroids():
    found = ceilings(["b", "a", "b", "b"], [0.2, 0.4, 0.6, np.nan], 0.05, 0.1, whole=0.4512)
    text = render_ceiling(found)
    assert text.endswith("\n")
    assert text.splitlines()[0] == "ceiling of own"
    assert table(text) == [
        ["a", "1", "0.400", "0.350", "to", "0.500"],
        ["b", "3", "0.400", "0.350", "to", "0.500"],
        ["whole", "4", "0.451", "0.401", "to", "0.551"],
    ]


def test_what_is_not_known_is_a_dash():
    found = ceilings(["a", "b"], [np.nan, 0.3], whole=np.nan)
    assert table(render_ceiling(found)) == [
        ["a", "1", DASH, DASH], ["b", "1", "0.300", DASH], ["whole", "2", DASH, DASH],
    ]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_how_it_was_computed(method):
    found = ceilings(["a", "b"], [0.3, 0.4], method=method, seed=7, over="electrodes", bootstraps=33)
    text = describe(found)
    assert text.endswith("seed 7")
    assert ("33 bootstraps" in text) == ("infinitely many electrodes" in text) == (method == "extrapolation")
    assert " ".join(text.split()) in " ".join(render_ceiling(found).split())
    assert "None" not in text


def test_the_methods_differ_in_words():
    told = [describe(ceilings(["a"], [0.3], method=method)) for method in METHODS]
    assert len(set(told)) == len(METHODS)
    assert "mean of the subjects" not in told[METHODS.index("holdout")]  # it is their median
    assert "median" in told[METHODS.index("holdout")]


def test_curves_that_failed():
    assert "warning" not in render_ceiling(curved())
    assert "warning: 3 curves could not be fitted" in render_ceiling(curved(failed=3))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_names_of_any_length_fit_a_terminal(width):
    name = "participant-of-a-study-with-very-long-names-" * 3
    found = ceilings([name, "\x1b[31mred\n"], [0.3, 0.4], benchmark="\x1b[2Jown")
    text = render_ceiling(found, width=width)
    assert max(map(cell_len, text.splitlines())) <= max(width, 66)
    assert "\x1b" not in text
    assert "very-long-names" in text
    assert len(table(text)) == 3


def test_colours_only_where_they_are_asked_for():
    assert "\x1b[" in render_ceiling(curved(), color=True)
    assert "\x1b" not in render_ceiling(curved())


# --- the picture ----------------------------------------------------------------------------------------------------


def drawn(found: xr.Dataset, path: Path) -> np.ndarray:
    """The pixels [row, column, channel] of the figure."""
    plot_ceiling(found, path)
    pixels = (imread(path)[..., :3] * 255).round().astype(int)
    assert pixels.shape == (1080, 1920, 3)
    return pixels


def painted(pixels: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Columns with pixels of a colour."""
    return np.flatnonzero((pixels == color).all(-1).any(0))


def test_the_extrapolation_has_curve_points_and_ceiling(tmp_path):
    pixels = drawn(curved(benchmark="Own$_2$ & more"), tmp_path / "figure.png")
    assert np.ptp(painted(pixels, ORANGE)) > 1500  # a line from side to side
    assert np.ptp(painted(pixels, BLUE)) > 1400
    assert len(painted(pixels, BLACK)) > 4 * 10
    assert b"Ceiling of Own$_2$ & more" in (tmp_path / "figure.png").read_bytes()[:500]


def test_bars_of_subjects(tmp_path):
    count = 27
    owners = [f"participant {i} $x$" for i in range(count)]
    pixels = drawn(ceilings(owners, np.linspace(0.1, 0.6, count)), tmp_path / "figure.png")
    assert np.ptp(painted(pixels, ORANGE)) > 1500
    assert np.ptp(painted(pixels, BLUE)) > 800


def test_a_name_is_no_formula(tmp_path):
    drawn(ceilings(["$\\nothing{$", "b"], [0.2, 0.4], benchmark="a$\\frac"), tmp_path / "figure.png")


def test_nothing_known_is_a_figure_without_curves(tmp_path):
    found = curved(whole=np.nan, whole_low=np.nan, whole_high=np.nan)
    empty = found.assign({name: found[name] * np.nan for name in ("ceiling", "points", "medians", "curves")})
    assert not len(painted(drawn(empty, tmp_path / "figure.png"), ORANGE))


def test_one_subject_without_a_ceiling(tmp_path):
    assert not len(painted(drawn(ceilings(["a"], [np.nan], whole=np.nan), tmp_path / "figure.png"), BLUE))


def test_a_figure_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        plot_ceiling(ceilings(["a"], [0.3]), tmp_path / "nowhere" / "figure.png")

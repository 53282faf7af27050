import struct
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from jaxscore.errors import DataError
from jaxscore.report.plots import layer_figure, plot_layers
from jaxscore.report.tables import SIMULATED


def dataset(count=13, *, scale=0.8, offset=0.0, grouped=False, subjects=0, empty=(), name="encoder.h.{}", **attrs):
    names = ["drop", *(name.format(i) for i in range(count - 1))]
    score = offset + scale * np.sin(np.linspace(0.4, 2.6, count))
    score[list(empty)] = np.nan
    ceiling = np.full(count, 0.318567)
    columns = {"score": score, "error": 0.05 * abs(score), "r": score * 0.3, "ceiling": ceiling}
    columns = {key: ("layer", values) for key, values in columns.items()}
    if grouped:
        columns["grouped"] = ("layer", score * 0.7)
    if subjects:
        spread = np.random.default_rng(0).normal(1, 0.1, subjects)
        columns["subjects"] = (("subject", "layer"), spread[:, None] * score)
    known = {
        "model": "gpt2",
        "benchmark": "Pereira2018-encoding",
        "error_over": "subjects",
        "ceiling_source": "ceiling published with the assembly",
        "simulated": "",
        "splits": "5 shuffled folds",
        "chosen_layer": names[count // 2],
        "chosen_score": 0.7654 * scale,
        "chosen_error": 0.0432,
        "chosen_r": 0.2345,
        "chosen_votes": "4 of 5 folds",
        "chosen_how": "The best layer of the inner folds.",
    }
    return xr.Dataset(columns, {"layer": names}, known | attrs)


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


CASES = {
    "one layer": dataset(1),
    "two layers": dataset(2, grouped=True),
    "13 layers": dataset(13, grouped=True, subjects=10),
    "97 layers": dataset(97, name="transformer.h.{}.mlp.output.projection", grouped=True),
    "layers without a score": dataset(empty=(0, 3, 4, 12), subjects=3, grouped=True),
    "no score at all": dataset(7, empty=range(7), chosen_score=np.nan, chosen_error=np.nan),
    "negative": dataset(scale=-0.3),
    "over the ceiling": dataset(scale=1.4),
    "no chosen layer": dataset(chosen_layer=""),
    "awkward names": dataset(3, name="$h_{}$%{{", model="$a$_^\n" * 60, simulated="$x$ seeds_^ " * 60),
}


@pytest.mark.parametrize("layers", CASES.values(), ids=CASES)
def test_the_file_is_a_png_for_a_slide(layers, tmp_path):
    path = tmp_path / "curve.partial"
    plot_layers(layers, path)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1920, 1080)


@pytest.mark.parametrize("layers", CASES.values(), ids=CASES)
def test_no_text_leaves_the_figure(layers):
    figure = layer_figure(layers)
    FigureCanvasAgg(figure).draw()
    page = figure.bbox
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            box = text.get_window_extent()
            assert box.x0 >= page.x0 - 1
            assert box.x1 <= page.x1 + 1
            assert box.y0 >= page.y0 - 1
            assert box.y1 <= page.y1 + 1


def test_title_subtitle_and_chosen_layer_are_named():
    text = words(layer_figure(dataset(subjects=4)))
    assert "gpt2 on Pereira2018-encoding" in text
    assert "5 shuffled folds · error over subjects · thin lines: 4 subjects" in text
    assert "ceiling published with the assembly" in text
    assert "encoder.h.5: 0.612 ± 0.043\nchosen on inner folds, 4 of 5 folds" in text


def test_simulated_responses_are_announced(tmp_path):
    layers = dataset(simulated="Voxels were made from a seed.")
    assert SIMULATED in words(layer_figure(layers))
    assert "Voxels were made from a seed." in words(layer_figure(layers))
    assert "SIMULATED" not in words(layer_figure(dataset()))
    plot_layers(layers, tmp_path / "curve.png")
    assert SIMULATED.encode() in (tmp_path / "curve.png").read_bytes()


def test_layers_without_a_score_are_counted():
    assert "without a score: 2 of 13 layers" in words(layer_figure(dataset(empty=(1, 2))))


def test_the_curves_hold_the_data():
    layers = dataset(grouped=True, subjects=3)
    drawn = [np.asarray(line.get_ydata(), float) for line in layer_figure(layers).axes[0].lines]
    wanted = [
        layers["score"].values,
        layers["grouped"].values,
        *layers["subjects"].transpose("subject", "layer").values,
    ]
    for values in wanted:
        assert any(line.shape == values.shape and np.array_equal(line, values) for line in drawn)
    assert any(line.shape == (1,) and line[0] == layers.attrs["chosen_score"] for line in drawn)


@pytest.mark.parametrize(
    ("layers", "text", "absent"),
    [(dataset(grouped=True), "folds grouped\nby passage", "never"), (dataset(), "score", "grouped")],
)
def test_lines_are_named_directly(layers, text, absent):
    labels = [found.get_text() for found in layer_figure(layers).axes[0].texts]
    assert text in labels
    assert absent not in "".join(labels)


@pytest.mark.parametrize("scale", [0.8, 1.4, 0.41])
def test_the_axis_holds_zero_the_ceiling_and_the_data(scale):
    layers = dataset(scale=scale)
    figure = layer_figure(layers)
    low, high = figure.axes[0].get_ylim()
    top = max(1.0, float((layers["score"] + layers["error"]).max()))
    assert low == 0
    assert top < high < 1.1 * top
    assert "ceiling = 1" in words(figure)
    assert "off this axis" not in words(figure)


def test_scores_far_below_the_ceiling_get_their_own_axis_and_a_note():
    figure = layer_figure(dataset(scale=0.1))
    assert figure.axes[0].get_ylim()[1] < 0.2
    assert "off this axis" in words(figure)


def test_negative_scores_are_on_the_axis():
    layers = dataset(scale=0.5, offset=-0.3)
    assert layer_figure(layers).axes[0].get_ylim()[0] < float((layers["score"] - layers["error"]).min())


@pytest.mark.parametrize(("count", "named"), [(1, 1), (13, 13), (16, 16), (17, 9), (49, 13), (97, 13)])
def test_layers_are_named_on_the_axis_as_far_as_they_fit(count, named):
    layers = dataset(count, name="h.{}")
    axes = layer_figure(layers).axes[0]
    ticks = [int(x) for x in axes.get_xticks()]
    assert len(ticks) == named
    assert [label.get_text() for label in axes.get_xticklabels()] == layers["layer"].values[ticks].tolist()
    assert axes.get_xlabel().startswith("layer")


def test_long_names_that_differ_by_a_number_are_numbered():
    axes = layer_figure(dataset(13, name="encoder.layer.{}.output")).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["drop", *map(str, range(12))]
    assert axes.get_xlabel() == "layer: encoder.layer.*.output"


def test_long_names_without_a_common_form_are_slanted():
    layers = dataset(7, name="block{0}.output{0}.long.name")
    axes = layer_figure(layers).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == layers["layer"].values.tolist()
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {30}


@pytest.mark.parametrize(("scale", "end"), [(1.0, 1.0), (0.99, 0.98)])
def test_names_of_near_lines_do_not_overlap(scale, end):
    layers = dataset(grouped=True)
    layers["score"][-1], layers["grouped"][-1] = scale, end
    figure = layer_figure(layers)
    FigureCanvasAgg(figure).draw()
    labels = ("shuffled folds", "folds grouped\nby passage", "ceiling = 1")
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in labels]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_same_result_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        plot_layers(dataset(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_incomplete_result_is_refused(tmp_path):
    with pytest.raises(DataError, match="ceiling"):
        plot_layers(dataset().drop_vars("ceiling"), tmp_path / "curve.png")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="absent"):
        plot_layers(dataset(), tmp_path / "absent" / "curve.png")


def test_drawing_leaves_pyplot_and_the_settings_of_matplotlib_alone(tmp_path):
    layers, stored = dataset(grouped=True, subjects=2), tmp_path / "layers.nc"
    layers.to_netcdf(stored, engine="h5netcdf")
    code = (
        "import sys, matplotlib, xarray\n"
        "from jaxscore.report.plots import plot_layers\n"
        "before = matplotlib.rcParams.copy()\n"
        "plot_layers(xarray.load_dataset(sys.argv[1], engine='h5netcdf'), sys.argv[2])\n"
        "assert 'jax' not in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert before == matplotlib.rcParams.copy()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(stored), str(tmp_path / "curve.png")], check=True)
    plot_layers(layers, tmp_path / "here.png")
    assert (tmp_path / "curve.png").read_bytes() == (tmp_path / "here.png").read_bytes()

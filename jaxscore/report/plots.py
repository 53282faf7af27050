"""The layer curve as a picture for a slide, by matplotlib's object-oriented API: its global state is not touched."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from jaxscore.report.tables import SIMULATED, check_layers, printable, shorten, three_decimals

if TYPE_CHECKING:
    import os
    from typing import BinaryIO

    import xarray as xr

SIZE_INCHES = (12.8, 7.2)
DPI = 150

# Okabe and Ito's colours, told apart by people with any colour vision.
_BLUE, _VERMILION, _YELLOW, _PURPLE = "#0072B2", "#D55E00", "#F0E442", "#A3447F"
_INK, _GREY, _PALE = "#222222", "#666666", "#BDBDBD"
_NAMED, _TICKS, _LETTERS = 16, 13, 90
_LEGIBLE = 0.15  # with every value under this, an axis up to the ceiling would be mostly empty


def plot_layers(layers: xr.Dataset, path: str | os.PathLike[str] | BinaryIO) -> None:
    """Write the layer curve as a PNG of 1920 x 1080 pixels to `path`, whatever its suffix.

    Args:
        layers: see `layer_figure`.
        path: the file to write, or one that is open for it.

    Raises:
        DataError: a variable is missing, or there is no layer.
        OSError: the file cannot be written.
    """
    figure = layer_figure(layers)
    attrs = layers.attrs
    notice = f" {SIMULATED}." if attrs.get("simulated") else ""
    description = f"Ceiling-normalised score of each layer, {attrs['splits']}.{notice}"
    metadata = {"Title": _title(layers), "Description": printable(description)}
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(path, metadata=metadata)
    canvas.renderer = None  # 8 MB of pixels, which the cycle of figure and canvas would keep until it is collected


def layer_figure(layers: xr.Dataset) -> Figure:
    """Draw the score of every layer, its error, the ceiling, and the layer that was chosen on inner folds.

    Args:
        layers: `score`, `error`, `r`, `ceiling` and optionally `grouped`, each (layer,), and optionally `subjects`
            (layer, subject); scores and error in units of the ceiling. Attributes as in `tables.layer_table`.

    Raises:
        DataError: a variable is missing, or there is no layer.
    """
    check_layers(layers)
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white")
    axes_top = _heading(figure, layers)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.3, h_pad=0.1, rect=(0, 0, 1, axes_top)))
    axes = figure.add_subplot(facecolor="white")
    low, high = _limits(layers)
    axes.set_ylim(low, high)
    beside = max(0.4, 0.015 * layers.sizes["layer"])
    axes.set_xlim(-beside, layers.sizes["layer"] - 1 + beside)
    ends = _curves(axes, layers)
    if not _has_ceiling(layers):
        pass
    elif high >= 1:
        axes.axhline(1, color=_INK, linestyle=(0, (6, 4)), linewidth=1.6, zorder=1.5)
        ends.append((1.0, "ceiling = 1", _INK))
    else:
        ends.append((high, "↑ ceiling = 1,\n   off this axis", _INK))
    _mark_chosen(axes, layers)
    _style(axes, layers)
    figure.draw_without_rendering()  # lays the axes out: how far apart names must stand depends on their height
    _label_ends(axes, ends)
    return figure


def _has_ceiling(layers: xr.Dataset) -> bool:
    """Tell whether scores are in units of a ceiling; without one they are raw correlations."""
    return bool(np.isfinite(layers["ceiling"].values).any())


def _title(layers: xr.Dataset) -> str:
    return f"{shorten(layers.attrs['model'], 60)} on {shorten(layers.attrs['benchmark'], 50)}"


def _heading(figure: Figure, layers: xr.Dataset) -> float:
    """Write title, subtitle and the notice of simulation; return where the axes may begin, in parts of the height."""
    attrs, title = layers.attrs, _title(layers)
    parts = [attrs["splits"], f"error over {attrs['error_over']}"]
    if "subjects" in layers:
        parts.append(f"thin lines: {layers.sizes['subject']} subjects")
    if empty := int(np.isnan(layers["score"].values).sum()):
        parts.append(f"without a score: {empty} of {layers.sizes['layer']} layers")
    lines = [(title, 24 * min(1, 54 / len(title)), _INK, "bold")]
    for sentence in (" · ".join(parts), attrs["ceiling_source"]):
        lines += [(line, 14, _GREY, "normal") for line in _wrapped(sentence)]
    if attrs.get("simulated"):
        lines.append((SIMULATED, 16, _PURPLE, "bold"))
        lines += [(line, 14, _PURPLE, "normal") for line in _wrapped(attrs["simulated"])]
    y = 0.965
    for text, size, color, weight in lines:
        figure.text(0.03, y, text, size=size, color=color, weight=weight, va="top", parse_math=False)
        y -= 1.5 * size / (72 * SIZE_INCHES[1])
    return y - 0.01


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(printable(text), 104, max_lines=3, placeholder=" …")


def _limits(layers: xr.Dataset) -> tuple[float, float]:
    """Return an axis that holds zero, every value with its error, and the ceiling unless all values are far below."""
    score, error = layers["score"].values, _finite_or_zero(layers["error"].values)
    shown = [score - error, score + error, *(layers[name].values for name in ("grouped", "subjects") if name in layers)]
    best, spread = (float(layers.attrs.get(key, np.nan)) for key in ("chosen_score", "chosen_error"))
    shown.append(best + _finite_or_zero(np.array([-spread, spread])))
    values = np.concatenate([np.ravel(part) for part in shown])
    values = values[np.isfinite(values)]
    low, high = (min(0.0, values.min()), max(0.0, values.max())) if values.size else (0.0, 1.0)
    if _has_ceiling(layers) and (high >= _LEGIBLE or high <= 0):
        high = max(1.0, high)
    room = 0.06 * (high - low) or 0.06
    return (low - room if low < 0 else 0.0), high + room


def _finite_or_zero(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0)


def _curves(axes: Axes, layers: xr.Dataset) -> list[tuple[float, str, str]]:
    """Draw subjects, grouped folds and the score; return (height of the last point, label, colour) of each."""
    x = np.arange(layers.sizes["layer"])
    marker, bar = (7, 1.3) if x.size <= 30 else (4, 0.6)
    ends = []
    if "subjects" in layers:
        subjects = layers["subjects"].transpose("layer", "subject").values
        alpha = max(0.2, min(1.0, 12 / subjects.shape[1]))
        axes.plot(x, subjects, color=_PALE, linewidth=1, marker="o", markersize=2.5, alpha=alpha, zorder=1)
    if "grouped" in layers:
        grouped = layers["grouped"].values
        axes.plot(x, grouped, color=_VERMILION, linewidth=2, marker="s", markersize=0.8 * marker, zorder=2)
        ends.append((_last(grouped), "folds grouped\nby passage", _VERMILION))
    score, error = layers["score"].values, layers["error"].values
    axes.fill_between(x, score - error, score + error, color=_BLUE, alpha=0.15, linewidth=0, zorder=1.8)
    axes.errorbar(x, score, error, color=_BLUE, linewidth=2.8, marker="o", markersize=marker, elinewidth=bar, zorder=3)
    ends.append((_last(score), "score" if "grouped" not in layers else "shuffled folds", _BLUE))
    return ends


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else float("nan")


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Name each line at its right end, moved apart where two names would overlap."""
    low, high = axes.get_ylim()
    ends = sorted(end for end in ends if np.isfinite(end[0]))
    if not ends:
        return
    line = 19 / 72 * DPI / axes.bbox.height  # 14-point letters on a line of 19 points, in parts of the axes
    half = [line / 2 * (1 + label.count("\n")) for _, label, _ in ends]
    y = [(height - low) / (high - low) for height, _, _ in ends]
    for i in range(1, len(y)):
        y[i] = max(y[i], y[i - 1] + half[i - 1] + half[i])
    y[-1] = min(y[-1], 1.0)
    for i in range(len(y) - 2, -1, -1):
        y[i] = min(y[i], y[i + 1] - half[i + 1] - half[i])
    for place, (_, label, color) in zip(y, ends, strict=True):
        axes.text(1.012, place, label, transform=axes.transAxes, size=14, color=color, va="center", parse_math=False)


def _mark_chosen(axes: Axes, layers: xr.Dataset) -> None:
    """Mark the layer chosen on inner folds with its nested score, named in a strip above the axes where no data are."""
    attrs, names = layers.attrs, layers["layer"].values.tolist()
    if attrs.get("chosen_layer") not in names:
        return
    x = names.index(attrs["chosen_layer"])
    left, right = axes.get_xlim()
    place = (x - left) / (right - left)
    axes.axvline(x, color=_INK, linewidth=1, linestyle=":", zorder=1.2)
    score, error = float(attrs["chosen_score"]), float(attrs["chosen_error"])
    axes.errorbar(x, score, error, fmt="D", color=_INK, mfc=_YELLOW, markersize=10, elinewidth=2, capsize=5, zorder=5)
    axes.text(
        place,
        1.015,
        f"◆ {shorten(attrs['chosen_layer'], 28)}: {three_decimals(score)} ± {three_decimals(error)}\n"
        f"chosen on inner folds, {shorten(attrs['chosen_votes'], 40)}",
        transform=axes.transAxes,
        size=14,
        color=_INK,
        ha="left" if place < 0.2 else "right" if place > 0.8 else "center",
        parse_math=False,
    )


def _style(axes: Axes, layers: xr.Dataset) -> None:
    """Name the axes and as many layers as can be read."""
    _name_layers(axes, layers["layer"].values.tolist())
    axes.set_ylabel(
        "score (1 = noise ceiling)" if _has_ceiling(layers) else "score (Pearson r, no ceiling)", size=16, color=_INK
    )
    axes.tick_params(axis="y", labelsize=13, labelcolor=_INK)
    axes.tick_params(color=_GREY)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    if axes.get_ylim()[0] < 0:
        axes.axhline(0, color=_GREY, linewidth=1, zorder=1.1)


def _name_layers(axes: Axes, names: list[str]) -> None:
    """Write full names where they fit side by side, else the numbers of names alike in all else, else slanted names."""
    step = 1 if len(names) <= _NAMED else -(-len(names) // _TICKS)
    labels, title = names[::step], "layer"
    turn = {}
    if sum(map(len, labels)) + len(labels) > _LETTERS:
        form, count = Counter(re.sub(r"\d+", "*", name) for name in names).most_common(1)[0]
        if form.count("*") == 1 and count > len(names) / 2:
            labels = [re.findall(r"\d+", name)[0] if re.sub(r"\d+", "*", name) == form else name for name in labels]
            title = f"layer: {shorten(form, 60)}"
        if sum(map(len, labels)) + len(labels) > _LETTERS:
            turn = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    labels = [shorten(label, 24) for label in labels]
    axes.set_xticks(range(0, len(names), step), labels, size=13, color=_INK, parse_math=False, **turn)
    if step > 1:
        title += f" ({len(names)} in all, one in {step} named)"
    axes.set_xlabel(title, size=16, color=_INK, parse_math=False)

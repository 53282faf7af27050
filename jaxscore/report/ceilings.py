"""A computed ceiling as a table, a row a subject, and as a picture: what more subjects would bring."""

from __future__ import annotations

import io
import math
import os
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxscore.metrics.aggregate import median_present
from jaxscore.report.tables import printable, shorten, three_decimals

if TYPE_CHECKING:
    import xarray as xr

METHODS = {
    "extrapolation": "extrapolated to infinitely many {over}; {bootstraps} bootstraps; median over neuroids",
    "holdout": "each subject predicted from all others; median of the subjects' medians",
    "split-half": "halves of the repetitions, Spearman-Brown; medians over neuroids and subjects",
    "test-retest": "two measurements of the same stimuli; medians over neuroids and subjects",
    "subject-halves": "halves of the subjects, Spearman-Brown; median over splits",
}


def describe(found: xr.Dataset) -> str:
    """How the ceiling was computed."""
    attrs = found.attrs
    sentence = METHODS[attrs["method"]].format(over=attrs.get("over"), bootstraps=attrs.get("bootstraps"))
    return f"{sentence}; seed {attrs['seed']}"


def render_ceiling(found: xr.Dataset, *, width: int = 80, color: bool = False) -> str:
    """The ceiling of each subject and the whole as text that ends in a newline.

    Args:
        found: of `jaxscore.ceilings.estimate.estimate`.
        width: terminal columns.
        color: whether ANSI codes may be used.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1))
    for name, justify in (("subject", "left"), ("neuroids", "right"), ("ceiling", "right"), ("95% interval", "right")):
        table.add_column(name, justify=justify, no_wrap=True)
    owners = found["target_subject"].values.astype(str)
    for name in sorted(set(owners.tolist())):
        own = found.isel(target=owners == name)
        center, low, high = (
            float(median_present(own[key].values, 0)) for key in ("ceiling", "error_low", "error_high")
        )
        cells = [shorten(name, 30), str(own.sizes["target"]), three_decimals(center), _interval(center, low, high)]
        table.add_row(*cells)
    attrs = found.attrs
    whole = _interval(attrs["whole"], attrs["whole_low"], attrs["whole_high"])
    table.add_section()
    table.add_row("whole", str(found.sizes["target"]), three_decimals(attrs["whole"]), whole, style="bold green")
    console = Console(
        file=io.StringIO(), width=max(width, 66), color_system="standard" if color else None, force_terminal=color,
        force_jupyter=False, highlight=False, legacy_windows=False,
    )  # fmt: skip
    with console.capture() as capture:
        console.print(Text(f"ceiling of {printable(attrs['benchmark'])}", style="bold"))
        console.print(Text(describe(found), style="dim", overflow="fold"))
        console.print(Text())
        console.print(table)
        if attrs["failed"]:
            console.print(Text(f"warning: {attrs['failed']} curves could not be fitted and are skipped", "yellow"))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def plot_ceiling(found: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Draw the extrapolation (points of each subject, curves of the bootstraps, asymptote), or a bar for each subject.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.8, 7.2), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    attrs = found.attrs
    if "points" in found:
        _extrapolation(axes, found)
    else:
        _subjects(axes, found)
    axes.axhline(attrs["whole"], color="#D55E00", linewidth=2, zorder=3)
    axes.annotate(
        f"ceiling {three_decimals(attrs['whole'])}", (1, attrs["whole"]), (8, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", va="center", color="#D55E00", size=15, weight="bold", annotation_clip=False,
    )  # fmt: skip
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=13)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#E0E0E0", linewidth=0.8)
    figure.suptitle(
        f"Ceiling of {shorten(attrs['benchmark'], 60)}", size=22, weight="bold", x=0.02, ha="left", parse_math=False
    )
    axes.set_title(describe(found), size=13, color="#666666", loc="left", parse_math=False)
    FigureCanvasAgg(figure).print_png(
        os.fspath(path), metadata={"Title": f"Ceiling of {printable(attrs['benchmark'])}"}
    )


def _extrapolation(axes, found: xr.Dataset) -> None:
    x, sizes = found["x"].values, found["size"].values
    low, middle, high = found["curves"].values
    axes.fill_between(x, low, high, color="#0072B2", alpha=0.15, linewidth=0, label="95% of bootstraps")
    axes.plot(x, middle, color="#0072B2", linewidth=2.5, label="fitted curve")
    points = found["points"].values
    axes.plot(sizes, points.T, "o-", color="#BDBDBD", markersize=5, linewidth=0.8, zorder=1)
    axes.plot([], [], "o-", color="#BDBDBD", markersize=5, label=f"{len(points)} subjects, medians over neuroids")
    axes.plot(sizes, found["medians"].values, "o", color="#222222", markersize=9, label="median over all neuroids")
    axes.set_xlim(0, x[-1])
    axes.set_xlabel(f"number of {found.attrs['over']}", size=15)
    axes.set_ylabel("r of a held-out subject", size=15)
    axes.legend(frameon=False, fontsize=13, loc="lower right")


def _subjects(axes, found: xr.Dataset) -> None:
    owners = found["target_subject"].values.astype(str)
    names = sorted(set(owners.tolist()))
    values = [float(median_present(found["ceiling"].values[owners == name], 0)) for name in names]
    axes.bar(range(len(names)), values, color="#0072B2", width=0.7)
    axes.set_xticks(range(len(names)), [shorten(name, 16) for name in names], rotation=60 if len(names) > 8 else 0)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.set_ylabel("ceiling", size=15)


def _interval(center: float, low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "\N{EN DASH}"
    return f"{three_decimals(center - low)} to {three_decimals(center + high)}"

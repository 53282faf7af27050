"""The layers of one result as a terminal table: one row a layer, at most `width` columns wide."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from jaxscore.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

SIMULATED = "SIMULATED responses, not brain data"
GROUPED_NOTE = "grouped: the same score with folds grouped by passage; the gap is what neighbouring sentences leak."
REQUIRED = ("score", "error", "r", "ceiling")

# Five numbers of at most nine columns, their gaps, the mark and eight columns of a layer's name.
_NARROWEST = 66
_HEADERS = {"score": "score", "error": "± error", "r": "r", "ceiling": "ceiling", "grouped": "grouped"}
_GAP = 2
_MARK = "→ "


def layer_table(layers: xr.Dataset, *, width: int = 80) -> RenderableType:
    """Lay out the table of layers, with the chosen layer's line and all notes.

    Args:
        layers: variables `score`, `error`, `r`, `ceiling` and optionally `grouped`, each (layer,); the score and its
            error in units of the ceiling, `r` and `ceiling` Pearson correlations. Attributes say what was run (`model`,
            `benchmark`, `splits`, `error_over`, `ceiling_source`, `simulated`, `warnings`) and which layer was chosen
            (`chosen_layer`, `chosen_score`, `chosen_error`, `chosen_r`, `chosen_votes`, `chosen_how`).
        width: terminal columns that may be used; under 66 is taken as 66, as cut numbers would mislead.

    Returns:
        A rich renderable, never wider than `width`.

    Raises:
        DataError: a variable is missing, or there is no layer.
    """
    check_layers(layers)
    width = max(width, _NARROWEST)
    attrs = layers.attrs
    parts: list[RenderableType] = [
        Text(f"{printable(attrs['model'])} on {printable(attrs['benchmark'])}", style="bold", overflow="fold"),
        _note(f"{attrs['splits']} · error over {attrs['error_over']} · {attrs['ceiling_source']}"),
    ]
    if attrs.get("simulated"):
        parts.append(Text(SIMULATED, style="bold magenta"))
        parts.append(_note(attrs["simulated"]))
    parts += [Text(), _rows(layers, width)]
    if "grouped" in layers:
        parts += [Text(), _note(GROUPED_NOTE)]
    parts += _chosen(attrs) + _by(attrs)
    parts += [Text(f"warning: {printable(line)}", style="yellow", overflow="fold") for line in warnings_of(attrs)]
    return Constrain(Group(*parts), width)


def render(layers: xr.Dataset, *, width: int = 80, color: bool = False) -> str:
    """Render `layer_table` as text that ends in a newline, with ANSI codes only where `color` is true.

    Raises:
        DataError: a variable is missing, or there is no layer.
    """
    console = Console(
        file=io.StringIO(),
        width=max(width, _NARROWEST),
        color_system="standard" if color else None,
        force_terminal=color,
        force_jupyter=False,
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(layer_table(layers, width=width))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def check_layers(layers: xr.Dataset) -> None:
    """Refuse a dataset that is no table of layers.

    Raises:
        DataError: a variable is missing, or there is no layer.
    """
    missing = [name for name in REQUIRED if name not in layers]
    if missing or layers.sizes.get("layer", 0) == 0:
        raise DataError(
            f"A result needs the variables {', '.join(REQUIRED)} on at least one layer; "
            f"missing: {', '.join(missing) or 'layers'}.",
            "Run the benchmark again with --overwrite to write a complete result.",
        )


def three_decimals(value: float) -> str:
    """Format a number in at most nine columns: three decimals, an en dash for NaN, an exponent from 10,000 on."""
    if math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value) or abs(value) >= 9999.9995:
        return f"{value:.2g}"
    return f"{round(float(value), 3) + 0.0:.3f}"  # adding zero turns -0.000 into 0.000


def shorten(name: str, width: int) -> str:
    """Cut the middle out of `name` where it is over `width` columns; the end, which numbers the layer, keeps more."""
    name = printable(name)
    if cell_len(name) <= width:
        return name
    tail_room = (width - 1) * 3 // 5
    head = set_cell_size(name, width - 1 - tail_room).rstrip()
    tail = name[-tail_room:]
    while cell_len(tail) > tail_room:
        tail = tail[1:]
    return f"{head}…{tail}"


def printable(text: Any) -> str:
    """Replace control characters, line breaks included, by spaces: names come from files that others wrote."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def warnings_of(attrs: Mapping[str, Any]) -> list[str]:
    """Return the attribute `warnings`, a list or the JSON of one, as a list of sentences."""
    found = attrs.get("warnings") or []
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except json.JSONDecodeError:
            found = [found]
    return [found] if isinstance(found, str) else [str(line) for line in found]


def _rows(layers: xr.Dataset, width: int) -> Table:
    """Build the table itself; the names get what the numbers leave."""
    shown = [name for name in _HEADERS if name in layers]
    cells = {name: [three_decimals(v) for v in layers[name].values.tolist()] for name in shown}
    taken = sum(_GAP + max(map(len, [_HEADERS[name], *cells[name]])) for name in shown)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, _GAP - 1))
    table.add_column("  layer", no_wrap=True)
    for name in shown:
        table.add_column(_HEADERS[name], justify="right", no_wrap=True)
    for i, layer in enumerate(layers["layer"].values.tolist()):
        chosen = layer == layers.attrs.get("chosen_layer")
        name = Text((_MARK if chosen else "  ") + shorten(layer, width - taken - len(_MARK)))
        table.add_row(name, *(cells[column][i] for column in shown), style="bold green" if chosen else "")
    return table


def _chosen(attrs: Mapping[str, Any]) -> list[RenderableType]:
    """Say what the layer chosen on inner folds scores, and how it was chosen."""
    if not attrs.get("chosen_layer"):
        return []
    score, error, r = (three_decimals(attrs[f"chosen_{key}"]) for key in ("score", "error", "r"))
    layer = Text(f"{_MARK}{printable(attrs['chosen_layer'])}", style="bold green", overflow="fold")
    layer.append(f", chosen on inner folds ({printable(attrs['chosen_votes'])})", style="not bold")
    return [
        Text(),
        layer,
        Text(f"  nested score {score} ± {error}, r {r}", style="bold green"),
        _note(attrs["chosen_how"]),
    ]


def _by(attrs: Mapping[str, Any]) -> list[RenderableType]:
    """The score of the chosen layer for each value of a coordinate, such as each atlas or time bin."""
    lines = []
    for name, scores in json.loads(attrs.get("by") or "{}").items():
        each = ", ".join(f"{value} {three_decimals(math.nan if s is None else s)}" for value, s in scores.items())
        lines.append(_note(f"{attrs['chosen_layer']} by {name}: {each}"))
    return lines


def _note(sentence: str) -> Text:
    return Text(printable(sentence), style="dim", overflow="fold")

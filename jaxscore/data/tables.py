"""A person's own responses from a CSV or TSV file: wide (a column a neuroid) or long (a row a response)."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from jaxscore.data.assemblies import Dropped, some
from jaxscore.data.frames import UNNAMED, is_numeric, numbers, read_frame, require, texts
from jaxscore.data.labels import COORDINATES, bin_name, check_unique, drop, number, presentations, read_labels
from jaxscore.errors import DataError


def read_table(
    path: str | Path,
    *,
    sentence: str,
    responses: Sequence[str] | None = None,
    stimulus_id: str | None = None,
    group: str | None = None,
    subject: str = "subject",
    run: str | None = None,
    repetition: str | None = None,
    time_bin: str | None = None,
    value: str | None = None,
    neuroid: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> tuple[xr.DataArray, Dropped]:
    """Read responses from a CSV or TSV file with a header.

    A presentation is a stimulus id with its repetition and run; all rows of one presentation (of several subjects, time
    bins and, in a long table, neuroids) become one row of the assembly. Presentations and neuroids are in the order of
    their first row. What no row tells is NaN.

    Args:
        path: text file in UTF-8, separated by tabs where its suffix or header says so, else by commas.
        sentence: column with the text of each presentation.
        responses: wide table: response columns by name or pattern ("lang_LH_*"); if None, all numeric columns without
            another role.
        stimulus_id: column with ids; row numbers if None, where each row is a presentation.
        group: column that says which passage a sentence belongs to.
        subject: column that names the subject of each row; if there is none, the name of the one subject.
        run: column with the run of each row.
        repetition: column that tells presentations of one stimulus apart.
        time_bin: column with the time bin (a number) of each row.
        value: long table: the column with the response.
        neuroid: long table: the columns that together name a neuroid.
        keep: further columns of a presentation that become coordinates, as text.

    Returns:
        Responses [presentation, neuroid] in float64, and the neuroids that were dropped. On presentation stimulus_id,
        sentence, passage_id (with `group`), run and repetition as text; on neuroid neuroid_id, subject, the columns of
        `neuroid` and, with `time_bin`, time_bin as number and channel. A neuroid_id is the column, or the values of
        `neuroid` with dots between; "subject." before it where there are several subjects, "@bin" after it, where the
        channel ends. In a wide table where each stimulus has one row, a neuroid with a missing response is dropped;
        elsewhere it is kept with NaN, the attribute `holes` counts them, and only one without any response is dropped
        as missing. Constant ones are always dropped.

    Raises:
        DataError: the file, a column or a value does not fit, two rows give one response, or the rows of one stimulus
            disagree in its text; names file, column and reason.
    """
    path, long = Path(path), bool(value or neuroid)
    if long and (responses or not (value and neuroid)):
        message = (
            f"{path}: value = {value!r}, neuroid = {list(neuroid)!r}, responses = {responses!r} do not go together."
        )
        raise DataError(message, "A long table needs value and neuroid and no responses; a wide one responses alone.")
    roles = {
        "sentence": sentence,
        "stimulus_id": stimulus_id,
        "passage_id": group,
        "repetition": repetition,
        "run": run,
    }
    roles = {role: column for role, column in roles.items() if column is not None} | {name: name for name in keep}
    needed = [*roles.values(), *neuroid]
    frame = read_frame(path, needed, numeric=[column for column in (value, time_bin) if column], optional=[subject])
    columns = [value] if value else _response_columns(path, frame, responses, {*needed, subject, time_bin})
    labels = read_labels(path, frame, roles)
    rows, first = presentations(path, labels, roles)
    keys = pd.DataFrame({subject: texts(path, frame[subject]) if subject in frame else [subject] * len(frame)})
    keys = keys.assign(**{column: texts(path, frame[column]) for column in neuroid if column != subject})
    if time_bin:
        keys = keys.assign(**{time_bin: numbers(path, frame[time_bin], complete=True)})
    sources, first_source = number(keys)
    if stimulus_id is None and (repetition or len(first_source) > 1):
        message = f"{path} has several rows for a stimulus, and no column that says which stimulus a row is."
        raise DataError(message, 'Name it: stimulus_id = "item"; where sentences differ, their column will do.')
    _check_once(path, rows, sources, labels["stimulus_id"], keys)
    values = np.full((len(first), len(first_source), len(columns)), np.nan)
    values[rows, sources] = np.stack([numbers(path, frame[column]) for column in columns], axis=1)
    assembly = xr.DataArray(
        values.reshape(len(first), -1),
        dims=("presentation", "neuroid"),
        coords={
            **{role: ("presentation", np.array(text, dtype=str)[first]) for role, text in labels.items()},
            **_neuroids(path, keys.iloc[first_source], columns, subject, time_bin, list(neuroid)),
        },
        name="data",
    )
    return drop(assembly, str(path), holes=long or len(first_source) > 1)


def _check_once(path: Path, rows: np.ndarray, sources: np.ndarray, ids: list[str], keys: pd.DataFrame) -> None:
    pairs = pd.DataFrame({"presentation": rows, "source": sources})
    repeated = np.flatnonzero(pairs.duplicated())
    if not repeated.size:
        return
    again = repeated[0]
    before = int(np.argmax((pairs == pairs.iloc[again]).all(axis=1)))
    key = ", ".join(f"{column} {value!r}" for column, value in keys.iloc[again].items())
    message = f"{path}: rows {before + 1} and {again + 1} both give stimulus {ids[again]!r} for {key}."
    known = some(list(dict.fromkeys(ids[row] for row in repeated)))
    hint = "Name the column that tells them apart: repetition, run, subject, time_bin or neuroid."
    raise DataError(f"{message} Stimulus ids that occur more than once: {known}.", hint)


def _neuroids(
    path: Path, keys: pd.DataFrame, columns: list[str], subject: str, time_bin: str | None, neuroid: list[str]
) -> dict[str, tuple[str, np.ndarray]]:
    """Return the coordinates of neuroids: for each key all response columns."""
    several = keys[subject].nunique() > 1
    regions = [column for column in neuroid if column != subject]
    channels = []
    for key in keys.to_dict("records"):
        for column in columns:
            own = [key[region] for region in regions] if neuroid else [column]
            channels.append(".".join([key[subject], *own] if several or not own else own))
    found = {"subject": keys[subject].tolist()} | {r: keys[r].tolist() for r in regions if r not in COORDINATES}
    if time_bin:
        found["time_bin"] = keys[time_bin].tolist()
    found = {name: np.repeat(np.array(values), len(columns)) for name, values in found.items()}
    ids = channels
    if time_bin:
        found["channel"] = np.array(channels)
        ids = [f"{name}@{bin_name(at)}" for name, at in zip(channels, found["time_bin"], strict=True)]
    check_unique(path, ids)
    return {name: ("neuroid", values) for name, values in {"neuroid_id": np.array(ids), **found}.items()}


def _response_columns(path: Path, frame: pd.DataFrame, wanted: Sequence[str] | None, taken: set) -> list[str]:
    """Return the response columns in the file's order, without those that have another role."""
    free = [str(name) for name in frame.columns if name not in taken]
    if wanted is None:
        chosen = [name for name in free if not name.startswith(UNNAMED) and is_numeric(frame[name])]
        if not chosen:
            message = f"{path} has no numeric column; its columns: {some(list(frame.columns), 20)}."
            raise DataError(message, "Name the response columns.")
        return chosen
    require(path, [pattern for pattern in wanted if not any(_matches(name, pattern) for name in free)], free)
    return [name for name in free if any(_matches(name, pattern) for pattern in wanted)]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)  # equal first: a name may hold brackets

"""A person's own responses from an array file, with a table for its rows and, if wished, one for its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from jaxscore.data.array_files import Values, read_values
from jaxscore.data.assemblies import Dropped, some
from jaxscore.data.frames import UNNAMED, is_numeric, numbers, read_frame, texts
from jaxscore.data.labels import COORDINATES, bin_name, check_unique, drop, presentations, read_labels
from jaxscore.errors import DataError


def read_array(
    path: str | Path,
    *,
    stimuli: str | Path,
    sentence: str,
    neuroids: str | Path | None = None,
    stimulus_id: str | None = None,
    group: str | None = None,
    subject: str = "subject",
    run: str | None = None,
    repetition: str | None = None,
    time_bin: str | None = None,
    variable: str | None = None,
    mask: str | Path | None = None,
    keep: Sequence[str] = (),
) -> tuple[xr.DataArray, Dropped]:
    """Read responses [presentation, neuroid] or [presentation, neuroid, time bin] from an array file.

    Args:
        path: .npy, .npz, .h5, .hdf5, .nii or .nii.gz. A NIfTI file [x, y, z, volume] is read as [volume, voxel in the
            mask].
        stimuli: CSV or TSV file with a row for each row of the array.
        sentence: column of `stimuli` with the text of each row.
        neuroids: CSV or TSV file with a row for each column of the array; all its columns become coordinates, among
            them `neuroid_id`, if it is there.
        stimulus_id: column of `stimuli` with ids; row numbers if None.
        group: column of `stimuli` that says which passage a sentence belongs to.
        subject: column of `neuroids`; if there is none, the name of the one subject.
        run: column of `stimuli` with the run of each row.
        repetition: column of `stimuli` that tells presentations of one stimulus apart.
        time_bin: for an array with a third axis, name of the array of the file with its time bins (numbered from 0 if
            None); for one with two, column of `neuroids` with the time bin of each column.
        variable: name of the array in a .npz or HDF5 file that has several.
        mask: NIfTI file with the mask, for NIfTI.
        keep: further columns of `stimuli` that become coordinates, as text.

    Returns:
        Responses [presentation, neuroid] with coordinates as those of `read_table`, in float32 where this holds the
        file's numbers exactly and else in float64; and the neuroids that were dropped, by its rules. Neuroids without
        ids are numbered from 0; those of NIfTI are named "x.y.z", with the voxel's indices x, y, z and its place x_mm,
        y_mm, z_mm by the affine.

    Raises:
        DataError: names file, variable (or column) and reason.
    """
    path, stimuli = Path(path), Path(stimuli)
    values = read_values(path, variable=variable, time_bins=time_bin, mask=Path(mask) if mask else None)
    rows = _rows(
        path,
        stimuli,
        len(values.responses),
        {"sentence": sentence, "stimulus_id": stimulus_id, "passage_id": group, "repetition": repetition, "run": run}
        | {name: name for name in keep},
    )
    count = values.responses.shape[1]
    columns = {"neuroid_id": np.arange(count).astype(str), "subject": np.full(count, subject), **values.columns}
    if neuroids is not None:
        columns |= _columns(path, Path(neuroids), count, subject, time_bin if values.time_bins is None else None)
    elif time_bin is not None and values.time_bins is None:
        message = f"{path} has two axes, and time_bin = {time_bin!r} is a column of no table."
        raise DataError(message, "Give a table `neuroids` with that column, or an array with a third axis.")
    if values.time_bins is not None:
        columns = _each_bin(columns, values)
    check_unique(Path(neuroids or path), columns["neuroid_id"].tolist())
    assembly = xr.DataArray(
        values.responses.reshape(len(values.responses), -1),
        dims=("presentation", "neuroid"),
        coords={
            **{name: ("presentation", labels) for name, labels in rows.items()},
            **{name: ("neuroid", labels) for name, labels in columns.items()},
        },
        name="data",
    )
    return drop(assembly, str(path))


def _rows(path: Path, stimuli: Path, count: int, roles: Mapping[str, str | None]) -> dict[str, np.ndarray]:
    """Return the coordinates of the rows."""
    columns = {role: column for role, column in roles.items() if column is not None}
    frame = read_frame(stimuli, list(columns.values()))
    _match(path, count, "rows", stimuli, len(frame))
    labels = read_labels(stimuli, frame, columns)
    numbered, first = presentations(stimuli, labels, columns)
    if len(first) < count:
        again = int(np.flatnonzero(~np.isin(np.arange(count), first))[0])
        before, stimulus = int(first[numbered[again]]), labels["stimulus_id"][again]
        message = f"{stimuli}: rows {before + 1} and {again + 1} are both stimulus {stimulus!r}."
        raise DataError(message, "Name the column that tells presentations of one stimulus apart: repetition = ...")
    return {role: np.array(text, dtype=str) for role, text in labels.items()}


def _columns(path: Path, neuroids: Path, count: int, subject: str, time_bin: str | None) -> dict[str, np.ndarray]:
    """Return the coordinates that a table of neuroids has: text as str, with "" for a missing one, and numbers."""
    frame = read_frame(neuroids, [], numeric=[time_bin] if time_bin else [], optional=["neuroid_id", subject])
    _match(path, count, "columns", neuroids, len(frame))
    taken = [name for name in frame.columns if name in COORDINATES and name not in ("neuroid_id", "channel", time_bin)]
    if taken:
        message = f"{neuroids}: columns {some(taken)} have names that mean something else."
        raise DataError(message, f"Rename them: {', '.join(COORDINATES)} are taken.")
    found = {}
    for name in [name for name in frame.columns if not name.startswith(UNNAMED)]:
        column = frame[name]
        if name == time_bin:
            found["time_bin"] = numbers(neuroids, column, complete=True)
        elif name in ("neuroid_id", subject):
            found["subject" if name == subject else name] = np.array(texts(neuroids, column), dtype=str)
        else:
            found[name] = column.to_numpy() if is_numeric(column) else np.array(column.fillna("").tolist(), dtype=str)
    return found


def _each_bin(columns: Mapping[str, np.ndarray], values: Values) -> dict[str, np.ndarray]:
    """Return the coordinates of [neuroid x time bin], the bins of a neuroid next to each other."""
    bins = values.time_bins
    repeated = {name: np.repeat(labels, len(bins)) for name, labels in columns.items()}
    channel, at = repeated["neuroid_id"], np.tile(bins, values.responses.shape[1])
    ids = np.array([f"{name}@{bin_name(time)}" for name, time in zip(channel, at, strict=True)])
    return repeated | {"neuroid_id": ids, "channel": channel, "time_bin": at}


def _match(path: Path, count: int, axis: str, table: Path, rows: int) -> None:
    if count != rows:
        message = f"{path} has {count} {axis}, {table} has {rows} rows."
        raise DataError(message, f"The table needs a row for each of the array's {axis}, in their order.")

"""A person's own responses from a CSV or TSV file: a row a sentence, a column a neuroid."""

from __future__ import annotations

import warnings
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from jaxscore.data.assemblies import Dropped, check_assembly, drop_unusable, some
from jaxscore.errors import DataError, did_you_mean

# What counts as "no value" in a response column. Never applied to text: "NA" and "null" are words.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")


def read_table(
    path: str | Path,
    *,
    sentence: str,
    responses: list[str] | None = None,
    stimulus_id: str | None = None,
    group: str | None = None,
    subject: str = "subject",
) -> tuple[xr.DataArray, Dropped]:
    """Read responses from a CSV or TSV file with a header.

    Rows are counted from 1, the first one under the header, in messages and as ids.

    Args:
        path: text file in UTF-8, separated by tabs where its suffix or header says so, else by commas.
        sentence: column with the text of each presentation.
        responses: response columns by name or pattern ("lang_LH_*"); if None, all numeric columns without another role.
        stimulus_id: column with ids; row numbers if None.
        group: column that says which passage a sentence belongs to.
        subject: the subject that all columns are attributed to.

    Returns:
        Responses [presentation, neuroid] in float64 with stimulus_id, sentence and, with `group`, passage_id on
        presentation, neuroid_id (the column) and subject on neuroid; and the columns that were dropped because a value
        is missing or all values are equal.

    Raises:
        DataError: the file, a column or a value does not fit; names it.
    """
    path = Path(path)
    roles = {"sentence": sentence, "stimulus_id": stimulus_id, "passage_id": group}
    roles = {role: column for role, column in roles.items() if column is not None}
    frame = _read_frame(path, list(roles.values()))
    if frame.empty:
        raise DataError(f"{path} has no rows.", "Expected a header and a row for each sentence.")
    columns = _response_columns(path, frame, responses, set(roles.values()))
    text = {role: _text(path, frame[column]) for role, column in roles.items()}
    text.setdefault("stimulus_id", [str(row) for row in range(1, len(frame) + 1)])
    assembly = xr.DataArray(
        np.stack([_numbers(path, frame[column]) for column in columns], axis=1),
        dims=("presentation", "neuroid"),
        coords={
            **{name: ("presentation", np.array(values, dtype=str)) for name, values in text.items()},
            "neuroid_id": ("neuroid", np.array(columns, dtype=str)),
            "subject": ("neuroid", np.full(len(columns), subject)),
        },
        name="data",
    )
    check_assembly(assembly, str(path))
    return drop_unusable(assembly, str(path))


def _read_frame(path: Path, text_columns: list[str]) -> pd.DataFrame:
    """Return the whole table: the named columns as str, the others as pandas infers them."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        layout = {
            "sep": "\t" if path.suffix.lower() in (".tsv", ".tab") or "\t" in header else ",",
            "encoding": "utf-8-sig",
            "keep_default_na": False,
            "index_col": False,
            "low_memory": False,
        }
        names = [str(name) for name in pd.read_csv(path, nrows=0, **layout).columns]
        _require(path, text_columns, names)
        missing = {name: list(MISSING) for name in names if name not in text_columns}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # "loss of data": a row longer than the header
            return pd.read_csv(path, dtype=dict.fromkeys(text_columns, str), na_values=missing, **layout)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeError) as error:
        reason = " ".join(str(error).split())
        hint = 'Expected UTF-8 text with a header; a sentence with a comma stands in double quotes: "First, this."'
        raise DataError(f"{path} is not a CSV or TSV table: {reason}", hint) from error


def _require(path: Path, wanted: list[str], names: list[str]) -> None:
    absent = [column for column in wanted if column not in names]
    if absent:
        guesses = " ".join(filter(None, (did_you_mean(column, names) for column in absent)))
        message = f"{path} has no column {', '.join(map(repr, absent))}; its columns: {some(names, 20)}."
        raise DataError(
            message, guesses or "Name columns of the file; patterns such as 'lang_LH_*' work for responses."
        )


def _response_columns(path: Path, frame: pd.DataFrame, wanted: list[str] | None, taken: set[str]) -> list[str]:
    """Return the response columns in the file's order, without those that have another role."""
    free = [str(name) for name in frame.columns if name not in taken]
    if wanted is None:
        # a column without a header is the row index that spreadsheets and pandas write
        named = [name for name in free if not name.startswith("Unnamed: ")]
        chosen = [name for name in named if _is_numeric(frame[name])]
        if not chosen:
            message = f"{path} has no numeric column; its columns: {some(list(frame.columns), 20)}."
            raise DataError(message, "Name the response columns.")
        return chosen
    _require(path, [pattern for pattern in wanted if not any(_matches(name, pattern) for name in free)], free)
    return [name for name in free if any(_matches(name, pattern) for pattern in wanted)]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)  # equal first: a name may hold brackets


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _numbers(path: Path, column: pd.Series) -> np.ndarray:
    """Return a response column [presentation] as float64."""
    if _is_numeric(column):
        return column.to_numpy(dtype=np.float64)
    numbers = pd.to_numeric(column.astype(str), errors="coerce")
    wrong = column.notna() & numbers.isna()
    if wrong.any():
        row = int(np.argmax(wrong))
        message = f"{path}: column {column.name!r}, row {row + 1}: {str(column.iloc[row])!r} is not a number."
        raise DataError(message, "Write numbers with a point; leave a missing value empty.")
    return numbers.to_numpy(dtype=np.float64)


def _text(path: Path, column: pd.Series) -> list[str]:
    """Return a text column as str, every value of it present."""
    values = column.fillna("").tolist()  # a row that is too short has NaN here
    empty = [row for row, value in enumerate(values, start=1) if not value.strip()]
    if empty:
        message = f"{path}: column {column.name!r} is empty in {len(empty)} rows: {some(empty)}."
        raise DataError(message, "Fill them in or remove the rows; row 1 is the first one under the header.")
    return values

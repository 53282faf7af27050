"""CSV and TSV files read strictly: text as it is written, numbers as numbers, each defect by file, column and row.

Rows are counted from 1, the first one under the header.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from jaxscore.data.assemblies import some
from jaxscore.errors import DataError, did_you_mean

# What counts as "no value" in a column of numbers. Never applied to text: "NA" and "null" are words.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
UNNAMED = "Unnamed: "
"""How a column without a header is called: the row index that spreadsheets and pandas write."""


def read_frame(
    path: Path, text: Sequence[str], *, numeric: Sequence[str] = (), optional: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a CSV or TSV file with a header.

    Args:
        path: text file in UTF-8, separated by tabs where its suffix or header says so, else by commas.
        text: columns that must be there and are kept as they are written.
        numeric: other columns that must be there.
        optional: columns that are text where they are there.

    Returns:
        The whole table; columns that are not named are numbers where all their values are.

    Raises:
        DataError: the file is absent, not such a table, without rows, or lacks a column.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise _no_table(path, error) from error
    if "\0" in content:
        raise _no_table(path, f"character {content.index(chr(0)) + 1} is NUL, which no text has")
    separator = _separator(path, content)
    names = _header(path, content, separator)
    require(path, [*text, *numeric], names)
    as_text = [name for name in names if name in text or name in optional]
    options = {
        "names": names,
        "dtype": dict.fromkeys(as_text, str),
        "na_values": {name: list(MISSING) for name in names if name not in as_text},
        "keep_default_na": False,
        "index_col": False,
        "low_memory": False,
    }
    try:
        frame = pd.read_csv(io.StringIO(content, newline=""), sep=separator, header=0, **options)
    except pd.errors.ParserError as error:
        raise _no_table(path, error) from error
    if frame.empty:
        raise DataError(f"{path} has no rows.", "Expected a header and a row for each response.")
    return frame


def require(path: Path, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raise DataError unless all wanted columns are there, with the nearest names."""
    absent = [column for column in wanted if column not in names]
    if absent:
        guesses = " ".join(filter(None, (did_you_mean(column, names) for column in absent)))
        message = f"{path} has no column {', '.join(map(repr, absent))}; its columns: {some(list(names), 20)}."
        hint = guesses or "Name columns of the file; patterns such as 'lang_LH_*' work for responses."
        raise DataError(message, hint)


def is_numeric(column: pd.Series) -> bool:
    """Whether a column was read as numbers (True and False are none)."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def numbers(path: Path, column: pd.Series, *, complete: bool = False) -> Float[np.ndarray, " row"]:
    """Return a column as float64, missing values as NaN; raises DataError for what is no number.

    Args:
        path: for the message.
        column: of a frame that `read_frame` made.
        complete: whether a value that is missing or infinite is an error too.
    """
    values = column if is_numeric(column) else pd.to_numeric(column.astype(str), errors="coerce")
    values = values.to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values) if complete else column.notna().to_numpy() & np.isnan(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        got = "is empty" if pd.isna(column.iloc[row]) else f"{str(column.iloc[row])!r} is not a number"
        message = f"{path}: column {column.name!r}, row {row + 1}: {got}."
        raise DataError(message, "Write numbers with a point" + ("." if complete else "; leave a missing value empty."))
    return values


def texts(path: Path, column: pd.Series) -> list[str]:
    """Return a column as str; raises DataError where a value is empty."""
    values = column.tolist()
    empty = [row for row, value in enumerate(values, start=1) if not value.strip()]
    if empty:
        message = f"{path}: column {column.name!r} is empty in {len(empty)} rows: {some(empty)}."
        raise DataError(message, "Fill them in or remove the rows; row 1 is the first one under the header.")
    return values


def _separator(path: Path, content: str) -> str:
    first = next((line for line in io.StringIO(content) if line.strip()), "")
    tabs = "\t" in re.sub('"[^"]*("|$)', "", first)  # a tab within quotes separates nothing
    return "\t" if tabs or path.suffix.lower() in (".tsv", ".tab") else ","


def _header(path: Path, content: str, separator: str) -> list[str]:
    """The names of all columns as they are written, after a strict look at every row.

    pandas would number names that repeat, fill short rows up, and take what follows a closing quote for text.
    """
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    try:
        header = next(filter(None, rows), [])
        if not header:
            raise _no_table(path, "it is empty")
        for number, row in enumerate(filter(None, rows), start=1):
            if len(row) != len(header):
                raise _no_table(path, f"row {number} has {len(row)} fields, the header {len(header)}")
    except csv.Error as error:
        raise _no_table(path, f"line {rows.line_num}: {error}") from error
    names = [name if name.strip() else f"{UNNAMED}{i}" for i, name in enumerate(header)]
    repeated = pd.Index(names)[pd.Index(names).duplicated()].unique()
    if len(repeated):
        raise DataError(f"{path}: {len(repeated)} columns repeat a name: {some(repeated)}.", "Name each column once.")
    return names


def _no_table(path: Path, reason: object) -> DataError:
    hint = 'Expected UTF-8 text with a header; a sentence with a comma stands in double quotes: "First, this."'
    return DataError(f"{path} is not a CSV or TSV table: {' '.join(str(reason).split())}", hint)

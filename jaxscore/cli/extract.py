"""`jaxscore extract`: activations and surprisal of a person's own texts, in a file."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jaxscore.cli.bars import no_hub_bars, reporting
from jaxscore.errors import DataError, JaxscoreError, StoreError, did_you_mean

if TYPE_CHECKING:
    import xarray as xr

TABLES = {".csv": ",", ".tsv": "\t"}
ARRAYS = (".nc", ".nc4")


def extract(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A name (`jaxscore ls models`), a checkpoint folder, a hub id, or glove:FILE."
        ),
    ],
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Your texts: .txt (one stimulus a line), .csv or .tsv (one a row)."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where to: .nc; .csv or .tsv for surprisal alone.")
    ],
    surprisal: Annotated[bool, typer.Option("--surprisal", help="Also bits of each text and token.")] = False,
    unit: Annotated[str, typer.Option(help="What is a row of the result: stimulus or word.")] = "stimulus",
    layers: Annotated[str | None, typer.Option(help="Names, numbers, ranges: drop,3,5-8.", show_default="all")] = None,
    pooling: Annotated[
        str | None, typer.Option(help="last, mean, sum, first or cls (first token read).", show_default="last")
    ] = None,
    sentence: Annotated[str, typer.Option(metavar="COLUMN", help="Table: the text.")] = "sentence",
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Table: rows that share a context.", show_default="each alone"),
    ] = None,
    stimulus_id: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Table: ids.", show_default="1, 2, ...")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="chained (2021), parts (today's platform), joined (running text).")
    ] = "chained",
    window: Annotated[
        int | None, typer.Option(help="Longest input in tokens.", show_default="512; parts: the model's longest")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens between windows.", show_default="protocol's")] = None,
    bos: Annotated[str, typer.Option(help="Start token of each context: auto, never, always.")] = "auto",
    bidirectional: Annotated[
        str, typer.Option(help="Bidirectional models see the prefix, or the full context.")
    ] = "prefix",
    untrained: Annotated[bool, typer.Option("--untrained", help="Freshly drawn weights.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of untrained weights.")] = 0,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, float16.")] = "float32",
    batch_size: Annotated[int | None, typer.Option(help="Texts in a batch.", show_default="by device", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Write what MODEL makes of the texts in FILE: activations of every layer, and surprisal.

    In a .txt file the lines of a block are read after each other, and a blank line begins a new context. Rows of a
    table are read by themselves, or by --group in the order of the file.

    jaxscore extract gpt2 story.txt --out story.nc --surprisal

    jaxscore extract gpt2 words.csv --unit word --surprisal --out bits.csv
    """
    table = _is_table(out, surprisal=surprisal, asked=[layers, pooling])
    if out.exists() and not overwrite:
        raise StoreError(
            f"{out} is there already, nothing was written", "Give another --out, or add --overwrite to replace it."
        )
    from rich.console import Console

    from jaxscore.contexts.reading import Reading
    from jaxscore.extract.reader import activations
    from jaxscore.store.places import open_place

    reading = Reading(protocol, window, stride, bos, bidirectional, unit)
    stimuli, contexts, ids = read_stimuli(file, sentence, group, stimulus_id)
    open_place(out.parent).check()
    if quiet:
        no_hub_bars()
    start = time.perf_counter()
    with reporting(Console(stderr=True, quiet=quiet)) as reporter:
        found = activations(
            model, stimuli, contexts, ids=ids, layers="" if table else layers, pooling=pooling, reading=reading,
            surprisal=surprisal, batch_size=batch_size, dtype=dtype, untrained=untrained, seed=seed, offline=offline,
            reporter=reporter,
        )  # fmt: skip
    _write(found, out)
    typer.echo(f"{_shape(found)}, {time.perf_counter() - start:.1f} s")
    typer.echo(str(out))
    if surprisal and not quiet and (unknown := int(found["surprisal"].isnull().sum())):
        typer.echo(
            f"{unknown} {'have' if unknown > 1 else 'has'} no surprisal: nothing stands before the first token "
            "(--bos always puts a start token there), or the text begins before its window.",
            err=True,
        )


def _is_table(out: Path, *, surprisal: bool, asked: list[str | None]) -> bool:
    """Whether a table of surprisals is wanted, or arrays; raises JaxscoreError for anything else."""
    if out.suffix.lower() in ARRAYS:
        return False
    if out.suffix.lower() not in TABLES:
        raise JaxscoreError(
            f"--out {out} ends in {out.suffix or 'nothing'}, expected .nc, or .csv or .tsv for surprisal alone",
            f"Type --out {out.with_suffix('.nc')}.",
        )
    if not surprisal or any(asked):
        raise JaxscoreError(
            f"--out {out} is a table: it has room for surprisal, not for activations (--layers, --pooling)",
            f"Type --out {out.with_suffix('.nc')}, or --surprisal without layers and pooling.",
        )
    return True


def _shape(found: xr.Dataset) -> str:
    """One line on what is in the file."""
    sizes, contexts = found.sizes, len(set(found["context"].values.tolist()))
    states = f"{sizes['layer']} layers x " if "layer" in sizes else ""
    features = f" x {sizes['feature']} features" if "layer" in sizes else ""
    bits = f", surprisal of {sizes['token']} tokens" if "token" in sizes else ""
    own = "words" if "word" in found.coords else "stimuli"
    return f"{found.attrs['model']}: {states}{sizes['presentation']} {own}{features} in {contexts} contexts{bits}"


def _write(found: xr.Dataset, out: Path) -> None:
    """Write a table or NetCDF, atomically."""
    from jaxscore.data.fetch import atomic_path

    if (separator := TABLES.get(out.suffix.lower())) is not None:
        content = found["surprisal"].to_dataframe().to_csv(index=False, sep=separator).encode()
    else:  # in memory: see store.records on the HDF5 library and a full disk
        content = found.to_netcdf(engine="h5netcdf")
    try:
        with atomic_path(out) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise StoreError(
            f"{out} cannot be written: {error.strerror or error}. What was there before is untouched.",
            "Free some space, or give another --out.",
        ) from None


def read_stimuli(
    path: Path, sentence: str, group: str | None, stimulus_id: str | None
) -> tuple[list[str], list[str] | None, list[str] | None]:
    """Texts, their contexts and their ids from a file in UTF-8.

    Args:
        path: .txt: one stimulus a line, a blank line begins a new context; .csv or .tsv: one a row under a header.
        sentence: column of the texts.
        group: column of the contexts' labels; None: every stimulus has a context of its own.
        stimulus_id: column of the ids; None: numbers.

    Raises:
        DataError: if the file cannot be read, or does not have these columns.
    """
    separator = TABLES.get(path.suffix.lower())
    if separator is None and path.suffix.lower() != ".txt":
        raise DataError(f"{path} ends in {path.suffix or 'nothing'}, expected .txt, .csv or .tsv", "Rename the file.")
    if separator is None and (group or stimulus_id):
        raise DataError(
            f"{path} has no columns for --group or --id", "Leave them out: a blank line begins a new context."
        )
    try:
        with path.open(encoding="utf-8-sig", newline=None if separator is None else "") as file:
            if separator is None:
                return *_blocks(list(file)), None
            rows = list(csv.reader(file, delimiter=separator, strict=True))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Check the path.") from None
    except (UnicodeError, csv.Error) as error:
        raise DataError(
            f"{path} is not text in UTF-8, or no table: {error}",
            'Save it as UTF-8; a text with a comma stands in double quotes: "First, this."',
        ) from None
    columns = _columns(path, rows, [name for name in (sentence, group, stimulus_id) if name is not None])
    return columns[sentence], columns.get(group), columns.get(stimulus_id)


def _blocks(lines: list[str]) -> tuple[list[str], list[str]]:
    """Lines that are not blank, and the number of the block that each stands in."""
    stimuli, contexts, block, inside = [], [], 0, False
    for line in lines:
        if line.strip():
            block += not inside
            stimuli.append(line.removesuffix("\n"))
            contexts.append(str(block))
        inside = bool(line.strip())
    return stimuli, contexts


def _columns(path: Path, rows: list[list[str]], wanted: list[str]) -> dict[str, list[str]]:
    """The wanted columns of a table by name."""
    header, *content = [row for row in rows if row] or [[]]
    for name in wanted:
        if name not in header:
            raise DataError(
                f"{path} has no column {name!r}; its columns: {', '.join(header) or 'none'}. "
                f"{did_you_mean(name, header)}".strip(),
                "Name the column of the texts with --sentence, that of contexts with --group, that of ids with --id.",
            )
    for number, row in enumerate(content, 1):
        if len(row) != len(header):
            raise DataError(
                f"{path}: row {number} has {len(row)} fields, the header has {len(header)}",
                'A text with a comma stands in double quotes: "First, this."',
            )
    return {name: [row[header.index(name)] for row in content] for name in wanted}

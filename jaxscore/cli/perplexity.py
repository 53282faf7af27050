"""`jaxscore perplexity`: how well a model predicts texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxscore.cli.bars import no_hub_bars, reporting
from jaxscore.errors import DataError, JaxscoreError

if TYPE_CHECKING:
    from jaxscore.progress import Reporter

Rows = list[dict[str, Any]]
"""What was found for each file; what was not asked for is absent."""
HEADERS = {
    "file": "file",
    "tokens": "tokens",
    "perplexity": "perplexity",
    "bits_per_token": "bits/token",
    "bits_per_word": "bits/word",
    "bits_per_character": "bits/char",
    "accuracy": "accuracy",
}


def perplexity(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name (`jaxscore ls models`), a checkpoint folder or a hub id.")
    ],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Texts in UTF-8, each read as a whole.")],
    window: Annotated[int | None, typer.Option(help="Longest input in tokens.", show_default="512")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens between windows.", show_default="half a window")] = None,
    bos: Annotated[str, typer.Option(help="Start token of each window: auto, never, always.")] = "auto",
    accuracy: Annotated[bool, typer.Option("--accuracy", help="Also the share of words that the model names.")] = False,
    readout: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="TRAIN VALID", help="Also train a linear decoder on the last layer, and test it on FILE."),
    ] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Freshly drawn weights.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of untrained weights.")] = 0,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, float16.")] = "float32",
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Perplexity of MODEL on text files, and bits a token, word and character.

    Every token is predicted once, in windows that overlap. Bits a character compare models with different tokens.

    jaxscore perplexity gpt2 test.txt --window 1024 --stride 512
    """
    if readout and len(files) > 1:
        raise JaxscoreError(f"--readout tests one text, {len(files)} files were given", "Give one FILE.")
    texts = [read_text(path) for path in files]
    others = [read_text(path) for path in readout or ()]
    from rich.console import Console

    from jaxscore.contexts.reading import Reading
    from jaxscore.models import load_model

    Reading("joined", window, stride, bos)  # a typing error is found before anything is loaded
    if quiet:
        no_hub_bars()
    loaded = load_model(model, untrained=untrained, seed=seed, dtype=dtype, offline=offline)
    how = {"window": window, "stride": stride, "bos": bos}
    with reporting(Console(stderr=True, quiet=quiet)) as reporter:
        rows = _measure(loaded, texts, how, others, accuracy=accuracy, reporter=reporter)
    rows = [{"model": loaded.name, "file": str(path)} | row for path, row in zip(files, rows, strict=True)]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        _show(rows)


def read_text(path: Path) -> str:
    """A text in UTF-8; DataError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Check the path.") from None
    except UnicodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}", "Save it as UTF-8.") from None


def _measure(
    model: Any, texts: list[str], how: dict[str, Any], others: list[str], *, accuracy: bool, reporter: Reporter
) -> Rows:
    """What was asked for, of each text; the weights are read once."""
    from dataclasses import asdict

    from jaxscore.behaviour.accuracy import next_word_accuracy
    from jaxscore.behaviour.loading import language_model, weights
    from jaxscore.behaviour.next_word import perplexity as measure

    transformer = weights(language_model(model, head=True), reporter, head=True)
    rows = []
    for text in texts:
        found = measure(model, text, **how, transformer=transformer, reporter=reporter)
        derived = ("perplexity", "bits_per_token", "bits_per_word", "bits_per_character")
        rows.append(asdict(found) | {name: getattr(found, name) for name in derived})
        if accuracy:
            named = next_word_accuracy(model, text, **how, transformer=transformer, reporter=reporter)
            rows[-1] |= {"accuracy": named.accuracy, "accuracy_words": named.words}
    if others:
        from jaxscore.behaviour.readout import readout

        decoded = readout(model, *others, texts[0], transformer=transformer, reporter=reporter)
        rows[0]["readout"] = asdict(decoded) | {"bits": decoded.bits, "perplexity": decoded.perplexity}
    return rows


def _show(rows: Rows) -> None:
    """A table on standard output, and a line on the decoder."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [name for name in HEADERS if name in rows[0]]
    for name in shown:
        table.add_column(HEADERS[name], justify="left" if name == "file" else "right", no_wrap=name != "file")
    for row in rows:
        table.add_row(*(Text(_cell(name, row[name]), overflow="fold") for name in shown))
    console.print(table)
    if "readout" in rows[0]:
        found = rows[0]["readout"]
        console.print(
            f"readout of {found['layer']}: test perplexity {found['perplexity']:.2f}, {found['loss']:.4f} nats or "
            f"{found['bits']:.4f} bits a token, after {len(found['validation_perplexity'])} epochs",
            markup=False,
            soft_wrap=True,
        )


def _cell(name: str, value: Any) -> str:
    match name:
        case "file":
            return Path(value).name
        case "tokens":
            return str(value)
        case "accuracy" | "bits_per_token" | "bits_per_word" | "bits_per_character":
            return f"{value:.3f}"
    return f"{value:.2f}"

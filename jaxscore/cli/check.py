"""`jaxscore check`: what a model is, and whether it fits this machine, before anything is downloaded or loaded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxscore.errors import JaxscoreError

if TYPE_CHECKING:
    from jaxscore.extract.expectations import Memory
    from jaxscore.models import LanguageModel, StaticModel

TOKENS = 10_000


def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A name (`jaxscore ls models`), a checkpoint folder, a hub id, or glove:FILE."
        ),
    ],
    benchmark: Annotated[
        str | None,
        typer.Option("--benchmark", "-b", help="Time for its texts: identifier or card.toml.", show_default=False),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Time for so many tokens of text.", show_default="10000", min=1)
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, float16.")] = "float32",
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Tell what MODEL is, whether it fits this machine, and how long extraction takes here.

    Reads configuration and file sizes only: no weights are downloaded or loaded.
    """
    if benchmark and tokens:
        raise JaxscoreError("--tokens and --benchmark both say how much text there is", "Leave one of them out.")
    from jaxscore.models import LanguageModel
    from jaxscore.models.hub import find_checkpoint, is_checkpoint
    from jaxscore.models.static import find_static
    from jaxscore.options import check_static

    if not is_checkpoint(model) and (static := find_static(model)):
        usual = {"benchmark": None, "tokens": None, "dtype": "float32"}
        check_static(static.name, {"benchmark": benchmark, "tokens": tokens, "dtype": dtype}, usual)
        about = _static(static)
    else:
        found = LanguageModel(find_checkpoint(model, weights=False, offline=offline), dtype=dtype)
        about = _language(found, benchmark, tokens or TOKENS, offline=offline)
    if as_json:
        typer.echo(json.dumps(about, ensure_ascii=False))
    else:
        for name, line in (_static_lines if "kind" in about else _lines)(about):
            typer.echo(f"{name:<14}{line}")


def _static(model: StaticModel) -> dict[str, Any]:
    """What applies to a model without a network."""
    path = getattr(model, "path", None)
    return {
        "model": model.name,
        "kind": "word vectors from a file" if path else "baseline",
        "layer": model.layer_names[0],
        "pooling": model.default_pooling,
        "file": path and {"path": str(path), "bytes": path.stat().st_size},
    }


def _static_lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    file = about["file"]
    return [
        ("model", f"{about['model']}: {about['kind']}"),
        ("layers", f"1: {about['layer']}, pooled over words: {about['pooling']}"),
        ("file", f"{file['path']}, {amount(file['bytes'], 'B')}" if file else "none"),
        ("surprisal", "no"),
        ("memory", "no weights: only the vectors of the words that are read"),
    ]


def _language(model: LanguageModel, benchmark: str | None, tokens: int, *, offline: bool) -> dict[str, Any]:
    """Everything that is said of a language model."""
    from jaxscore.cards import load_benchmark
    from jaxscore.contexts.reading import WINDOW
    from jaxscore.extract import expectations as expected
    from jaxscore.provenance import device

    size, arch = expected.size_of(model), model.arch
    if benchmark:
        card = load_benchmark(benchmark)
        lengths = expected.benchmark_lengths(model, card, offline=offline)
    else:
        lengths = expected.whole_texts(tokens, min(arch.positions, WINDOW))
    here, free = device(), expected.free_bytes()
    accelerator, longest = here["platform"] != "cpu", max(lengths)
    memory = expected.memory_of(arch, model.dtype, longest, free, accelerator=accelerator)
    narrow = expected.memory_of(arch, "bfloat16", longest, free, accelerator=accelerator)
    rate, flops = expected.measure_rate(model.dtype) * here["count"], expected.pass_flops(arch, lengths)
    on_disk = expected.stored(model.checkpoint.folder)
    return {
        "model": model.name,
        "source": model.checkpoint.source,
        "commit": model.checkpoint.commit,
        **asdict(size),
        "checkpoint": on_disk and asdict(on_disk),
        "memory": asdict(memory) | {"fits": memory.fits, "advice": _advice(memory, narrow)},
        "device": here,
        "time": {
            "texts": benchmark or "whole windows",
            "tokens": sum(lengths),
            "longest": longest,
            "flops": flops,
            "rate": rate,
            "efficiency": expected.EFFICIENCY,
            "seconds": flops / (rate * expected.EFFICIENCY),
        },
    }


def _advice(memory: Memory, narrow: Memory) -> str:
    """What to type where it does not fit."""
    if memory.fits is None:
        return "the device does not say how much is free"
    if memory.fits:
        shared = f"fits where {memory.tensor} of the devices share the weights (--tensor {memory.tensor})"
        return "fits" if memory.tensor == 1 else shared
    if memory.dtype == "float32" and narrow.fits:
        return f"does not fit: use --dtype bfloat16 ({amount(narrow.peak, 'B')})"
    least = narrow.peak if memory.dtype == "float32" else memory.peak
    return f"does not fit: choose a smaller model, or a machine with {amount(least, 'B')} free on each device"


def _lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and text of each line."""
    memory, time, disk, here = (about[name] for name in ("memory", "time", "checkpoint", "device"))
    count = about["layers"] + 1
    hidden, extra = about["states"][:count], about["states"][count:]
    kind = here["kind"] if here["count"] == 1 else f"{here['count']} x {here['kind']}"
    free = "" if memory["free"] is None else f", {amount(memory['free'], 'B')} free"
    parameters, inside = about["parameters"], about["without_embeddings"]
    each = " on each device" if memory["tensor"] > 1 else ""
    used = f"{amount(memory['weights'], 'B')} of weights{each} in {memory['dtype']}, {amount(memory['peak'], 'B')}"
    return [
        ("model", f"{about['model']}: {about['family']}, {about['layers']} blocks"),
        ("parameters", f"{parameters:,} ({inside:,} without embeddings)"),
        ("layers", f"{count}, from {hidden[0]} to {hidden[-1]}" + "".join(f"; also {name}" for name in extra)),
        ("width", f"{' and '.join(map(str, dict.fromkeys(about['widths'])))} features"),
        ("vocabulary", f"{about['vocabulary']:,} tokens"),
        ("longest text", f"{about['positions']:,} tokens"),
        ("sees", "what stands left (causal)" if about["causal"] else "both sides (bidirectional)"),
        ("surprisal", f"yes, its head is {about['head']}" if about["head"] and about["causal"] else "no"),
        (
            "checkpoint",
            f"{amount(disk['bytes'], 'B')}, {', '.join(disk['dtypes'])}" if disk else "no weights on this machine",
        ),
        ("memory", f"{used} with a batch of {memory['tokens']:,} tokens"),
        ("device", f"{kind}{free}: {memory['advice']}"),
        ("time", f"about {duration(time['seconds'])} for {time['tokens']:,} tokens ({time['texts']})"),
        ("", f"{amount(time['flops'], 'FLOP')} at {time['efficiency']} of {amount(time['rate'], 'FLOP/s')} measured"),
        ("", "here; reading the weights and compiling come on top"),
    ]


def amount(value: float, unit: str) -> str:
    """A number with three digits and a decimal prefix: "13.5 GB"."""
    prefix, larger = "", iter("kMGTPE")
    while value >= 999.5:
        value, prefix = value / 1000, next(larger)
    return f"{value:.3g} {prefix}{unit}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

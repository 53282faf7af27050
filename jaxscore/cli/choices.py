"""Options that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from typing import Annotated

import typer

Benchmarks = Annotated[
    list[str] | None,
    typer.Option("--benchmark", "-b", help="Identifier or card.toml; may be repeated.", show_default=False),
]
Layers = Annotated[str | None, typer.Option(help="Names, numbers, ranges: drop,3,5-8.", show_default="all")]
Pooling = Annotated[
    str | None, typer.Option(help="last, mean, sum, first or cls (first token read).", show_default="card's")
]
Context = Annotated[
    str | None, typer.Option(help="Read in its passage, story, or sentence (none).", show_default="card's")
]
Protocol = Annotated[
    str | None,
    typer.Option(help="chained (2021), parts (today's platform), joined (running text).", show_default="card's"),
]
Window = Annotated[
    int | None,
    typer.Option(help="Longest input in tokens.", show_default="card's, 512; parts: the model's longest"),
]
Stride = Annotated[int | None, typer.Option(help="Tokens between windows.", show_default="protocol's")]
Bidirectional = Annotated[
    str | None,
    typer.Option(help="Bidirectional models see the prefix, or the full context.", show_default="card's"),
]
Reduction = Annotated[
    str | None, typer.Option(help="Narrower layers: random:K, subsample:K, pca:K.", show_default="none")
]
Regression = Annotated[
    str | None, typer.Option(help="ols, ridge:ALPHA, ridge-loo or ridge-gcv.", show_default="card's")
]
Rcond = Annotated[float | None, typer.Option(help="Rank cut-off of ols.", show_default="card's, 1e-6")]
Splits = Annotated[
    str | None, typer.Option(help="shuffled, contiguous or grouped (by passage).", show_default="card's")
]
Folds = Annotated[int | None, typer.Option(help="Number of folds.", show_default="card's")]
Bos = Annotated[str, typer.Option(help="Start token of each context: auto, never, always.")]
Seed = Annotated[int, typer.Option(help="Seed of untrained weights (folds keep the card's).")]
Untrained = Annotated[bool, typer.Option("--untrained", help="Freshly drawn weights.")]
Dtype = Annotated[str, typer.Option(help="Of the weights: float32, bfloat16, float16.")]
BatchSize = Annotated[int | None, typer.Option(help="Texts in a batch.", show_default="by device", min=1)]
Tensor = Annotated[
    int | None, typer.Option(help="Devices that share the weights.", show_default="as few as they fit on", min=1)
]
Data = Annotated[
    str | None, typer.Option(metavar="FILE", help="Local file in place of the card's source.", show_default=False)
]
Out = Annotated[str, typer.Option(metavar="FOLDER", help="Where results go; s3://BUCKET/PREFIX as well.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Compute again what is there.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

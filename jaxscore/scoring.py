"""The story: card -> data -> contexts -> model -> activations -> correlations -> aggregate -> ceiling -> store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxscore.cards import Card, load_benchmark
from jaxscore.errors import StoreError
from jaxscore.extract.activations import activations
from jaxscore.hooks import Array, Hooks
from jaxscore.models import Foreign, LanguageModel, StaticModel, load_model
from jaxscore.opened import Opened, closing
from jaxscore.options import Options, check_batch_size
from jaxscore.progress import Reporter
from jaxscore.provenance import content_key
from jaxscore.store.places import open_place
from jaxscore.store.records import (
    Found,
    Paths,
    check_writable,
    examine,
    paths_of,
    read_arrays,
    result_paths,
    save_result,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

DEFAULT_OUT = "jaxscore-results"


@dataclass(frozen=True)
class Score:
    """A model's score on a benchmark.

    Attributes:
        value: ceiling-normalised score of the layer chosen on inner folds; NaN if there is none.
        layers: score, error, raw r and ceiling of every layer; the chosen layer in `layers.attrs`.
        arrays: correlations [layer, part, fold, neuroid] behind it.
        record: what was asked, what was in force, versions, hashes, seconds.
        paths: the files, None if nothing was written.
        resumed: whether the result was there already.
    """

    value: float
    layers: xr.Dataset
    arrays: xr.Dataset
    record: dict[str, Any]
    paths: Paths | None
    resumed: bool

    def __str__(self) -> str:
        from jaxscore.report.tables import render

        return render(self.layers)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_dataset(self) -> xr.Dataset:
        """Everything as one Dataset, with `long_name` and `units` of each variable; to_netcdf writes it as it is.

        Returns:
            r [layer, part, fold, neuroid] and neuroid_ceiling [neuroid] (units "1"), with the coordinates subject,
            neuroid_id and the like along neuroid; score, unclipped, error, low, high [layer], subject_score
            [layer, each_subject] and inner_score [layer, fold] in units of the ceiling, or "1" where there is none;
            median_r, ceiling [layer] ("1"); layer_of_fold [fold]; what was run and chosen in the attributes. A
            MultiIndex is `set_index(neuroid=["subject", "neuroid_id"])` (NetCDF has none: `reset_index` first).
        """
        from jaxscore.result import dataset_of

        return dataset_of(self.arrays)

    def to_frame(self, level: str = "layer") -> pd.DataFrame:
        """A tidy table: plain columns (text is "string", numbers float64, counts Int64), a row for each value.

        Columns mean what they do in `jaxscore.results`, and tables of several scores can be concatenated: every level
        has model, benchmark, layer, layer_index, depth and chosen.

        Args:
            level: "layer": what `results` has of this one, with score, error, r, ceiling. "subject": a row for
                each layer and subject, with its score before clipping. "neuroid": for each layer and neuroid, with
                its coordinates (subject, neuroid_id, ...), r (mean over folds, then parts), ceiling (what r is divided
                by; 1 where there is none) and score = r / ceiling. "fold": the same for each part and fold.

        Raises:
            JaxscoreError: for an unknown level.
        """
        from jaxscore.store.table import frame_of

        return frame_of(self.record, self.to_dataset(), self.paths, level)


def score(
    model: str | Path | LanguageModel | StaticModel | object,
    benchmark: str | Path | Card = "Pereira2018-encoding",
    *,
    layers: str | None = None,
    pooling: str | None = None,
    context: str | None = None,
    protocol: str | None = None,
    window: int | None = None,
    stride: int | None = None,
    bidirectional: str | None = None,
    reduction: str | None = None,
    regression: str | None = None,
    rcond: float | None = None,
    splits: str | None = None,
    folds: int | None = None,
    bos: str = "auto",
    seed: int = 0,
    untrained: bool = False,
    dtype: str = "float32",
    batch_size: int | None = None,
    tensor: int | None = None,
    data: str | Path | None = None,
    out: str | Path | None = DEFAULT_OUT,
    overwrite: bool = False,
    offline: bool = False,
    on_stimuli: Callable[[list[str]], list[str]] | None = None,
    on_activations: Callable[[str, Array], Array] | None = None,
    reporter: Reporter | None = None,
) -> Score:
    """Score every layer of a language model on a brain benchmark.

    Args:
        model: a name, a checkpoint folder, a hub id with an optional `@revision`, `glove:FILE` and the like, or a
            loaded model (whose own `seed`, `untrained` and `dtype` then hold). Or a foreign one, called once for each
            context: a function from a list of texts to [stimulus, feature] (NumPy, torch, lists, ...; a dict of them,
            by layer; for reading times a number for each text); an object with `digest_text`, such as an
            ArtificialSubject of today's platform; or one with `look_at`, a BrainModel of the 2021 pipeline (for
            reading times one that knows that task). Of the regions that an object records, the language system counts.
            Its features name the result: it is called in every run, and nothing is regressed where they were scored
            before. Options on how texts are read (`pooling`, `protocol`, `bos`, `dtype`, ...) are refused for it;
            `context` holds.
        benchmark: an identifier, the path of a card, or a card.
        layers: names, numbers and ranges, comma-separated ("drop,3,5-8"), all by default. Names are those of the 2021
            pipeline, `hidden_states[i]`, the module that today's platform hooks, or "before_final_norm".
        pooling: "last": the last token of the last word; "mean", "sum": over the tokens of the stimulus; "first": its
            first token; "cls": the first token of what is read.
        context: what a sentence is read in: "passage", "story", "sentence" or "none".
        protocol: "chained": the 2021 pipeline; "parts": today's platform; "joined": running text. See `Reading`.
        window: longest input in tokens: 512, or for "parts" the model's longest. Without one, and without another
            protocol than the card's, the card's holds.
        stride: tokens between windows where a context exceeds the window.
        bidirectional: what a bidirectional model sees: the "prefix" up to the stimulus, or the "full" context.
        reduction: how layers are made narrower: "random:K", "subsample:K", or "pca:K" (fitted in training).
        regression: "ols", "ridge:ALPHA", or with an alpha chosen for each neuroid "ridge-loo" or "ridge-gcv".
        rcond: OLS: singular values under rcond x the largest are zero.
        splits: "shuffled", "contiguous" or "grouped" (by passage).
        folds: number of folds.
        bos: start token of each context: "auto" (what the tokenizer does), "never", "always".
        seed: of untrained weights. Folds keep the card's seed, so that several draws are compared on the same folds.
        untrained: draw the architecture's own initialisation instead of reading the weights.
        dtype: of the weights: "float32", "bfloat16" or "float16".
        batch_size: texts in a batch; chosen for the device by default. Changes no number beyond round-off.
        tensor: devices that share the weights of the model; by default as few as they fit on. The others read texts
            side by side.
        data: a local file in place of the card's source.
        out: folder or s3:// url of the results; None writes nothing.
        overwrite: compute again even if the result is there.
        offline: never use the network.
        on_stimuli: your function from the stimuli's texts to those that are read in their place.
        on_activations: your function from a layer's name and its activations [stimulus, feature] to the features that
            are regressed. Source text, defaults and enclosed values of both functions are part of what names a result;
            globals that they read are not: see `jaxscore.hooks.Hooks.about`.
        reporter: receives the phases, for progress bars.

    Raises:
        JaxscoreError: for any input that cannot be scored; the message says what to change.
        ModelError: for a foreign model that fails or gives no features; says on which context.
    """
    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in locals().items()
        if name not in ("model", "benchmark", "reporter", "on_stimuli", "on_activations")
        and value is not None
        and value is not False
    }
    reporter = reporter or Reporter()
    hooks = Hooks(on_stimuli, on_activations)
    options = Options(
        layers, pooling, context, regression, rcond, splits, folds, bos, str(data) if data else None,
        protocol, window, stride, bidirectional, reduction,
    )  # fmt: skip
    check_batch_size(batch_size)
    published = benchmark if isinstance(benchmark, Card) else load_benchmark(benchmark)
    options.check(published)
    foreign = None if isinstance(model, str | Path | LanguageModel | StaticModel) else Foreign.of(model)
    if foreign is not None:
        foreign.check(given)
    place = None if out is None else open_place(out)
    if place is not None:
        check_writable(place)
    opened = Opened.open(published, options, hooks, offline=offline, reporter=reporter)
    request = None
    if foreign is not None:
        model, request = opened.read_by(foreign, reporter)
    elif isinstance(model, str | Path):
        with reporter.phase("download"):
            model = load_model(model, untrained=untrained, seed=seed, dtype=dtype, offline=offline)
    opened.check(model, dtype)
    in_force = opened.in_force(model)
    paths = place and result_paths(place, published.identifier, model.name, content_key(in_force))
    found = examine(paths) if paths and not overwrite else Found()
    if found.record:
        return _reopen(found.record, paths)
    if found.problem:
        reporter.note(f"{found.problem}: it is computed again.")
    with reporter.phase("read data"):
        request = request or opened.request(model)
    layers = opened.layers(model) if request.pooling else []
    read = activations(model, request, layers, batch_size=batch_size, tensor=tensor, reporter=reporter)
    asked = {"model": model.name, "benchmark": published.identifier} | given
    record, arrays, table = opened.compare(model, read, asked, in_force, reporter)
    return save(paths, record, arrays, table, reporter)


def save(
    paths: Paths | None, record: dict[str, Any], arrays: xr.Dataset, layers: xr.Dataset, reporter: Reporter
) -> Score:
    """Close the record, and write the result if it has a place."""
    with reporter.phase("save"):
        record |= closing(reporter)
        if paths:
            record = save_result(paths, record, arrays, layers)
    return Score(layers.attrs["chosen_score"], layers, arrays, record, paths, resumed=False)


def reopen(path: str | Path) -> Score:
    """Read a stored result by any of its three files.

    Args:
        path: on this machine, or an s3:// url.

    Raises:
        StoreError: if there is none, or it is not whole.
    """
    paths = paths_of(path)
    found = examine(paths)
    if found.record is None:
        raise StoreError(
            f"{paths.record} is not a whole result: {found.problem or 'there is none'}",
            "Run the same `jaxscore run` command again: it redoes what is not whole.",
        )
    return _reopen(found.record, paths)


def _reopen(record: dict[str, Any], paths: Paths) -> Score:
    """A result that is there already."""
    from jaxscore.result import layers_of

    arrays = read_arrays(paths)
    layers = layers_of(arrays)
    return Score(layers.attrs["chosen_score"], layers, arrays, record, paths, resumed=True)

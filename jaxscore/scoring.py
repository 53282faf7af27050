"""The story: card -> data -> contexts -> model -> activations -> correlations -> aggregate -> ceiling -> store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxscore import __version__
from jaxscore.cards import Card, load_benchmark
from jaxscore.data.source import open_source
from jaxscore.errors import StoreError
from jaxscore.hooks import Array, Hooks
from jaxscore.models import LanguageModel, StaticModel, load_model
from jaxscore.options import Options, check_batch_size, check_static, choose_layers
from jaxscore.progress import Reporter
from jaxscore.provenance import content_key, device, versions
from jaxscore.store.records import Paths, check_writable, find_result, paths_of, result_paths, save_result

if TYPE_CHECKING:
    import xarray as xr

    from jaxscore.contexts.reading import Reading
    from jaxscore.data.material import Material
    from jaxscore.data.source import Source
    from jaxscore.metrics.measure import Measured, Protocol
    from jaxscore.metrics.targets import Targets

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


def score(
    model: str | Path | LanguageModel,
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
            loaded model (whose own `seed`, `untrained` and `dtype` then hold).
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
        data: a local file in place of the card's source.
        out: folder of the results; None writes nothing.
        overwrite: compute again even if the result is there.
        offline: never use the network.
        on_stimuli: your function from the stimuli's texts to those that are read in their place.
        on_activations: your function from a layer's name and its activations [stimulus, feature] to the features that
            are regressed. Source text, defaults and enclosed values of both functions are part of what names a result;
            globals that they read are not: see `jaxscore.hooks.Hooks.about`.
        reporter: receives the phases, for progress bars.

    Raises:
        JaxscoreError: for any input that cannot be scored; the message says what to change.
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
    card = options.in_force(published)
    if out is not None:
        check_writable(Path(out))
    with reporter.phase("download"):
        source = open_source(card, offline=offline, progress=reporter.received)
        if isinstance(model, str | Path):
            model = load_model(model, untrained=untrained, seed=seed, dtype=dtype, offline=offline)
    if not isinstance(model, LanguageModel):
        _check_static(model, published, options, dtype)
        if not pooling:  # word embeddings: the 2021 pipeline takes their mean
            card = card.model_copy(update={"pooling": model.default_pooling})
    in_force = _in_force(model, card, options, hooks, source.sha256)
    paths = result_paths(Path(out), card.identifier, model.name, content_key(in_force)) if out is not None else None
    if paths and not overwrite and (record := find_result(paths)):
        return _reopen(record, paths)
    asked = {"model": model.name, "benchmark": card.identifier} | given
    return _compute(model, card, options, hooks, source, asked, in_force, batch_size, paths, reporter)


def _check_static(model: StaticModel, card: Card, options: Options, dtype: str) -> None:
    """Refuse options that say how tokens are read."""
    asked = {name: getattr(options, name) for name in ("protocol", "window", "stride", "bidirectional", "bos")}
    if not model.reads_contexts:
        asked["context"] = "sentence" if options.context == "none" else options.context
    usual = card.context.model_dump() | {"context": card.context.group, "bos": "auto", "dtype": "float32"}
    check_static(model.name, asked | {"dtype": dtype}, usual)


def _compute(
    model: LanguageModel | StaticModel,
    card: Card,
    options: Options,
    hooks: Hooks,
    source: Source,
    asked: dict[str, Any],
    in_force: dict[str, Any],
    batch_size: int | None,
    paths: Paths | None,
    reporter: Reporter,
) -> Score:
    """Everything between the data and the store."""
    from jaxscore.ceilings.find import find_ceilings
    from jaxscore.data.material import load_material
    from jaxscore.metrics.targets import Targets
    from jaxscore.result import protocol_of, tabulate

    protocol = protocol_of(card)
    with reporter.phase("read data"):
        material = load_material(card, source)
    names, features, reading = _features(model, card, options, hooks, material, batch_size, reporter)
    targets = Targets.of(card, material.assembly, max(layer.shape[1] for layer in features))
    ceilings = find_ceilings(card, material, targets, protocol, source, reporter)
    given = card.ceiling.kind in ("published", "file") or bool(card.ceiling.values)
    if given and (replaced := options.replaced()):
        ceilings.warnings.append(f"The ceiling belongs to the card's own protocol, not to {' '.join(replaced)}.")
    measured = _measure(card, material, targets, features, protocol, reporter)
    layers, arrays, notes = tabulate(model.name, card, material, targets, measured, ceilings, names)
    record = {
        "model": _about_model(model, reading),
        "benchmark": {
            "identifier": card.identifier,
            "data": {"url": source.url, "sha256": source.sha256, "etag": source.etag},
            "ceiling": ceilings.notes,
        },
        "asked": asked,
        "in_force": in_force,
        "result": notes,
        "device": device(),
        "versions": versions(),
    }
    with reporter.phase("save"):
        record |= {
            "seconds": {k: round(v, 3) for k, v in reporter.seconds.items()},
            "created": datetime.now(UTC).isoformat(),
        }
        if paths:
            record = save_result(paths, record, arrays, layers)
    return Score(layers.attrs["chosen_score"], layers, arrays, record, paths, resumed=False)


def _features(
    model: LanguageModel | StaticModel,
    card: Card,
    options: Options,
    hooks: Hooks,
    material: Material,
    batch_size: int | None,
    reporter: Reporter,
) -> tuple[list[str], list[Array], dict[str, Any]]:
    """Names of the layers, their features [row of the responses, feature], and how the stimuli were read."""
    from jaxscore.extract.activations import activations
    from jaxscore.extract.reduction import reduced

    texts = hooks.stimuli(material.texts)
    if card.metric == "surprisal":
        bits, reading = _surprisal(model, card.context.reading(options.bos), texts, material, batch_size, reporter)
        return ["surprisal"], [bits], reading
    chosen = choose_layers(options.layers, model.layer_names, model.layer_aliases)
    names = [model.state_names[layer] for layer in chosen]
    found = activations(
        model, card.context.reading(options.bos), card.pooling, texts, material.ids,
        material.contexts, chosen, batch_size=batch_size, reporter=reporter,
    )  # fmt: skip
    states = reduced(hooks.activations(names, found.states), card.reduction, card.splits.seed or 1)
    return names, material.align(states), found.notes


def _surprisal(
    model: LanguageModel | StaticModel,
    reading: Reading,
    texts: list[str],
    material: Material,
    batch_size: int | None,
    reporter: Reporter,
) -> tuple[Array, dict[str, Any]]:
    """Bits of each stimulus [stimulus, 1], and how it was read."""
    from jaxscore.extract.reader import surprisal

    found = surprisal(
        model, texts, material.contexts, ids=material.ids, reading=reading, batch_size=batch_size, reporter=reporter
    )
    return found["surprisal"].values[:, None], json.loads(found.attrs["reading"])


def _measure(
    card: Card, material: Material, targets: Targets, features: list[Array], protocol: Protocol, reporter: Reporter
) -> Measured:
    """Compare the features of every layer with the responses."""
    from jaxscore.behaviour.score import measure_surprisal
    from jaxscore.metrics.measure import measure

    if card.metric == "surprisal":
        return measure_surprisal(card, material, features[0][:, 0])

    scored, neuroids = targets.aggregated(card), material.assembly.sizes["neuroid"]
    # one step for each layer's operators and each neuroid of a product; the score's own neuroids have inner folds too
    total = len(material.parts) * (len(features) + neuroids + int(scored.sum()))
    with reporter.phase("regression", total) as step:
        return measure(
            features,
            material.assembly.values,
            material.parts,
            targets.units,
            scored,
            protocol,
            material.rows,
            own_rows=card.data.missing == "keep",
            step=lambda _, amount: step(amount),
        )


def _in_force(
    model: LanguageModel | StaticModel, card: Card, options: Options, hooks: Hooks, data: str
) -> dict[str, Any]:
    """Everything that a score depends on; its hash names the result."""
    from jaxscore.regression.splits import PROTOCOLS, SCHEMES

    protocol = card.model_dump(mode="json", exclude={"title", "citation"})
    scheme = (SCHEMES | PROTOCOLS).get(card.splits.scheme)
    for name in ("folds", "seed"):  # the scheme's own, where the card leaves them to it
        if scheme and protocol["splits"][name] is None:
            protocol["splits"][name] = getattr(scheme, name)
    for place in ("source", "sha256", "sha1"):  # what was read is named by its hash
        protocol["data"].pop(place)
    return {
        "jaxscore": __version__,
        "model": {
            "fingerprint": model.fingerprint,
            "dtype": model.dtype,
            "untrained": model.untrained,
            "seed": model.seed if model.untrained else None,
        },
        "data": data,
        "protocol": protocol,
        "layers": options.layers,
        "bos": options.bos,
        "hooks": hooks.about(),
    }


def _about_model(model: LanguageModel | StaticModel, notes: dict[str, Any]) -> dict[str, Any]:
    about = {
        "name": model.name,
        "fingerprint": model.fingerprint,
        "untrained": model.untrained,
        "seed": model.seed if model.untrained else None,
        "dtype": model.dtype,
        "source": "static",
        "commit": None,
        "reading": notes,
    }
    if isinstance(model, LanguageModel):
        about |= {
            "source": model.checkpoint.source,
            "commit": model.checkpoint.commit,
            "architecture": json.loads(json.dumps(asdict(model.arch))),  # as it is read again: lists
            "start_tokens": model.tokenizer.convert_ids_to_tokens(notes["start"]),
        }
    return about


def reopen(path: str | Path) -> Score:
    """Read a stored result by any of its three files.

    Raises:
        StoreError: if there is none, or it is not whole.
    """
    paths = paths_of(Path(path))
    if (record := find_result(paths)) is None:
        raise StoreError(
            f"{paths.record} is not a whole result: the record, or a file that it names, is missing or changed",
            "Run the same `jaxscore run` command again: it redoes what is not whole.",
        )
    return _reopen(record, paths)


def _reopen(record: dict[str, Any], paths: Paths) -> Score:
    """A result that is there already."""
    import xarray as xr

    with xr.open_dataset(paths.arrays, engine="h5netcdf") as file:
        arrays = file.load()
    from jaxscore.result import layers_of

    layers = layers_of(arrays)
    return Score(layers.attrs["chosen_score"], layers, arrays, record, paths, resumed=True)

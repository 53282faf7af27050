"""A benchmark that is open: the card in force, its data on this machine, read once and compared with many models."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jaxscore import __version__
from jaxscore.cards import Card
from jaxscore.data.source import open_source
from jaxscore.hooks import Array, Hooks
from jaxscore.models import Foreign, ForeignModel, LanguageModel, StaticModel
from jaxscore.options import Options, check_static, choose_layers
from jaxscore.progress import Reporter
from jaxscore.provenance import device, versions

if TYPE_CHECKING:
    import xarray as xr

    from jaxscore.ceilings.known import Ceilings
    from jaxscore.data.material import Material
    from jaxscore.data.source import Source
    from jaxscore.extract.activations import Activations, Request
    from jaxscore.metrics.measure import Measured, Protocol
    from jaxscore.metrics.targets import Targets

Model = LanguageModel | StaticModel | ForeignModel
Compared = tuple[dict[str, Any], "xr.Dataset", "xr.Dataset"]


class Opened:
    """A benchmark with the options in force.

    Args:
        published: the card.
        options: what replaces the card's choices.
        hooks: a person's own functions.
        source: the card's files.
    """

    def __init__(self, published: Card, options: Options, hooks: Hooks, source: Source) -> None:
        self.published = published
        self.options = options
        self.hooks = hooks
        self.source = source
        self._card = options.in_force(published)
        self._ceilings: dict[int, Ceilings] = {}

    @classmethod
    def open(
        cls,
        published: Card,
        options: Options,
        hooks: Hooks | None = None,
        *,
        offline: bool = False,
        reporter: Reporter | None = None,
    ) -> Opened:
        """Bring the benchmark's data to this machine.

        Raises:
            JaxscoreError: for options that the benchmark does not know.
            FetchError: if its data cannot be had.
            DataError: if their hash is not the expected one.
        """
        options.check(published)
        reporter = reporter or Reporter()
        card = options.in_force(published)
        with reporter.phase("download"):
            source = open_source(card, offline=offline, progress=reporter.received)
        return cls(published, options, hooks or Hooks(), source)

    @cached_property
    def material(self) -> Material:
        """The stimuli and the responses."""
        from jaxscore.data.material import load_material

        return load_material(self._card, self.source)

    @property
    def recording(self) -> str:
        """How the responses were recorded, in the words of today's platform: "ECoG" for electrodes, else "fMRI"."""
        card = self._card
        electrodes = card.data.time_bin or "ECoG" in card.title or "electrode" in self.material.assembly.coords
        return "ECoG" if electrodes else "fMRI"

    def card(self, model: Model | Foreign) -> Card:
        """The card in force for a model."""
        if isinstance(model, LanguageModel) or self.options.pooling:
            return self._card
        # word embeddings: the 2021 pipeline takes their mean
        return self._card.model_copy(update={"pooling": model.default_pooling})

    def check(self, model: Model, dtype: str) -> None:
        """Raise JaxscoreError for options that would change nothing: how tokens are read, where there are none."""
        if isinstance(model, LanguageModel):
            return
        options, context = self.options, self.published.context
        asked = {name: getattr(options, name) for name in ("protocol", "window", "stride", "bidirectional", "bos")}
        if not model.reads_contexts:
            asked["context"] = "sentence" if options.context == "none" else options.context
        usual = context.model_dump() | {"context": context.group, "bos": "auto", "dtype": "float32"}
        check_static(model.name, asked | {"dtype": dtype}, usual)

    def in_force(self, model: Model) -> dict[str, Any]:
        """Everything that the model's score depends on; its hash names the result."""
        from jaxscore.regression.splits import PROTOCOLS, SCHEMES

        card = self.card(model)
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
            "data": self.source.sha256,
            "protocol": protocol,
            "layers": self.options.layers,
            "bos": self.options.bos,
            "hooks": self.hooks.about(),
        }

    def read_by(self, foreign: Foreign, reporter: Reporter) -> tuple[ForeignModel, Request]:
        """Have a foreign model read everything, since only its features tell it from another.

        Raises:
            ModelError: if it fails, or gives no features.
        """
        with reporter.phase("read data"):
            request = self.request(foreign)
        with reporter.phase("extraction", len(request.ids)) as step:
            model = foreign.read(request, self.recording, step)
        return model, replace(request, pooling=model.default_pooling)

    def request(self, model: Model | Foreign) -> Request:
        """What is to be read by the model."""
        from jaxscore.extract.activations import Request

        card, material = self.card(model), self.material
        return Request(
            self.hooks.stimuli(material.texts),
            material.ids,
            material.contexts,
            card.context.reading(self.options.bos),
            None if card.metric == "surprisal" else card.pooling,
        )

    def layers(self, model: Model) -> list[int]:
        """The states that are compared, in the order of `model.state_names`."""
        return choose_layers(self.options.layers, model.layer_names, model.layer_aliases)

    def compare(
        self, model: Model, read: Activations, asked: dict[str, Any], in_force: dict[str, Any], reporter: Reporter
    ) -> Compared:
        """Compare what the model made of the stimuli with the responses.

        Args:
            model: whose states they are.
            read: the states of `layers(model)`, or the surprisal, of every stimulus.
            asked: what was asked for, for the record.
            in_force: of `in_force(model)`.
            reporter: receives the phases.

        Returns:
            The record, the arrays to store, and the table of layers.
        """
        from jaxscore.metrics.targets import Targets
        from jaxscore.result import protocol_of, tabulate

        card, material = self.card(model), self.material
        protocol = protocol_of(card)
        names, features = self._features(model, read)
        width = max(layer.shape[1] for layer in features)
        targets = Targets.of(card, material.assembly, width)
        ceilings = self._ceiling(width, targets, protocol, reporter)
        measured = _measure(card, material, targets, features, protocol, reporter)
        layers, arrays, notes = tabulate(model.name, card, material, targets, measured, ceilings, names)
        source = self.source
        record = {
            "model": _about_model(model, read.notes),
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
        return record, arrays, layers

    def _features(self, model: Model, read: Activations) -> tuple[list[str], list[Array]]:
        """Names of the layers and their features [row of the responses, feature]."""
        from jaxscore.extract.reduction import reduced

        card = self.card(model)
        if card.metric == "surprisal":
            return ["surprisal"], list(read.states)
        names = [model.state_names[layer] for layer in self.layers(model)]
        states = reduced(self.hooks.activations(names, read.states), card.reduction, card.splits.seed or 1)
        return names, self.material.align(states)

    def _ceiling(self, width: int, targets: Targets, protocol: Protocol, reporter: Reporter) -> Ceilings:
        """The ceilings of the targets, whose number may depend on the width of the features; found once."""
        from jaxscore.ceilings.find import find_ceilings

        if width not in self._ceilings:
            found = find_ceilings(self._card, self.material, targets, protocol, self.source, reporter)
            given = self._card.ceiling.kind in ("published", "file") or bool(self._card.ceiling.values)
            if given and (replaced := self.options.replaced()):
                found.warnings.append(f"The ceiling belongs to the card's own protocol, not to {' '.join(replaced)}.")
            self._ceilings[width] = found
        return self._ceilings[width]


def closing(reporter: Reporter) -> dict[str, Any]:
    """What ends a record: seconds of the phases, and when it was made."""
    return {
        "seconds": {name: round(value, 3) for name, value in reporter.seconds.items()},
        "created": datetime.now(UTC).isoformat(),
    }


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


def _about_model(model: Model, notes: dict[str, Any]) -> dict[str, Any]:
    about = {
        "name": model.name,
        "fingerprint": model.fingerprint,
        "untrained": model.untrained,
        "seed": model.seed if model.untrained else None,
        "dtype": model.dtype,
        "source": model.kind if isinstance(model, ForeignModel) else "static",
        "commit": None,
        "reading": notes,
    }
    if isinstance(model, LanguageModel):
        about |= {
            "source": model.checkpoint.source,
            "commit": model.checkpoint.commit,
            "folder": str(model.checkpoint.folder.resolve()) if model.checkpoint.source == "local" else None,
            "architecture": json.loads(json.dumps(asdict(model.arch))),  # as it is read again: lists
            "start_tokens": model.tokenizer.convert_ids_to_tokens(notes["start"]),
        }
    return about

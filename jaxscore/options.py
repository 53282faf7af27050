"""What a person asks for beyond the card: options, and the card that is in force with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from jaxscore.cards import Card
from jaxscore.cards.parts import Context, Regression, Splits
from jaxscore.errors import JaxscoreError, did_you_mean
from jaxscore.extract.reduction import Reduction

CHOICES = {
    "pooling": ("last", "mean", "sum", "first", "cls"),
    "bos": ("auto", "never", "always"),
    "context": ("passage", "story", "sentence", "text", "none"),
    "protocol": ("chained", "parts", "joined"),
    "bidirectional": ("prefix", "full"),
    "splits": ("shuffled", "contiguous", "grouped"),
}


@dataclass(frozen=True)
class Options:
    """Choices that replace the card's, None where the card's stand; see `jaxscore.score` for their meaning."""

    layers: str | None = None
    pooling: str | None = None
    context: str | None = None
    regression: str | None = None
    rcond: float | None = None
    splits: str | None = None
    folds: int | None = None
    bos: str = "auto"
    data: str | None = None
    protocol: str | None = None
    window: int | None = None
    stride: int | None = None
    bidirectional: str | None = None
    reduction: str | None = None

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise JaxscoreError(
                    f"Unknown {name} {value!r}. {did_you_mean(value, known)}".strip(),
                    f"Choose from: {', '.join(known)}.",
                )

        for name in ("window", "stride"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise JaxscoreError(f"{name} is {value}, expected a number of tokens", f"Give --{name} 1 or more.")
        if self.reduction is not None:
            Reduction.parse(self.reduction)
        if self.folds is not None and self.folds < 3:
            raise JaxscoreError(
                f"{self.folds} folds are too few: one is tested, one chooses the layer, the rest trains",
                "Give --folds 3 or more.",
            )

    def replaced(self) -> list[str]:
        """Which choices change how responses are predicted, so that another ceiling belongs to them."""
        asked = {name: getattr(self, name) for name in ("splits", "folds", "regression", "rcond")}
        return [f"--{name} {value}" for name, value in asked.items() if value is not None]

    def check(self, card: Card) -> None:
        """Raise JaxscoreError for choices that a card's metric or recording does not know."""
        fitted = ("splits", "folds", "regression", "rcond", "reduction", "layers", "pooling")
        idle = [f"--{name}" for name in fitted if getattr(self, name) is not None]
        if card.metric == "surprisal" and idle:
            raise JaxscoreError(
                f"{card.identifier} correlates surprisal, nothing is fitted: {', '.join(idle)} would do nothing",
                f"Leave out {', '.join(idle)}.",
            )
        if card.listening and self.splits is not None:
            raise JaxscoreError(
                f"{card.identifier} is tested on blocks with gaps: --splits {self.splits} would let volumes leak",
                "Leave out --splits; --folds is free.",
            )

    def in_force(self, card: Card) -> Card:
        """The card with the options put in."""
        changes = {
            "pooling": self.pooling or card.pooling,
            "regression": self._regression(card.regression),
            "context": self._context(card.context),
            "reduction": self.reduction or card.reduction,
            "splits": self._splits(card.splits),
        }
        if self.data:
            source = self.data if "://" in self.data else str(Path(self.data).expanduser().absolute())
            changes["data"] = card.data.model_copy(update={"source": source, "sha256": None, "sha1": None})
        return card.model_copy(update=changes)

    def _splits(self, splits: Splits) -> Splits:
        # what the card's own scheme is made by belongs to it
        asked = {"scheme": self.splits, "by": None, "values": None, "seed": None, "trim": 0} if self.splits else {}
        return splits.model_copy(update=asked | ({} if self.folds is None else {"folds": self.folds}))

    def _context(self, context: Context) -> Context:
        group = "sentence" if self.context == "none" else self.context
        asked = {name: getattr(self, name) for name in ("protocol", "window", "stride", "bidirectional")}
        # a window of the card belongs to its protocol
        changes = {"window": None} if self.protocol not in (None, context.protocol) else {}
        changes |= {k: v for k, v in (asked | {"group": group}).items() if v is not None}
        return context.model_copy(update=changes)

    def _regression(self, regression: Regression) -> Regression:
        asked = regression.model_dump()
        if self.regression is not None:
            solver, colon, alpha = self.regression.partition(":")
            asked["solver"] = solver
            if colon:
                asked["alpha"] = alpha
            elif solver == "ridge" and asked["alpha"] is None:
                asked["alpha"] = 1.0
        if self.rcond is not None:
            asked["rcond"] = self.rcond
        try:
            return Regression(**asked)
        except ValidationError as error:
            first = error.errors()[0]
            raise JaxscoreError(
                f"Not a regression: {self.regression or self.rcond} ({first['loc'][-1:]}: {first['msg']})",
                "Type --regression ols, ridge-loo, ridge-gcv or ridge:ALPHA (ALPHA > 0); --rcond is between 0 and 1.",
            ) from None


def check_batch_size(batch_size: int | None) -> None:
    """Raise JaxscoreError for a batch of no texts."""
    if batch_size is not None and batch_size < 1:
        raise JaxscoreError(
            f"batch_size is {batch_size}, expected a number of texts", "Give --batch-size 1 or more, or leave it out."
        )


def check_static(model: str, asked: Mapping[str, object], usual: Mapping[str, object]) -> None:
    """Refuse options that would change nothing, since a static model has neither tokens nor weights.

    Args:
        model: its name.
        asked: what was asked for, by option; None: nothing.
        usual: what holds by default; asking for it is no error.

    Raises:
        JaxscoreError: lists them.
    """
    idle = ", ".join(f"--{name}" for name, value in asked.items() if value not in (None, usual.get(name)))
    if idle:
        raise JaxscoreError(
            f"{model} is no language model, it has a row of features for each word: {idle} would change nothing",
            f"Leave out {idle}.",
        )


def choose_layers(asked: str | None, names: list[str], aliases: Mapping[str, int] | None = None) -> list[int]:
    """Indices of the states in `asked`: names, numbers and ranges, comma-separated ("drop,3,5-8,-1").

    Args:
        asked: what a person typed; None: every hidden state.
        names: names of the hidden states; numbers count these.
        aliases: other names of states, and names of states beyond the hidden ones, by index.

    Raises:
        JaxscoreError: for a layer that the model does not have.
    """
    if asked is None:
        return list(range(len(names)))
    if not asked.strip():
        raise JaxscoreError("layers is empty: there is nothing to read", f"Leave it out for all {len(names)} layers.")
    known = dict(aliases or {}) | {name: index for index, name in enumerate(names)}
    chosen: list[int] = []
    for item in (item.strip() for item in asked.split(",")):
        span = re.fullmatch(r"(\d+)-(\d+)", item)
        if item in known:
            chosen.append(known[item])
            continue
        if span:
            found = list(range(int(span[1]), int(span[2]) + 1))
        elif re.fullmatch(r"-?\d+", item):
            found = [int(item) + (len(names) if item.startswith("-") else 0)]
        else:
            found = [-1]
        if not found or not all(0 <= index < len(names) for index in found):
            raise JaxscoreError(
                f"No layer {item!r}. {did_you_mean(item, known)}".strip(),
                f"There are {len(names)}: 0 ({names[0]}) to {len(names) - 1} ({names[-1]}). "
                "Give names, numbers or ranges: --layers 0,3,5-8.",
            )
        chosen += found
    return sorted(set(chosen))

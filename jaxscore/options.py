"""What a person asks for beyond the card: options, and the card that is in force with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from jaxscore.cards import Card, Regression
from jaxscore.errors import JaxscoreError, did_you_mean

POOLINGS = ("last", "mean", "sum")
BOS = ("auto", "never", "always")
CONTEXTS = ("passage", "story", "sentence")
SPLITS = ("shuffled", "contiguous", "grouped")


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

    def __post_init__(self) -> None:
        for name, known in {"pooling": POOLINGS, "bos": BOS, "context": CONTEXTS, "splits": SPLITS}.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise JaxscoreError(
                    f"Unknown {name} {value!r}. {did_you_mean(value, known)}".strip(),
                    f"Choose from: {', '.join(known)}.",
                )

        if self.folds is not None and self.folds < 3:
            raise JaxscoreError(
                f"{self.folds} folds are too few: one is tested, one chooses the layer, the rest trains",
                "Give --folds 3 or more.",
            )

    def in_force(self, card: Card) -> Card:
        """The card with the options put in."""
        changes = {
            "pooling": self.pooling or card.pooling,
            "regression": self._regression(card.regression),
            "context": card.context.model_copy(update={"group": self.context or card.context.group}),
            "splits": card.splits.model_copy(
                update={
                    "scheme": self.splits or card.splits.scheme,
                    "folds": card.splits.folds if self.folds is None else self.folds,
                }
            ),
        }
        if self.data:
            source = self.data if "://" in self.data else str(Path(self.data).expanduser().absolute())
            changes["data"] = card.data.model_copy(update={"source": source, "sha256": None})
        return card.model_copy(update=changes)

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


def choose_layers(asked: str | None, names: list[str]) -> list[int]:
    """Indices of the layers in `asked`: names, numbers and ranges, comma-separated ("drop,3,5-8,-1"); all if None.

    Raises:
        JaxscoreError: for a layer that the model does not have.
    """
    if asked is None:
        return list(range(len(names)))
    chosen: list[int] = []
    for item in (item.strip() for item in asked.split(",")):
        span = re.fullmatch(r"(\d+)-(\d+)", item)
        if item in names:
            found = [names.index(item)]
        elif span:
            found = list(range(int(span[1]), int(span[2]) + 1))
        elif re.fullmatch(r"-?\d+", item):
            found = [int(item) + (len(names) if item.startswith("-") else 0)]
        else:
            found = [-1]
        if not found or not all(0 <= index < len(names) for index in found):
            raise JaxscoreError(
                f"No layer {item!r}. {did_you_mean(item, names)}".strip(),
                f"There are {len(names)}: 0 ({names[0]}) to {len(names) - 1} ({names[-1]}). "
                "Give names, numbers or ranges: --layers 0,3,5-8.",
            )
        chosen += [index for index in found if index not in chosen]
    return sorted(chosen)

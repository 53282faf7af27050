"""What values are divided by: ceilings that a card, its data or a stored file names; `compute` makes the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from jaxscore.errors import CardError, DataError
from jaxscore.metrics.aggregate import Ceiled

if TYPE_CHECKING:
    from jaxscore.cards import Card
    from jaxscore.metrics.targets import Targets


@dataclass(frozen=True)
class Ceilings:
    """Ceilings of the targets.

    Attributes:
        values: what the value of each target is divided by; NaN where it has no ceiling, or none that is positive.
        whole: the one ceiling, or the targets' own aggregated as scores are; NaN where there is none.
        source: where they come from, in a sentence.
        warnings: what a reader of the score should know.
        notes: for the record.
    """

    values: Float[np.ndarray, " target"]
    whole: float
    source: str
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_whole(cls, value: float, count: int, source: str, **more: Any) -> Ceilings:
        """One for all targets."""
        return cls(np.full(count, value if value > 0 else np.nan), value, source, **more)

    @classmethod
    def of_each(
        cls, values: np.ndarray, targets: Targets, scored: Bool[np.ndarray, " target"], source: str, **more: Any
    ) -> Ceilings:
        """One for each target."""
        positive = np.where(values > 0, values, np.nan)
        own = Ceiled(targets.coords["subject"].astype(str)[scored], positive[scored])
        whole = float(own.aggregate(own.ceilings[None, None]).r)
        return cls(positive, whole, source, **more)


def known_ceilings(card: Card, targets: Targets) -> Ceilings:
    """Ceilings that the card or the responses' coordinates hold.

    Raises:
        DataError: if the neuroids have no such coordinate.
        CardError: if `values` names none of them.
    """
    ceiling, ids = card.ceiling, targets.coords["neuroid_id"].astype(str)
    if ceiling.kind == "none":
        return Ceilings(np.ones(len(ids)), np.nan, ceiling.source)
    if ceiling.kind == "published":
        return Ceilings.of_whole(ceiling.value, len(ids), ceiling.source)
    if ceiling.coordinate:
        if ceiling.coordinate not in targets.coords:
            raise DataError(
                f"The assembly has no ceilings: no coordinate {ceiling.coordinate!r}", "Check ceiling.coordinate."
            )
        values = targets.coords[ceiling.coordinate].astype(float)
    else:
        values = by_id(card, ceiling.values, ids, "ceiling.values")
    return Ceilings.of_each(values, targets, targets.aggregated(card), ceiling.source)


def by_id(card: Card, named: dict[str, float], ids: np.ndarray, where: str) -> Float[np.ndarray, " target"]:
    """Values in the order of the ids, NaN for those without; raises CardError if none has one."""
    from jaxscore.data.assemblies import some

    values = np.array([named.get(name, np.nan) for name in ids])
    if np.isnan(values).all():
        raise CardError(
            f"{card.identifier}: {where} names none of the neuroids",
            f"It has {some(list(named))}; the data have {some(ids.tolist())}.",
        )
    return values

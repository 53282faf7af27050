"""What a value belongs to: a neuroid, a unit of neuroids that are compared together, or a unit and a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from jaxscore.errors import CardError, DataError, did_you_mean

if TYPE_CHECKING:
    import xarray as xr

    from jaxscore.cards import Card


MEAN = "mean over subjects"


@dataclass(frozen=True)
class Targets:
    """The last axis of `Measured`.

    Attributes:
        units: code of the unit that each neuroid is part of.
        coords: coordinates of each target, `subject` and `neuroid_id` among them.
    """

    units: Int[np.ndarray, " neuroid"]
    coords: dict[str, np.ndarray]

    @classmethod
    def of(cls, card: Card, assembly: xr.DataArray, width: int) -> Targets:
        """Targets of a card's metric.

        Args:
            card: its metric and units.
            assembly: responses with subject and neuroid_id.
            width: of the widest layer, whose features are targets of "decoding".

        Raises:
            CardError: if `units` names what the neuroids do not have.
        """
        own = {str(name): c.values for name, c in assembly.coords.items() if c.dims == ("neuroid",)}
        if card.metric == "encoding":
            return cls(np.arange(assembly.sizes["neuroid"]), own)
        if card.metric == "surprisal":  # of the mean over subjects, and of each
            names = np.array([MEAN, *own["neuroid_id"].astype(str)])
            return cls(np.arange(assembly.sizes["neuroid"]), {"neuroid_id": names, "subject": names})
        if absent := [name for name in card.units if name not in own and name != "atlas"]:
            raise CardError(
                f"{card.identifier}: units: the neuroids have no {', '.join(absent)}", f"They have: {', '.join(own)}."
            )
        names = [name for name in card.units if name in own]  # an assembly of one atlas need not name it
        labels = [".".join(values) for values in zip(*(own[name].astype(str) for name in names), strict=True)]
        labels = np.array(labels or ["all"] * assembly.sizes["neuroid"])
        found, first, units = np.unique(labels, return_index=True, return_inverse=True)
        coords = {name: own[name][first] for name in names} | {"neuroid_id": found}
        coords.setdefault("subject", np.full(len(found), "all"))
        if card.metric == "decoding":
            feature = np.tile(np.arange(width), len(found))
            coords = {name: np.repeat(values, width) for name, values in coords.items()} | {"feature": feature}
            names = zip(coords["neuroid_id"], feature, strict=True)
            coords["neuroid_id"] = np.array([f"{unit}.{k}" for unit, k in names])
        return cls(units, coords)

    def __len__(self) -> int:
        return len(self.coords["neuroid_id"])

    def aggregated(self, card: Card) -> Bool[np.ndarray, " target"]:
        """Which of them the score is made of; targets without a coordinate that the card names are all of one kind.

        Raises:
            DataError: if none is.
        """
        mask = np.ones(len(self), bool)
        if card.metric == "surprisal":
            return self.coords["neuroid_id"] == MEAN
        for name, value in card.aggregation.neuroids.items():
            if self.has(name, card, "aggregation.neuroids"):
                mask &= self.coords[name].astype(str) == value
        if not mask.any():
            raise DataError(
                f"No neuroid has {dict(card.aggregation.neuroids)}, which the score is made of", "Check the card."
            )
        return mask

    def has(self, name: str, card: Card, key: str) -> bool:
        """Whether targets have a coordinate; files of one atlas need not name it, any other that is absent is an error.

        Raises:
            CardError: naming the key of the card.
        """
        if name in self.coords or name == "atlas":
            return name in self.coords
        near = did_you_mean(name, self.coords)
        raise CardError(
            f"{card.identifier}: {key}: there is no coordinate {name!r} of the values. {near}".strip(),
            f"There are: {', '.join(self.coords)}.",
        )

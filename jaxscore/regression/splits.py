"""Cross-validation splits by name, through scikit-learn's splitters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxscore.errors import DataError, JaxscoreError, did_you_mean

Fold = tuple[np.ndarray, np.ndarray]
"""Indices of the training and of the test stimuli."""

SCHEMES = {
    "shuffled": "KFold(folds, shuffle=True, random_state=seed)",
    "contiguous": "KFold(folds): blocks of neighbouring stimuli",
    "grouped": "GroupKFold(folds, shuffle=True, random_state=seed): no passage on both sides",
}


def check_scheme(scheme: str) -> None:
    """Raise JaxscoreError, with the schemes there are, if `scheme` is none of them."""
    if scheme not in SCHEMES:
        raise JaxscoreError(
            f"Unknown splits {scheme!r}. {did_you_mean(scheme, SCHEMES)}".strip(), f"Choose from: {', '.join(SCHEMES)}."
        )


def make_folds(
    scheme: str, stimuli: int, *, folds: int = 5, seed: int = 1, groups: Sequence[str] | None = None
) -> list[Fold]:
    """Split `stimuli` rows into folds that partition them.

    Args:
        scheme: one of SCHEMES.
        stimuli: how many rows there are.
        folds: how many folds.
        seed: of the shuffling schemes.
        groups: the group (passage) of every row, for "grouped".

    Raises:
        DataError: if there are fewer stimuli (or groups) than folds, or no groups where they are needed.
    """
    from sklearn.model_selection import GroupKFold, KFold

    check_scheme(scheme)
    if folds < 2 or stimuli < 2 * folds:
        raise DataError(
            f"{stimuli} stimuli cannot make {folds} folds of at least 2 stimuli (at least 2 folds)",
            f"Use at least {2 * max(folds, 2)} stimuli, or fewer folds: --folds N.",
        )
    if scheme == "grouped":
        if groups is None:
            raise DataError(
                "Grouped splits need to know which stimuli belong together, and these data name no groups",
                "Name the column in the card (data.group), or choose --splits contiguous.",
            )
        if (count := len(set(groups))) < folds:
            raise DataError(
                f"{count} groups cannot make {folds} grouped folds", f"Use --folds {max(count, 2)} or fewer."
            )
        return list(GroupKFold(folds, shuffle=True, random_state=seed).split(np.zeros(stimuli), groups=groups))
    splitter = KFold(folds, shuffle=True, random_state=seed) if scheme == "shuffled" else KFold(folds)
    return list(splitter.split(np.zeros(stimuli)))

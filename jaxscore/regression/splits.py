"""Cross-validation splits by name, through scikit-learn's splitters; splitters and pairs are taken as they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxscore.errors import DataError, JaxscoreError, did_you_mean

Fold = tuple[np.ndarray, np.ndarray]
"""Indices of the training and of the test stimuli."""


@dataclass(frozen=True)
class Scheme:
    """A splitter of scikit-learn with its arguments.

    Attributes:
        splitter: class in `sklearn.model_selection`.
        folds: how many; None where the groups decide.
        seed: random_state; None where nothing is random.
        options: further arguments of the class.
        groups: what `groups` must hold; empty if it needs none.
        values: what `values` must hold; empty if it needs none.
    """

    splitter: str
    folds: int | None = 5
    seed: int | None = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    groups: str = ""
    values: str = ""

    def build(self) -> Any:
        """The scikit-learn splitter."""
        from sklearn import model_selection

        given = {"n_splits": self.folds, "random_state": self.seed}
        given = {name: value for name, value in given.items() if value is not None}
        return getattr(model_selection, self.splitter)(**given, **self.options)


SCHEMES = {
    "shuffled": Scheme("KFold", options={"shuffle": True}),
    "contiguous": Scheme("KFold", seed=None),
    "grouped": Scheme("GroupKFold", options={"shuffle": True}, groups="group"),
    "stratified": Scheme("StratifiedKFold", options={"shuffle": True}, groups="group (class)"),
    "shuffle-split": Scheme("ShuffleSplit", 10, options={"train_size": 0.9}),
    "leave-one-group-out": Scheme("LeaveOneGroupOut", None, None, groups="group"),
}
"""Schemes whose number of folds and seed may be chosen; the defaults are those in the table."""

_stratified, _grouped = SCHEMES["stratified"], replace(SCHEMES["grouped"], seed=1234)
PROTOCOLS = {
    "nn-pereira": SCHEMES["shuffled"],
    "nn-blank": replace(_stratified, groups="story"),
    "nn-fedorenko": replace(_stratified, groups="sentence_id"),
    "nn-futrell": replace(_stratified, groups="sentence_id", values="word"),
    "nn-rdm": SCHEMES["shuffled"],
    "bl-linear-shuffle": SCHEMES["shuffle-split"],
    "bl-tuckute": SCHEMES["shuffle-split"],
    "bl-pereira-ridge": replace(_grouped, folds=10, groups="story"),
    "bl-blank-ridge": replace(_grouped, folds=8, groups="story"),
    "bl-fedorenko-ridge": replace(_grouped, folds=10, groups="sentence_id"),
    "bl-rdm": Scheme("ShuffleSplit", 10, options={"test_size": 0.9}),
}
"""Published splits, fixed in everything: "nn" of the 2021 pipeline (neural-nlp), "bl" of Brain-Score language. Those of
an experiment split its stimuli in file order; "-rdm" (also for CKA) compares the test stimuli alone."""


def check_scheme(scheme: str) -> None:
    """Raise JaxscoreError, with the names there are, if `scheme` is neither in SCHEMES nor in PROTOCOLS."""
    known = [*SCHEMES, *PROTOCOLS]
    if scheme not in known:
        raise JaxscoreError(
            f"Unknown splits {scheme!r}. {did_you_mean(scheme, known)}".strip(), f"Choose from: {', '.join(known)}."
        )


def make_folds(
    scheme: str | int | Any | Iterable[tuple[ArrayLike, ArrayLike]],
    stimuli: int,
    *,
    folds: int | None = None,
    seed: int | None = None,
    groups: Sequence | np.ndarray | None = None,
    labels: Sequence | np.ndarray | None = None,
    values: Sequence | np.ndarray | None = None,
    smallest: int = 2,
    overlap: bool = False,
) -> list[Fold]:
    """Split `stimuli` rows into folds.

    Args:
        scheme: a name in SCHEMES or PROTOCOLS, which gives what its scikit-learn splitter gives, index by index; a
            number of contiguous folds (not shuffled ones: shuffling puts neighbours in time on both sides); a
            scikit-learn splitter (anything with `split`); or (training, test) pairs of indices.
        stimuli: how many rows there are.
        folds: how many folds; by default the scheme's.
        seed: of the schemes in SCHEMES that shuffle; by default 1.
        groups: the group (passage, story, sentence) of every row: kept whole, left out or stratified on, by scheme.
        labels: the class of every row, for a splitter that stratifies; a name stratifies on them instead of `groups`.
        values: a value of every row, such as its word. The rows of a training or test set are then all rows with one of
            its values, so that a value found in both sets puts its rows on both sides, as "nn-futrell" does.
        smallest: how many stimuli a test set must have; 2 make a correlation, 1 a squared error.
        overlap: allow a stimulus in both sets of a fold.

    Raises:
        JaxscoreError: if `scheme` is none of these, or a protocol is asked for another seed.
        DataError: if the stimuli, groups or labels do not allow these folds, or the folds fail `check_folds`.
    """
    groups = _column("groups", groups, stimuli)
    labels = _column("labels", labels, stimuli)
    values = _column("values", values, stimuli)
    if isinstance(scheme, Integral):
        found = _named("contiguous", stimuli, int(scheme), None, None, None)
    elif isinstance(scheme, str):
        if scheme in PROTOCOLS and PROTOCOLS[scheme].values and values is None:
            wanted = PROTOCOLS[scheme].values
            raise DataError(f"{scheme} splits by value and has no values", f"Pass values=, the {wanted} of every row.")
        found = _named(scheme, stimuli, folds, seed, groups, labels)
    else:
        found = _taken(scheme, stimuli, groups, labels)
    found = check_folds(found, stimuli, smallest=smallest, overlap=overlap)
    if values is not None:
        found = [tuple(np.flatnonzero(np.isin(values, values[rows])) for rows in fold) for fold in found]
    if folds is not None and len(found) != folds:
        raise DataError(f"{scheme} makes {len(found)} folds, {folds} were asked for", "Leave out the number of folds.")
    return found


def nested(
    outer: Sequence[Fold],
    scheme: str | int | Any,
    *,
    folds: int | None = None,
    seed: int | None = None,
    groups: Sequence | np.ndarray | None = None,
    labels: Sequence | np.ndarray | None = None,
) -> list[list[Fold]]:
    """For every outer fold, the inner folds of its training stimuli, as indices into ALL stimuli.

    Args:
        outer: (training, test) pairs, as `make_folds` and `check_folds` return them.
        scheme: of the inner folds: a name, a number of contiguous folds, or a splitter, as for `make_folds`. It splits
            the training stimuli in the order of their indices, whatever order the outer fold lists them in.
        folds: how many inner folds.
        seed: of the inner folds.
        groups: the group of every stimulus, those outside the training set included.
        labels: the class of every stimulus, likewise.

    Raises:
        JaxscoreError: as `make_folds`.
        DataError: as `make_folds`; the message names the outer fold.
    """
    if not isinstance(scheme, (str, Integral)) and not hasattr(scheme, "split"):
        raise JaxscoreError(
            f"{scheme!r:.80} cannot split the training stimuli of every outer fold",
            "Inner splits are a name, a number of folds or a scikit-learn splitter.",
        )
    stimuli = 1 + max(int(np.max(rows)) for fold in outer for rows in fold)
    columns = {"groups": groups, "labels": labels}
    columns = {
        name: _column(name, given, max(stimuli, len(given))) for name, given in columns.items() if given is not None
    }
    found = []
    for k, (unordered, _) in enumerate(outer):
        train = np.sort(unordered)
        own = {name: column[train] for name, column in columns.items()}
        try:
            inner = make_folds(scheme, len(train), folds=folds, seed=seed, smallest=1, **own)
        except DataError as error:
            raise DataError(f"In the training set of outer fold {k}: {error.message}", error.hint) from error
        found.append([(train[a], train[b]) for a, b in inner])
    return found


def check_folds(
    folds: Iterable[tuple[ArrayLike, ArrayLike]], stimuli: int, *, overlap: bool = False, smallest: int = 2
) -> list[Fold]:
    """Return the folds as arrays of integers, or say what is wrong with them.

    Args:
        folds: (training, test) pairs of indices into the stimuli; test sets of different folds may overlap.
        stimuli: how many there are.
        overlap: allow a stimulus in both sets of one fold.
        smallest: how many stimuli a test set must have.

    Raises:
        DataError: if there are no folds; if a set has too few stimuli (training: 2), or one twice, or indices that
            are not integers from 0 to stimuli - 1; if the training and the test set of a fold overlap.
    """
    checked = [_check_fold(k, fold, stimuli, overlap, smallest) for k, fold in enumerate(folds)]
    if not checked:
        raise DataError("There are no folds: nothing can be tested", "Give at least one (training, test) pair.")
    return checked


def _check_fold(k: int, fold: Any, stimuli: int, overlap: bool, smallest: int) -> Fold:
    try:
        train, test = (np.asarray(part) for part in fold)
    except (TypeError, ValueError):
        raise DataError(f"fold {k} is {fold!r:.80}, expected a pair (training, test) of indices") from None
    for name, rows in {"training": train, "test": test}.items():
        if rows.ndim != 1:
            raise DataError(f"the {name} indices of fold {k} have shape {rows.shape}, expected a list of indices")
        if rows.size and rows.dtype.kind not in "iu":
            hint = "Turn a mask into indices by numpy.flatnonzero(mask)." if rows.dtype.kind == "b" else ""
            raise DataError(f"the {name} indices of fold {k} are {rows.dtype}, expected integers", hint)
    if len(train) < 2 or len(test) < smallest:
        least = "2 of each" if smallest == 2 else f"2 and {smallest}"
        raise DataError(
            f"fold {k} has {len(train)} training and {len(test)} test stimuli, expected at least {least}",
            "A correlation needs 2 stimuli: use fewer folds or larger groups.",
        )
    for name, rows in {"training": train, "test": test}.items():
        if rows.min() < 0 or rows.max() >= stimuli:
            raise DataError(
                f"the {len(rows)} {name} indices of fold {k} run from {rows.min()} to {rows.max()}, "
                f"expected 0 to {stimuli - 1} for {stimuli} stimuli"
            )
    train, test = train.astype(np.intp), test.astype(np.intp)
    times = {name: np.bincount(rows, minlength=stimuli) for name, rows in (("training", train), ("test", test))}
    for name, counts in times.items():
        if counts.max() > 1:
            raise DataError(
                f"the {counts.sum()} {name} indices of fold {k} name {(counts > 1).sum()} stimuli more than once"
            )
    both = np.flatnonzero(times["training"] & times["test"])
    if both.size and not overlap:
        raise DataError(
            f"fold {k} has {both.size} of its {len(test)} test stimuli in its training set of {len(train)} as well "
            f"(the first is {both[0]})",
            "A stimulus that is trained on cannot be tested in the same fold.",
        )
    return train, test


def _column(name: str, given: Sequence | np.ndarray | None, stimuli: int) -> np.ndarray | None:
    """One value for every stimulus, as an array."""
    if given is None:
        return None
    column = np.asarray(given)
    if column.shape != (stimuli,):
        raise DataError(
            f"{name} has shape {column.shape}, expected one value for each of {stimuli} stimuli: ({stimuli},)"
        )
    if missing := sum(value is None or value != value for value in column.tolist()):
        raise DataError(f"{missing} of {stimuli} stimuli have no value in {name}", "Give one for every stimulus.")
    return column


def _named(
    name: str, stimuli: int, folds: int | None, seed: int | None, groups: np.ndarray | None, labels: np.ndarray | None
) -> list[Fold]:
    check_scheme(name)
    if name in PROTOCOLS:
        scheme = PROTOCOLS[name]
        if seed not in (None, scheme.seed):
            raise JaxscoreError(f"{name} has the seed {scheme.seed}, {seed} was asked for", "Leave out the seed.")
    else:
        scheme, asked = SCHEMES[name], {"folds": folds, "seed": seed}
        used = {key: value for key, value in asked.items() if None not in (value, getattr(scheme, key))}
        scheme = replace(scheme, **used)
    if scheme.splitter.endswith("Fold") and (scheme.folds < 2 or stimuli < 2 * scheme.folds):
        raise DataError(
            f"{stimuli} stimuli cannot make {scheme.folds} folds of at least 2 stimuli (at least 2 folds)",
            f"Use at least {2 * max(scheme.folds, 2)} stimuli" + ", or fewer folds (--folds)." * (name in SCHEMES),
        )
    if scheme.splitter == "StratifiedKFold":
        return _split(scheme.build(), stimuli, _codes(name, scheme, groups if labels is None else labels), None)
    return _split(scheme.build(), stimuli, None, _codes(name, scheme, groups) if scheme.groups else None)


def _codes(name: str, scheme: Scheme, groups: np.ndarray | None) -> np.ndarray:
    """The groups as numbers in their sorted order, which every splitter treats as it treats the groups."""
    if groups is None:
        raise DataError(
            f"Splits {name!r} need to know the {scheme.groups} of every stimulus, and these data name none",
            "Pass groups= (a card: data.group), or choose contiguous splits.",
        )
    found, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    stratified = scheme.splitter == "StratifiedKFold"
    if stratified and name in SCHEMES and sizes.min() < 2:
        raise DataError(
            f"{(sizes == 1).sum()} of {len(found)} classes have one stimulus, such as {found[sizes.argmin()]!s:.80}",
            "Stratified splits need 2 stimuli of every class, better one for each fold: join small classes.",
        )
    if len(found) < (2 if stratified else scheme.folds or 2):
        hint = f"Give the {scheme.groups} of every stimulus, or choose contiguous splits."
        if name in SCHEMES and scheme.folds and len(found) > 1:
            hint = f"Use {len(found)} folds or fewer (--folds {len(found)})."
        made = f"{scheme.folds} {name}" if scheme.folds else name
        raise DataError(f"{len(found)} group{'s' * (len(found) != 1)} cannot make {made} folds", hint)
    return codes


def _taken(scheme: Any, stimuli: int, groups: np.ndarray | None, labels: np.ndarray | None) -> list[Any]:
    """The folds of a splitter, or the pairs that were given."""
    if hasattr(scheme, "split"):
        return _split(scheme, stimuli, labels, groups)
    try:
        return list(scheme)
    except TypeError:
        raise JaxscoreError(
            f"Splits are {scheme!r:.80}, expected a name, a number of folds, a splitter or pairs of indices",
            f"Choose from: {', '.join([*SCHEMES, *PROTOCOLS])}; or pass a scikit-learn splitter.",
        ) from None


def _split(splitter: Any, stimuli: int, labels: np.ndarray | None, groups: np.ndarray | None) -> list[Any]:
    try:
        with warnings.catch_warnings():
            # the same groups may be meant for other folds, outer or inner
            warnings.filterwarnings("ignore", "The groups parameter is ignored", UserWarning)
            # a class smaller than the number of folds is missing from some: so it is in the published protocols
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            return list(splitter.split(np.zeros(stimuli), labels, groups))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{splitter} cannot split {stimuli} stimuli: {error}",
            "Splitters that stratify want labels=, splitters that keep groups whole want groups=.",
        ) from error

"""Subjects predicted from pools of other subjects, by the benchmark's own metric and splits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxscore.ceilings.pools import Draws, Plan, Sources, Subject, check_draws
from jaxscore.errors import GridEdgeWarning
from jaxscore.metrics.aggregate import median_present
from jaxscore.metrics.comparisons import Step, compare
from jaxscore.metrics.measure import Protocol, Rows, usable
from jaxscore.regression.hardware import choose_hardware
from jaxscore.regression.job import mean_present

AT_ONCE = 64
"""Pools that are regressed together, as the layers of one cross-validation: they share the held-out responses."""

Pools = Mapping[Subject, Mapping[int, Mapping[int, Mapping[int, tuple]]]]
"""Members of the pool of each held-out subject, size, subset and part."""


@dataclass
class Collected:
    """Values of held-out subjects. A target is a neuroid (encoding) or a unit of neuroids that are compared together.

    A neuroid has values only where its subject is held out, so they are kept by subject.

    Attributes:
        sizes: k, ascending: subjects in a subset, the held-out one included; or electrodes in a pool.
        parts: their names.
        targets: place of each target's neuroid in Y, or code of its unit; sorted by subject.
        subjects: subject of each target.
        values: of each subject and size, [subset, part, fold, own target]: only the subsets in which it is held out.
        subsets: of each subject and size, which of the subsets of that size these are.
        notes: what the regressions warned of.
    """

    sizes: tuple[int, ...]
    parts: tuple[str, ...]
    targets: Int[np.ndarray, " target"]
    subjects: np.ndarray
    values: dict[Subject, dict[int, Float[np.ndarray, "subset part fold own"]]]
    subsets: dict[Subject, dict[int, Int[np.ndarray, " subset"]]]
    notes: list[str] = field(default_factory=list)

    def over_parts(self, subject: Subject, k: int) -> Float[np.ndarray, "subset fold own"]:
        """Mean over the parts that a target has."""
        return mean_present(self.values[subject][k], 1)

    def dense(self, k: int) -> Float[np.ndarray, "subset part fold target"]:
        """All values of a size in one array; NaN where a target's subject is not held out."""
        here = {subject: (self.subsets[subject][k], own[k]) for subject, own in self.values.items() if k in own}
        count = 1 + max(rows.max() for rows, _ in here.values())
        _, parts, folds, _ = next(iter(here.values()))[1].shape
        out = np.full((count, parts, folds, len(self.targets)), np.nan)
        for subject, (rows, own) in here.items():
            out[np.ix_(rows, range(parts), range(folds), np.flatnonzero(self.subjects == subject))] = own
        return out


def collect(
    Y: Float[np.ndarray, "stimulus neuroid"],
    subjects: np.ndarray,
    units: Int[np.ndarray, " neuroid"],
    parts: Mapping[str, np.ndarray],
    protocol: Protocol,
    rows: Rows,
    plan: Plan | Mapping[str, Draws],
    *,
    scored: Bool[np.ndarray, " neuroid"] | None = None,
    step: Step | None = None,
) -> Collected:
    """Predict every held-out subject from the pool of the others in its subset.

    Each part has draws of its own, from the subjects who have it; a subset that is drawn for several parts has values
    in each. The features are all neuroids of the pool's subjects that have no NaN in the part. Decoding gives the
    median over the neuroids of the pool.

    Args:
        Y: responses.
        subjects: of each neuroid.
        units: code of the unit that each neuroid is part of; of no matter to "encoding".
        parts: rows of each part.
        protocol: metric and splits.
        rows: labels of the stimuli.
        plan: what to draw, or the draws of each part.
        scored: the neuroids that are predicted; by default all.
        step: called as step("pools", n) after n more predictions of a subject, of `total` in all.

    Raises:
        DataError: as `Plan.draw`; if draws name subjects that a part has not, or hold out one that a subset has not.
    """
    prepared = [Part(Y, subjects, subjects, inside, protocol, rows) for inside in parts.values()]
    drawn = [
        plan.draw(part.own) if isinstance(plan, Plan) else plan[name]
        for name, part in zip(parts, prepared, strict=True)
    ]
    pools: dict[Subject, dict[int, dict[int, dict]]] = {}
    for k in sorted(set().union(*drawn)):
        row_of: dict[tuple, int] = {}
        for p, (part, draws) in enumerate(zip(prepared, drawn, strict=True)):
            check_draws(draws, set(part.own))
            for subset, held in draws.get(k, ()):
                members = tuple(sorted(set(subset)))
                row = row_of.setdefault(members, len(row_of))
                for subject in sorted(set(held)):
                    pool = tuple(member for member in members if member != subject)
                    pools.setdefault(subject, {}).setdefault(k, {}).setdefault(row, {})[p] = pool
    return gather(prepared, tuple(parts), subjects, units, pools, scored, step)


def total(draws: Mapping[str, Draws]) -> int:
    """How many predictions of a subject `collect` makes of these draws."""
    return sum(len(set(held)) for own in draws.values() for drawn in own.values() for _, held in drawn)


class Part:
    """The responses of one part, without NaN.

    Attributes:
        present: the neuroids of the data that are here.
        own: the columns of each subject.
        sources: of the members that pools are made of: subjects, or single electrodes.
    """

    def __init__(self, Y, subjects, members, inside, protocol: Protocol, rows: Rows) -> None:
        self.present = np.flatnonzero(usable(Y[inside]))
        self.metric = protocol.metric
        self.Y = np.asarray(Y[np.ix_(inside, self.present)], np.float64)
        self.own = _columns(subjects[self.present])
        self.sources = Sources(self.Y, _columns(members[self.present]), protocol.metric)
        labels = rows.take(inside)
        self.folds, self.groups = protocol.split(labels), labels.groups

    def predict(
        self, columns: Int[np.ndarray, " own"], units: Int[np.ndarray, " own"], pools: list[tuple], notes: list[str]
    ) -> Float[np.ndarray, "pool fold target"]:
        """Values of the targets among these columns, from every pool."""
        found, decodes, hardware = [], self.metric.name == "decoding", choose_hardware(mesh="host")
        at_once = AT_ONCE if self.sources.rotates else 1  # all voxels of a pool are many
        for start in range(0, len(pools), at_once):
            X = hardware.map(self.sources.features, pools[start : start + at_once])
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", GridEdgeWarning)
                r = compare(X, self.Y[:, columns], units, self.folds, self.metric, groups=self.groups).r
            notes.extend(str(warning.message) for warning in caught)
            found.append(median_present(r.reshape(*r.shape[:2], -1, X[0].shape[1]), -1) if decodes else r)
        return np.concatenate(found)


def _columns(labels: np.ndarray) -> dict[Subject, Int[np.ndarray, " own"]]:
    """Where each label is."""
    names, codes = np.unique(labels, return_inverse=True)
    order = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    return dict(zip(names.tolist(), order, strict=True))


def gather(prepared: list[Part], names, subjects, units, pools: Pools, scored, step) -> Collected:
    """Values of all held-out subjects."""
    by_unit, folds, notes = prepared[0].metric.by_unit, max(len(part.folds) for part in prepared), []
    known = np.zeros(len(subjects), bool)
    for part in prepared:
        known[part.present] = True
    known &= True if scored is None else scored
    targets, owners, values, subsets = [], [], {}, {}
    for subject in sorted(pools):
        # in the order of the subsets, whichever part held the subject out
        here = {k: dict(sorted(rows.items())) for k, rows in pools[subject].items()}
        neuroids = np.flatnonzero(known & (subjects == subject))
        own = np.unique(units[neuroids]) if by_unit else neuroids
        targets.append(own)
        owners += [subject] * len(own)
        shape = (len(names), folds, len(own))
        values[subject] = {k: np.full((len(rows), *shape), np.nan) for k, rows in here.items()}
        subsets[subject] = {k: np.array(list(rows)) for k, rows in here.items()}
        for p, part in enumerate(prepared):
            count = _fill(values[subject], p, part, subject, here, own, units, known, notes)
            if step:
                step("pools", count)
    sizes = tuple(sorted({k for own in pools.values() for k in own}))
    return Collected(
        sizes, names, np.concatenate(targets), np.array(owners), values, subsets, list(dict.fromkeys(notes))
    )


def _fill(values, p: int, part: Part, subject: Subject, pools, own, units, known, notes: list[str]) -> int:
    """Values of one subject in one part, and how many; pools that are the same are computed once."""
    columns = part.own.get(subject, np.zeros(0, int))
    columns = columns[known[part.present[columns]]]
    places: dict[tuple, list[tuple[int, int]]] = {}
    for k, rows in pools.items():
        for i, pool_of in enumerate(rows.values()):
            if p in pool_of:
                places.setdefault(pool_of[p], []).append((k, i))
    if places and len(columns):
        neuroids = part.present[columns]
        ids = np.unique(units[neuroids]) if part.metric.by_unit else neuroids
        found = part.predict(columns, units[neuroids], list(places), notes)
        for r, cells in zip(found, places.values(), strict=True):
            for k, i in cells:
                values[k][i, p, : len(r), np.searchsorted(own, ids)] = r.T
    return sum(map(len, places.values()))

r"""Principal components of the features, fitted on training stimuli alone.

With M = U diag(s) V' the centred training features, x has the scores V_k' (x - mean) on the leading k components. Least
squares on them fits U_k U_k' y, ridge U_k diag(s_k^2 / (s_k^2 + alpha)) U_k' y: what scikit-learn's
make_pipeline(PCA(k, svd_solver="full"), ...) gives, refitted for each training set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from jaxscore.errors import DataError, JaxscoreError
from jaxscore.regression.energies import Criterion
from jaxscore.regression.operators import Matrix, Solver, centred, refit


def check_components(components: Any, example: str) -> int:
    """A number of components, or JaxscoreError for one that is not a whole number of 1 or more."""
    if not isinstance(components, Integral) or components < 1:
        raise JaxscoreError(f"components is {components!r}, expected a whole number of 1 or more", example)
    return int(components)


def check_room(components: int, widths: Sequence[int], stimuli: int) -> None:
    """Refuse more components than there are.

    Args:
        components: that are asked for.
        widths: features of each layer.
        stimuli: of the smallest training set.

    Raises:
        DataError: if a layer has fewer; names the layer with the fewest, and how many it has.
    """
    layer = int(np.argmin(widths))
    most = min(widths[layer], stimuli - 1)
    if components > most:
        few = f"{widths[layer]} features" if widths[layer] < stimuli else f"{stimuli} stimuli in a training set"
        raise DataError(
            f"components is {components}, but layer {layer} of X has {most} at most: {few}",
            f"Ask for {most} or fewer." if most else "Use more stimuli.",
        )


def principal(X: Float64[np.ndarray, "train feature"], components: int) -> Float64[np.ndarray, "feature component"]:
    """V_k of the module's formula; the triangle of the centred features has the same right singular vectors."""
    return np.linalg.svd(np.linalg.qr(centred(X), mode="r"), full_matrices=False)[2][:components].T


def project(
    X: Float64[np.ndarray, "stimulus feature"], train: Int[np.ndarray, " train"], components: int | None
) -> Float64[np.ndarray, "stimulus column"]:
    """Scores of all stimuli on the components of the training stimuli; X itself for None.

    X is left as it is where it has no more columns than that: all components are a rotation, which no prediction sees.
    """
    if components is None or X.shape[1] <= components:
        return X
    return (X - X[train].mean(0)) @ principal(X[train], components)


@dataclass(frozen=True)
class Refit:
    """The one candidate of least squares, or of ridge at one alpha.

    Attributes:
        X: features of all stimuli, in any coordinates with their inner products.
        train: training rows of X.
        held: the rows to predict.
        solver: the regression.
    """

    X: Float64[np.ndarray, "stimulus feature"]
    train: Int[np.ndarray, " train"]
    held: Int[np.ndarray, " held"]
    solver: Solver

    @cached_property
    def made(self) -> tuple[Matrix, str, int]:
        """See `refit`."""
        return refit(self.X, self.held, self.train, self.solver)

    @property
    def path(self) -> str:
        """How the regression was made."""
        return self.made[1]

    @property
    def rank(self) -> int:
        """How many directions of the training features count."""
        return self.made[2]

    @property
    def condition(self) -> float:
        """Condition number of the features (ridge: of the penalised ones); inf if they are not of full rank."""
        energy = np.square(np.linalg.svd(centred(self.X[self.train]), compute_uv=False)) + self.solver.alpha
        full = self.solver.alpha or self.rank == len(energy)
        return float(np.sqrt(energy[0] / energy[-1])) if full else np.inf

    def criteria(self, dtype: str, xp: ModuleType) -> Iterator[Criterion]:
        """Nothing is chosen."""
        return iter(())

    def operator(self, candidate: int) -> Matrix:
        """See Search."""
        return self.made[0]

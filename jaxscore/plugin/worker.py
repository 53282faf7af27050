"""The jaxscore that answers a brain-score in another environment: `python -m jaxscore.plugin.worker FOLDER`.

One line of JSON comes, one goes back; arrays lie as files in FOLDER. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from jaxscore import __version__
from jaxscore.cli.compilation import keep_compilations
from jaxscore.errors import JaxscoreError, did_you_mean
from jaxscore.plugin.wire import SURPRISAL, pack_error, read_arrays, write_arrays

if TYPE_CHECKING:
    from jaxscore.subjects.model_reader import ModelReader

Answer = tuple[dict[str, Any], dict[str, np.ndarray]]
"""Values and arrays."""


@lru_cache(maxsize=1)
def _reader(model: str, options: str) -> ModelReader:
    """The model that was asked for last; one at a time, as two may not fit into memory."""
    from jaxscore.subjects.model_reader import ModelReader

    return ModelReader(model, **json.loads(options))


def open_model(*, model: str, options: str) -> Answer:
    """Find a model: its name and its last layer."""
    reader = _reader(model, options)
    return {"name": reader.name, "last_layer": reader.last_layer}, {}


def check(*, model: str, options: str, layers: list[str]) -> Answer:
    """Whether a model has these layers."""
    _reader(model, options).check(layers)
    return {}, {}


def digest(
    *, model: str, options: str, parts: list[str], layers: list[str], surprisal: bool, next_words: bool
) -> Answer:
    """Read one text in parts; layers in the order of the network."""
    found = _reader(model, options).digest(parts, layers, surprisal=surprisal, next_words=next_words)
    arrays = dict(found.states) | ({} if found.surprisal is None else {SURPRISAL: found.surprisal})
    return {"contexts": found.contexts, "next_words": found.next_words}, arrays


def regress(*, X: np.ndarray, Y: np.ndarray, folds: list, solver: str, weights: bool = False) -> Answer:
    """Predict neuroids from features and correlate, with the norms that brain-score makes 1e-8 longer.

    Returns:
        r [fold, neuroid]; if `weights` are asked for, the regressions are fitted once more for coef [fold, feature,
        neuroid] and intercept [fold, neuroid].
    """
    from jaxscore.regression import OLS, RidgeCV, cross_validate

    # one alpha for all neuroids, by the mean leave-one-out error
    solver = {"linear": OLS(), "ridge": RidgeCV(select="loo", per_neuroid=False)}[solver]
    folds = _pairs(folds)
    found = cross_validate([X], Y, folds, solver, scores=("pearson-eps",), dtype="float64", overlap=True)
    arrays = {"r": found.scores["pearson-eps"][0]}
    if weights:
        X, Y = X.astype(np.float64), Y.astype(np.float64)
        learned = [(fit.coef_.T, fit.intercept_) for fit in (solver.fit(X[train], Y[train]) for train, _ in folds)]
        arrays["coef"], arrays["intercept"] = map(np.stack, zip(*learned, strict=True))
    return {}, arrays


def resemble(*, X: np.ndarray, Y: np.ndarray, folds: list, measure: str) -> Answer:
    """Similarity of the stimuli of each fold's test part: "rdm" or "cka" [fold]."""
    from jaxscore.regression import linear_cka, rdm_similarity

    compared = {"rdm": rdm_similarity, "cka": linear_cka}[measure]
    return {}, {"r": compared([X], Y, [test for _, test in _pairs(folds)])[0]}


def _pairs(folds: list) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.asarray(train, np.intp), np.asarray(test, np.intp)) for train, test in folds]


def versions() -> Answer:
    """What computes here."""
    from jaxscore import provenance

    return {"device": provenance.device(), **provenance.versions()}, {}


METHODS: dict[str, Callable[..., Answer]] = {
    "versions": versions,
    "open": open_model,
    "check": check,
    "digest": digest,
    "regress": regress,
    "resemble": resemble,
}


def serve(questions: Iterable[bytes], answers: IO[bytes], folder: Path) -> None:
    """Answer until there are no more questions."""
    _send(answers, {"version": __version__})
    for line in questions:
        try:
            question = json.loads(line)
            arrays = read_arrays(folder, question["arrays"])
            if (name := question["method"]) not in METHODS:
                raise JaxscoreError(f"Unknown method {name!r}. {did_you_mean(name, METHODS)}".strip())
            values, arrays = METHODS[name](**question["values"], **arrays)
            answer = {"values": values, "arrays": write_arrays(folder, "answered", arrays)}
        except Exception as error:
            if not isinstance(error, JaxscoreError):
                traceback.print_exc()
            answer = pack_error(error)
        _send(answers, answer)


def _send(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def main() -> None:
    """Serve this process's standard input."""
    keep_compilations()
    folder = Path(sys.argv[1])
    # the answers go where standard output went; what prints, in whatever language, goes to standard error
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        serve(sys.stdin.buffer, answers, folder)
    except BrokenPipeError:  # nobody is there for the answer
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # whoever asked may have been killed


if __name__ == "__main__":
    main()

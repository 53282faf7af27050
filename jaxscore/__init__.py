"""jaxscore: score language models against human brain recordings, every layer, fold and voxel in one pass.

    >>> import jaxscore
    >>> score = jaxscore.score("mini", "Simulated2026-encoding")  # doctest: +SKIP

Importing this package loads neither JAX nor any data: names are resolved when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LAZY = {
    "Reading": "jaxscore.contexts.reading",
    "Score": "jaxscore.scoring",
    "activations": "jaxscore.extract.reader",
    "load_benchmark": "jaxscore.cards",
    "load_model": "jaxscore.models",
    "results": "jaxscore.store.table",
    "score": "jaxscore.scoring",
    "surprisal": "jaxscore.extract.reader",
}
__all__ = [
    "Reading",
    "Score",
    "__version__",
    "activations",
    "load_benchmark",
    "load_model",
    "results",
    "score",
    "surprisal",
]

if TYPE_CHECKING:
    from jaxscore.cards import load_benchmark
    from jaxscore.contexts.reading import Reading
    from jaxscore.extract.reader import activations, surprisal
    from jaxscore.models import load_model
    from jaxscore.scoring import Score, score
    from jaxscore.store.table import results


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'jaxscore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])

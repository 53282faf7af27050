"""The interfaces of the neighbouring tools: BrainModel of the 2021 pipeline, ArtificialSubject of today's platform.

Importing this package needs neither JAX nor a recent NumPy: a plugin reads it in an environment of its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_LAZY = {
    "ActivationsExtractor": "jaxscore.subjects.extractor",
    "ArtificialSubject": "jaxscore.subjects.artificial",
    "BrainModel": "jaxscore.subjects.brain_model",
    "StimulusSet": "jaxscore.subjects.stimulus_set",
    "Subsample": "jaxscore.subjects.extractor",
    "listen_to": "jaxscore.subjects.presenting",
    "read_words": "jaxscore.subjects.presenting",
}
__all__ = [
    "ActivationsExtractor", "ArtificialSubject", "BrainModel", "StimulusSet", "Subsample", "listen_to", "read_words",
]  # fmt: skip

if TYPE_CHECKING:
    from jaxscore.subjects.artificial import ArtificialSubject
    from jaxscore.subjects.brain_model import BrainModel
    from jaxscore.subjects.extractor import ActivationsExtractor, Subsample
    from jaxscore.subjects.presenting import listen_to, read_words
    from jaxscore.subjects.stimulus_set import StimulusSet


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'jaxscore.subjects' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])

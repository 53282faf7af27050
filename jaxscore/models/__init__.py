"""Language models: one scanned block, tables of tensor names, checkpoints from the hub or a folder."""

from __future__ import annotations

from jaxscore.models.foreign import Foreign, ForeignModel
from jaxscore.models.language_model import LanguageModel, load_model
from jaxscore.models.static import StaticModel

__all__ = ["Foreign", "ForeignModel", "LanguageModel", "StaticModel", "load_model"]

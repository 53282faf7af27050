"""A model whose weights stay in memory once they were read: subjects read many texts, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING

from jaxscore.models import LanguageModel, StaticModel

if TYPE_CHECKING:
    from jaxscore.models.transformer import Transformer


def resident(model: LanguageModel | StaticModel) -> LanguageModel | StaticModel:
    """The same model, which reads its weights when they are first needed, its head when that is, and keeps them."""
    if not isinstance(model, LanguageModel):
        return model
    own, loaded = copy(model), {}

    def transformer(step: Callable[[float], None] = lambda size: None, *, head: bool = False) -> Transformer:
        if not loaded or (head and not loaded["head"]):
            loaded.clear()  # two copies need not fit
            loaded.update(head=head, weights=model.transformer(step, head=head))
        return loaded["weights"]

    own.transformer = transformer
    own.weight_bytes = lambda: 0 if loaded else model.weight_bytes()
    return own

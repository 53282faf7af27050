"""What every measure of a text begins with: a language model, its weights, the tokens of the text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from jaxscore.contexts.encoding import check_texts, encode
from jaxscore.errors import DataError, ModelError
from jaxscore.models import LanguageModel, StaticModel, load_model
from jaxscore.progress import Reporter

if TYPE_CHECKING:
    from jaxscore.models.transformer import Transformer


def language_model(model: str | Path | LanguageModel | StaticModel, *, head: bool) -> LanguageModel:
    """The model, found if it is named; ModelError for one without tokens or, if `head`, without a causal head."""
    found = load_model(model) if isinstance(model, str | Path) else model
    if not isinstance(found, LanguageModel):
        raise ModelError(f"{found.name} has no tokens to predict", "Choose a causal language model, such as gpt2.")
    if head:
        from jaxscore.extract.passes import check_head

        check_head(found.arch)
    return found


def weights(model: LanguageModel, reporter: Reporter, *, head: bool) -> Transformer:
    """Load (or draw) the weights, as a phase of their own."""
    with reporter.phase("load", model.weight_bytes() or None) as step:
        return model.transformer(step, head=head)


def token_ids(model: LanguageModel, text: str, name: str = "text") -> Int[np.ndarray, " token"]:
    """The tokens of a text as a whole, without special ones.

    Raises:
        DataError: for a text without a word, or that is no text.
        ModelError: if tokenizer and weights do not belong together.
    """
    check_texts([text], [name])
    if not text.strip():
        raise DataError(f"The {name} has no word", "Give one word at least.")
    (encoded,) = encode(model.tokenizer, [text])
    if (largest := int(encoded.ids.max())) >= model.arch.vocabulary:
        raise ModelError(
            f"{model.name}: the tokenizer gives token {largest}, the embedding has {model.arch.vocabulary} rows",
            "Check that tokenizer.json and the weights belong together.",
        )
    return encoded.ids

"""Hidden states from text by torch and transformers, one prefix at a time: the plain reference for the parity tests.

It knows nothing of the package under test: no batches, no padding, no cache. Every sentence gets a forward pass of its
own over the tokens up to its last word: nothing to its right can be seen, in causal and in bidirectional models alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

WINDOW = 512
"""Most tokens that one forward pass sees, what the tokenizer puts at the start of a text included."""


def gpt2_tokenizer(shared: Path) -> PreTrainedTokenizerFast:
    """Return the real GPT-2 tokenizer; ``shared`` is the data folder that holds ``tokenizer_gpt2/``."""
    folder = Path(shared) / "tokenizer_gpt2"
    vocabulary = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")
    merges = [tuple(line.split(" ")) for line in lines[1:] if line]  # the first line is the version
    return GPT2Tokenizer(vocab=vocabulary, merges=merges)


def bert_tokenizer(shared: Path) -> PreTrainedTokenizerFast:
    """Return the real uncased BERT tokenizer; ``shared`` is the data folder that holds ``tokenizer_bert/``."""
    lines = (Path(shared) / "tokenizer_bert" / "bert-base-uncased-vocab.txt").read_text(encoding="utf-8").split("\n")
    return BertTokenizer(vocab={token: i for i, token in enumerate(line for line in lines if line)})


def save_gpt2(
    folder: Path, config_kwargs: dict[str, Any], seed: int, shared: Path, perturb: float = 0.0
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Write a Hugging Face folder with a randomly initialised GPT-2 and the real GPT-2 tokenizer.

    Args:
        folder: where config.json, model.safetensors and tokenizer.json go.
        config_kwargs: what differs from GPT-2 small, e.g. ``{"n_layer": 2, "n_embd": 16, "n_head": 2}``.
        seed: of torch's generator, which is put back afterwards.
        shared: the data folder that holds ``tokenizer_gpt2/``.
        perturb: standard deviation of noise added to EVERY parameter. The own initialisation (0) leaves biases 0 and
            norms 1, so that a test of a weight map could not tell them apart.

    Returns:
        The model and the tokenizer that were written.
    """
    return _save(folder, lambda: GPT2LMHeadModel(GPT2Config(**config_kwargs)), gpt2_tokenizer(shared), seed, perturb)


def save_bert(
    folder: Path, config_kwargs: dict[str, Any], seed: int, shared: Path, perturb: float = 0.0
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Write a Hugging Face folder with a randomly initialised BERT; arguments as in `save_gpt2`."""
    return _save(folder, lambda: BertModel(BertConfig(**config_kwargs)), bert_tokenizer(shared), seed, perturb)


def load_folder(folder: Path, dtype: str = "float32") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a Hugging Face folder with eager attention in the given dtype."""
    model = AutoModel.from_pretrained(str(folder), attn_implementation="eager", dtype=getattr(torch, dtype))
    return model, PreTrainedTokenizerFast(tokenizer_file=str(Path(folder) / "tokenizer.json"))


def sentence_states(
    source: Path | tuple[PreTrainedModel, PreTrainedTokenizerFast],
    contexts: Sequence[Sequence[str]],
    *,
    dtype: str = "float32",
    window: int = WINDOW,
) -> np.ndarray:
    """Hidden state of every layer at the last token of the last word of every sentence.

    Args:
        source: a Hugging Face folder, or (model, tokenizer) in memory; such a model is cast to ``dtype`` in place.
        contexts: sentences in order, one inner list for each context; the model starts anew with every context.
        dtype: ``float32`` or ``float64``, of weights, computation and result.
        window: most tokens of one forward pass.

    Returns:
        States [layer, stimulus, feature]: transformers' ``hidden_states`` (the embeddings, then every block, the last
        one after a final norm where there is one), stimuli in the order of the contexts.
    """
    model, tokenizer = load_folder(source, dtype) if isinstance(source, str | Path) else source
    model = getattr(model, model.base_model_prefix, model)  # a model with a head keeps the states under this name
    model = model.to(getattr(torch, dtype)).eval()
    windows = [ids for sentences in contexts for ids in context_windows(tokenizer, sentences, window)]
    return np.stack([token_states(model, ids)[:, -1] for ids in windows], axis=1)


def token_states(model: PreTrainedModel, ids: Sequence[int]) -> np.ndarray:
    """Return transformers' hidden states [layer, token, feature] of one forward pass over one row of token ids."""
    row = torch.tensor([list(ids)])
    with torch.inference_mode():
        states = model(input_ids=row, attention_mask=torch.ones_like(row), output_hidden_states=True).hidden_states
    return np.stack([state[0].numpy() for state in states])


def context_windows(
    tokenizer: PreTrainedTokenizerFast, sentences: Sequence[str], window: int = WINDOW
) -> list[list[int]]:
    """Token ids that the model sees for each sentence of one context; each row ends with the token that is pooled.

    Sentences are tokenised separately and chained. A start token (CLS or BOS) comes once, before the chain; when the
    window has slid past it, it is put back at position 0, and takes one of the places of the window.
    """
    start = start_ids(tokenizer)
    chain, targets = list(start), []
    for sentence in sentences:
        ids, last = _tokens_and_last(tokenizer, sentence)
        targets.append(len(chain) + last)
        chain += ids
    width = window - len(start)
    rows = []
    for target in targets:
        begin = target - width + 1
        rows.append(chain[: target + 1] if begin <= 0 else start + chain[max(begin, len(start)) : target + 1])
    return rows


def start_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Return what the tokenizer itself puts before a text: the difference that special tokens make, left part."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    at = next(i for i in range(len(full)) if full[i : i + len(plain)] == plain)
    return full[:at]


def _tokens_and_last(tokenizer: PreTrainedTokenizerFast, sentence: str) -> tuple[list[int], int]:
    """Token ids of a sentence and the index of the last one that touches its last white-space word."""
    encoded = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)
    begin, end = list(re.finditer(r"\S+", sentence))[-1].span()
    touching = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > begin]
    return encoded["input_ids"], touching[-1]


def _save(
    folder: Path, make: Any, tokenizer: PreTrainedTokenizerFast, seed: int, perturb: float
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(perturb * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer

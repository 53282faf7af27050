"""The peers of bench/extraction.py: torch and transformers with SDPA, in inference mode, on all cores.

A text is a window of jaxscore.contexts: its tokens, and slots of which the last token is pooled. Hooks keep that token
of every layer and nothing else, so that torch does not pay for states that nobody wants.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from measuring import memory
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(len(os.sched_getaffinity(0)))


class Pooled:
    """Forward passes of a transformers model that keep the pooled tokens of all its hidden states."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model.eval()
        self.body = getattr(model, model.base_model_prefix, model)
        self.causal = model.config.model_type != "bert"
        for module in hidden_states(self.body):
            module.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, inputs: tuple, output: torch.Tensor | tuple) -> None:
        states = output[0] if isinstance(output, tuple) else output
        self.kept.append(states[self.rows, self.places])

    def __call__(self, rows: Sequence[int], places: Sequence[int], **inputs: torch.Tensor | bool) -> torch.Tensor:
        """States [layer, pooled, feature] of the tokens at (row, place)."""
        device = self.model.device
        self.rows, self.places, self.kept = torch.tensor(rows).to(device), torch.tensor(places).to(device), []
        with torch.inference_mode():
            self.model(**inputs)
            return torch.stack(self.kept)


def hidden_states(body: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules that give transformers' `hidden_states`: what enters the first block, then every block."""
    if body.config.model_type == "gpt2":
        return [body.drop, *body.h[:-1], body.ln_f]
    if body.config.model_type == "bert":
        return [body.embeddings, *body.encoder.layer]
    return [body.embed_tokens, *body.layers[:-1], body.norm]


@lru_cache
def loaded(folder: Path, head: bool = False) -> Pooled:
    """A checkpoint in float32, with its language-model head if it is wanted."""
    if head:
        return Pooled(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    return Pooled(AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa"))


def batched(folder: Path, windows: Sequence, size: int) -> np.ndarray:
    """Pooled states [layer, presentation, feature]: texts sorted by length, `size` of them at a time."""
    return run_batches(loaded(folder), windows, size)


def run_batches(pooled: Pooled, windows: Sequence, size: int) -> np.ndarray:
    """Batches padded on the right; a causal model then needs no mask, and SDPA takes its fastest way."""
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].tokens))
    states = None
    for first in range(0, len(order), size):
        own = [windows[i] for i in order[first : first + size]]
        lengths = np.array([len(window.tokens) for window in own])
        tokens = np.zeros((len(own), lengths.max()), np.int64)
        for row, window in zip(tokens, own, strict=True):
            row[: len(window.tokens)] = window.tokens
        slots = [(row, slot) for row, window in enumerate(own) for slot in window.slots]
        inputs = {"input_ids": torch.from_numpy(tokens).to(pooled.model.device)}
        if pooled.causal:
            inputs["use_cache"] = False
        elif lengths.min() < lengths.max():
            mask = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None])
            inputs["attention_mask"] = mask.long().to(pooled.model.device)
        kept = pooled([row for row, _ in slots], [slot.last for _, slot in slots], **inputs).float().cpu().numpy()
        if states is None:
            total = sum(len(window.slots) for window in windows)
            states = np.empty((len(kept), total, kept.shape[-1]), np.float32)
        states[:, [slot.stimulus for _, slot in slots]] = kept
    return states


def part_by_part(folder: Path, texts: Sequence[str], contexts: Sequence[str], head: bool) -> np.ndarray:
    """Today's platform: for every part the text so far is put together, tokenised and run, and its last token pooled.

    It calls a model with its head and with the library's own choices (SDPA, a cache of keys and values that nobody
    reads); without the head is what its states alone would cost.
    """
    pooled, tokenizer = loaded(folder, head), tokenizer_of(folder)
    so_far: dict[str, list[str]] = {}
    states = []
    for text, context in zip(texts, contexts, strict=True):
        so_far.setdefault(context, []).append(text)
        joined = re.sub(r"\s+(?=[.,!?;:])", "", " ".join(part for part in so_far[context] if part.strip()))
        limit = pooled.model.config.max_position_embeddings
        ids = tokenizer(joined, truncation=True, max_length=limit, return_tensors="pt")
        states.append(pooled([0], [ids["input_ids"].shape[1] - 1], **ids).numpy())
    return np.concatenate(states, axis=1)


@lru_cache
def tokenizer_of(folder: Path):
    """A fast tokenizer that cuts off the beginning of what is too long, as the platform's does."""
    return AutoTokenizer.from_pretrained(folder, truncation_side="left")


def peak(folder: Path, windows: Sequence, size: int) -> float:
    """GiB at the peak of a fresh process that loads and runs all batches."""
    batched(folder, windows, size)
    return memory("VmHWM")


def product(a: np.ndarray, b: np.ndarray) -> Callable[[], torch.Tensor]:
    """A float32 product into memory that is there."""
    return partial(torch.matmul, torch.from_numpy(a), torch.from_numpy(b), out=torch.empty(len(a), b.shape[1]))


def save(folder: Path, kind: str, dtype: str, settings: dict[str, int]) -> None:
    """Write a checkpoint with the class's own random initialisation."""
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **settings))
    model.to(getattr(torch, dtype)).save_pretrained(folder)


def accelerated(folder: Path, windows: Sequence, sizes: Sequence[int], repeats: int, device: str = "cuda") -> dict:
    """Median seconds of a pass in bfloat16 by batch size; none where torch sees no such device.

    Weights are drawn on the device, from the folder's configuration.
    """
    if device == "cuda" and not torch.cuda.is_available():
        return {}
    with torch.device(device):
        config = AutoConfig.from_pretrained(folder)
        pooled = Pooled(AutoModel.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa"))
    found = {}
    for size in sizes:
        run_batches(pooled, windows[:size], size)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            run_batches(pooled, windows, size)  # ends on the host, so that nothing is still under way
            seconds.append(time.perf_counter() - start)
        found[size] = float(np.median(seconds))
    return found

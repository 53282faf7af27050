"""Train the embedded model `mini`: a byte-level BPE and a small GPT-2 language model, in Hugging Face layout.

    python -m jaxscore.models.mini.train --corpus wikitext2/val.txt --out FOLDER

The forward pass is the package's own block and the names in model.safetensors come from the GPT-2 family's table, so
that the model is made by what later reads it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, PreTrainedTokenizerFast

from jaxscore.errors import DataError
from jaxscore.models.architecture import Architecture, Params
from jaxscore.models.checkpoint import initial_params, source_of
from jaxscore.models.families.gpt2 import FAMILIES, read
from jaxscore.models.layout import dense
from jaxscore.models.mini.corpus import split

END = "<|endoftext|>"
FAMILY = FAMILIES["gpt2"]
SHAPE = {"vocab_size": 2560, "n_positions": 512, "n_embd": 112, "n_layer": 4, "n_head": 4}
BATCH = 2048
"""Tokens of a step, whatever the length of its windows."""
SHORT, SHORT_SHARE = 128, 0.65
"""Length of the windows, and share of the steps, of the first part of training; the rest sees all positions."""
NOISE = 0.1
"""Share of input tokens replaced by tokens drawn from the corpus: the block has no dropout."""
RATE, WARM_UP, DECAY = 2e-3, 0.05, 0.1
"""Peak of the learning rate, share of the steps that rise to it, weight decay of the matrices."""


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Train a byte-level BPE that splits words and reports offsets as GPT-2's does: the space belongs to the word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=SHAPE["vocab_size"], special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


def stream(tokenizer: Tokenizer, texts: list[str]) -> Int[np.ndarray, " token"]:
    """Token ids of all texts in a row, the end-of-text token before each and after the last."""
    end = tokenizer.token_to_id(END)
    return np.array([i for text in tokenizer.encode_batch(texts) for i in (end, *text.ids)] + [end], np.int32)


def windows(tokens: Int[np.ndarray, " token"], length: int) -> Int[np.ndarray, "window token"]:
    """Cut into windows of length + 1 that share one token, so that each token but the first is predicted once."""
    count = (len(tokens) - 1) // length
    return np.lib.stride_tricks.sliding_window_view(tokens, length + 1)[: count * length : length]


@partial(jax.jit, static_argnums=0)
def token_losses(
    arch: Architecture, params: Params, inputs: Int[Array, "window token"], targets: Int[Array, "window token"]
) -> Float[Array, "window token"]:
    """Cross-entropy of every next token in nats; the output matrix is the token embedding."""
    count, length = inputs.shape
    _, states = arch.forward(params, dense(inputs, jnp.full(count, length)), lambda x: jnp.zeros(1))
    logits = states.reshape(count, length, -1) @ params["embed"]["tokens"].T
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets)


def held_out_loss(arch: Architecture, params: Params, tokens: Int[np.ndarray, " token"]) -> float:
    """Mean loss in nats of every token but the first, each predicted once, in windows of all the model's positions."""
    length = arch.positions
    padded = np.append(tokens, np.repeat(tokens[-1], -(len(tokens) - 1) % length))
    found = [token_losses(arch, params, w[None, :-1], w[None, 1:])[0] for w in windows(padded, length)]
    return float(np.concatenate(found, dtype=np.float64)[: len(tokens) - 1].mean())


def unigram_loss(train: np.ndarray, held_out: np.ndarray, vocabulary: int) -> float:
    """Mean loss in nats of the tokens that `held_out_loss` predicts, from the training part's counts plus one."""
    counts = np.bincount(train, minlength=vocabulary) + 1.0
    return float(-np.log(counts / counts.sum())[held_out[1:]].mean())


def batches(tokens: np.ndarray, steps: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (inputs, targets): passes over the corpus from a random start, windows shuffled, inputs with noise.

    Raises:
        DataError: if the corpus is too short for one batch.
    """
    step = 0
    while step < steps:
        length = SHORT if step < SHORT_SHARE * steps else SHAPE["n_positions"]
        passage = windows(tokens[rng.integers(length) :], length)
        order = rng.permutation(len(passage))
        size = BATCH // length
        if len(order) < size:
            raise DataError(
                f"The training part has {len(tokens):,} tokens; a step needs {BATCH + length:,}.",
                "Give WikiText-2's validation file, val.txt.",
            )
        for start in range(0, len(order) - size + 1, size):
            batch = passage[order[start : start + size]]
            noise = rng.random(batch.shape) < NOISE
            yield np.where(noise, rng.choice(tokens, batch.shape), batch)[:, :-1], batch[:, 1:]
            step += 1
            if step == steps or (length == SHORT and step >= SHORT_SHARE * steps):
                break


def fit(
    arch: Architecture, train: np.ndarray, held_out: np.ndarray, steps: int, seed: int
) -> tuple[Params, float, int]:
    """Train with AdamW and keep the parameters with the lowest held-out loss.

    Returns:
        Those parameters, their held-out loss in nats a token, and the step they are from.
    """
    params = jax.tree.map(jnp.asarray, initial_params(arch, FAMILY, seed, "float32"))
    # no decay of norms and biases; stacked over layers, they have two axes, so their names tell
    matrices = jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key not in ("scale", "bias"), params)
    rate = optax.warmup_cosine_decay_schedule(0.0, RATE, max(1, round(WARM_UP * steps)), steps, RATE / 20)
    adam = optax.adamw(rate, b2=0.99, weight_decay=DECAY, mask=matrices)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), adam)

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state, inputs, targets):
        loss, slope = jax.value_and_grad(lambda p: token_losses(arch, p, inputs, targets).mean())(params)
        change, state = optimiser.update(slope, state, params)
        return optax.apply_updates(params, change), state, loss

    state, start, best = optimiser.init(params), time.perf_counter(), (None, math.inf, 0)
    for step, batch in enumerate(batches(train, steps, np.random.default_rng(seed)), 1):
        params, state, loss = update(params, state, *batch)
        if step % 100 == 0 or step == steps:
            reached = held_out_loss(arch, params, held_out)
            print(
                f"step {step:5d}  {time.perf_counter() - start:5.0f} s  loss {loss:.3f}  held out {reached:.3f}",
                flush=True,
            )
            if reached < best[1]:
                best = (jax.tree.map(np.array, params), reached, step)
    return best


def save(folder: Path, config: GPT2Config, params: Params, tokenizer: Tokenizer) -> None:
    """Write config.json, model.safetensors and the tokenizer's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for path in read(config).shapes():
        name, value = source_of(FAMILY, path), params
        for part in path.split("/"):
            value = value[part]
        for i, layer in enumerate(value) if path.startswith("blocks/") else [(0, value)]:
            tensors["transformer." + name.format(i=i)] = np.ascontiguousarray(layer, np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        unk_token=END,
        model_max_length=config.n_positions,
    ).save_pretrained(folder)


def summary(texts: list[str], tokens: int, loss: float, unigram: float) -> str:
    """The lines of the model card's table of held-out figures."""
    text = "".join(texts)
    bits = tokens / math.log(2)
    units = {"nats a token": 1.0, "bits a byte": bits / len(text.encode()), "bits a character": bits / len(text)}
    return "\n".join(f"| {unit} | {loss * f:.4f} | {unigram * f:.4f} |" for unit, f in units.items())


def main() -> None:
    """Train, write the folder, and print the figures that the model card quotes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="WikiText-2's validation file, val.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2200, help="of 2,048 tokens each")
    options = parser.parse_args()

    parts = split(options.corpus.read_text(encoding="utf-8"))
    tokenizer = train_tokenizer(parts[0])
    train, held_out = (stream(tokenizer, texts) for texts in parts)
    end = tokenizer.token_to_id(END)
    config = GPT2Config(
        **SHAPE,
        bos_token_id=end,
        eos_token_id=end,
        architectures=["GPT2LMHeadModel"],
        dtype="float32",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    arch = read(config)
    print(f"train: {len(parts[0])} articles, {len(train):,} tokens; held out: {len(parts[1])}, {len(held_out):,}")
    start = time.perf_counter()
    params, loss, step = fit(arch, train, held_out, options.steps, options.seed)
    save(options.out, config, params, tokenizer)
    size = sum(a.size for a in jax.tree.leaves(params))
    print(f"{size:,} parameters, seed {options.seed}, {options.steps} steps in {time.perf_counter() - start:.0f} s")
    print(f"kept: step {step}\n\n| held-out loss | mini | unigrams |\n| --- | --- | --- |")
    print(summary(parts[1], len(held_out) - 1, loss, unigram_loss(train, held_out, config.vocab_size)))


if __name__ == "__main__":
    main()

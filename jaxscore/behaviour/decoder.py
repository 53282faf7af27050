"""A linear decoder from features to the next token, and how optax trains it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

Decoder = dict[str, Float[Array, "..."]]
"""`weight` [feature, token id] and `bias` [token id]."""
Carry = tuple[Decoder, optax.OptState]
Batches = tuple[Float[np.ndarray, "batch block token feature"], Int[np.ndarray, "batch block token"]]
"""Features of tokens, and the tokens that follow them."""

EPSILON, NORM = 1e-8, 1.0
"""Epsilon of AdamW, largest norm of a gradient."""


def first_decoder(features: int, vocabulary: int, seed: int) -> Decoder:
    """Weights before training: uniform within 1 / sqrt(features), as torch's Linear draws them."""
    rng, bound = np.random.RandomState(seed), features**-0.5
    shapes = {"weight": (features, vocabulary), "bias": (vocabulary,)}
    return {name: jnp.asarray(rng.uniform(-bound, bound, shape), jnp.float32) for name, shape in shapes.items()}


def trainer(
    decoder: Decoder, rate: float, steps: int
) -> tuple[Carry, Callable[[Carry, Batches], tuple[Carry, Float[Array, " batch"]]]]:
    """AdamW without weight decay, its rate falling linearly from `rate` to 0 in `steps` steps, gradients clipped.

    Args:
        decoder: weights before training.
        rate: learning rate of the first step.
        steps: after how many it is 0.

    Returns:
        What training carries from batch to batch, and the function that takes one step for each batch: it gives what is
        carried on, and the loss of every batch before its step, in nats.
    """
    adam = optax.adamw(optax.linear_schedule(rate, 0.0, steps), eps=EPSILON, weight_decay=0.0)
    optimiser = optax.chain(optax.clip_by_global_norm(NORM), adam)
    return (decoder, optimiser.init(decoder)), jax.jit(partial(_train, optimiser))


def _train(
    optimiser: optax.GradientTransformation, carry: Carry, batches: Batches
) -> tuple[Carry, Float[Array, " batch"]]:
    def step(carry, batch):
        decoder, state = carry
        loss, slope = jax.value_and_grad(_loss)(decoder, *batch)
        change, state = optimiser.update(slope, state, decoder)
        return (optax.apply_updates(decoder, change), state), loss

    with jax.default_matmul_precision("highest"):
        return jax.lax.scan(step, carry, batches)


@jax.jit
def losses(decoder: Decoder, batches: Batches) -> Float[Array, " batch"]:
    """Mean cross entropy of each batch, in nats."""
    with jax.default_matmul_precision("highest"):
        return jax.lax.map(lambda batch: _loss(decoder, *batch), batches)


def _loss(
    decoder: Decoder, features: Float[Array, "block token feature"], following: Int[Array, "block token"]
) -> Float[Array, ""]:
    logits = features @ decoder["weight"] + decoder["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, following).mean()

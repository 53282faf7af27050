"""Queries, keys and values that a checkpoint keeps in one matrix, side by side for each group of heads."""

from __future__ import annotations

import numpy as np

from jaxscore.models.architecture import Architecture


def by_group(arch: Architecture, tensor: np.ndarray) -> np.ndarray:
    """From [..., group * (queries of the group, key, value) * feature] to all queries, then all keys, then all values.

    With as many groups as heads this is the (head, 3, feature) of GPT-NeoX and BLOOM, with one group Falcon-7B's
    multi-query order, between them Falcon-40B's.
    """
    parts = tensor.reshape(*tensor.shape[:-1], arch.kv_heads, -1, arch.head_width)
    split = parts[..., :-2, :], parts[..., -2:-1, :], parts[..., -1:, :]
    return np.concatenate([part.reshape(*tensor.shape[:-1], -1) for part in split], axis=-1)

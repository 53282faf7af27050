"""Texts of unequal length as one row of tokens: products see no padding, and mixing sees a padded table of places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Layout:
    """Where every token of a batch stands.

    Products of weights run over `token`, where texts follow each other without padding; attention and recurrences run
    over `text, place`, where each text has a row of its own, padded on the right.

    Attributes:
        tokens: token ids; what stands beyond the last text may be any valid id.
        positions: place of each token in its text, from 0.
        places: where each token stands in the flattened table of `text, place`.
        rows: token that stands at each place of the table; padding repeats a valid one.
        lengths: number of tokens of each text, at least 1.
    """

    tokens: Int[Array, " token"]
    positions: Int[Array, " token"]
    places: Int[Array, " token"]
    rows: Int[Array, "text place"]
    lengths: Int[Array, " text"]

    def spread(self, x: Shaped[Array, "token ..."]) -> Shaped[Array, "text place ..."]:
        """From the row of tokens to the table."""
        return x[self.rows]

    def gather(self, x: Shaped[Array, "text place ..."]) -> Shaped[Array, "token ..."]:
        """From the table back to the row."""
        return x.reshape(-1, *x.shape[2:])[self.places]


def lay_out(texts: Sequence[np.ndarray], *, tokens: int = 0, rows: int = 0, length: int = 0) -> Layout:
    """Lay texts out in NumPy arrays.

    Args:
        texts: token ids of each text, no text empty.
        tokens: length of the row of tokens, if it is to be longer than the texts together.
        rows: rows of the table, if there are to be more than texts.
        length: places of a row, if there are to be more than the longest text has.
    """
    lengths = np.array([len(text) for text in texts], int)
    count, width = max(tokens, int(lengths.sum())), max(length, int(lengths.max(initial=1)))
    height = max(rows, len(texts))
    begins = np.cumsum(lengths) - lengths
    ids, positions, places = np.zeros((3, count), np.int32)
    table, sizes = np.zeros((height, width), np.int32), np.ones(height, np.int32)
    for row, (text, begin, size) in enumerate(zip(texts, begins, lengths, strict=True)):
        own, here = slice(begin, begin + size), np.arange(size)
        ids[own], positions[own], places[own] = text, here, row * width + here
        table[row, :size], sizes[row] = begin + here, size
    return Layout(ids, positions, places, table, sizes)


def dense(tokens: Int[Array, "text place"], lengths: Int[Array, " text"]) -> Layout:
    """The layout of a table of padded texts, every place of which is a token."""
    text, place = tokens.shape
    every = jnp.arange(text * place, dtype=jnp.int32)
    return Layout(tokens.reshape(-1), every % place, every, every.reshape(text, place), lengths)

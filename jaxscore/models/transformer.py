"""The Flax face of the block: an nnx module around stacked arrays."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxscore.models.block import Architecture, Params, pooled_states


class Transformer(nnx.Module):
    """A language model's body as a Flax module; its parameters are stacked over layers.

    Args:
        arch: the architecture.
        params: nested arrays, as `load_params` or `initial_params` gives them.
    """

    def __init__(self, arch: Architecture, params: Params) -> None:
        self.arch = arch
        self.params = nnx.data(jax.tree.map(lambda array: nnx.Param(jax.device_put(array)), params))

    @property
    def arrays(self) -> Params:
        """The parameters as plain nested arrays, the form that the pure functions take."""
        return jax.tree.map(lambda p: p.get_value(), self.params, is_leaf=lambda p: isinstance(p, nnx.Param))

    def __call__(
        self,
        tokens: Int[Array, "text token"],
        lengths: Int[Array, " text"],
        pool: Float[Array, "text slot token"],
    ) -> Float[Array, "layer text slot feature"]:
        """Pooled hidden states of every layer: see `jaxscore.models.block.pooled_states`."""
        return pooled_states(self.arch, self.arrays, tokens, lengths, pool)

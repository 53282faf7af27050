"""The Flax face of a model: an nnx module around stacked arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxscore.models.architecture import Body, Params
from jaxscore.models.layout import dense
from jaxscore.models.states import every_state


class Transformer(nnx.Module):
    """A language model's body as a Flax module; its parameters are stacked over layers.

    Args:
        arch: the architecture.
        params: nested arrays, as `load_params` or `initial_params` gives them.
    """

    def __init__(self, arch: Body, params: Params) -> None:
        self.arch = arch
        self.params = nnx.data(jax.tree.map(lambda array: nnx.Param(jax.device_put(array)), params))

    @property
    def arrays(self) -> Params:
        """The parameters as plain nested arrays, the form that the pure functions take."""
        return jax.tree.map(lambda p: p.get_value(), self.params, is_leaf=lambda p: isinstance(p, nnx.Param))

    @property
    def dtype(self) -> str:
        """The dtype of the matrices."""
        kinds = {leaf.dtype for leaf in jax.tree.leaves(self.arrays["embed"])}
        return str(min(kinds, key=lambda kind: kind.itemsize))

    def __call__(
        self, tokens: Int[Array, "text place"], lengths: Int[Array, " text"]
    ) -> Float[Array, "state text place feature"]:
        """Every state of every token of texts padded on the right, in the order of `arch.widths`.

        For looking at a few texts: `jaxscore.extract` pools inside the scan, so that this never exists whole.
        """
        tokens = jnp.asarray(tokens, jnp.int32)
        states = every_state(self.arch, self.arrays, dense(tokens, jnp.asarray(lengths, jnp.int32)))
        return states.reshape(len(states), *tokens.shape, -1)

"""The Flax face of a model: an nnx module around stacked arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Sharding
from jaxtyping import Array, Float, Int

from jaxscore.models.architecture import Body, Params
from jaxscore.models.layout import dense
from jaxscore.models.states import every_state


class Transformer(nnx.Module):
    """A language model's body as a Flax module; its parameters are stacked over layers.

    Parameters stay on the host until something needs them: a pass puts each device's share where it runs, so that a
    model may be larger than any one device. A CPU device takes aligned arrays of the host without a copy.

    Args:
        arch: the architecture.
        params: nested arrays, as `load_params` or `initial_params` gives them.
    """

    def __init__(self, arch: Body, params: Params) -> None:
        self.arch = arch
        self.params = nnx.data(jax.tree.map(nnx.Param, params))

    @property
    def values(self) -> Params:
        """The parameters as plain nested arrays, wherever they are: NumPy's before they were placed."""
        return jax.tree.map(lambda p: p.get_value(), self.params, is_leaf=_is_param)

    @property
    def arrays(self) -> Params:
        """The parameters as plain nested arrays on devices, the form that the pure functions take.

        They lie where the last pass put them, and on the default device before the first.
        """
        values = self.values
        on_devices = all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values))
        return values if on_devices else self.place(lambda path, shape: None)

    def place(self, where: Callable[[str, tuple[int, ...]], Sharding | None]) -> Params:
        """Move the parameters, one after another, and keep them only there.

        Args:
            where: a parameter's sharding by its path and shape; None is the default device.

        Returns:
            The parameters as plain nested arrays.
        """
        params = jax.tree.leaves(self.params, is_leaf=_is_param)
        for (path, value), param in zip(by_path(self.values), params, strict=True):
            sharding = where(path, value.shape)
            if sharding is None or getattr(value, "sharding", None) != sharding:
                param.set_value(jax.device_put(value, sharding))
        return self.values

    @property
    def dtype(self) -> str:
        """The dtype of the matrices."""
        kinds = {leaf.dtype for leaf in jax.tree.leaves(self.values["embed"])}
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


def by_path(params: Params) -> list[tuple[str, Any]]:
    """Path and array of every parameter, in the order of their leaves."""
    leaves = jax.tree.leaves_with_path(params)
    return [(jax.tree_util.keystr(keys, simple=True, separator="/"), leaf) for keys, leaf in leaves]


def _is_param(node: object) -> bool:
    return isinstance(node, nnx.Param)

"""What bodies with a module of their own share: layers in a scan, and time in a scan inside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxscore.models.layout import Layout


@dataclass(frozen=True, kw_only=True)
class OwnBody:
    """The part of `Body` that does not depend on the family.

    Attributes:
        family: `model_type` of the checkpoint's config.json.
        layers: number of blocks.
        width: features of a hidden state.
        vocabulary: rows of the token embedding.
        positions: longest text in tokens, special tokens included.
        eps: of every norm.
        head: where the language-model head's matrix is: "tied", "untied", or None without one.
        initializer_range: standard deviation of freshly drawn weights.
        causal: whether a token sees only what stands left of it.
    """

    family: str
    layers: int
    width: int
    vocabulary: int
    positions: int
    eps: float
    head: Literal["tied", "untied"] | None = None
    initializer_range: float = 0.02
    causal: bool = True

    norm_kind: ClassVar[str] = "layer"
    residual_scale: ClassVar[float] = 1.0
    padding_row: ClassVar[None] = None
    extra_states: ClassVar[tuple[str, ...]] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each kept state, `layers + 1` in all."""
        return (self.width,) * (self.layers + 1)

    def norms(self, *names: str) -> dict[str, tuple[int, ...]]:
        """Shapes of the norms of every block."""
        shape = self.layers, self.width
        parts = ("scale", "bias") if self.norm_kind == "layer" else ("scale",)
        return {f"blocks/{name}/{part}": shape for name in names for part in parts}

    def head_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the language-model head, where it is a matrix of its own."""
        return {"head/tokens": (self.vocabulary, self.width)} if self.head == "untied" else {}


def over_layers(
    block: Callable[[Any, Float[Array, "token feature"]], Float[Array, "token feature"]],
    x: Float[Array, "token feature"],
    stacked: Any,
    keep: Callable[[Float[Array, "token feature"]], Any],
) -> tuple[Float[Array, "token feature"], Any]:
    """Run one block after another: (what leaves the last, what was kept of each, stacked).

    Args:
        block: (one layer's share of `stacked`, what enters) -> what leaves.
        x: what enters the first.
        stacked: nested arrays, stacked over layers.
        keep: what is wanted of a state; only that is ever held for all layers.
    """

    def body(x, this):
        x = block(this, x)
        return x, keep(x)

    return jax.lax.scan(body, x, stacked)


def over_time(
    step: Callable[[Any, tuple], tuple[Any, Float[Array, "text feature"]]],
    start: Any,
    inputs: tuple[Float[Array, "token _"], ...],
    layout: Layout,
) -> Float[Array, "token feature"]:
    """Run a recurrence over the places of every text at once; padding, on the right, is read by nobody.

    Args:
        step: (state, inputs of one place, each [text, feature]) -> (next state, output of that place).
        start: the state before the first place.
        inputs: what is read at every token.
        layout: where every token stands.
    """
    turned = tuple(x[layout.rows.T] for x in inputs)
    outputs = jax.lax.scan(step, start, turned)[1]
    return layout.gather(jnp.swapaxes(outputs, 0, 1))


def delayed(x: Float[Array, "token feature"], layout: Layout, places: int) -> Float[Array, "token feature"]:
    """What stood so many places earlier in the same text; zeros before its first token."""
    return jnp.where((layout.positions >= places)[:, None], jnp.roll(x, places, 0), 0) if places else x

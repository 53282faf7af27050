"""The pass: windows through the model, pooled inside the scan, gathered once; on all local devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Float, Int

from jaxscore.contexts.windows import Window
from jaxscore.errors import ModelError
from jaxscore.extract.batches import Batch, Costs, fill, plan
from jaxscore.extract.memory import batch_tokens, least_free
from jaxscore.extract.placement import DATA, choose_grid, place
from jaxscore.models.architecture import Body, Params
from jaxscore.models.states import pooled_states
from jaxscore.models.transformer import Transformer

COMPILE_FLOPS = 5e9
"""What one more compiled shape may cost, in model FLOPs; less than compiling takes, since programs are kept on disk."""
ATTENTION_SLOWNESS = 4.0
"""How much longer a FLOP of attention takes than one of a product with weights."""


@dataclass(frozen=True)
class Extracted:
    """What a pass gives.

    Attributes:
        states: float32 pooled states, presentations in the order of their indices.
        surprisal: of each presentation in bits, -log2 p(its tokens | text so far), bare spaces before it included; NaN
            where the first of them stands at the very beginning of a text, or left of the window that it is read in (a
            sum over the others would be that of a part); 0 where there are none; None if it was not asked for.
        tokens: presentation and id of every token behind `surprisal` that was read, in order, and `token_surprisal` in
            bits.
        token_surprisal: see `tokens`.
    """

    states: Float[np.ndarray, "layer presentation feature"]
    surprisal: Float[np.ndarray, " presentation"] | None = None
    tokens: Int[np.ndarray, "token two"] | None = None
    token_surprisal: Float[np.ndarray, " token"] | None = None


def extract(
    model: Transformer,
    windows: Sequence[Window],
    layers: Sequence[int],
    *,
    pooling: str = "last",
    batch_size: int | None = None,
    step: Callable[[int], None] | None = None,
    surprisal: bool = False,
    devices: Sequence[jax.Device] | None = None,
    tensor: int | None = None,
) -> Extracted:
    """Pooled states of every presentation at the chosen layers.

    Args:
        model: the Flax module.
        windows: every presentation in exactly one slot of one window.
        layers: indices of states, in the order of `model.arch.widths`.
        pooling: "last": the last token of the last word; "mean" or "sum": over the tokens of the presentation; "first":
            its first token; "cls": the first token of its window.
        batch_size: texts in a batch; by default chosen for the device's free memory.
        step: called with the number of presentations done, for a progress bar.
        surprisal: read the language-model head as well; the model must have been loaded with it.
        devices: on which batches run side by side; all local ones by default.
        tensor: devices that share one copy of the weights; by default as few as it fits on with the longest text, one
            where they do not say what is free. The model stays where a pass put it.

    Raises:
        JaxscoreError: if `tensor` does not divide the number of devices.
        ModelError: if surprisal is asked of a model that is not causal or has no head.
    """
    arch = model.arch
    if surprisal:
        check_head(arch)
    longest = max(len(window.tokens) for window in windows)
    mesh = choose_grid(model, list(devices or jax.local_devices()), longest, tensor)
    params = place(model, mesh)
    first_device, side_by_side = mesh.devices.flat[0], mesh.shape[DATA]
    matrices = sum(leaf.size for leaf in jax.tree.leaves(params["blocks"]))
    flops = 2 * matrices  # of the products of one token
    batches = plan(
        windows,
        tokens=batch_tokens(
            arch,
            model.dtype,
            longest,
            least_free(mesh.devices.flat),
            accelerator=first_device.platform != "cpu",
            slots=len(layers) and sum(len(window.slots) for window in windows) / sum(len(w.tokens) for w in windows),
        ),
        costs=Costs(
            place=0.03,
            pair=ATTENTION_SLOWNESS * 4 * arch.width * arch.layers / flops / (2 if arch.causal else 1),
            compilation=COMPILE_FLOPS / flops,
        ),
        limit=arch.positions,
        pooling=pooling,
        devices=side_by_side,
        batch_size=batch_size,
    )
    gathered = _Gathered(windows, layers, max(arch.widths), surprisal, step)
    run = _CAREFUL if first_device.platform == "cpu" and model.dtype != "float32" else _PLAIN
    chosen = np.asarray(layers, np.int32)
    waiting: tuple[list[Batch], tuple] | None = None
    for first in range(0, len(batches), side_by_side):
        together = batches[first : first + side_by_side]
        filled = [fill(windows, batch, pooling) for batch in together]
        inputs = jax.tree.map(lambda *arrays: np.stack(arrays), *filled)
        inputs = jax.device_put(inputs, NamedSharding(mesh, P(DATA)))
        slots = together[0].slots if chosen.size else 0  # for surprisal alone nothing is pooled
        result = run(arch, params, inputs, chosen, slots=slots, surprisal=surprisal, mesh=mesh)
        if waiting:  # the devices compute this batch while the last one is gathered
            gathered.collect(*waiting)
        waiting = (together, result)
    if waiting:
        gathered.collect(*waiting)
    return gathered.extracted()


def _side_by_side(arch: Body, params: Params, inputs, chosen, *, slots: int, surprisal: bool, mesh: Mesh):
    """A batch on each group of devices that share the parameters: arrays have a leading axis of groups.

    Along the axis "data" every group runs by itself; along "tensor" XLA shares the products out as the parameters are.
    """

    def one(params, inputs, chosen):
        layout, pool = jax.tree.map(lambda array: array[0], inputs)
        pool = pool if slots else jax.tree.map(lambda entries: entries[:0], pool)
        states, losses = pooled_states(arch, params, layout, pool, slots=slots, surprisal=surprisal)
        return jax.tree.map(lambda array: array[None], (states[chosen], losses))

    run = jax.shard_map(
        one, mesh=mesh, in_specs=(P(), P(DATA), P()), out_specs=P(DATA), axis_names={DATA}, check_vma=False
    )
    # whole on each device of a group, so that the host reads it from one
    return jax.lax.with_sharding_constraint(run(params, inputs, chosen), NamedSharding(mesh, P(DATA)))


_STATIC = ("arch", "slots", "surprisal", "mesh")
_PLAIN = jax.jit(_side_by_side, static_argnames=_STATIC)
# on a CPU, which has no products of half precision, XLA would cast the stacked weights of all layers before the loop
_CAREFUL = jax.jit(
    _side_by_side,
    static_argnames=_STATIC,
    compiler_options={"xla_disable_hlo_passes": "while-loop-invariant-code-motion"},
)


class _Gathered:
    """Host arrays that the results of batches are written to."""

    def __init__(self, windows, layers, width: int, surprisal: bool, step) -> None:
        self.windows, self.step = windows, step
        count = sum(len(window.slots) for window in windows)
        self.states = np.empty((len(layers), count, width), np.float32)
        self.bits: list[tuple[int, np.ndarray, np.ndarray, float]] | None = [] if surprisal else None

    def collect(self, together: list[Batch], result: tuple) -> None:
        states, losses = (None if array is None else _rows(array) for array in result)
        for row, batch in enumerate(together):
            if not batch.windows:
                continue
            own = np.asarray(states[row])[0]
            slots = [slot.stimulus for number in batch.windows for slot in self.windows[number].slots]
            if len(self.states):
                self.states[:, slots] = own[:, : len(slots)]
            if self.bits is not None:
                self._surprisal(batch, np.asarray(losses[row])[0] / np.log(2))
            if self.step:
                self.step(len(slots))

    def _surprisal(self, batch: Batch, following: np.ndarray) -> None:
        begin = 0
        for number in batch.windows:
            window = self.windows[number]
            own = np.concatenate([[np.nan], following[begin : begin + len(window.tokens) - 1]])
            begin += len(window.tokens)
            for slot in window.slots:
                span = slice(slot.first - slot.lead, slot.last + 1)
                total = np.nan if slot.clipped else own[span].sum()
                self.bits.append((slot.stimulus, window.tokens[span], own[span], total))

    def extracted(self) -> Extracted:
        if self.bits is None:
            return Extracted(self.states)
        bits = sorted(self.bits, key=lambda found: found[0])
        tokens = np.concatenate([np.column_stack([np.full(len(ids), number), ids]) for number, ids, *_ in bits])
        return Extracted(
            self.states,
            np.array([total for *_, total in bits]),
            tokens.astype(np.int64),
            np.concatenate([own for *_, own, _ in bits]),
        )


def _rows(array: jax.Array) -> dict[int, jax.Array]:
    """What each group of devices computed, [1, ...], as it lies on the first of them."""
    return {shard.index[0].start or 0: shard.data for shard in array.addressable_shards if shard.replica_id == 0}


def check_head(arch: Body) -> None:
    """Raise ModelError if the model gives no surprisal: it is not causal, or has no language-model head."""
    if not arch.causal or arch.head is None:
        raise ModelError(
            f"{arch.family} gives no surprisal: "
            + ("it has no language-model head" if arch.causal else "it reads what follows a word as well"),
            "Choose a causal language model, such as gpt2.",
        )

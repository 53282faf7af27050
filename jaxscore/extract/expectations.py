"""What a model asks of a machine, told from its configuration before any weight is read: size, memory, time."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxscore.cards import Card
from jaxscore.errors import ModelError
from jaxscore.extract.memory import batch_tokens, least_free, sharing, token_bytes
from jaxscore.extract.placement import device_bytes, divisors
from jaxscore.models.architecture import Body
from jaxscore.models.checkpoint import dtype_of, parameter_shapes
from jaxscore.models.hub import weight_files
from jaxscore.models.language_model import LanguageModel
from jaxscore.models.tensor_files import DTYPES, SafeFile, open_weights
from jaxscore.regression.hardware import host_memory

EFFICIENCY = 0.6
"""Share of the rate of large matrix products that a pass is expected to reach."""
EMBEDDINGS = re.compile(r"embed/(\d+/)?tokens|embed/(positions|type)|head/(tokens|bias)")
"""Parameters that stand for tokens and places; Transformer-XL has a table of tokens for each cluster of its words."""


@dataclass(frozen=True)
class Size:
    """What the configuration says.

    Attributes:
        parameters: all of them, the language-model head's included.
        without_embeddings: those that are no table of tokens or places.
        widths: features of each state, in the order of `states`.
        states: names of the hidden states, then of those beyond them.
        positions: longest text in tokens.
        head: of the language model: "tied", "untied" or None.
    """

    family: str
    parameters: int
    without_embeddings: int
    layers: int
    states: tuple[str, ...]
    widths: tuple[int, ...]
    vocabulary: int
    positions: int
    causal: bool
    head: str | None


def size_of(model: LanguageModel) -> Size:
    """Count what the configuration describes; ModelError if it is not supported."""
    arch = model.arch
    counts = {path: math.prod(shape) for path, shape in parameter_shapes(arch, head=True).items()}
    total = sum(counts.values())
    return Size(
        family=arch.family,
        parameters=total,
        without_embeddings=total - sum(count for path, count in counts.items() if EMBEDDINGS.fullmatch(path)),
        layers=arch.layers,
        states=tuple(model.state_names),
        widths=arch.widths,
        vocabulary=arch.vocabulary,
        positions=arch.positions,
        causal=arch.causal,
        head=arch.head,
    )


@dataclass(frozen=True)
class Stored:
    """Weight files: bytes of all, and of the tensors of each dtype, the most frequent one first."""

    bytes: int
    dtypes: dict[str, int]


def stored(folder: Path) -> Stored | None:
    """What the weight files hold, by their headers; None if they are not, or not all, on this machine.

    Raises:
        ModelError: if they are damaged.
    """
    try:
        files = weight_files(folder)
    except ModelError:
        return None
    dtypes: dict[str, int] = {}
    with open_weights(folder) as tensors:
        for file in tensors.files:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                if isinstance(file, SafeFile):
                    kind, (first, last) = (file.header[name][key] for key in ("dtype", "data_offsets"))
                    kind, size = np.dtype(DTYPES[kind]).name if kind in DTYPES else kind, last - first
                else:  # mapped, not read
                    kind, size = file.read(name).dtype.name, file.nbytes(name)
                dtypes[kind] = dtypes.get(kind, 0) + size
    ranked = sorted(dtypes.items(), key=lambda item: -item[1])
    return Stored(sum(path.stat().st_size for path in files), dict(ranked))


@dataclass(frozen=True)
class Memory:
    """Bytes that a pass takes on each device; estimates from above.

    Attributes:
        dtype: of the matrices.
        tensor: devices that share one copy of the weights: as few as it fits on, or all where it does not.
        weights: the device's share of all parameters, the language-model head's included.
        tokens: of a batch.
        peak: weights and a batch.
        free: what the device has; None where it does not say.
    """

    dtype: str
    tensor: int
    weights: int
    tokens: int
    peak: int
    free: int | None

    @property
    def fits(self) -> bool | None:
        """Whether a pass fits; None where that is not known."""
        return None if self.free is None else self.peak <= self.free


def memory_of(
    arch: Body, dtype: str, longest: int, free: int | None, *, accelerator: bool, devices: int | None = None
) -> Memory:
    """Memory of a pass: batches on an accelerator take what the weights leave free, those on a CPU have one size.

    Args:
        arch: the architecture.
        dtype: of the matrices.
        longest: longest text in tokens; a batch holds it whole.
        free: bytes that are free on each device before the weights are there.
        accelerator: whether the device is one; only then are weights shared.
        devices: number of them; by default the local ones.
    """
    shapes = parameter_shapes(arch, head=True)
    share = partial(device_bytes, [(path, shape, dtype_of(path, dtype).itemsize) for path, shape in shapes.items()])
    each = token_bytes(arch, dtype, longest)
    numbers = divisors((devices or jax.local_device_count()) if accelerator else 1)
    tensor = sharing(share, longest * each, free, numbers)
    weights = share(tensor)
    tokens = batch_tokens(arch, dtype, longest, free and free - weights, accelerator=accelerator)
    return Memory(dtype, tensor, weights, tokens, weights + int(tokens * each), free)


def free_bytes() -> int | None:
    """Bytes that are free on each local device, or on the host where there is none but its processor."""
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        return least_free(devices)
    free = host_memory()
    return free and int(free)


def pass_flops(arch: Body, lengths: Sequence[int]) -> float:
    """Operations of a pass over texts of these lengths: 2 a weight and token, 4 a feature and pair in attention."""
    kernels = {path: shape for path, shape in arch.shapes().items() if path.startswith("blocks/")}
    # a block's own weights times all layers, since layers may share them
    own = sum(math.prod(shape[1:]) for path, shape in kernels.items() if path.endswith("/kernel"))
    sizes = np.asarray(lengths, float)
    pairs = (sizes**2).sum() / (2 if arch.causal else 1)
    attention = 4 * arch.heads * arch.head_width * pairs if hasattr(arch, "head_width") else 0.0
    return float(arch.layers * (2 * own * sizes.sum() + attention))


def measure_rate(dtype: str) -> float:
    """Operations a second of a large matrix product on the default device, measured in about a second.

    Square matrices double in width until one product takes long enough to be timed.

    Args:
        dtype: of the matrices; products run at HIGHEST precision, as those of a pass do.
    """
    product, tile = jax.jit(lambda a: a @ a), np.random.default_rng(0).standard_normal((1024, 1024), np.float32)
    with jax.default_matmul_precision("highest"):
        for times in (1, 2, 4, 8, 16):
            matrix = jnp.tile(jnp.asarray(tile, jnp.dtype(dtype)), (times, times))
            product(matrix).block_until_ready()  # compiled, and warm
            seconds = min(_seconds(product, matrix) for _ in range(3))
            if seconds > 0.01:
                break
    return 2 * len(matrix) ** 3 / seconds


def _seconds(product: Callable[[jax.Array], jax.Array], matrix: jax.Array) -> float:
    start = time.perf_counter()
    product(matrix).block_until_ready()
    return time.perf_counter() - start


def whole_texts(tokens: int, longest: int) -> list[int]:
    """Lengths of texts that hold so many tokens together, each as long as may be."""
    rest = tokens % longest
    return [longest] * (tokens // longest) + [rest] * (rest > 0)


def benchmark_lengths(model: LanguageModel, card: Card, *, offline: bool) -> list[int]:
    """Tokens of every text that a model reads for a benchmark.

    Raises:
        FetchError: if the benchmark's data cannot be had.
        JaxscoreError: if the model cannot read them.
    """
    from jaxscore.data.material import load_material
    from jaxscore.data.source import open_source
    from jaxscore.extract.activations import Request, read_for

    found = load_material(card, open_source(card, offline=offline))
    request = Request(found.texts, found.ids, found.contexts, card.context.reading(), card.pooling)
    reads = read_for(model, request)
    return [len(window.tokens) for window in reads.windows]

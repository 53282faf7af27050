"""Where parameters lie: devices in a grid of data x tensor; copies along the one axis, shares along the other.

Shares are those of Megatron (Shoeybi et al. 2019, arXiv:1909.08053, section 3): what widens is split over its outputs,
what narrows over its inputs. XLA puts in the exchanges of activations; where queries, keys and values, or gate and up,
are one matrix, shares do not end where these do, and there are more of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import partial

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxscore.errors import JaxscoreError
from jaxscore.extract.memory import least_free, sharing, token_bytes
from jaxscore.models.architecture import Params
from jaxscore.models.transformer import Transformer, by_path

DATA, TENSOR = "data", "tensor"
"""Axes of the grid: batches side by side, and devices that share one copy of the parameters."""
SPLIT = {
    # over features: sizes of vocabularies are often odd, and the head is read a slice of the vocabulary at a time
    r"(embed/(\d+/)?|head/)tokens|embed/positions": -1,
    r"embed/(project|\d+)/kernel|project_last/kernel": -2,
    r"blocks/(qkv|up)/(kernel|bias)": -1,
    r"blocks/(out|down)/kernel": -2,
    # XLNet, Transformer-XL; the biases are [head, feature]
    r"blocks/attention/(heads|distance)/kernel": -1,
    r"blocks/attention/(content|position)_bias": -2,
    r"blocks/attention/(out|output)/kernel": -2,
    # RWKV
    r"blocks/(attention/(key|value|receptance)|mlp/(key|receptance))/kernel": -1,
    r"blocks/attention/time_(decay|first)": -1,
    r"blocks/mlp/value/kernel": -2,
    # Mamba: channels stand last wherever they are not what is read
    r"blocks/(in|step)/(kernel|bias)|blocks/conv/(taps|bias)|blocks/(log_decay|skip)": -1,
    r"blocks/select/kernel": -2,
}
"""The axis that is split, counted from the end, by pattern over paths; what matches none is whole on every device."""


def grid(devices: Sequence[jax.Device], tensor: int) -> Mesh:
    """Devices as a mesh of data x tensor; neighbours share a copy of the parameters.

    Raises:
        JaxscoreError: if so many cannot share.
    """
    count = len(devices)
    if tensor < 1 or count % tensor:
        fitting = ", ".join(map(str, divisors(count)))
        raise JaxscoreError(
            f"tensor is {tensor}, but {count} device{'s' * (count > 1)} cannot be shared out in groups of {tensor}",
            f"Choose from {fitting}, or leave it out.",
        )
    return Mesh(np.array(devices).reshape(-1, tensor), (DATA, TENSOR), axis_types=(AxisType.Auto,) * 2)


def divisors(count: int) -> list[int]:
    """All divisors of a number, ascending."""
    return [number for number in range(1, count + 1) if count % number == 0]


def split_axis(path: str, shape: Sequence[int], tensor: int) -> int | None:
    """The axis of a parameter that is split among so many devices; None: each has all of it.

    Args:
        path: of the parameter, as in `Body.shapes`.
        shape: of the parameter; an axis that does not divide is not split.
        tensor: number of devices.
    """
    axis = next((axis for pattern, axis in SPLIT.items() if re.fullmatch(pattern, path)), None)
    return None if tensor == 1 or axis is None or shape[axis] % tensor else len(shape) + axis


def device_bytes(sizes: Iterable[tuple[str, tuple[int, ...], int]], tensor: int) -> int:
    """Bytes on each of the devices that share parameters.

    Args:
        sizes: path, shape and bytes of an element of every parameter.
        tensor: number of devices.
    """
    return sum(
        math.prod(shape) * size // (1 if split_axis(path, shape, tensor) is None else tensor)
        for path, shape, size in sizes
    )


def choose_grid(model: Transformer, devices: Sequence[jax.Device], longest: int, tensor: int | None) -> Mesh:
    """The grid of devices for a pass; a model that lies on these devices already stays as it is.

    Args:
        model: the Flax module.
        devices: all that may be used.
        longest: longest text in tokens.
        tensor: devices that share one copy of the parameters; None: as few as hold their share and that text.

    Raises:
        JaxscoreError: if so many cannot share.
    """
    if tensor is not None:
        return grid(devices, tensor)
    values = by_path(model.values)
    present = getattr(getattr(values[0][1], "sharding", None), "mesh", None)
    if getattr(present, "axis_names", None) == (DATA, TENSOR) and list(present.devices.flat) == list(devices):
        return present
    sizes = [(path, value.shape, value.dtype.itemsize) for path, value in values]
    batch = longest * token_bytes(model.arch, model.dtype, longest)
    return grid(devices, sharing(partial(device_bytes, sizes), batch, least_free(devices), divisors(len(devices))))


def place(model: Transformer, mesh: Mesh) -> Params:
    """Put the parameters on a grid, each device's share straight from where they are; the model keeps them there."""

    def where(path: str, shape: tuple[int, ...]) -> NamedSharding:
        axis = split_axis(path, shape, mesh.shape[TENSOR])
        return NamedSharding(mesh, P() if axis is None else P(*[None] * axis, TENSOR))

    return model.place(where)

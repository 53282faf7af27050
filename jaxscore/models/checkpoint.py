"""Weights into stacked arrays, by the family's table; one error lists every mismatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxscore.errors import ModelError
from jaxscore.models.architecture import Body, Params
from jaxscore.models.families import Family, Source, Take
from jaxscore.models.tensor_files import Shards, open_weights

MATRICES = ("kernel", "tokens", "positions", "type")
"""Last parts of the paths of parameters that are kept in the dtype asked for; the others stay float32."""
ENDS = {"kernel": ".weight", "scale": ".weight", "tokens": ".weight", "bias": ".bias"}
"""What a table leaves out of a name."""


def nest(flat: dict[str, object]) -> Params:
    """{"a/b": x} -> {"a": {"b": x}}."""
    tree: Params = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def parameter_shapes(arch: Body, *, head: bool) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter by its path; those of the language-model head only if it is wanted."""
    return {path: shape for path, shape in arch.shapes().items() if head or not path.startswith("head/")}


def load_params(
    arch: Body, family: Family, folder: Path, dtype: str, step: Callable[[float], None], *, head: bool = False
) -> Params:
    """Read a checkpoint into nested NumPy arrays, those of the blocks stacked over layers.

    Each tensor is read by itself and written to its place in a preallocated array, so that the peak is the parameters
    and one tensor.

    Args:
        arch: the architecture; gives the expected shapes.
        family: the table of names.
        folder: checkpoint folder.
        dtype: of the matrices; norms and biases stay float32.
        step: called with the number of bytes of each tensor, for a progress bar.
        head: whether the language-model head is wanted too.

    Raises:
        ModelError: one that lists every missing, unexpected and misshapen tensor.
    """
    family = family.of(arch)
    with open_weights(folder) as tensors:
        names = _short_names(tensors, family)
        if not names:
            raise ModelError(
                f"{folder} is no {arch.family} checkpoint: no tensor is called {family.anchor}",
                "Check that config.json and the weights belong together.",
            )
        shapes = parameter_shapes(arch, head=head)
        flat = {path: aligned(shape, dtype_of(path, dtype)) for path, shape in shapes.items()}
        problems, used = [], set()
        for path, place, source in _places(family, flat):
            shorts, via = _parsed(source)
            for (short, row), view in zip(shorts, _shares(arch, path, place, len(shorts)), strict=True):
                used.add(short)
                if short not in names and short in family.absent.split():
                    view[...] = path.endswith("/scale")
                    continue
                if short not in names:
                    problems.append(f"missing: {short}")
                    continue
                turned = family.transposed and path.endswith("/kernel")
                tensor = tensors.read(names[short], None if turned or via or row is not None else view)
                step(tensor.nbytes)
                if tensor is view:
                    continue
                tensor = tensor if row is None else tensor[row]
                tensor = tensor.T if turned else tensor
                tensor = via(arch, tensor) if via else tensor
                if tensor.shape != view.shape:
                    problems.append(f"shape of {short}: {tensor.shape}, expected {view.shape} for {path}")
                else:
                    view[...] = tensor
    problems += [f"unexpected: {short}" for short in sorted(set(names) - used) if not _ignored(short, family)]
    if problems:
        raise _mismatch(folder, arch.family, problems)
    return nest(flat)


def _mismatch(folder: Path, kind: str, problems: list[str]) -> ModelError:
    shown = "\n  ".join(problems[:20]) + ("\n  ..." if len(problems) > 20 else "")
    return ModelError(
        f"{folder}: {len(problems)} tensors do not fit the {kind} of its config.json:\n  {shown}",
        "Check that config.json and the weights belong together.",
    )


def _parsed(source: Source) -> tuple[list[tuple[str, int | None]], Callable | None]:
    """A source as (name, row) of each tensor, and what is done to it."""
    names, via = (source.names, source.via) if isinstance(source, Take) else (source, None)
    names = (names,) if isinstance(names, str) else names
    return [(name[:-3], 0) if name.endswith("[0]") else (name, None) for name in names], via


def _shares(arch: Body, path: str, place: np.ndarray, count: int) -> list[np.ndarray]:
    """The parts of a parameter that `count` tensors fill, side by side along the output axis."""
    if count == 1:
        return [place]
    if count == 3 and "/qkv/" in path:  # keys and values may be narrower than queries
        return np.split(place, np.cumsum(arch.qkv_widths)[:2], axis=-1)
    return np.split(place, count, axis=-1)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that begins at a multiple of 64 bytes, so that a CPU device takes it without a copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size].view(dtype).reshape(shape)


def dtype_of(path: str, dtype: str) -> np.dtype:
    """The dtype of a parameter in memory."""
    import ml_dtypes  # noqa: F401 - makes "bfloat16" a name that NumPy knows

    return np.dtype(dtype if path.rsplit("/", 1)[-1] in MATRICES else "float32")


def _ignored(short: str, family: Family) -> bool:
    return any(
        f".{short}".endswith(part) if part.startswith(".") else short.startswith(part)
        for part in family.ignored.split()
    )


def _short_names(tensors: Shards, family: Family) -> dict[str, str]:
    """Map names without their prefix, in today's spelling, to the names in the file."""
    anchors = [name for name in tensors.keys() if f".{name}".endswith(f".{family.anchor}")]  # noqa: SIM118
    if not anchors:
        return {}
    prefix = min(anchors, key=len)[: -len(family.anchor)]
    short = {}
    for name in tensors.keys():  # noqa: SIM118 - not a mapping
        new = name.removeprefix(prefix)
        for old, today in family.renamed.items():
            new = new.replace(old, today)
        short[new] = name
    return short


def _places(family: Family, flat: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, Any]]:
    """Yield (path, array to fill, source with its layer put in) for everything that the architecture needs."""
    for path, whole in flat.items():
        sources = source_of(family, path)
        if not path.startswith("blocks/"):
            yield path, whole, sources
            continue
        for i in range(len(whole)):
            yield path, whole[i], _mapped(sources, lambda name, i=i: name.replace("{i}", str(i)))


def source_of(family: Family, path: str) -> Source:
    """Where a parameter stands in a checkpoint: the table's row for the path, or for the path without its last part."""
    if path in family.table and path.rsplit("/", 1)[-1] != "tokens":
        return family.table[path]
    parent, leaf = path.rsplit("/", 1)
    row = family.table.get(path, family.table.get(parent))
    return _mapped(row, lambda name: name if name.endswith(ENDS[leaf]) else name + ENDS[leaf])


def _mapped(source: Source, change: Callable[[str], str]) -> Source:
    """The source with every name changed."""
    if isinstance(source, Take):
        return Take(_mapped(source.names, change), source.via)
    return change(source) if isinstance(source, str) else tuple(map(change, source))


def initial_params(arch: Body, family: Family, seed: int, dtype: str, *, head: bool = False) -> Params:
    """Draw the family's own initialisation; where it names none: N(0, initializer_range), biases 0, norms 1.

    GPT-2 scales the two matrices of each layer that write to the residual stream by 1 / sqrt(2 layers); BERT's padding
    row is zero. NumPy's PCG64 draws tensor by tensor in sorted order, so that a seed gives one model on any device.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    flat = {}
    for path, shape in sorted(parameter_shapes(arch, head=head).items()):
        leaf = path.rsplit("/", 1)[-1]
        if path in family.initial:
            value = np.asarray(family.initial[path](rng, arch, shape), np.float32)
        elif leaf == "scale":
            value = np.full(shape, float(arch.norm_kind != "rms-plus-one"), np.float32)
        elif leaf == "bias":
            value = np.zeros(shape, np.float32)
        else:
            value = rng.standard_normal(shape, np.float32)
            value *= arch.initializer_range
            if path in ("blocks/out/kernel", "blocks/down/kernel"):
                value *= arch.residual_scale
            if path == "embed/tokens" and arch.padding_row is not None:
                value[arch.padding_row] = 0.0
        flat[path] = value.astype(dtype_of(path, dtype), copy=False)
    return nest(flat)

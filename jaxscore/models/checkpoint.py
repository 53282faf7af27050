"""Weights from safetensors into stacked arrays, by the family's table; one error lists every mismatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from jaxscore.errors import ModelError
from jaxscore.models.block import Architecture, Params
from jaxscore.models.families import Family, Source
from jaxscore.models.hub import weight_files

BUFFERS = (".attn.bias", ".attn.masked_bias", ".position_ids", ".token_type_ids")
"""Ends of names of constants that old checkpoints carry along: causal masks and index tables."""


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


def load_params(arch: Architecture, family: Family, folder: Path, dtype: str, step: Callable[[float], None]) -> Params:
    """Read a checkpoint into nested NumPy arrays, those of the blocks stacked over layers.

    Each tensor is read once and written to its place in a preallocated array.

    Args:
        arch: the architecture; gives the expected shapes.
        family: the table of names.
        folder: checkpoint folder.
        dtype: of the matrices; norms and biases stay float32.
        step: called with the number of bytes of each tensor, for a progress bar.

    Raises:
        ModelError: one that lists every missing, unexpected and misshapen tensor.
    """
    import jax
    from safetensors import SafetensorError, safe_open

    with ExitStack() as stack, jax.default_device(jax.devices("cpu")[0]):
        try:
            files = [stack.enter_context(safe_open(path, framework="flax")) for path in weight_files(folder)]
        except SafetensorError as error:
            raise ModelError(f"{folder}: damaged weights: {error}", "Download or save the checkpoint again.") from None
        tensors = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - not a mapping
        names = _short_names(tensors, family)
        if not names:
            raise ModelError(
                f"{folder} is no {arch.family} checkpoint: no tensor is called {family.anchor}",
                "Check that config.json and model.safetensors belong together.",
            )
        shapes = arch.shapes()
        flat = {path: np.empty(shape, _dtype(path, dtype)) for path, shape in shapes.items()}
        problems, used = [], set()
        for path, place, source, _ in _places(arch, family, flat):
            short, transpose, row = _parse(source)
            used.add(short)
            if short not in names:
                problems.append(f"missing: {short}")
                continue
            tensor = np.asarray(tensors[names[short]].get_tensor(names[short]))
            step(tensor.nbytes)
            tensor = tensor[row] if row is not None else tensor
            tensor = tensor.T if transpose else tensor
            if tensor.shape != place.shape:
                problems.append(f"shape of {short}: {tensor.shape}, expected {place.shape} for {path}")
            else:
                place[...] = tensor
    extra = [s for s in names if s not in used and not s.startswith(family.heads) and not f".{s}".endswith(BUFFERS)]
    problems += [f"unexpected: {short}" for short in sorted(extra)]
    if problems:
        shown = "\n  ".join(problems[:20]) + ("\n  ..." if len(problems) > 20 else "")
        raise ModelError(
            f"{folder}: {len(problems)} tensors do not fit the {arch.family} of its config.json:\n  {shown}",
            "Check that config.json and the weights belong together.",
        )
    return nest(flat)


def _dtype(path: str, dtype: str) -> np.dtype:
    import jax.numpy as jnp

    matrix = path.endswith("/kernel") or path in ("embed/tokens", "embed/positions", "embed/type")
    return jnp.dtype(dtype if matrix else "float32")


def _short_names(tensors: dict[str, object], family: Family) -> dict[str, str]:
    """Map names without their prefix, in today's spelling, to the names in the file."""
    anchors = [name for name in tensors if f".{name}".endswith(f".{family.anchor}")]
    if not anchors:
        return {}
    prefix = min(anchors, key=len)[: -len(family.anchor)]
    short = {}
    for name in tensors:
        new = name.removeprefix(prefix)
        for old, today in family.renamed.items():
            new = new.replace(old, today)
        short[new] = name
    return short


def _places(arch: Architecture, family: Family, flat: dict[str, np.ndarray]) -> Iterator[tuple]:
    """Yield (path, view to fill, name in the checkpoint, layer) for every tensor that the architecture needs."""
    for path, whole in flat.items():
        stacked = path.startswith("blocks/")
        sources: Source = family.table[path]
        sources = (sources,) if isinstance(sources, str) else sources
        for i in range(arch.layers if stacked else 1):
            views = np.split(whole[i] if stacked else whole, len(sources), axis=-1)
            for view, source in zip(views, sources, strict=True):
                yield path, view, source.replace("{i}", str(i)), i


def _parse(source: str) -> tuple[str, bool, int | None]:
    """Split a table entry into (name, transpose, row)."""
    if source.endswith(".T"):
        return source[:-2], True, None
    if source.endswith("[0]"):
        return source[:-3], False, 0
    return source, False, None


def initial_params(arch: Architecture, seed: int, dtype: str) -> Params:
    """Draw the architecture's own initialisation: N(0, initializer_range), biases 0, norms 1.

    GPT-2 scales the two matrices of each layer that write to the residual stream by 1 / sqrt(2 layers); BERT's padding
    row is zero. NumPy's PCG64 draws tensor by tensor in sorted order, so that a seed gives one model on any device.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    flat = {}
    for path, shape in sorted(arch.shapes().items()):
        if path.endswith("/scale"):
            value = np.ones(shape, np.float32)
        elif path.endswith("/bias"):
            value = np.zeros(shape, np.float32)
        else:
            value = rng.standard_normal(shape, np.float32)
            value *= arch.initializer_range
            if path in ("blocks/out/kernel", "blocks/down/kernel"):
                value *= arch.residual_scale
            if path == "embed/tokens" and arch.padding_row is not None:
                value[arch.padding_row] = 0.0
        flat[path] = value.astype(_dtype(path, dtype), copy=False)
    return nest(flat)

"""Our side of bench/extraction.py; runs in a worker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from workers import peer, timed


@lru_cache
def loaded(folder: Path, untrained: bool = False) -> tuple:
    """A model and its weights."""
    from jaxscore import load_model

    model = load_model(folder, untrained=untrained)
    return model, model.transformer()


def ours(folder: Path, windows: Sequence, untrained: bool = False) -> np.ndarray:
    """Pooled states of all layers [layer, presentation, feature]."""
    from jaxscore.extract.passes import extract

    model, transformer = loaded(folder, untrained)
    return extract(transformer, windows, range(model.arch.layers + 1)).states


def our_parts(folder: Path, texts: Sequence[str], contexts: Sequence[str]) -> np.ndarray:
    """The same by the protocol of today's platform, from the text on."""
    from jaxscore.contexts.reading import Reading

    model, _ = loaded(folder)
    return ours(folder, windows_of(model, texts, contexts, Reading("parts", window=model.arch.positions)))


def windows_of(model, texts: Sequence[str], contexts: Sequence[str], reading) -> list:
    """What the model reads."""
    from jaxscore.contexts.reading import read

    ids, arch = list(map(str, range(len(texts)))), model.arch
    return read(model.tokenizer, texts, ids, contexts, reading, causal=arch.causal, limit=arch.positions).windows


def first_run(folder: Path, windows: Sequence) -> tuple[float, float]:
    """Seconds of the first pass of a process, and GiB at its peak, weights included."""
    from measuring import memory

    loaded(folder)
    return timed(ours, folder, windows)[0], memory("VmHWM")


def product(library: str, a: np.ndarray, b: np.ndarray, repeats: int) -> tuple:
    """Median wall and CPU-seconds of a float32 product by NumPy, XLA or torch."""
    if library == "torch":
        run = peer("product", a, b)
    elif library == "XLA":
        import jax

        a, b = jax.device_put(a), jax.device_put(b)
        run = lambda: multiply()(a, b).block_until_ready()  # noqa: E731
    else:
        run = partial(np.matmul, a, b, out=np.empty((len(a), b.shape[1]), np.float32))
    run()
    return *np.median([timed(run)[:2] for _ in range(repeats)], axis=0), None


@lru_cache
def multiply() -> Callable:
    import jax

    return jax.jit(partial(jax.numpy.matmul, precision="highest"))


def compiling(folder: Path, windows: Sequence) -> float:
    """Seconds of tracing, lowering and compiling in a pass, after JAX has forgotten all that it compiled."""
    import jax

    loaded(folder, True)
    spent = []

    def listen(event: str, seconds: float, **about: object) -> None:
        if event.startswith("/jax/core/compile/"):
            spent.append(seconds)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    ours(folder, windows, True)
    jax.monitoring.unregister_event_duration_listener(listen)
    return sum(spent)


def load_peak(folder: Path, dtype: str) -> tuple[float, float]:
    """Peak of loading beyond what was there after all imports, and size of the checkpoint, both in GiB."""
    import jax
    from measuring import forget_peak, memory

    import jaxscore.models.checkpoint
    import jaxscore.models.transformer

    model = jaxscore.load_model(folder, dtype=dtype)
    assert model.arch, jax.devices()  # the configuration is read and the backend is there
    before = forget_peak()
    transformer = model.transformer()
    jax.block_until_ready(transformer.arrays)
    return memory("VmHWM") - before, model.weight_bytes() / 2**30


def accelerated(folder: Path, windows: Sequence, turns: int) -> dict:
    """Seconds of a pass in bfloat16 on one device, of which weights are drawn there, and FLOP/s of a bare product."""
    import jax
    from jax import numpy as jnp

    from jaxscore import load_model
    from jaxscore.extract.passes import extract
    from jaxscore.models.checkpoint import dtype_of, nest, parameter_shapes
    from jaxscore.models.transformer import Transformer

    arch, params = load_model(folder, untrained=True, dtype="bfloat16").arch, {}
    for number, (path, shape) in enumerate(parameter_shapes(arch, head=False).items()):
        dtype = dtype_of(path, "bfloat16")
        normal = partial(jax.random.normal, jax.random.key(number))
        draw, scale = (jnp.ones, 1.0) if path.endswith("/scale") else (normal, arch.initializer_range)
        params[path] = draw(shape, dtype) * jnp.asarray(scale, dtype)
    transformer, device = Transformer(arch, nest(params)), jax.local_devices()[0]
    run = partial(extract, transformer, layers=[arch.layers], devices=[device])
    few, all_of_them = (run(some).states[0] for some in (windows[:2], windows))
    seconds = [timed(run, windows)[0] for _ in range(turns)]
    a, b = (jnp.ones(shape, jnp.bfloat16) for shape in ((16384, arch.width), (arch.width, arch.hidden)))
    multiply()(a, b).block_until_ready()
    products = [timed(lambda: jax.block_until_ready([multiply()(a, b) for _ in range(50)]))[0] for _ in range(5)]
    return {
        "seconds": float(np.median(seconds)),
        "flops": useful_flops(arch, windows),
        "ceiling": 50 * 2 * len(a) * b.size / min(products),
        "device": device.device_kind,
        "same": bool(np.corrcoef(few.ravel(), all_of_them[:2].ravel())[0, 1] > 0.99),  # bfloat16, another batch
    }


def backend() -> str:
    import jax

    return jax.default_backend()


def useful_flops(arch, windows: Sequence) -> float:
    """2 x multiply-adds: the blocks' matrices for every real token, attention for every pair that it may see."""
    shapes = arch.shapes().items()
    matrices = sum(math.prod(s) for path, s in shapes if path.startswith("blocks/") and path.endswith("/kernel"))
    lengths = np.array([len(window.tokens) for window in windows], float)
    pairs = (lengths * (lengths + 1) / 2 if arch.causal else lengths**2).sum()
    return 2 * matrices * lengths.sum() + 4 * arch.layers * arch.heads * arch.head_width * pairs

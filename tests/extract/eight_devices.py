"""What test_placement measures on eight simulated devices, in a process of its own; prints one JSON object."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import jax
import numpy as np

from jaxscore.contexts.windows import Slot, Window
from jaxscore.extract import passes, placement
from jaxscore.extract.passes import Extracted, extract
from jaxscore.models import load_model
from jaxscore.models.transformer import Transformer, by_path

DEVICES = jax.local_devices()
RNG = np.random.default_rng(0)
TEXTS = [
    Window(RNG.integers(0, 280, size).astype(np.int32), (Slot(i, 0, size - 1),))
    for i, size in enumerate((25, 26, 31, 30, 27, 32, 29, 28, 30))
]


def loaded(folder: Path, seed: int = 0) -> Transformer:
    model = load_model(folder, untrained=True, seed=seed)
    return model.transformer(head=model.arch.causal)


def passed(model: Transformer, **options) -> Extracted:
    """Every state, and surprisal of what has it."""
    return extract(model, TEXTS, range(len(model.arch.widths)), surprisal=model.arch.causal, **options)


def compared(folder: Path) -> dict[str, dict]:
    """By devices that share: largest difference from one device, and bytes of parameters, in all and on each device.

    Differences are those of states, over the largest one, and of surprisal, relative.
    """
    model, found = loaded(folder), {}
    one = passed(model, devices=DEVICES[:1])
    for tensor in (1, 2, 4, 8):
        many = passed(model, tensor=tensor)
        bits = None if one.surprisal is None else abs(many.token_surprisal / one.token_surprisal - 1)
        found[str(tensor)] = {
            "states": float(abs(many.states - one.states).max() / abs(one.states).max()),
            "surprisal": 0.0 if bits is None else float(np.nanmax(bits)),
            "bytes": {
                path: (array.nbytes, [shard.data.nbytes for shard in array.addressable_shards])
                for path, array in by_path(model.values)
            },
        }
    return found


def compilations(folder: Path, tensor: int) -> list[int]:
    """Programs compiled for each of three checkpoints of one architecture."""
    counts = []

    def listen(event: str, seconds: float, **about: object) -> None:
        counts[-1] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    for seed in range(3):
        counts.append(0)
        passed(loaded(folder, seed), tensor=tensor)
    jax.monitoring.unregister_event_duration_listener(listen)
    return counts


def left_behind(folder: Path) -> list[int]:
    """Bytes on devices before a model is there, after its pass, and once it is dropped, without garbage collection."""

    def held() -> int:
        return sum(shard.data.nbytes for array in jax.live_arrays() for shard in array.addressable_shards)

    gc.collect()
    gc.disable()
    found = [held()]
    model = loaded(folder)
    passed(model, tensor=2)
    found.append(held())
    del model
    found.append(held())
    gc.enable()
    return found


def chosen(folder: Path) -> dict[str, int]:
    """Devices that share, by what is free on each of them."""
    model, said = loaded(folder), placement.least_free
    sizes = [(path, array.shape, array.dtype.itemsize) for path, array in by_path(model.values)]
    text = 32 * placement.token_bytes(model.arch, "float32", 32)

    def share(free: int | None) -> int:
        placement.least_free = lambda devices: free
        return placement.choose_grid(model, DEVICES, 32, None).shape["tensor"]

    found = {f"enough for {n}": share(int(placement.device_bytes(sizes, n) + text)) for n in (1, 2, 4, 8)}
    found |= {"too little": share(1000), "not said": share(None)}
    passed(model, tensor=2)
    found["enough for 1, but it lies on 2"] = share(10**12)
    placement.least_free = said
    return found


def program(folder: Path) -> list[int]:
    """Bytes of all weights; and of a compiled pass on each of eight sharing devices: arguments, temporaries."""
    model, compiled, jitted = loaded(folder), [], passes._PLAIN

    def kept(*arguments, **options):
        compiled.append(jitted.lower(*arguments, **options).compile())
        return compiled[-1](*(argument for argument in arguments if argument is not model.arch))

    passes._PLAIN = kept
    passed(model, tensor=8)
    passes._PLAIN = jitted
    memory = compiled[0].memory_analysis()
    weights = sum(array.nbytes for _, array in by_path(model.values))
    return [weights, memory.argument_size_in_bytes, memory.temp_size_in_bytes]


if __name__ == "__main__":
    assert len(DEVICES) == 8
    root = Path(sys.argv[1])
    found = {
        "compilations": [compilations(root / "gpt2", tensor) for tensor in (1, 2)],
        "left behind": left_behind(root / "gpt2"),
        "chosen": chosen(root / "gpt2"),
        "program": program(root / "wide"),
    }
    print(json.dumps(found | {kind: compared(root / kind) for kind in ("gpt2", "llama", "bert", "mamba")}))

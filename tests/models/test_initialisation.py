"""What `--untrained` draws has, parameter by parameter, the mean and the spread of transformers' own fresh draw."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
import transformers

from jaxscore import load_model


def rows() -> dict[str, tuple]:
    """The cases that each file of rows names in its INIT."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("cases_*.py")):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= {name: module.CASES[name] for name in getattr(module, "INIT", ())}
    return found


def parameters(model) -> dict[str, np.ndarray]:
    """Parameters by path; those of fused matrices by part, for queries may be drawn otherwise than keys."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.transformer().arrays):
        name, value = jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf)
        found[name] = value
        if name == "blocks/qkv/kernel":
            for part, columns in zip("qkv", np.split(value, np.cumsum(model.arch.qkv_widths)[:2], -1), strict=True):
                found[f"{name}, {part}"] = columns
    return found


def drawn_by_torch(folder: Path, name: str, options: dict, seed: int) -> dict[str, np.ndarray]:
    """The parameters of a model that torch has just made."""
    model_class = getattr(transformers, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model_class(model_class.config_class(**options)).save_pretrained(folder)
    return parameters(load_model(folder))


@pytest.mark.parametrize("case", rows().values(), ids=rows())
def test_fresh_draw_is_distributed_as_torch_draws(tmp_path, case):
    name, options, *_ = case
    theirs, again = (drawn_by_torch(tmp_path / str(seed), name, options, seed) for seed in (0, 1))
    ours = parameters(load_model(tmp_path / "0", untrained=True, seed=0))
    assert set(theirs) == set(ours)
    for path, his in theirs.items():
        own, spread = ours[path].astype(float), his.std()
        assert own.shape == his.shape, path
        if np.array_equal(his, again[path]):  # not drawn: ones, zeros, tables
            np.testing.assert_allclose(own, his, rtol=0, atol=1e-6, err_msg=path)
            continue
        # five standard errors of the difference between two samples of so many numbers
        assert abs(own.mean() - his.mean()) < 5 * spread * np.sqrt(2 / his.size), path
        assert abs(own.std() / spread - 1) < 5 / np.sqrt(his.size), path
        np.testing.assert_array_equal(own.any(-1), his.any(-1), err_msg=f"{path}: which rows are zero")

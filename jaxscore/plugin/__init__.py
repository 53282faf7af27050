"""jaxscore inside brain-score language: its models and metrics, computed by a jaxscore in another environment.

brain-score language pins NumPy under 2 and transformers under 5, so the two do not fit into one environment. In
brain-score's, `pip install --no-deps jaxscore` and `python -m jaxscore.plugin install --python PYTHON`, where PYTHON
is the interpreter of the environment that has all of jaxscore. What is imported here needs NumPy, xarray and
brain-score alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxscore.plugin.subjects import JaxscoreSubject

__all__ = ["subject"]


def subject(
    model: str | Path, region_layer_mapping: Mapping[str, str | Sequence[str]] | None = None, **options: Any
) -> JaxscoreSubject:
    """A subject for brain-score's benchmarks that reads with jaxscore.

    Args:
        model: a short name, a hub id with an optional `@revision`, or a checkpoint folder.
        region_layer_mapping: the layer, or layers, of each recording target; by default the last block for all.
        **options: `identifier`, and what loading takes: `dtype`, `untrained`, `seed`, `offline`.

    Raises:
        JaxscoreError: if there is no such model, or no jaxscore that can read it.
    """
    from jaxscore.plugin.subjects import JaxscoreSubject

    return JaxscoreSubject(model, region_layer_mapping, **options)

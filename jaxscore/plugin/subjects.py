"""The subject that brain-score's benchmarks see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import brainscore_language.artificial_subject as platform
import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly, NeuroidAssembly

from jaxscore.plugin.remote import RemoteReader
from jaxscore.subjects.artificial import ArtificialSubject

ASSEMBLIES = {"neural": NeuroidAssembly, "behavior": BehavioralAssembly}


def assembly(
    values: np.ndarray, coords: Mapping[str, tuple], dims: Sequence[str], kind: str = "neural"
) -> NeuroidAssembly | BehavioralAssembly:
    """An assembly of brain-score's own class."""
    return ASSEMBLIES[kind](values, coords=dict(coords), dims=list(dims))


class JaxscoreSubject(ArtificialSubject, platform.ArtificialSubject):
    """A model of jaxscore as brain-score's ArtificialSubject; see `jaxscore.plugin.subject`."""

    _package = staticmethod(assembly)

    def __init__(
        self,
        model: str | Path,
        region_layer_mapping: Mapping[str, str | Sequence[str]] | None = None,
        *,
        identifier: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(RemoteReader(model, **options), region_layer_mapping, identifier=identifier)

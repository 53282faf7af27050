"""A reader of texts whose model lives in jaxscore's own environment."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxscore.plugin.client import Client, client
from jaxscore.plugin.wire import SURPRISAL
from jaxscore.subjects.digest import Digest


class RemoteReader:
    """A model that is opened, and read with, by the worker; see `jaxscore.subjects.digest.Reader`.

    Args:
        model: a short name, a hub id or a checkpoint folder.
        worker: who reads; by default the worker of this process.
        **options: of `jaxscore.load_model`: `dtype`, `untrained`, `seed`, `offline`.

    Attributes:
        name: of the model.
        last_layer: its last layer, as brain-score names it.

    Raises:
        JaxscoreError: if there is no such model, or no worker.
    """

    def __init__(self, model: str | Path, *, worker: Client | None = None, **options: Any) -> None:
        # the worker may have been started in another folder
        model = os.path.abspath(model) if Path(model).is_dir() else str(model)
        self._which = {"model": model, "options": json.dumps(options, sort_keys=True)}
        self._worker = worker or client()
        found, _ = self._worker.ask("open", **self._which)
        self.name: str = found["name"]
        self.last_layer: str = found["last_layer"]

    def check(self, layers: Sequence[str]) -> None:
        """See Reader."""
        self._worker.ask("check", **self._which, layers=list(layers))

    def digest(
        self, parts: Sequence[str], layers: Sequence[str], *, surprisal: bool = False, next_words: bool = False
    ) -> Digest:
        """See Reader; states are in the order of the network."""
        wanted = {"parts": list(parts), "layers": list(layers), "surprisal": surprisal, "next_words": next_words}
        values, arrays = self._worker.ask("digest", **self._which, **wanted)
        bits = arrays.pop(SURPRISAL, None)
        return Digest(values["contexts"], arrays, bits, values["next_words"])

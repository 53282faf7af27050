"""A reader of texts whose model lives in jaxscore's own environment."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from jaxscore.plugin.client import Client, client
from jaxscore.plugin.wire import SURPRISAL
from jaxscore.subjects.digest import Digest


def placed(model: str | Path) -> str:
    """A model's name; a path in it is absolute, as the worker may have been started in another folder."""
    if os.path.isfile(Path(model).expanduser() / "config.json"):
        return os.path.abspath(Path(model).expanduser())
    kind, colon, file = str(model).partition(":")
    return f"{kind}:{os.path.abspath(Path(file).expanduser())}" if colon and file else str(model)


class RemoteReader:
    """A model that is opened, and read with, by the worker; see `jaxscore.subjects.digest.Reader`.

    Args:
        model: a short name, a hub id, a checkpoint folder, or word vectors (`word2vec:FILE`).
        worker: who reads; by default the worker of this process.
        dtype: of the weights.
        untrained: draw the weights.
        seed: of that draw.
        offline: never use the network.

    Attributes:
        name: of the model.
        last_layer: its last layer, as brain-score names it.

    Raises:
        JaxscoreError: if there is no such model, or no worker.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        worker: Client | None = None,
        dtype: str = "float32",
        untrained: bool = False,
        seed: int = 0,
        offline: bool = False,
    ) -> None:
        options = {"dtype": dtype, "untrained": untrained, "seed": seed, "offline": offline}
        self._which = {"model": placed(model), "options": json.dumps(options, sort_keys=True)}
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

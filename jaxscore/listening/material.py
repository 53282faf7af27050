"""From a recording to what a model reads and what is scored: words one by one, volumes as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxscore.data.assemblies import Dropped, some
from jaxscore.listening.downsampling import downsample, empty, word_weights
from jaxscore.listening.nuisance import clean_responses, zscore
from jaxscore.listening.recording import read_recording
from jaxscore.metrics.measure import Rows
from jaxscore.regression.blocks import TrimmedBlocks
from jaxscore.regression.delays import delayed

if TYPE_CHECKING:
    from jaxscore.cards import Card
    from jaxscore.data.material import Layers, Material
    from jaxscore.data.source import Source


def listened(card: Card, source: Source) -> Material:
    """Words in the context of their run; responses of volumes without nuisance, block by block.

    Features of words come to volumes by the card's rule, are z-scored and delayed within runs. Rows at the ends of
    runs that `TrimmedBlocks` leaves out are 0: no fold reads them.

    Raises:
        DataError: if files, runs or blocks do not fit.
    """
    from jaxscore.data.material import Material

    rules = card.listening
    recording = read_recording(rules.reader, source.path, **rules.options)
    runs, volumes = recording.runs, len(recording.times)
    codes = np.unique(runs, return_inverse=True)[1]
    responses, notes = recording.responses, []
    if rules.nuisance:
        blocks = TrimmedBlocks(card.splits.folds or 5, card.splits.trim).blocks(volumes, runs)
        responses = clean_responses(recording, blocks, cutoff=rules.cutoff)
        responses = responses.copy(data=np.nan_to_num(responses.values, nan=0.0))
    weights = word_weights(
        recording.onsets, recording.offsets, recording.times, recording.tr, rules.downsample,
        window=rules.window, word_runs=recording.word_runs, runs=runs,
    )  # fmt: skip
    if silent := empty(weights):
        notes.append(f"{silent} of {volumes} volumes have no word in reach: their features are 0.")
    if recording.dropped:
        names = some(list(recording.dropped))
        notes.append(f"{len(recording.dropped)} subjects left out, their responses do not vary: {names}.")

    def align(layers: Layers) -> Layers:
        scaled = (zscore(layer, codes) for layer in downsample(layers, weights))
        return [delayed(layer, rules.delays or None, runs) for layer in scaled]

    responses = responses.assign_coords(stimulus_id=("presentation", np.arange(volumes).astype(str)))
    return Material(
        list(recording.words),
        [f"{run}.{i}" for i, run in enumerate(recording.word_runs)],
        recording.word_runs.astype(str).tolist(),
        responses,
        responses,
        {"all": np.arange(volumes)},
        Rows(volumes, None, None, None, runs),
        align,
        Dropped([], []),
        notes,
    )

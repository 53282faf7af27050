"""brain-score language's own unit tests, those that need no network, on our classes.

    python bench/their_tests.py CHECKOUT        (in its environment, with the plugin; bench/interop.py --tests does it)

CHECKOUT is one of its repository: the tests of subjects are not in its package. Its names stand for ours meanwhile:
`linear_pearsonr` for `jaxscore_linear_pearsonr`, `HuggingfaceSubject` for a jaxscore subject on a checkpoint that is
made on the spot (the one it names lies on the hub), `prepare_context` for the context that our subject says it read.
bench/their_tests.md lists which apply, and why the others cannot.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

import pytest

KNOWN = ("the", "quick", "brown", "fox", "jumped")
APPLY = {
    "brainscore_language/metrics/linear_predictivity/test.py": [
        "TestMetric::test_identical_source_target",
        "TestMetric::test_offset_source_target",
        "TestMetric::test_mismatched_source_target",
        "TestMetric::test_weights_stored",
    ],
    "tests/test_model_helpers/test_preprocessing.py": ["test_prepare_context"],
    "tests/test_model_helpers/test_huggingface.py": [
        "TestNextWord::test_over_max_length_input",
        "TestReadingTimes::test_single_word",
        "TestNeural::test_list_input",
        "TestNeural::test_one_text_single_target",
        "TestNeural::test_one_text_two_targets",
    ],
    "tests/test_model_helpers/test_embedding.py": [
        *[f"TestGensimNeural::test_by_word[{word}-expected_vector{i}]" for i, word in enumerate(KNOWN)],
        "TestGensimNeural::test_multi_word",
        "TestGensimNeural::test_list_input",
    ],
}
INSIDE = ".ln_1"
"""Its tests record from the norm inside a block; we have what blocks put out."""


class Ours:
    """Puts our classes in the place of theirs while a test file is imported and run."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint = folder / "checkpoint"
        self.vectors = folder / "vectors.txt"

    def pytest_configure(self) -> None:
        from brainscore_language import metric_registry
        from brainscore_language.model_helpers import embedding, huggingface, preprocessing

        for plugin in ("linear_predictivity", "jaxscore"):  # an import later would put theirs back
            import_module(f"brainscore_language.metrics.{plugin}")
        metric_registry["linear_pearsonr"] = metric_registry["jaxscore_linear_pearsonr"]
        huggingface.HuggingfaceSubject = self.subject
        embedding.GensimKeyedVectorsSubject = self.embedding
        preprocessing.prepare_context = self.context

    def subject(self, model_id: str, region_layer_mapping: dict):
        from jaxscore.plugin import subject

        outside = {region: layer.removesuffix(INSIDE) for region, layer in region_layer_mapping.items()}
        return subject(str(self.checkpoint), region_layer_mapping=outside, identifier=model_id)

    def embedding(self, identifier: str, weights_file: Path, vector_size: int):
        from jaxscore.plugin import subject

        return subject(f"word2vec:{weights_file}", identifier=identifier)

    def context(self, parts: list[str]) -> str:
        reader = self.subject("context", {"language_system": "transformer.h.0"})
        reader.start_neural_recording("language_system", "fMRI")
        return reader.digest_text(parts)["neural"]["context"].values[-1]


def write_checkpoint(folder: Path) -> None:
    """Two blocks of distilgpt2's width with random weights, and a byte-level tokenizer without merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {piece: i for i, piece in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "the"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary | {"th": 257}, merges=[("t", "h"), ("th", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    config = GPT2Config(n_layer=2, n_embd=768, n_head=12, vocab_size=258)
    GPT2LMHeadModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=1024).save_pretrained(folder)


def main(checkout: Path) -> int:
    import brainscore_language

    package = Path(brainscore_language.__file__).parent.parent
    tests = []
    for file, names in APPLY.items():
        root = package if file.startswith("brainscore_language") else checkout
        tests += [f"{root / file}::{name}" for name in names]
    with tempfile.TemporaryDirectory() as name:
        write_checkpoint(Path(name) / "checkpoint")
        return pytest.main(["-v", "-p", "no:cacheprovider", "--rootdir", name, *tests], plugins=[Ours(Path(name))])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""A language model as the rest of the package sees it: named, hashed, loaded when first needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jaxscore.errors import JaxscoreError, ModelError, did_you_mean
from jaxscore.models.hub import Checkpoint, find_checkpoint, weight_files

if TYPE_CHECKING:
    from jaxscore.models.block import Architecture
    from jaxscore.models.families import Family
    from jaxscore.models.transformer import Transformer

DTYPES = ("float32", "bfloat16", "float16")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "vocab.txt")
KNOWN_VALUES = {"position_embedding_type": "absolute"}
"""Attributes of older configurations that newer ones no longer have, with the only value that the block implements."""


class LanguageModel:
    """A checkpoint, or an untrained draw of its architecture.

    Args:
        checkpoint: where it lies.
        untrained: draw the weights anew instead of reading them.
        seed: of the draw.
        dtype: of the matrices; sums are accumulated in float32.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, untrained: bool = False, seed: int = 0, dtype: str = "float32"
    ) -> None:
        if dtype not in DTYPES:
            raise JaxscoreError(
                f"Unknown dtype {dtype!r}. {did_you_mean(dtype, DTYPES)}", f"Choose from {', '.join(DTYPES)}."
            )
        if seed < 0:
            raise JaxscoreError(f"seed is {seed}, expected 0 or more", "Give --seed 0, 1, 2, ...")
        self.checkpoint = checkpoint
        self.untrained = untrained
        self.seed = seed
        self.dtype = dtype
        self.name = f"{checkpoint.name}-untrained" if untrained else checkpoint.name

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over what determines a hidden state: configuration, tokenizer, weights (or the seed of the draw)."""
        folder = self.checkpoint.folder
        files = [folder / "config.json", *(f for name in TOKENIZER_FILES if (f := folder / name).is_file())]
        digest = hashlib.sha256(f"untrained {self.seed}".encode() if self.untrained else b"")
        for path in files if self.untrained else files + weight_files(folder):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    @cached_property
    def family(self) -> Family:
        """The family of the checkpoint's `model_type`; ModelError, with all supported ones, if there is none."""
        from jaxscore.models.families import MODULES, family_of

        path = self.checkpoint.folder / "config.json"
        try:
            kind = json.loads(path.read_text()).get("model_type")
        except (ValueError, AttributeError) as error:
            raise ModelError(
                f"{path} is not the JSON of a configuration: {error}", "Save the checkpoint again."
            ) from None
        if kind not in MODULES:
            raise ModelError(
                f"{self.checkpoint.name} has the architecture {kind!r}, which is not supported. "
                f"{did_you_mean(str(kind), MODULES)}".strip(),
                f"Supported: {', '.join(sorted(MODULES))}.",
            )
        return family_of(kind)

    @cached_property
    def arch(self) -> Architecture:
        """The architecture that the configuration describes.

        Raises:
            ModelError: for a configuration with an attribute that is neither understood nor at its default.
        """
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig

        from jaxscore.models.families import HARMLESS

        family = self.family
        try:
            config = AutoConfig.from_pretrained(self.checkpoint.folder)
        except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
            raise ModelError(
                f"{self.checkpoint.folder / 'config.json'} is not a configuration: {str(error).splitlines()[0]}",
                "Save the checkpoint again with model.save_pretrained(folder).",
            ) from None
        given, default = config.to_dict(), type(config)().to_dict()
        fine = family.understood | HARMLESS
        odd = {
            key: value
            for key, value in given.items()
            if key not in fine and value != default.get(key, KNOWN_VALUES.get(key))
        }
        if odd:
            listed = ", ".join(f"{key} = {value!r}" for key, value in sorted(odd.items()))
            raise ModelError(
                f"{self.checkpoint.folder / 'config.json'} has what {config.model_type} here does not: {listed}",
                "Scoring it anyway would be scoring a different model.",
            )
        try:
            arch = family.read(config)
        except KeyError as error:
            raise ModelError(f"{self.checkpoint.name} uses the activation {error}, which is not supported") from None
        if arch.width % arch.heads:
            raise ModelError(
                f"{self.checkpoint.folder / 'config.json'}: {arch.heads} heads do not divide the width {arch.width}",
                "Correct n_head (GPT-2) or num_attention_heads (BERT) there.",
            )
        return arch

    @cached_property
    def tokenizer(self):
        """The transformers tokenizer of the checkpoint."""
        from transformers import AutoTokenizer

        # without any file the library makes a tokenizer out of nothing, to which every word is unknown
        absent = not any(
            f for name in ("tokenizer.json", "vocab*", "*.model") for f in self.checkpoint.folder.glob(name)
        )
        try:
            if absent:
                raise OSError("no tokenizer.json")
            return AutoTokenizer.from_pretrained(self.checkpoint.folder)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{self.checkpoint.folder} has no tokenizer that can be loaded: {str(error).splitlines()[0]}",
                "Save it there with tokenizer.save_pretrained(folder): a fast tokenizer, that is a tokenizer.json.",
            ) from None

    @property
    def layer_names(self) -> list[str]:
        """Names of the hidden states in the 2021 pipeline, the input of the first block first."""
        return self.family.layer_names(self.arch.layers)

    def transformer(self, step: Callable[[float], None] = lambda size: None) -> Transformer:
        """Load (or draw) the weights.

        Args:
            step: called with the number of bytes of each tensor read, for a progress bar.
        """
        from jaxscore.models.checkpoint import initial_params, load_params
        from jaxscore.models.transformer import Transformer

        if self.untrained:
            params = initial_params(self.arch, self.seed, self.dtype)
        else:
            params = load_params(self.arch, self.family, self.checkpoint.folder, self.dtype, step)
        return Transformer(self.arch, params)

    def weight_bytes(self) -> int:
        """Size of the weight files; 0 for an untrained model."""
        return 0 if self.untrained else sum(path.stat().st_size for path in weight_files(self.checkpoint.folder))


def load_model(
    spec: str | Path, *, untrained: bool = False, seed: int = 0, dtype: str = "float32", offline: bool = False
) -> LanguageModel:
    """Find a model by name, folder or hub id; its weights are read when they are first needed.

    Args:
        spec: a name (`jaxscore ls models`), a local checkpoint folder, or a hub id with an optional `@revision`.
        untrained: the architecture with freshly drawn weights; only its configuration and tokenizer are fetched.
        seed: of that draw.
        dtype: "float32", "bfloat16" or "float16".
        offline: never use the network.

    Raises:
        ModelError: for an unknown name or a folder that is no checkpoint.
        FetchError: if it cannot be downloaded.
    """
    checkpoint = find_checkpoint(str(spec), weights=not untrained, offline=offline)
    return LanguageModel(checkpoint, untrained=untrained, seed=seed, dtype=dtype)

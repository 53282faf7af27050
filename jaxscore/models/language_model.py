"""A language model as the rest of the package sees it: named, hashed, loaded when first needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxscore.errors import JaxscoreError, ModelError, did_you_mean
from jaxscore.models.hub import CONFIG_FILES, Checkpoint, find_checkpoint, is_checkpoint, weight_files
from jaxscore.models.static import StaticModel, find_static

if TYPE_CHECKING:
    from jaxscore.models.architecture import Body
    from jaxscore.models.families import Family
    from jaxscore.models.transformer import Transformer

DTYPES = ("float32", "bfloat16", "float16")
OPTIONAL_PACKAGES = ("sacremoses", "sentencepiece")
"""What some tokenizers need (XLM, old T5): the extra `tokenizers`."""
KNOWN_VALUES = {
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    "untie_r": True,
    "rotary": True,  # GPT-J
    "scale_attn_weights": True,
    "apply_residual_connection_post_layernorm": False,  # Falcon
    "attention_bias": False,  # Phi-3, as the next four
    "mlp_bias": False,
    "lm_head_bias": False,
    "full_attn_mod": 1,
    "interpolate_factor": 1,
    "is_llama_config": True,  # SmolLM
    "rope_interleaved": False,
    "use_mrope": False,  # Qwen 2.5
}
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
        files = sorted({path for pattern in CONFIG_FILES for path in folder.glob(pattern) if path.is_file()})
        digest = hashlib.sha256(f"untrained {self.seed}".encode() if self.untrained else b"")
        for path in files if self.untrained else files + weight_files(folder):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    @cached_property
    def family(self) -> Family:
        """The family of the checkpoint's `model_type`; ModelError, with all supported ones, if there is none."""
        from jaxscore.models.families import families

        known = families()
        path = self.checkpoint.folder / "config.json"
        try:
            kind = json.loads(path.read_text()).get("model_type")
        except (ValueError, AttributeError) as error:
            raise ModelError(
                f"{path} is not the JSON of a configuration: {error}", "Save the checkpoint again."
            ) from None
        if kind not in known:
            raise ModelError(
                f"{self.checkpoint.name} has the architecture {kind!r}, which is not supported. "
                f"{did_you_mean(str(kind), known)}".strip(),
                f"Supported: {', '.join(sorted(known))}.",
            )
        return known[kind]

    @cached_property
    def arch(self) -> Body:
        """The architecture that the configuration describes.

        Raises:
            ModelError: for a configuration with an attribute that is neither understood nor at its default, or sizes
                that no model has.
        """
        from jaxscore.models.families import HARMLESS
        from jaxscore.models.sizes import check_counts, check_heads

        file = self.checkpoint.folder / "config.json"
        config, default = self._configuration()
        given, fine = config.to_dict(), HARMLESS.union(self.family.understood.split())
        odd = {
            key: value
            for key, value in given.items()
            if key not in fine and value != default.get(key, KNOWN_VALUES.get(key))
        }
        if odd:
            listed = ", ".join(f"{key} = {value!r}" for key, value in sorted(odd.items()))
            raise ModelError(
                f"{file} has what {config.model_type} here does not: {listed}",
                "Scoring it anyway would be scoring a different model.",
            )
        check_counts(file, given)
        try:
            arch = self.family.read(config)
        except ModelError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise ModelError(
                f"{file} is not a complete configuration of {config.model_type}: {type(error).__name__}: {error}",
                "Save the checkpoint again with model.save_pretrained(folder).",
            ) from None
        if arch.head == "tied" and not getattr(config, "tie_word_embeddings", True):
            raise ModelError(
                f"{file}: tie_word_embeddings = False, but the head of {config.model_type} is read from the embedding",
                "Scoring it anyway would be scoring a different model.",
            )
        check_heads(file, given, arch)
        return arch

    def _configuration(self) -> tuple[Any, dict[str, Any]]:
        """The transformers configuration, and the defaults of its class."""
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig, PreTrainedConfig

        folder = self.checkpoint.folder
        try:
            if (published := self.family.published) is not None:
                given = json.loads((folder / "config.json").read_text())
                config, default = (PreTrainedConfig(**published | values) for values in (given, {}))
                config.model_type = given["model_type"]
                return config, default.to_dict() | {"model_type": config.model_type}
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            return config, type(config)().to_dict()
        except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
            raise ModelError(
                f"{folder / 'config.json'} is not a configuration: {str(error).splitlines()[0]}",
                "Save the checkpoint again with model.save_pretrained(folder).",
            ) from None

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
            return AutoTokenizer.from_pretrained(self.checkpoint.folder, trust_remote_code=False)
        except ImportError as error:
            named = [package for package in OPTIONAL_PACKAGES if package in str(error).lower()]
            raise ModelError(
                f"The tokenizer of {self.checkpoint.folder} needs a package that is not installed: "
                f"{', '.join(named) or error}",
                f"Type pip install {' '.join(named)}, or take jaxscore with its extra for such tokenizers: "
                f"pip install 'jaxscore[tokenizers]'."
                if named
                else "Install it.",
            ) from None
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{self.checkpoint.folder} has no tokenizer that can be loaded: {str(error).splitlines()[0]}",
                "Save it there with tokenizer.save_pretrained(folder): a fast tokenizer, that is a tokenizer.json.",
            ) from None

    @property
    def layer_names(self) -> list[str]:
        """Names of the hidden states in the 2021 pipeline, the input of the first block first."""
        return self.family.names(self.arch.layers)

    @property
    def state_names(self) -> list[str]:
        """Names of everything that is kept: the hidden states, then those beyond transformers' (before the norm)."""
        return [*self.layer_names, *self.arch.extra_states]

    @property
    def layer_aliases(self) -> dict[str, int]:
        """Other names of the states, by number: see `Family.aliases`."""
        return self.family.aliases(self.arch)

    def transformer(self, step: Callable[[float], None] = lambda size: None, *, head: bool = False) -> Transformer:
        """Load (or draw) the weights.

        Args:
            step: called with the number of bytes of each tensor read, for a progress bar.
            head: whether the language-model head is wanted too, for surprisal.
        """
        from jaxscore.models.checkpoint import initial_params, load_params
        from jaxscore.models.transformer import Transformer

        if self.untrained:
            params = initial_params(self.arch, self.family, self.seed, self.dtype, head=head)
        else:
            params = load_params(self.arch, self.family, self.checkpoint.folder, self.dtype, step, head=head)
        return Transformer(self.arch, params)

    def weight_bytes(self) -> int:
        """Size of the weight files; 0 for an untrained model."""
        return 0 if self.untrained else sum(path.stat().st_size for path in weight_files(self.checkpoint.folder))


def load_model(
    spec: str | Path, *, untrained: bool = False, seed: int = 0, dtype: str = "float32", offline: bool = False
) -> LanguageModel | StaticModel:
    """Find a model by name, folder or hub id; its weights are read when they are first needed.

    Args:
        spec: a name (`jaxscore ls models`), a local checkpoint folder, a hub id with an optional `@revision`, a
            baseline (`sentence-length`), or word vectors (`glove:FILE`, `word2vec:FILE`, `fasttext:FILE`).
        untrained: the architecture with freshly drawn weights; only its configuration and tokenizer are fetched.
        seed: of that draw.
        dtype: "float32", "bfloat16" or "float16".
        offline: never use the network.

    Raises:
        ModelError: for an unknown name or a folder that is no checkpoint.
        FetchError: if it cannot be downloaded.
    """
    if not is_checkpoint(spec) and (static := find_static(str(spec), untrained=untrained, seed=seed)):
        return static
    checkpoint = find_checkpoint(str(spec), weights=not untrained, offline=offline)
    return LanguageModel(checkpoint, untrained=untrained, seed=seed, dtype=dtype)

"""From what a person types to a checkpoint folder on this machine."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from jaxscore.errors import FetchError, ModelError, did_you_mean
from jaxscore.models.static import BASELINES
from jaxscore.registry import MINI, MODELS, NOT_COVERED

CONFIG_FILES = [
    "config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model",
]  # fmt: skip
WEIGHT_FILES = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
OLD_WEIGHT_FILES = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine.

    Attributes:
        name: what it is called in tables and records.
        folder: with config.json, the tokenizer and the weights.
        source: "embedded", "local", or the hub id.
        commit: the hub's commit, None for a local folder.
    """

    name: str
    folder: Path
    source: str
    commit: str | None = None


def find_checkpoint(spec: str, *, weights: bool = True, offline: bool = False) -> Checkpoint:
    """Find or download the checkpoint that `spec` names.

    Args:
        spec: a short name of the registry, a local folder, or a hub id; names and ids take `@revision`.
        weights: whether the weights are wanted, or only configuration and tokenizer.
        offline: never use the network.

    Raises:
        ModelError: for a name that is nothing of these, or a folder that is no checkpoint.
        FetchError: if the hub cannot be reached or has no such checkpoint.
    """
    if spec == MINI:
        return Checkpoint(MINI, Path(__file__).parent / "mini", "embedded")
    folder = Path(spec).expanduser()
    if is_checkpoint(spec):
        return Checkpoint(folder.resolve().name, folder, "local")
    name, _, revision = spec.partition("@")
    if name not in MODELS and os.path.isdir(folder):
        raise ModelError(
            f"{folder} is a folder without config.json, so it is no checkpoint",
            "Save a checkpoint with model.save_pretrained(folder) and tokenizer.save_pretrained(folder).",
        )
    if name not in MODELS and ("/" not in name or name.startswith((".", "/", "~")) or name.count("/") > 1):
        if name in NOT_COVERED:
            raise ModelError(f"{name} cannot be scored: {NOT_COVERED[name]}", "`jaxscore ls models` lists what can.")
        if name.endswith("-untrained"):
            raise ModelError(
                f"Unknown model {spec!r}", f"Untrained models are asked for by --untrained: {name[:-10]} --untrained."
            )
        suggestion = did_you_mean(name, [MINI, *BASELINES, *MODELS])
        raise ModelError(
            f"Unknown model {spec!r}: no such name, local folder or hub id. {suggestion}".strip(),
            "Type `jaxscore ls models` for the names, or give a folder, or a hub id such as openai-community/gpt2.",
        )
    return _download(spec, MODELS.get(name, name), revision or None, weights, offline)


def is_checkpoint(spec: str | Path) -> bool:
    """Whether `spec` is a local checkpoint: a folder by any name (as "gpt2") is none without a config.json."""
    return os.path.isfile(Path(spec).expanduser() / "config.json")  # False also where a name is too long for a file


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder, through the index where it is sharded; safetensors before `.bin`.

    Raises:
        ModelError: if there are none, or the index names files that are not there.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        single, index = folder / name, folder / f"{name}.index.json"
        if single.is_file():
            return [single]
        if not index.is_file():
            continue
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ModelError(f"{index} is not an index of weight files", "Download the checkpoint again.") from None
        if strange := [n for n in names if Path(n).name != n or not n.endswith((".safetensors", ".bin"))]:
            raise ModelError(
                f"{index} names a file that is no weight file of this folder: {strange[0]!r}",
                "Download the checkpoint again.",
            )
        if absent := [name for name in names if not (folder / name).is_file()]:
            raise ModelError(
                f"{index} names {len(absent)} files that are not in the folder: {', '.join(absent[:3])}",
                "Download the checkpoint again, all its shards.",
            )
        return [folder / name for name in names]
    found = sorted(path.name for path in folder.iterdir())
    raise ModelError(
        f"{folder} has no weights: expected model.safetensors or pytorch_model.bin (or a sharded index of them), "
        f"found {', '.join(found[:8]) or 'an empty folder'}",
        "Save it with model.save_pretrained(folder), or score its architecture alone with --untrained.",
    )


_HUB_ID = "ids are letters, digits, '-', '_' and '.', owner/name, without '--' or '..'"


def _download(spec: str, repo: str, revision: str | None, weights: bool, offline: bool) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # one clear line of ours instead of the library's retry log
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

    def download(patterns: list[str]) -> Path:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=offline))

    try:
        folder = download(CONFIG_FILES + (WEIGHT_FILES if weights else []))
        if weights and not any(folder.glob("*.safetensors")):
            folder = download(CONFIG_FILES + OLD_WEIGHT_FILES)
    except HFValidationError:
        raise ModelError(
            f"{repo!r} is neither a local folder nor a hub id: {_HUB_ID}",
            "Check the spelling; `jaxscore ls models` lists names.",
        ) from None
    except GatedRepoError:
        raise FetchError(
            f"{repo} is gated: its owners ask for an agreement first",
            f"Accept it on the page of {repo}, then log in with `hf auth login`.",
        ) from None
    except RepositoryNotFoundError:
        raise FetchError(
            f"The hub has no model {repo!r}. {did_you_mean(repo, MODELS.values())}".strip(),
            "Check the spelling; a private model needs `hf auth login`.",
        ) from None
    except RevisionNotFoundError:
        raise FetchError(
            f"{repo} has no revision {revision!r}", "Give a branch, a tag or a commit after the @."
        ) from None
    except (OSError, HfHubHTTPError) as error:
        raise _unreachable(spec, repo, offline, error) from None
    except Exception as error:  # the hub's HTTP library has exceptions of its own, which are no part of its interface
        if type(error).__module__.split(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}:
            raise _unreachable(spec, repo, offline, error) from None
        raise
    return Checkpoint(spec.replace("/", "--") if "/" in spec else spec, folder, repo, folder.name)


def _unreachable(spec: str, repo: str, offline: bool, error: Exception) -> FetchError:
    why = "and --offline forbids fetching it" if offline else f"and the hub cannot be reached ({type(error).__name__})"
    return FetchError(
        f"The checkpoint {repo} is not on this machine {why}",
        f"Give a local folder in place of {spec!r}, or `jaxscore run mini`, which needs no network.",
    )

"""From what a person types to a checkpoint folder on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from jaxscore.errors import ModelError, did_you_mean
from jaxscore.models.hub_errors import hub_errors, no_checkpoint
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


@dataclass(frozen=True)
class HubId:
    """A checkpoint of the hub.

    Attributes:
        spec: as a person typed it.
        repo: OWNER/NAME.
        revision: a branch, a tag or a commit; None for the default branch.
    """

    spec: str
    repo: str
    revision: str | None

    def checkpoint(self, folder: Path, commit: str) -> Checkpoint:
        """The checkpoint whose files are in a folder."""
        return Checkpoint(self.spec.replace("/", "--"), folder, self.repo, commit)


def find_checkpoint(spec: str, *, weights: bool = True, offline: bool = False) -> Checkpoint:
    """Find or download the checkpoint that `spec` names.

    Args:
        spec: a short name of the registry, a local folder, or a hub id; names and ids take `@revision`.
        weights: whether the weights are wanted, or only configuration and tokenizer.
        offline: never use the network.

    Raises:
        ModelError: for a name that is nothing of these, or a folder or repository that is no checkpoint.
        FetchError: if the hub has no such checkpoint; TemporaryFetchError if it cannot be reached.
    """
    found = locate(spec)
    if isinstance(found, Checkpoint):
        return found
    folder = fetch_files(found, weights=weights, offline=offline)
    return found.checkpoint(folder, folder.name)


def locate(spec: str) -> Checkpoint | HubId:
    """What `spec` names: a checkpoint on this machine, or one of the hub. The network is not used.

    Raises:
        ModelError: for a name that is nothing of these, or a folder that is no checkpoint.
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
    return HubId(spec, MODELS.get(name, name), revision or None)


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


def patterns(names: Iterable[str], *, weights: bool) -> list[str]:
    """Patterns of the files that are wanted of a repository: `.bin` only where `names` has no safetensors.

    Args:
        names: files of the repository.
        weights: whether the weights are wanted, or only configuration and tokenizer.
    """
    if not weights:
        return CONFIG_FILES
    new = any(fnmatchcase(name, pattern) for name in names for pattern in WEIGHT_FILES)
    return CONFIG_FILES + (WEIGHT_FILES if new else OLD_WEIGHT_FILES)


def fetch_files(
    place: HubId,
    *,
    weights: bool,
    offline: bool = False,
    commit: str | None = None,
    folder: Path | None = None,
    quiet: bool = False,
) -> Path:
    """Bring the files of a checkpoint to this machine; those that are there are not fetched again.

    Args:
        place: whose.
        weights: whether the weights are wanted, or only configuration and tokenizer.
        offline: never use the network.
        commit: in place of the revision.
        folder: where to; without it, the hub's own cache.
        quiet: draw no bars.

    Returns:
        The folder; in the hub's own cache, its name is the commit.

    Raises:
        FetchError, ModelError: as `find_checkpoint`.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm

    class Hidden(tqdm):
        def __init__(self, *arguments, **settings) -> None:
            super().__init__(*arguments, **settings | {"disable": True})

    def download(wanted: list[str]) -> Path:
        got = snapshot_download(
            place.repo,
            revision=commit or place.revision,
            local_dir=folder,
            allow_patterns=wanted,
            local_files_only=offline,
            tqdm_class=Hidden if quiet else None,
        )
        return Path(got)

    with hub_errors(place, offline=offline):
        first = patterns(WEIGHT_FILES, weights=weights)
        got = download(first)
        if (second := patterns((path.name for path in got.glob("*")), weights=weights)) != first:
            got = download(second)
        if offline and not is_checkpoint(got):
            raise FileNotFoundError  # a part of it is in the cache
    if not is_checkpoint(got):
        raise no_checkpoint(place)
    return got

"""What the hub has of a checkpoint, and what of it is on this machine."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jaxscore.data.cache_contents import KINDS, WEIGHTS
from jaxscore.data.cache_paths import default_cache
from jaxscore.data.remote import Patience
from jaxscore.errors import FetchError, ModelError, TemporaryFetchError
from jaxscore.models.hub import HubId, fetch_files, patterns, weight_files
from jaxscore.models.hub_errors import hub_errors, no_checkpoint


@dataclass(frozen=True)
class Listing:
    """What the hub has of a checkpoint.

    Attributes:
        place: of which.
        commit: that its revision stands for now.
        files: name -> bytes of those that are wanted; None where the hub does not say.
    """

    place: HubId
    commit: str
    files: dict[str, int | None]

    @property
    def folder(self) -> Path:
        """Where they go. It is named by the commit: leftovers of two commits never meet."""
        name = f"{self.place.repo}@{self.place.revision or 'main'}".replace("/", "--")
        name = re.sub(r"[^A-Za-z0-9._@-]", "_", name)[:150]
        return default_cache() / KINDS[WEIGHTS] / f"{name}-{self.commit}"

    def cached(self) -> dict[str, Path]:
        """The files that are in the hub's own cache."""
        from huggingface_hub import try_to_load_from_cache

        found = {name: try_to_load_from_cache(self.place.repo, name, revision=self.commit) for name in self.files}
        return {name: Path(path) for name, path in found.items() if isinstance(path, str)}

    def lacking(self, folder: Path) -> list[str]:
        """The files that are not in a folder, or not whole."""
        return [name for name, size in self.files.items() if not _whole(folder / name, size)]


def _whole(path: Path, size: int | None) -> bool:
    return path.is_file() and size in (None, path.stat().st_size)


def find_files(place: HubId, weights: bool, *, offline: bool, keep: bool = False) -> Path | Listing:
    """The folder in the hub's own cache, or what has to be downloaded.

    Args:
        place: of which checkpoint.
        weights: whether the weights are wanted, or only configuration and tokenizer.
        offline: never use the network: all must be in the cache.
        keep: download into the cache what is not there.

    Raises:
        FetchError, ModelError: as `find_checkpoint`.
    """
    if offline or keep:
        return fetch_files(place, weights=weights, offline=offline, quiet=True)
    try:
        listing = _ask(place, weights)
    except TemporaryFetchError:
        with suppress(FetchError, ModelError):  # what is here needs no hub
            folder = fetch_files(place, weights=weights, offline=True)
            if not weights or weight_files(folder):
                return folder
        raise
    cached = listing.cached()
    return cached["config.json"].parent if cached.keys() == listing.files.keys() else listing


def _ask(place: HubId, weights: bool) -> Listing:
    """What the hub has now; asked again after a failure that may pass."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import filter_repo_objects

    patience = Patience()
    for failures in range(patience.attempts):
        try:
            with hub_errors(place):
                info = HfApi().model_info(
                    place.repo,
                    revision=place.revision,
                    files_metadata=True,
                    timeout=constants.HF_HUB_ETAG_TIMEOUT,
                )
            break
        except TemporaryFetchError:
            if failures + 1 == patience.attempts:
                raise
            time.sleep(patience.backoff * 2**failures)
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    wanted = filter_repo_objects(sizes, allow_patterns=patterns(sizes, weights=weights))
    files = {name: sizes[name] for name in wanted}
    if "config.json" not in files:
        raise no_checkpoint(place)
    return Listing(place, info.sha, files)

"""What the hub's library raises, as messages of ours; what may pass is told from what will not."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jaxscore.data.download_hub import HTTP_LIBRARIES
from jaxscore.errors import FetchError, JaxscoreError, ModelError, TemporaryFetchError, did_you_mean
from jaxscore.registry import MODELS

if TYPE_CHECKING:
    from jaxscore.models.hub import HubId

_HUB_ID = "ids are letters, digits, '-', '_' and '.', owner/name, without '--' or '..'"
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}


class NoRoomError(TemporaryFetchError):
    """This machine's disk is full, or in trouble."""


def no_checkpoint(place: HubId) -> ModelError:
    """The error for a repository of something else."""
    return ModelError(f"{place.repo} has no config.json, so it is no checkpoint", "Give another repository.")


@contextmanager
def hub_errors(place: HubId, *, offline: bool = False) -> Iterator[None]:
    """Turn what the hub's library raises into one message.

    Raises:
        ModelError: for what can be no hub id.
        FetchError: if the hub has no such checkpoint, or does not give it, or this machine's disk does not take it.
        TemporaryFetchError: if the hub cannot be reached or is in trouble; NoRoomError if the disk is full.
    """
    # one clear line of ours instead of the library's retry log
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:
        if (ours := _translated(place, offline, error)) is None:
            raise
        raise ours from None


def _translated(place: HubId, offline: bool, error: Exception) -> JaxscoreError | None:
    """Our error for one of the hub's library, None for a defect."""
    from huggingface_hub import errors as hub

    repo = place.repo
    if isinstance(error, hub.HFValidationError):
        return ModelError(
            f"{repo!r} is neither a local folder nor a hub id: {_HUB_ID}",
            "Check the spelling; `jaxscore ls models` lists names.",
        )
    if isinstance(error, hub.GatedRepoError):
        return FetchError(
            f"{repo} is gated: its owners ask for an agreement first",
            f"Accept it on the page of {repo}, then log in with `hf auth login`.",
        )
    if isinstance(error, hub.RepositoryNotFoundError):
        return FetchError(
            f"The hub has no model {repo!r}. {did_you_mean(repo, MODELS.values())}".strip(),
            "Check the spelling; a private model needs `hf auth login`.",
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return FetchError(f"{repo} has no revision {place.revision!r}", "Give a branch, a tag or a commit after the @.")
    network = isinstance(error, ConnectionError | TimeoutError | json.JSONDecodeError)
    # hf_xet, which transfers large files, has RuntimeErrors of its own
    network |= isinstance(error, RuntimeError) or type(error).__module__.startswith("hf_xet")
    network |= type(error).__module__.split(".")[0] in HTTP_LIBRARIES  # whose exceptions are no part of the interface
    if isinstance(error, OSError) and error.errno is not None and not network:
        kind = NoRoomError if error.errno in _FULL_DISK else FetchError
        message = f"{repo} cannot be saved: {error.filename or 'the disk'}: {error.strerror}"
        return kind(message, "Free some space, or choose other folders with JAXSCORE_CACHE and HF_HOME.")
    return _not_here(place, offline, error) if network or isinstance(error, OSError) else None


def _not_here(place: HubId, offline: bool, error: Exception) -> FetchError:
    """The error for files that are not on this machine and did not come."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    cause = error.__cause__ or error  # the library wraps the first failure when the files are not here either
    status = getattr(getattr(cause, "response", None), "status_code", None)
    hint = f"Give a local folder in place of {place.spec!r}, or `jaxscore run mini`, which needs no network."
    message = f"The checkpoint {place.repo} is not on this machine"
    if offline or isinstance(cause, OfflineModeIsEnabled):
        forbidden = "--offline forbids" if offline else "HF_HUB_OFFLINE forbids"
        return FetchError(f"{message} and {forbidden} fetching it", hint)
    if status is not None and status < 500 and status not in (408, 429):
        return FetchError(f"{message} and the hub refuses it ({status})", f"It may need `hf auth login`. {hint}")
    why = type(cause).__name__ if status is None else str(status)
    return TemporaryFetchError(f"{message} and the hub cannot be reached ({why})", hint)

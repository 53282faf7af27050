"""Files of data sets on the hub; its own library keeps them in its own cache and knows who may read them."""

from __future__ import annotations

import errno
import logging
import re
import urllib.parse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from jaxscore.data.remote import ALTERNATIVES
from jaxscore.errors import FetchError, TemporaryFetchError

if TYPE_CHECKING:
    from jaxscore.data.download import Progress

SCHEME = "hf://"
FORM = "hf://datasets/OWNER/NAME[@REVISION]/PATH"
HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}


def hub_file(url: str, *, offline: bool, progress: Progress | None) -> tuple[Path, str]:
    """Return where a file of a data set lies on this machine, and its commit.

    Args:
        url: `hf://datasets/OWNER/NAME[@REVISION]/PATH`; a slash in the revision is written %2F.
        offline: answer from the hub's cache or not at all.
        progress: called with (name, bytes received, bytes in all if known).

    Raises:
        FetchError: there is no such data set, revision or file, access is denied, or the hub cannot be reached.
    """
    found = re.fullmatch(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)", url)
    if not found or ".." in found[3].split("/"):
        raise FetchError(f"{url} is no file of a data set on the hub.", f"Expected {FORM}.")
    repository, revision, name = found[1], found[2] and urllib.parse.unquote(found[2]), found[3]
    from huggingface_hub import hf_hub_download

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # one line of ours instead of its log of retries
    try:
        path = hf_hub_download(
            repository,
            name,
            repo_type="dataset",
            revision=revision,
            local_files_only=offline,
            tqdm_class=_bar(name.rsplit("/", 1)[-1], progress),
        )
    except Exception as error:
        if (ours := _translated(url, repository, revision, offline, error)) is None:
            raise
        raise ours from None
    return Path(path), Path(path).parents[len(PurePosixPath(name).parts) - 1].name  # snapshots/COMMIT/PATH


def _bar(name: str, progress: Progress | None) -> type:
    """A bar of the hub's kind that draws nothing and reports to `progress`."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings | {"disable": True})
            self.received = int(settings.get("initial") or 0)  # a bar that is not drawn does not count

        def update(self, n: float | None = 1) -> None:
            self.received += int(n or 0)
            if progress:
                progress(name, self.received, self.total and int(self.total))

    return Bar


def _translated(url: str, repository: str, revision: str | None, offline: bool, error: Exception) -> FetchError | None:
    """Our error for one of the hub's, None for a defect."""
    from huggingface_hub import errors as hub

    if isinstance(error, hub.HFValidationError):
        return FetchError(f"{url} is no file of a data set on the hub.", f"Expected {FORM}.")
    if isinstance(error, hub.GatedRepoError):
        hint = f"Accept the conditions on the page of {repository}, then log in with `hf auth login`."
        return FetchError(f"The data set {repository} is gated: its owners ask for an agreement first.", hint)
    if isinstance(error, hub.RepositoryNotFoundError):
        hint = "Check the spelling; a private data set needs `hf auth login`."
        return FetchError(f"The hub has no data set {repository}.", hint)
    if isinstance(error, hub.RevisionNotFoundError):
        hint = "Give a branch, a tag or a commit after the @."
        return FetchError(f"The data set {repository} has no revision {revision!r}.", hint)
    if isinstance(error, hub.RemoteEntryNotFoundError):
        return FetchError(f"{url} does not exist.", f"Look at the files on the page of {repository}.")
    if isinstance(error, hub.LocalEntryNotFoundError) and offline:
        hint = f"Type the command without --offline once to fetch it. {ALTERNATIVES}"
        return FetchError(f"{url} is not in the hub's cache and --offline forbids fetching it.", hint)
    if isinstance(error, OSError) and error.errno is not None:
        message = f"{error.filename or url}: {error.strerror}. Nothing that was there before is lost."
        kind = TemporaryFetchError if error.errno in (errno.ENOSPC, errno.EDQUOT) else FetchError
        return kind(message, "Free some space or check the permissions, or choose another folder with HF_HOME.")
    if isinstance(error, OSError) or type(error).__module__.split(".")[0] in HTTP_LIBRARIES:
        reason = type(error.__cause__ or error).__name__
        message = f"{url} could not be fetched: the hub cannot be reached ({reason})."
        return TemporaryFetchError(message, f"Check the network. {ALTERNATIVES}")
    return None

"""Where results and notes lie: a folder, also one that many machines share, or a prefix of an S3 bucket.

Nothing is ever locked, so nothing stays locked when a process dies. What a name holds is whole whenever it is there:
folders rename and link files that are on the disk already, S3 shows an object when all of it has come.
"""

from __future__ import annotations

import errno
import os
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxscore.data.cache_paths import aside
from jaxscore.errors import StoreError, TemporaryStoreError

PASSING = {
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENOTCONN,
    errno.ECONNRESET, errno.EMFILE, errno.ENFILE, errno.ENETUNREACH, errno.EHOSTUNREACH,
}  # fmt: skip
"""Errors of the system that may be gone the next time."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_PASSING_CODES = {"RequestTimeout", "SlowDown", "ExpiredToken", "Throttling", "ThrottlingException"}
_LATER = "Nothing is lost: the same command goes on where this one stopped."


class Place(ABC):
    """Files by name: relative, "/"-separated. Every method raises StoreError, TemporaryStoreError for what may pass."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content; None if there is none."""

    @abstractmethod
    def write_all(self, files: Mapping[str, bytes]) -> None:
        """Write each file atomically, in this order: the last commits the others.

        A folder has all of them on the disk before the first bears its name: if it refuses one, nothing changes.
        """

    @abstractmethod
    def create(self, name: str, content: bytes) -> bool:
        """Write only where there is none, atomically with its content: of all who try at once, one is told True."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove it, if it is there."""

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """All names that begin so, sorted; files that are not whole yet are left out."""

    @abstractmethod
    def age(self, name: str) -> float | None:
        """Seconds since it was written, by the place's own clock; None if there is none."""

    @abstractmethod
    def at(self, name: str) -> Path | str:
        """Where it is, for people: a path, or an s3:// url."""

    @abstractmethod
    def check(self) -> None:
        """Raise StoreError if nothing can be written here; a folder is made."""

    def write(self, name: str, content: bytes) -> None:
        """Write atomically; folders are made."""
        self.write_all({name: content})


def open_place(where: str | Path) -> Place:
    """The place that a person named; makes and asks nothing yet.

    Args:
        where: a folder, or s3://bucket or s3://bucket/prefix. S3 is asked with the credentials that boto3 finds, at
            AWS_ENDPOINT_URL_S3 where that is set.

    Raises:
        StoreError: if it is some other kind of url.
    """
    text = str(where)
    if text.startswith("s3:"):  # a Path has made one slash of two
        if not (rest := re.sub("/+", "/", text.removeprefix("s3:")).strip("/")):
            raise StoreError(f"{where} is not complete.", "Expected s3://bucket or s3://bucket/prefix.")
        return Bucket(f"s3://{rest}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise StoreError(f"Results cannot be written to {where}.", "Expected a folder, or s3://bucket/prefix.")
    return Folder(Path(text))


@dataclass(frozen=True)
class Folder(Place):
    """A folder of this machine, or one that it shares with others (NFS, Lustre).

    Attributes:
        path: the folder.
    """

    path: Path

    def read(self, name: str) -> bytes | None:
        """See `Place`."""
        with self._reading(), suppress(FileNotFoundError, NotADirectoryError):
            return self.at(name).read_bytes()
        return None

    def write_all(self, files: Mapping[str, bytes]) -> None:
        """See `Place`."""
        with self._writing(), ExitStack() as stack:
            parts = {self.at(name): stack.enter_context(_part(self.at(name), files[name])) for name in files}
            for path, part in parts.items():
                os.replace(part, path)

    def create(self, name: str, content: bytes) -> bool:
        """See `Place`."""
        with self._writing(), _part(self.at(name), content) as part:
            try:
                os.link(part, self.at(name))
            except FileExistsError:  # also said of our own link, where NFS had to ask twice: open(2), O_EXCL
                return part.stat().st_nlink == 2
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return _exclusive(self.at(name), content)
            return True

    def remove(self, name: str) -> None:
        """See `Place`."""
        with self._writing(), suppress(FileNotFoundError, NotADirectoryError):
            self.at(name).unlink()

    def names(self, prefix: str = "") -> list[str]:
        """See `Place`."""

        def vanished(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise error

        with self._reading():
            tree = os.walk(self.path / prefix.rpartition("/")[0], onerror=vanished)
            paths = [Path(folder, name) for folder, _, names in tree for name in names]
        found = (path.relative_to(self.path).as_posix() for path in paths)
        return sorted(name for name in found if name.startswith(prefix) and not _unfinished(name))

    def age(self, name: str) -> float | None:
        """See `Place`; the clock is that of the file server, which dates a file that is made for this."""
        probe = aside(self.at(name))
        with self._writing(), suppress(FileNotFoundError, NotADirectoryError):
            if not os.access(self.at(name).parent, os.W_OK):  # who may only read has to trust the clocks
                return max(0.0, time.time() - self.at(name).stat().st_mtime)
            try:
                probe.touch()
                # NFS asks the server anew about a file that is opened; of others it may remember an older state
                with self.at(name).open("rb") as file:
                    return max(0.0, probe.stat().st_mtime - os.fstat(file.fileno()).st_mtime)
            finally:
                probe.unlink(missing_ok=True)
        return None

    def at(self, name: str) -> Path:
        """See `Place`."""
        return self.path / name

    def check(self) -> None:
        """See `Place`."""
        probe = aside(self.at("check"))
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = TemporaryStoreError if error.errno in PASSING else StoreError
            message = f"{error.filename or self.path} cannot be read: {error.strerror or error}"
            raise kind(message, "Check the permissions of the folder, and that its disk or server is there.") from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise refused(self.path, error) from None


def refused(folder: Path, error: OSError) -> StoreError:
    """What to say when the disk of a folder refused."""
    kind = TemporaryStoreError if error.errno in PASSING else StoreError
    return kind(
        f"Results cannot be written to {folder}: {error.strerror or error}. What was there before is untouched.",
        "Free some space, or name another folder with --out FOLDER.",
    )


def _exclusive(path: Path, content: bytes) -> bool:
    """The same where a file system knows no hard links: whoever opens it first has it."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


@contextmanager
def _part(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` that is on the disk; gone at the end if it does not bear its name by then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = aside(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)


def _unfinished(name: str) -> bool:
    """Whether it is the name of a file that is not whole yet, or that a killed process left so."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(".part")


class _AbsentError(StoreError):
    """There is no such object."""


class _TakenError(TemporaryStoreError):
    """There is one already, or there was when S3 looked."""


@dataclass(frozen=True)
class Bucket(Place):
    """A prefix of an S3 bucket.

    Attributes:
        url: s3://bucket or s3://bucket/prefix.
    """

    url: str

    def __reduce__(self) -> tuple[type[Bucket], tuple[str]]:
        return Bucket, (self.url,)  # without the connections

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        # boto3 itself tries again where it may help, as often as AWS_MAX_ATTEMPTS says
        config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard"}, max_pool_connections=32)
        session = boto3.session.Session()  # boto3's global session is not made for threads
        return session.client("s3", region_name=session.region_name or "us-east-1", config=config)

    def read(self, name: str) -> bytes | None:
        """See `Place`."""
        with suppress(_AbsentError), self._asked(name), closing(self._get(name)) as body:
            return body.read()
        return None

    def _get(self, name: str) -> Any:
        return self._client.get_object(**self._object(name))["Body"]

    def write_all(self, files: Mapping[str, bytes]) -> None:
        """See `Place`."""
        for name, content in files.items():
            with self._asked(name):
                self._client.put_object(**self._object(name), Body=content)

    def create(self, name: str, content: bytes) -> bool:
        """See `Place`."""
        writer = {"writer": uuid.uuid4().hex}
        try:
            with self._asked(name):
                self._client.put_object(**self._object(name), Body=content, IfNoneMatch="*", Metadata=writer)
        except _TakenError:  # maybe by ourselves, by a try whose answer did not come back
            with suppress(_AbsentError), self._asked(name):
                return self._client.head_object(**self._object(name))["Metadata"] == writer
            return False
        return True

    def remove(self, name: str) -> None:
        """See `Place`."""
        with suppress(_AbsentError), self._asked(name):
            self._client.delete_object(**self._object(name))

    def names(self, prefix: str = "") -> list[str]:
        """See `Place`."""
        bucket, root = self._object("").values()
        with self._asked(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root + prefix)
            names = [each["Key"].removeprefix(root) for page in pages for each in page.get("Contents", [])]
        return sorted(name for name in names if not name.endswith("/") and not _unfinished(name))

    def age(self, name: str) -> float | None:
        """See `Place`."""
        with suppress(_AbsentError), self._asked(name):
            answer = self._client.head_object(**self._object(name))
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            return max(0.0, (now - answer["LastModified"]).total_seconds())
        return None

    def at(self, name: str) -> str:
        """See `Place`."""
        return f"{self.url}/{name}"

    def check(self) -> None:
        """See `Place`."""
        name = aside(Path("check")).name
        self.write(name, b"")
        self.remove(name)

    def _object(self, name: str) -> dict[str, str]:
        bucket, _, key = self.at(name).removeprefix("s3://").partition("/")
        return {"Bucket": bucket, "Key": key}

    @contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        """Turn what boto3 raises into one message."""
        import botocore.exceptions as boto

        passing = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, boto.FlexibleChecksumError)
        try:
            yield
        except boto.ClientError as error:
            raise _answered(self.at(name), error.response) from None
        except (OSError, *passing) as error:
            raise TemporaryStoreError(f"{self.at(name)} cannot be reached: {_line(error)}", _LATER) from None
        except (boto.BotoCoreError, ValueError) as error:
            hint = "Check your AWS settings: credentials, profile, AWS_ENDPOINT_URL_S3."
            raise StoreError(f"{self.at(name)} cannot be reached: {_line(error)}", hint) from None


def _answered(where: str, response: Mapping[str, Any]) -> StoreError:
    """What an answer of S3 means that is an error."""
    status, code = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), response["Error"]["Code"]
    message = f"{where} cannot be read or written: S3 answers {status} {code}"
    if code in ("NoSuchKey", "404"):
        return _AbsentError(f"{where} does not exist.")
    if status in (409, 412):
        return _TakenError(message)
    if (status >= 500 and status != 501) or status in (408, 429) or code in _PASSING_CODES:
        return TemporaryStoreError(message, _LATER)
    hint = "Check that the bucket exists, and that your AWS credentials may list, read, write and delete there."
    return StoreError(message, hint)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

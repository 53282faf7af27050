"""Bodies from S3 and the web; whatever their libraries raise becomes one message that says what to do."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from jaxscore.errors import FetchError, TemporaryFetchError

ALTERNATIVES = (
    "Use a local file with `--data FILE`, or type `jaxscore run` alone: the embedded benchmark needs no network."
)


@dataclass(frozen=True)
class Patience:
    """How long a download is waited for.

    Attributes:
        connect: seconds to connect; with `attempts`, a machine without network has its answer soon.
        read: seconds without a byte.
        attempts: tries until the first new byte.
        resumes: tries between one byte and the next, once there was one.
        backoff: seconds before the second try; they double with each further one.
        stall: seconds to wait for another process that fetches the same file and gets nowhere.
    """

    connect: float = 10.0
    read: float = 60.0
    attempts: int = 3
    resumes: int = 6
    backoff: float = 0.5
    stall: float = 600.0


class TransientError(TemporaryFetchError):
    """A fault that may be gone at the next try: no answer, a cut connection, a server in trouble."""


class ChangedError(FetchError):
    """The rest of a file cannot be had, since the file is no longer the one whose beginning is here."""


class Body(NamedTuple):
    """An open answer.

    Attributes:
        read: returns up to so many bytes, none at the end.
        start: position in the file of the first byte.
        total: bytes of the whole file, None where the server did not say.
        etag: what the server calls this version, without quotes, None where it did not say.
    """

    read: Callable[[int], bytes]
    start: int
    total: int | None
    etag: str | None


@contextmanager
def open_url(url: str, patience: Patience, start: int = 0, etag: str | None = None) -> Iterator[Body]:
    """Open what is behind an `s3://`, `https://` or `http://` url for reading.

    Args:
        url: the address.
        patience: how long an answer is waited for.
        start: first byte that is wanted. The answer starts there or, if the server will not, at 0.
        etag: with `start`: the version whose rest is wanted.

    Raises:
        TransientError: there was no answer, or none but that the server is in trouble; also while the body is read.
        ChangedError: with `start`: there is no such rest.
        FetchError: there is no such scheme or object, or access is denied.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("s3", "http", "https"):
        known = "Known: s3, https, http, file, hf://datasets/..., a path."
        raise FetchError(f"{url} cannot be fetched: {scheme}:// is unknown.", known)
    with ExitStack() as stack:
        with _network(url, start):
            body = stack.enter_context((_open_s3 if scheme == "s3" else _open_http)(url, patience, start, etag))

        def read(size: int) -> bytes:
            with _network(url, start):
                return body.read(size)

        yield body._replace(read=read)


@contextmanager
def _open_s3(url: str, patience: Patience, start: int, etag: str | None) -> Iterator[Body]:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    parts = urllib.parse.urlsplit(url, allow_fragments=False)
    target = {"Bucket": parts.netloc, "Key": parts.path[1:]}
    if not all(target.values()):
        raise FetchError(
            f"{url} is not complete.", "Expected s3://bucket/key, with ?versionId=... where one is wanted."
        )
    if version := urllib.parse.parse_qs(parts.query).get("versionId"):
        target["VersionId"] = version[0]
    if start:
        target |= {"Range": f"bytes={start}-", "IfMatch": f'"{etag}"'}
    config = Config(
        signature_version=None if os.environ.get("JAXSCORE_S3_SIGNED") == "1" else UNSIGNED,
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"total_max_attempts": 1},  # whoever opens tries again
    )
    session = boto3.session.Session()  # boto3's global session is not made for threads
    client = session.client("s3", region_name=session.region_name or "us-east-1", config=config)
    with closing(client):
        answer = client.get_object(**target)
        about = answer["ResponseMetadata"]
        with closing(answer["Body"]) as body:
            yield _body(body.read, about["HTTPStatusCode"], about["HTTPHeaders"], url, start, etag)


@contextmanager
def _open_http(url: str, patience: Patience, start: int, etag: str | None) -> Iterator[Body]:
    headers = {"User-Agent": "jaxscore"} | ({"Range": f"bytes={start}-", "If-Range": f'"{etag}"'} if start else {})
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(_Http(patience.read), _Https(patience.read))
    with opener.open(request, timeout=patience.connect) as response:
        yield _body(response.read, response.status, response.headers, url, start, etag)


def _body(
    read: Callable[[int], bytes], status: int, headers: Mapping[str, str], url: str, start: int, etag: str | None
) -> Body:
    """What the headers of an answer say; raises ChangedError for a part that is not the one asked for."""
    found = headers.get("etag", "").strip('"') or None
    if status != 206:
        length = headers.get("content-length")
        return Body(read, 0, int(length) if length else None, found)
    part = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("content-range", ""))
    if not part or int(part[1]) != start or found not in (etag, None):
        raise ChangedError(f"{url} answered with another part than was asked for.")
    return Body(read, start, int(part[2]), etag)


class _Http(urllib.request.HTTPHandler):
    """http with a time limit for reading; the library's own holds for connecting."""

    def __init__(self, read: float) -> None:
        super().__init__()
        self._connection = _with_read_timeout(http.client.HTTPConnection, read)

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, request)


class _Https(urllib.request.HTTPSHandler):
    """The same for https."""

    def __init__(self, read: float) -> None:
        super().__init__()
        self._connection = _with_read_timeout(http.client.HTTPSConnection, read)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, request)


def _with_read_timeout(base: type[http.client.HTTPConnection], seconds: float) -> type[http.client.HTTPConnection]:
    class Connection(base):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(seconds)

    return Connection


@contextmanager
def _network(url: str, start: int) -> Iterator[None]:
    """Turn what the network libraries raise into one message."""
    import botocore.exceptions as boto

    passing = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, boto.FlexibleChecksumError)
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(url, error.code, str(error.reason), start) from None
    except boto.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise _refused(url, status, error.response.get("Error", {}).get("Code", ""), start) from None
    except (OSError, http.client.HTTPException, *passing) as error:
        message = f"{url} could not be fetched: {_one_line(getattr(error, 'reason', error))}"
        raise TransientError(message, f"Check the network. {ALTERNATIVES}") from None
    except boto.BotoCoreError as error:
        hint = f"Check your AWS settings (environment, profile). {ALTERNATIVES}"
        raise FetchError(f"{url} could not be fetched: {_one_line(error)}", hint) from None


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__


def _refused(url: str, status: int, code: str, start: int) -> FetchError:
    """Return the error for an answer that is not the file."""
    answer = f"{status} {code}" if code != str(status) else code
    if start and status in (412, 416):
        return ChangedError(f"{url} has no such part any more ({answer}).")
    if status == 404:
        return FetchError(f"{url} does not exist ({answer}).", f"Check the address. {ALTERNATIVES}")
    if status in (401, 403):
        s3 = "S3 says this of absent keys too; for a private bucket, JAXSCORE_S3_SIGNED=1 uses your AWS credentials. "
        hint = (s3 if url.startswith("s3:") else "Check the address. ") + ALTERNATIVES
        return FetchError(f"Access to {url} is denied ({answer}).", hint)
    kind = TransientError if status >= 500 or status in (408, 429) else FetchError
    return kind(f"{url} could not be fetched: the server answered {answer}.", f"Try later. {ALTERNATIVES}")

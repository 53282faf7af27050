"""Bodies from S3 and the web; whatever their libraries raise becomes one message that says what to do."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from jaxscore.errors import FetchError

TIMEOUT = 10.0  # seconds to connect; with ATTEMPTS, a machine without network has its answer soon
READ_TIMEOUT = 60.0
ATTEMPTS = 2
ALTERNATIVES = (
    "Use a local file with `--data FILE`, or type `jaxscore run` alone: the embedded benchmark needs no network."
)


class Body(NamedTuple):
    """An open answer: `read(bytes)`, its declared length and its ETag, None where the server did not say."""

    read: Callable[[int], bytes]
    length: int | None
    etag: str | None


@contextmanager
def open_url(url: str) -> Iterator[Body]:
    """Open what is behind an `s3://`, `https://` or `http://` url for reading.

    Raises:
        FetchError: there is no such scheme, network or object, or access is denied; also while the body is read.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("s3", "http", "https"):
        raise FetchError(f"{url} cannot be fetched: {scheme}:// is unknown.", "Known: s3, https, http, file, a path.")
    with _network(url), (_open_s3 if scheme == "s3" else _open_http)(url) as body:
        yield body


@contextmanager
def _open_s3(url: str) -> Iterator[Body]:
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
    config = Config(
        signature_version=None if os.environ.get("JAXSCORE_S3_SIGNED") == "1" else UNSIGNED,
        connect_timeout=TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    session = boto3.session.Session()  # boto3's global session is not made for threads
    client = session.client("s3", region_name=session.region_name or "us-east-1", config=config)
    with closing(client):
        answer = client.get_object(**target)
        with closing(answer["Body"]) as body:
            yield Body(body.read, answer["ContentLength"], answer.get("ETag", "").strip('"') or None)


@contextmanager
def _open_http(url: str) -> Iterator[Body]:
    request = urllib.request.Request(url, headers={"User-Agent": "jaxscore"})
    for attempt in range(1, ATTEMPTS + 1):
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
            break
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            if attempt == ATTEMPTS:
                raise
    with response:
        yield Body(response.read, response.length, response.headers.get("ETag", "").strip('"') or None)


@contextmanager
def _network(url: str) -> Iterator[None]:
    """Turn what the network libraries raise into one message."""
    import botocore.exceptions

    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(url, error.code, str(error.reason)) from None
    except botocore.exceptions.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise _refused(url, status, error.response.get("Error", {}).get("Code", "")) from None
    except (OSError, http.client.HTTPException, botocore.exceptions.BotoCoreError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise FetchError(f"{url} could not be fetched: {reason}", f"Check the network. {ALTERNATIVES}") from None


def _refused(url: str, status: int, code: str) -> FetchError:
    """Return the error for an answer that is not the file."""
    answer = f"{status} {code}" if code != str(status) else code
    if status == 404:
        return FetchError(f"{url} does not exist ({answer}).", f"Check the address. {ALTERNATIVES}")
    if status in (401, 403):
        s3 = "S3 says this of absent keys too; for a private bucket, JAXSCORE_S3_SIGNED=1 uses your AWS credentials. "
        hint = (s3 if url.startswith("s3:") else "Check the address. ") + ALTERNATIVES
        return FetchError(f"Access to {url} is denied ({answer}).", hint)
    return FetchError(f"{url} could not be fetched: the server answered {answer}.", f"Try later. {ALTERNATIVES}")

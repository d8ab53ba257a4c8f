"""Requests to an MLflow server. What it answers is untrusted: bounded in size, checked for its types."""

from __future__ import annotations

import base64
import os
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec
import urllib3

from autotrack.errors import ConfigError, RemoteError, RemoteRefused

__all__ = ["Client", "Rejected"]

T = TypeVar("T")


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


P = TypeVar("P", bound=_Page)

ANSWER_LIMIT = 32 << 20
"""Bytes of an answer beyond which it is not read."""

LISTING_LIMIT = 1 << 30
"""Bytes of all pages of one listing beyond which no further one is asked for."""

TRIES = 4
"""How often a request that may be repeated is sent before the server counts as out of reach."""

PAUSE = 0.25
"""Seconds before the second try; each further one waits twice as long."""

_LATER = (408, 429, 500, 502, 503, 504)


class Rejected(RemoteError):
    """The server understood a request and will not do it (400, 404, 409, 413).

    Attributes:
        status: The HTTP status.
        code: MLflow's error code, or empty.
    """

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Failure(msgspec.Struct):
    error_code: str = ""
    message: str = ""


class Client:
    """Speaks to the server of one URI; one connection at a time is enough.

    Credentials come from MLflow's own variables: MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN.
    They are sent to this host only: a redirect is an error.

    Raises:
        ConfigError: The URI makes no sense.
    """

    def __init__(self, uri: str) -> None:
        try:
            parts = urllib.parse.urlsplit(uri.removeprefix("mlflow+"))
            host, port = parts.hostname, parts.port
        except ValueError:  # half an IPv6 address, a port that is none
            host, port = None, None
        if not host or port == 0 or parts.query or parts.fragment or parts.username is not None:
            raise ConfigError(
                "that is no address of an MLflow server: it must be like http://HOST:PORT, without credentials"
            )
        self.address = urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept-Encoding": "identity", **_authorization(os.environ)}
        self._pool = _pool(parts.scheme, host)
        self._received = 0  # bytes of answers

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def get(self, path: str, query: Mapping[str, str], answer: type[T]) -> T:
        """The answer to ``GET /api/2.0/<path>``."""
        text = urllib.parse.urlencode(query)
        return self._json(self._try_often("GET", f"{path}?{text}" if text else path), answer)

    def post(self, path: str, content: Any, answer: type[T], *, method: str = "POST", again: bool = True) -> T:
        """The answer to a request with a JSON body; ``again`` where doing it twice is the same as doing it once."""
        body = msgspec.json.encode(content)
        send = self._try_often if again else self._try_once
        return self._json(send(method, path, body), answer)

    def pages(self, path: str, query: Mapping[str, Any], answer: type[P], *, method: str = "POST") -> Iterator[P]:
        """All pages of a listing.

        Raises:
            RemoteError: It is too long, or does not end.
        """
        token, first = "", self._received
        while True:
            content = {**query, "page_token": token} if token else query
            page = self.post(path, content, answer) if method == "POST" else self.get(path, content, answer)
            yield page
            token, before = page.next_page_token, token
            if not token:
                return
            if token == before or self._received - first > LISTING_LIMIT:
                raise RemoteError(f"{self.address} gives a list without an end, or one that is too long")

    def put_file(self, path: str, file: BinaryIO, size: int) -> None:
        """Send ``size`` bytes of a file, piece by piece."""
        self._try_often("PUT", path, file, size)

    def fetch(self, path: str, file: BinaryIO, limit: int) -> None:
        """Write the answer to a GET into ``file``, at most ``limit`` bytes."""

        def take(response: urllib3.BaseHTTPResponse) -> bytes:
            file.seek(0)
            file.truncate()
            while block := response.read(1 << 20):
                if file.write(block) and file.tell() > limit:
                    response.close()
                    raise urllib3.exceptions.ProtocolError(f"its answer is longer than {limit} bytes")
            return b""

        self._try_often("GET", path, take=take)

    def _try_often(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO = b"",
        size: int | None = None,
        take: Callable[[urllib3.BaseHTTPResponse], bytes] | None = None,
    ) -> bytes:
        for count in range(TRIES):
            try:
                if count and not isinstance(body, bytes):
                    body.seek(0)
                return self._try_once(method, path, body, size, take)
            except (RemoteRefused, Rejected):
                raise
            except RemoteError:
                if count == TRIES - 1:
                    raise
            time.sleep(PAUSE * 2**count)
        raise AssertionError("not reached")

    def _try_once(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO = b"",
        size: int | None = None,
        take: Callable[[urllib3.BaseHTTPResponse], bytes] | None = None,
    ) -> bytes:
        kind = "application/json" if size is None else "application/octet-stream"
        headers = {**self._headers, "Content-Type": kind}
        if size is not None:
            headers["Content-Length"] = str(size)
        try:
            response = self._pool.request(
                method, f"{self.address}/api/2.0/{path}", body=body or None, headers=headers,
                preload_content=False, redirect=False, retries=False, decode_content=False,
            )  # fmt: skip
            try:
                data = take(response) if take is not None and response.status == 200 else _content(response)
            finally:
                response.drain_conn() if response.status < 300 else response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RemoteError(f"{self.address} cannot be reached: {_words(error)}") from None
        self._received += len(data)
        if response.status != 200:
            raise self._failure(response.status, data)
        return data

    def _failure(self, status: int, data: bytes) -> RemoteError:
        try:
            found = msgspec.json.decode(data, type=_Failure)
        except msgspec.DecodeError:
            found = _Failure()
        what = f"{self.address} answered {status} {found.error_code} {found.message[:300]}".rstrip()
        if status in (401, 403):
            return RemoteRefused(f"{what}: it does not accept the credentials of MLFLOW_TRACKING_USERNAME/_TOKEN")
        if 300 <= status < 400:
            return RemoteRefused(f"{what}: it sends us elsewhere; name that address itself")
        if status in _LATER or status >= 500:
            return RemoteError(what)
        return Rejected(what, status, found.error_code)

    def _json(self, data: bytes, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=answer)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RemoteError(f"{self.address} does not answer as an MLflow server does: {error}") from None


def _content(response: urllib3.BaseHTTPResponse) -> bytes:
    """All of an answer; one that is too long is an error."""
    data = b""
    while block := response.read(1 << 16):
        data += block
        if len(data) > ANSWER_LIMIT:
            response.close()
            raise urllib3.exceptions.ProtocolError(f"its answer is longer than {ANSWER_LIMIT} bytes")
    return data


def _words(error: Exception) -> str:
    """What went wrong; the client's own words begin with an object."""
    inner = getattr(error, "reason", None)
    text = str(inner if isinstance(inner, Exception) else error)
    return re.sub(r"^[<\w.]*\(.*?\)(: |>: )", "", text)[:300] or type(error).__name__


def _authorization(environment: Mapping[str, str]) -> dict[str, str]:
    user, token = environment.get("MLFLOW_TRACKING_USERNAME", ""), environment.get("MLFLOW_TRACKING_TOKEN", "")
    if user:
        pair = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _pool(scheme: str, host: str) -> urllib3.PoolManager:
    """Connections with the TLS, time limit and proxy that the environment asks for."""
    environment = os.environ
    try:
        seconds = float(environment.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "") or 60)
    except ValueError:
        raise ConfigError("MLFLOW_HTTP_REQUEST_TIMEOUT must be a number of seconds") from None
    options: dict[str, Any] = {"timeout": urllib3.Timeout(connect=min(seconds, 10.0), read=seconds), "maxsize": 2}
    if environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        options["cert_reqs"] = "CERT_NONE"
    elif certificates := environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        options["ca_certs"] = certificates
    if client := environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        options["cert_file"] = client
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy or urllib.request.proxy_bypass(host):
        return urllib3.PoolManager(**options)
    parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.username:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=pair)
    netloc = parts.netloc.rpartition("@")[2]
    return urllib3.ProxyManager(f"{parts.scheme}://{netloc}", **options)

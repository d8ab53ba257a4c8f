"""The HTTP client against servers that misbehave. No MLflow is needed for that."""

import base64
import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import autotrack_mlflow.client
import pytest
from autotrack_mlflow.answers import Done, ExperimentId, Found
from autotrack_mlflow.client import Client, Rejected

from autotrack.errors import ConfigError, RemoteError, RemoteRefused

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str], bytes]]]]:
    """A server that answers each request with ``answer``; its address and what it was asked."""
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, body))
            with contextlib.suppress(OSError):  # the client hung up
                answer(self)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def saying(status: int, content: bytes, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    return answer


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotrack_mlflow.client, "PAUSE", 0.001)


@contextlib.contextmanager
def talking(address: str) -> Iterator[Client]:
    client = Client(address)
    yield client
    client.close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_be_repeated_is_tried_a_few_times(status: int):
    with answering(saying(status, b"<html>busy</html>")) as (address, seen), talking(address) as client:
        with pytest.raises(RemoteError, match=str(status)):
            client.post("x", {}, Done)
        assert len(seen) == autotrack_mlflow.client.TRIES
        with pytest.raises(RemoteError, match=str(status)):
            client.post("x", {}, Done, again=False)
        assert len(seen) == autotrack_mlflow.client.TRIES + 1


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_not_tried_again(status: int):
    with answering(saying(status, b"no")) as (address, seen), talking(address) as client:
        with pytest.raises(RemoteRefused, match="MLFLOW_TRACKING_USERNAME"):
            client.get("x", {}, Done)
        assert len(seen) == 1


@pytest.mark.parametrize("status", [400, 404, 413])
def test_what_the_server_will_not_do_is_said_with_its_words(status: int):
    content = b'{"error_code": "BAD", "message": "no such thing"}'
    with answering(saying(status, content)) as (address, seen), talking(address) as client:
        with pytest.raises(Rejected, match=f"{status} BAD no such thing") as caught:
            client.get("x", {}, Done)
        assert (caught.value.status, caught.value.code, len(seen)) == (status, "BAD", 1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_credentials_go_nowhere_else(status: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with (
        answering(saying(200, b"{}")) as (other, taken),
        answering(saying(status, b"", Location=f"{other}/api/2.0/x")) as (address, seen),
        talking(address) as client,
    ):
        with pytest.raises(RemoteRefused, match="elsewhere"):
            client.post("x", {}, Done)
        assert seen[0][2]["authorization"] == "Bearer secret"
        assert taken == []


def test_basic_credentials_win_over_a_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p:ä")
    with answering(saying(200, b"{}")) as (address, seen), talking(address) as client:
        client.get("x", {"a": "b c&d"}, Done)
    name, path, headers, _ = seen[0]
    assert (name, path) == ("GET", "/api/2.0/x?a=b+c%26d")
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode() == "ada:p:ä"


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"<html>", b'{"experiment_id": 7}', b'{"experiment_id": null}', b"[]", b"{" * 100_000],
    ids=["empty", "null", "page", "number", "none", "list", "deep"],
)
def test_an_answer_of_another_shape_is_an_error(content: bytes):
    with (
        answering(saying(200, content)) as (address, _),
        talking(address) as client,
        pytest.raises(RemoteError, match="does not answer as an MLflow server does"),
    ):
        client.get("x", {}, ExperimentId)


def test_an_endless_answer_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(autotrack_mlflow.client, "ANSWER_LIMIT", 100_000)
    sent = []

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b" " * 10_000)
            sent.append(10_000)

    with (
        answering(endless) as (address, _),
        talking(address) as client,
        pytest.raises(RemoteError, match="longer than 100000 bytes"),
    ):
        client.post("x", {}, Found, again=False)


def test_an_endless_list_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(autotrack_mlflow.client, "LISTING_LIMIT", 1000)
    tokens = iter(range(10**6))

    def page(request: BaseHTTPRequestHandler) -> None:
        saying(200, b'{"runs": [{"info": {"run_id": "x"}}], "next_page_token": "%d"}' % next(tokens))(request)

    with answering(page) as (address, seen), talking(address) as client:
        with pytest.raises(RemoteError, match="without an end"):
            list(client.pages("x", {"a": 1}, Found))
        assert 10 < len(seen) < 100
        assert b"page_token" not in seen[0][3]
        assert b'"page_token":"0"' in seen[1][3]
    with answering(saying(200, b'{"next_page_token": "same"}')) as (address, seen), talking(address) as client:
        with pytest.raises(RemoteError, match="without an end"):
            list(client.pages("x", {}, Found, method="GET"))
        assert len(seen) == 2


def test_an_answer_that_is_packed_is_not_unpacked():
    import gzip

    packed = saying(200, gzip.compress(b" " * 10_000_000), **{"Content-Encoding": "gzip"})
    with (
        answering(packed) as (address, _),
        talking(address) as client,
        pytest.raises(RemoteError, match="MLflow server"),
    ):
        client.get("x", {}, Done)


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "0.2")
    over = threading.Event()
    with answering(lambda request: over.wait(60) and None) as (address, _), talking(address) as client:
        with pytest.raises(RemoteError, match="cannot be reached"):
            client.post("x", {}, Done, again=False)
        over.set()


def test_a_file_is_sent_whole_at_each_try():
    answers = iter([saying(500, b""), saying(200, b"")])
    with answering(lambda request: next(answers)(request)) as (address, seen), talking(address) as client:
        client.put_file("x/a%20b", io.BytesIO(b"abc" * 1000), 3000)
    assert [(path, body) for _, path, _, body in seen] == [("/api/2.0/x/a%20b", b"abc" * 1000)] * 2


@pytest.mark.parametrize("uri", [
    "http://", "http://:5000", "http://h?x=1", "http://h#x", "http://ada:pw@h", "http://[::1", "http://h:x", "http://h:99999",
])  # fmt: skip
def test_an_address_that_makes_no_sense(uri: str):
    with pytest.raises(ConfigError, match="no address"):
        Client(uri)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://h:5000/", "http://h:5000"),
        ("mlflow+https://h/prefix/", "https://h/prefix"),
        ("https://[::1]:5000", "https://[::1]:5000"),
    ],
    ids=["port", "prefix", "six"],
)
def test_addresses(uri: str, address: str):
    with talking(uri) as client:
        assert client.address == address


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    with answering(saying(200, b"{}")) as (address, seen):
        monkeypatch.setenv("http_proxy", address.replace("http://", "http://me:pw@"))
        with talking("http://mlflow.invalid:5000") as client:
            client.get("x", {}, Done)
        assert seen[0][1] == "http://mlflow.invalid:5000/api/2.0/x"
        assert base64.b64decode(seen[0][2]["proxy-authorization"].removeprefix("Basic ")) == b"me:pw"
        monkeypatch.setenv("no_proxy", "mlflow.invalid")
        with talking("http://mlflow.invalid:5000") as client, pytest.raises(RemoteError, match="cannot be reached"):
            client.post("x", {}, Done, again=False)
        assert len(seen) == 1

"""An HTTP proxy that hands requests on, and fails when it is told to."""

import http.client
import socket
import struct
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """``fault`` is asked with (method, path, number of the request) and gives one of these, or "" for none:

    ``500`` and other numbers: that answer, and nothing is handed on; ``reset``: the connection is cut in the middle
    of the request; ``half``: in the middle of the answer; ``lost``: the server does the work, and no answer comes;
    ``hang``: nothing comes, until the proxy ends.
    """

    def __init__(self, upstream: str) -> None:
        self.fault: Callable[[str, str, int], str] = lambda method, path, number: ""
        self.seen: Counter[str] = Counter()  # requests by "POST runs/create"
        self.authorizations: set[str | None] = set()
        self.ended = threading.Event()
        self._upstream = urllib.parse.urlsplit(upstream)
        self._lock = threading.Lock()
        self._count = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Proxy":
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self._count += 1
            number = self._count
            what = request.path.partition("?")[0].removeprefix("/api/2.0/")
            self.seen[f"{request.command} {'/'.join(what.split('/')[1:3])}"] += 1
            self.authorizations.add(request.headers.get("Authorization"))
        fault = self.fault(request.command, request.path, number)
        size = int(request.headers.get("Content-Length") or 0)
        if fault == "reset":
            request.rfile.read(size // 2)
            self._cut(request)
            return
        body = request.rfile.read(size)
        if fault == "hang":
            self.ended.wait(120)
            self._cut(request)
        elif fault.isdigit():
            self._answer(request, int(fault), b'{"error_code": "TRY", "message": "asked for by a test"}')
        else:
            status, content = self._hand_on(request, body)
            if fault == "lost":
                self._cut(request)
            elif fault == "half":
                request.send_response(status)
                request.send_header("Content-Length", str(len(content) + 10))
                request.end_headers()
                request.wfile.write(content[: len(content) // 2])
                self._cut(request)
            else:
                self._answer(request, status, content)

    def _hand_on(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=120)
        try:
            headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _answer(self, request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _cut(self, request: BaseHTTPRequestHandler) -> None:
        """End the connection as a crash does: with a reset."""
        request.close_connection = True
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()

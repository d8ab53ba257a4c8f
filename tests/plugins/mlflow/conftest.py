"""A real MLflow server, once for all tests of a process that ask for it, and a proxy in front of it that fails."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.mlflow.proxy import Proxy

START = 300.0
"""Seconds that a server may take to start."""

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Nothing is sent anywhere, and no processes are started for work that nobody asks for."""


def start_server(folder: Path, port: int = 0) -> tuple["subprocess.Popen[bytes]", str]:
    """A server with its database and artifacts in ``folder``, once it answers."""
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=folder,
            env={**os.environ, **QUIET},
        )  # fmt: skip
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return process, address
        except OSError:
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)


def stop_server(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server."""
    process, address = start_server(tmp_path_factory.mktemp("server"))
    yield address
    stop_server(process)


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with Proxy(server) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's environment decides which server is asked, and how."""
    for name in list(os.environ):
        if name.startswith("MLFLOW_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

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

from tests.plugins.mlflow.copying import client
from tests.plugins.mlflow.proxy import Proxy

START = 300.0
"""Seconds that a server may take to start."""

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Nothing is sent anywhere, and no processes are started for work that nobody asks for."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def start_server(
    folder: Path, port: int = 0, *, database: str = "", artifacts: str = "", **environment: str
) -> tuple["subprocess.Popen[bytes]", str]:
    """A server, once it answers; its database and artifacts are in ``folder`` unless they are given."""
    port = port or free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", database or f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", artifacts or str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=folder,
            env={**os.environ, **QUIET, **environment},
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
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server, on which earlier tests have left what they left."""
    process, address = start_server(tmp_path_factory.mktemp("server"))
    yield address
    stop_server(process)


@pytest.fixture
def server(shared_server: str) -> str:
    """Address of a server that shows nothing of other tests; starting one takes ten seconds."""
    known = client(shared_server)
    for experiment in known.search_experiments():
        if experiment.name == "Default":
            for run in known.search_runs([experiment.experiment_id]):
                known.delete_run(run.info.run_id)
        else:  # the name of a deleted one cannot be taken again
            known.rename_experiment(experiment.experiment_id, f"earlier {experiment.experiment_id}")
            known.delete_experiment(experiment.experiment_id)
    for model in known.search_registered_models():
        known.delete_registered_model(model.name)
    return shared_server


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

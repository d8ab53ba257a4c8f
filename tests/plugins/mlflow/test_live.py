"""The forwarder at work: trainings whose store is a server, and what is there after kills of either."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mlflow.copying import copy, on_server, points
from tests.plugins.mlflow.proxy import Proxy
from tests.test_forwarder import gone

pytestmark = pytest.mark.slow

TRAIN = """
    import sys, time
    seen = []
    sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith("socket.conn") else None)
    import autotrack

    address, experiment, count, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    autotrack.enable(store=address, experiment=experiment)
    run = autotrack.start_run("training")
    from autotrack.backends.housekeeping import housekeeper
    assert housekeeper.wait_idle(60)
    print(*[forwarder._process.pid for forwarder in autotrack.api.session_in_use().forwarders], flush=True)
    run.log_params({"lr": 0.1})
    for step in range(count):
        run.log_metrics({"loss": step / 4}, step=step)
        time.sleep(pause)
    assert seen == []
    print("logged", flush=True)
    sys.stdin.readline()
"""


class Training:
    """A training in a process of its own; ``forwarder`` and ``others`` are process ids of its forwarders."""

    def __init__(self, folder: Path, *arguments: object, **environment: str) -> None:
        self.store = folder / ".autotrack"
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(TRAIN), *map(str, arguments)], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "AUTOTRACK_EXIT_WAIT": "120", **environment},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.forwarder, *self.others = map(int, self.process.stdout.readline().split())

    def wait_logged(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "logged\n"

    def end(self) -> str:
        """Let it end; what it said on stderr."""
        _, said = self.process.communicate("\n", timeout=200)
        assert self.process.returncode == 0, said
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[..., Training]]:
    trainings: list[Training] = []

    def start(*arguments: object, **environment: str) -> Training:
        trainings.append(Training(tmp_path, *arguments, **environment))
        return trainings[-1]

    yield start
    for training in trainings:
        training.kill()
        kill(training.forwarder)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    assert gone(pid)


def the_run(address: str, experiment: str) -> Any:
    (run,) = on_server(address, experiment).values()
    return run


def test_all_is_there_when_the_process_has_ended(train, server: str):
    training = train(server, "live", 300, 0)
    assert training.end() == ""
    run = the_run(server, "live")
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})
    assert points(server, run, "loss") == [(step, step / 4) for step in range(300)]
    assert gone(training.forwarder)
    assert list((training.store / "log").iterdir()) == []


def test_a_training_is_seen_while_it_goes_on(train, server: str):
    train(server, "seen", 50, 0).wait_logged()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = list(on_server(server, "seen").values())
        if runs and runs[0].data.metrics.get("loss") == 49 / 4:
            break
        time.sleep(0.2)
    assert runs[0].info.status == "RUNNING"
    assert len(points(server, runs[0], "loss")) == 50


def test_a_training_that_is_killed_is_there_up_to_then(train, server: str):
    training = train(server, "killed", 500, 0)
    training.wait_logged()
    training.kill()
    assert gone(training.forwarder, 200)
    run = the_run(server, "killed")
    assert (run.info.status, run.data.tags["autotrack.status"]) == ("KILLED", "killed")
    assert points(server, run, "loss") == [(step, step / 4) for step in range(500)]


def test_when_both_are_killed_sync_does_the_rest(train, server: str):
    training = train(server, "both", 500, 0)
    training.wait_logged()
    kill(training.forwarder)
    training.kill()
    copy(training.store, server)
    run = the_run(server, "both")
    assert run.info.status == "KILLED"
    assert points(server, run, "loss") == [(step, step / 4) for step in range(500)]


def test_a_server_that_is_away_for_a_while_costs_nothing(train, server: str, proxy: Proxy):
    proxy.fault = lambda method, path, number: "reset" if number > 4 else ""
    training = train(proxy.address, "away", 400, 0.002)
    training.wait_logged()
    deadline = time.monotonic() + 60
    while sum(proxy.seen.values()) < 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    proxy.fault = lambda method, path, number: ""
    assert training.end() == ""
    assert points(server, the_run(server, "away"), "loss") == [(step, step / 4) for step in range(400)]
    assert gone(training.forwarder)


def test_a_server_that_is_down_from_the_start(train, server: str, proxy: Proxy):
    proxy.fault = lambda method, path, number: "reset"
    training = train(proxy.address, "down at first", 200, 0, AUTOTRACK_EXIT_WAIT="0.5")
    assert "a process of its own goes on copying them" in training.end()
    proxy.fault = lambda method, path, number: ""
    copy(training.store, server)  # beside the forwarder, which is still there
    assert gone(training.forwarder, 200)
    assert points(server, the_run(server, "down at first"), "loss") == [(step, step / 4) for step in range(200)]


def test_one_of_two_servers_is_down(train, server: str):
    training = train(f"{server},http://127.0.0.1:1", "one of two", 200, 0, AUTOTRACK_EXIT_WAIT="1")
    assert "are on http://127.0.0.1:1 yet" in training.end()
    assert gone(training.forwarder, 200)
    assert points(server, the_run(server, "one of two"), "loss") == [(step, step / 4) for step in range(200)]
    os.kill(training.others[0], signal.SIGKILL)


def test_a_server_that_refuses_ends_the_forwarder_and_not_the_training(train, proxy: Proxy):
    proxy.fault = lambda method, path, number: "401"
    training = train(proxy.address, "refused", 10, 0)
    said = training.end()
    assert "copying them failed" in said
    assert gone(training.forwarder)
    (log,) = (training.store / "log").iterdir()
    assert "MLFLOW_TRACKING_USERNAME" in log.read_text()

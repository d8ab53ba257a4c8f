"""kill -9 of the training, of its forwarder, of both, at random moments. ``TEST_KILLS=100`` tries so many."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

import autotrack
from tests.plugins.mlflow.copying import copy, points
from tests.plugins.mlflow.test_live import Training, the_run
from tests.test_forwarder import gone

pytestmark = pytest.mark.slow

MOMENTS = int(os.environ.get("TEST_KILLS", "6"))


@pytest.mark.parametrize("seed", range(MOMENTS))
def test_every_point_that_was_logged_is_there_once(seed: int, tmp_path: Path, server: str):
    moments, experiment = random.Random(seed), f"killed at {seed}"
    who = ("training", "forwarder", "both")[seed % 3]
    training = Training(tmp_path, server, experiment, 1500, 0.001)
    try:
        time.sleep(moments.random() * moments.choice([0.2, 1.0, 4.0]))
        victims = [training.process.pid] * (who != "forwarder") + [training.forwarder] * (who != "training")
        for pid in moments.sample(victims, len(victims)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if who == "training":
            assert gone(training.forwarder, 200)  # it has finished the work
        elif who == "forwarder":
            training.wait_logged()
            training.end()
    finally:
        training.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(training.forwarder, signal.SIGKILL)
        assert gone(training.forwarder)
    if who != "training":
        copy(training.store, server)
    run = the_run(server, experiment)
    (here,) = autotrack.runs(store=training.store)
    assert (here.status, run.info.status) in [("finished", "FINISHED"), ("killed", "KILLED")]
    logged = [(point.step, point.value) for point in here.history("loss")] if here.metrics else []
    assert logged == [(step, step / 4) for step in range(len(logged))]
    assert points(server, run, "loss") == logged
    assert copy(training.store, server).progress.records == 0

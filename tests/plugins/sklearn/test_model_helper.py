"""The helper process that turns models."""

import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from autotrack_sklearn.formats import SkopsFormat
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import autotrack
from tests.plugins.sklearn.kept import Bomb, X, plant, wait_until, y

pytestmark = [pytest.mark.slow, pytest.mark.every_python]  # processes whose helper is waited for


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


TRAIN = """
import sys, time
import autotrack
from autotrack.models import conversion
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
autotrack.enable(store="store")
LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
while conversion._helper is None:
    time.sleep(0.01)
print(conversion._helper.pid, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_nothing_is_left_running_after_the_script_and_the_model_is_safe(script, tmp_path):
    pid = int(script(TRAIN).stdout)
    wait_until(lambda: not alive(pid))
    record = autotrack.get_run("@last", store=tmp_path / "store")
    assert record.models["model"].format == "skops"
    assert record.status == "finished"
    assert type(autotrack.load_model("@last", store=tmp_path / "store")) is LogisticRegression


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_the_helper_ends_when_the_training_is_killed(tmp_path):
    train = subprocess.Popen(
        [sys.executable, "-c", TRAIN + "time.sleep(100)"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with train:
        pid = int(train.stdout.readline())
        assert alive(pid)
        train.send_signal(signal.SIGKILL)
        train.wait(30)
    wait_until(lambda: not alive(pid))
    record = autotrack.get_run("@last", store=tmp_path / "store")
    assert record.models["model"].format == "skops"


def test_the_helper_opens_no_file_but_the_one_it_was_given(tracked, tmp_path):
    """Between the fit and the conversion somebody puts another pickle in its place."""
    from autotrack import helper

    target = tmp_path / "exploded"
    LogisticRegression(max_iter=500).fit(X, y)
    record = autotrack.get_run("@last")
    folder = tracked / "runs" / record.id
    bomb = folder / "models" / "bomb.pickle"
    bomb.write_bytes(pickle.dumps(Bomb(target)))
    job = {"folder": str(folder), "run": record.id, "child": "", "name": "bomb", "cls": "", "to": "skops"}
    helper.convert({**job, "path": "models/bomb.pickle", "sha256": "0" * 64}, SkopsFormat())
    assert not target.exists()
    assert bomb.exists()
    assert "not the one that was saved" in autotrack.get_run(record.id).models["bomb"].stays


def test_only_a_model_that_is_being_turned_is_waited_for(tracked, recorded):
    """The helper is at work, but has nothing to do with this pickle."""
    plant(tracked, recorded, pickle.dumps(1), form="pickle")
    LogisticRegression(max_iter=500).fit(X, y)
    started = time.monotonic()
    with pytest.raises(autotrack.ModelNotTrusted):
        autotrack.load_model(recorded.id)
    assert time.monotonic() - started < 20


def test_a_model_that_cannot_be_pickled_is_noted_and_costs_nothing_else(tracked):
    make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression(max_iter=500)).fit(X, y)
    record = autotrack.get_run("@last")
    assert (record.status, record.incomplete, record.models) == ("finished", False, {})
    assert any("cannot be pickled" in text and "lambda" in text for _, text in record.notes)
    with pytest.raises(autotrack.ModelError, match="cannot be pickled"):
        autotrack.load_model("@last")

"""The helper process that turns pickles into skops: never waited for, never seen, and not missed when it dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import autotrack

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
    pytest.mark.slow,  # processes whose helper is waited for
    pytest.mark.every_python,
]

HEAD = """
import os, signal, sys, time
import autotrack
from autotrack.models import conversion
from sklearn.linear_model import LinearRegression

def fit():
    LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])

def helper(other_than=None):
    end = time.monotonic() + 60
    while conversion._helper in (None, other_than) and time.monotonic() < end:
        time.sleep(0.01)
    return conversion._helper

start = conversion._start

def stopped():
    process = start()
    process.send_signal(signal.SIGSTOP)  # before it is through with importing
    return process

def all_is_handed_over():
    from autotrack.backends.housekeeping import housekeeper
    assert housekeeper.wait_idle(60)

autotrack.enable(store="store")
"""


def train(tmp_path: Path, body: str, timeout: float = 120, **env: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-c", HEAD + body],
        cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def models(tmp_path: Path) -> list:
    """Oldest first."""
    return [run.models["model"] for run in reversed(autotrack.runs(store=tmp_path / "store"))]


def test_the_helper_is_out_of_the_way(tmp_path: Path):
    """Nice, in a session of its own, silent, recording off, and all that is asked of the process itself."""
    done = train(
        tmp_path,
        """
fit()
pid = helper().pid
end = time.monotonic() + 60
nice = str(min(os.nice(0) + 10, 19))
while open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[16] != nice:  # it is set when it is up
    assert time.monotonic() < end, "it is not nice"
    time.sleep(0.01)
assert os.getsid(pid) == pid != os.getsid(0)
assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)] == [os.devnull] * 2
environment = open(f"/proc/{pid}/environ").read().split(chr(0))
assert "AUTOTRACK_MODE=off" in environment
print(pid)
""",
    )
    assert done.stderr == ""
    wait_until(lambda: is_gone(int(done.stdout)))
    assert [model.format for model in models(tmp_path)] == ["skops"]
    assert len(autotrack.runs(store=tmp_path / "store")) == 1


def test_a_model_keeps_what_was_known_of_it(tmp_path: Path):
    code = "import numpy\nLinearRegression().fit(numpy.eye(3), numpy.ones(3))\nprint(helper().pid)"
    pid = int(train(tmp_path, code).stdout)
    wait_until(lambda: is_gone(pid))
    (model,) = models(tmp_path)
    assert model.format == "skops"
    assert model.signature["inputs"] == {"shape": [None, 3], "dtype": "float64"}
    assert set(model.requires) == {"scikit-learn"}


def test_a_dead_helper_leaves_a_pickle_that_says_so_and_the_next_model_has_another(tmp_path: Path):
    train(
        tmp_path,
        """
conversion._start = stopped
fit()
first = helper()
fit()
fit()
all_is_handed_over()
conversion._start = start
first.kill()
first.wait(10)
fit()
second = helper(other_than=first)
assert second.pid != first.pid
autotrack.load_model("@last")
""",
    )
    wait_until(lambda: [model.format for model in models(tmp_path)] == ["pickle", "skops", "skops", "skops"])
    first = models(tmp_path)[0]
    assert "the helper process died" in first.stays
    assert "-9" in first.stays
    record = autotrack.runs(store=tmp_path / "store")[-1]
    assert (record.status, record.incomplete) == ("finished", False)
    with pytest.raises(autotrack.ModelNotTrusted, match="trusted=True"):
        autotrack.load_model(record.id, store=tmp_path / "store")
    assert autotrack.load_model(record.id, True, store=tmp_path / "store").predict([[3.0]]).round(6).tolist() == [3.0]


def test_a_helper_that_died_and_is_not_needed_again_is_noticed_at_the_exit(tmp_path: Path):
    train(tmp_path, "conversion._start = stopped\nfit()\nhelper().kill()\nhelper().wait(10)")
    (model,) = models(tmp_path)
    assert model.format == "pickle"
    assert "died" in model.stays


def test_nobody_waits_for_a_helper_that_hangs(tmp_path: Path):
    """More jobs than a pipe holds; neither the trainings, nor the heartbeat's thread, nor the exit wait."""
    done = train(
        tmp_path,
        """
conversion._start = stopped
fit()
hanging = helper()
last = autotrack.last_run()
from autotrack.records import Model
for number in range(2000):
    conversion.convert_later(last._writer, Model(t=0, name=f"m{number}", format="pickle", path="models/none",
                                                 size=1, sha256=str(number), signature={"x": "y" * 100}), "skops")
all_is_handed_over()
print(hanging.pid, flush=True)
""",
    )
    pid = int(done.stdout)
    assert not is_gone(pid)
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: is_gone(pid))  # it works off what it was given, and ends
    assert models(tmp_path)[0].format == "skops"


def test_a_shared_store_gets_files_of_its_own_modes(tmp_path: Path):
    assert autotrack.init_store(tmp_path / "store", shared=True)
    pid = int(train(tmp_path, "os.umask(0o077)\nfit()\nprint(helper().pid)").stdout)
    wait_until(lambda: is_gone(pid))
    assert models(tmp_path)[0].format == "skops"
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".skops", ".jsonl", ".txt"}
    assert {oct(path.stat().st_mode & 0o7777) for path in files} == {"0o660"}
    folders = [tmp_path / "store", *(path for path in (tmp_path / "store").rglob("*") if path.is_dir())]
    assert {oct(path.stat().st_mode & 0o7777) for path in folders} == {"0o2770"}


def test_the_helper_survives_its_parent(tmp_path: Path):
    code = "fit()\nfit()\nall_is_handed_over()\nprint(helper().pid, flush=True)\ntime.sleep(100)"
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + code], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait(60)
    wait_until(lambda: is_gone(pid))
    assert [model.format for model in models(tmp_path)] == ["skops", "skops"]


def test_jobs_are_lines_of_json_behind_a_count(tmp_path: Path):
    """What the helper is started with, without the rest: a job that makes no sense costs no other."""
    from autotrack.models.conversion import DONE_BYTES

    jobs = tmp_path / "jobs"
    line = json.dumps({"folder": str(tmp_path), "path": "none", "to": "skops"}).encode()
    jobs.write_bytes(b"0".rjust(DONE_BYTES) + b"{}\n" + b"no json\n" + line + b"\n")
    with jobs.open("r+b") as file:
        done = subprocess.run(
            [sys.executable, "-m", "autotrack.helper", str(file.fileno())],
            stdin=subprocess.DEVNULL, pass_fds=[file.fileno()], timeout=300,
            env={**os.environ, "AUTOTRACK_STRICT": "0"},
        )  # fmt: skip
    assert done.returncode == 0
    assert jobs.read_bytes()[:DONE_BYTES].strip() == b"3"

"""What goes wrong around a training: kill -9, threads, forks, full disks, vanished folders. It never notices."""

import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

import autotrack
from autotrack import reader
from autotrack.backends import file_run, journal
from autotrack.backends.file_source import FileSource
from autotrack.backends.housekeeping import housekeeper

# ---- kill -9 --------------------------------------------------------------------------------------------------------

# One process imports autotrack and forks a child per order; a child logs until it is killed, and after each
# call that returned writes the step into a file of its own.
ZYGOTE = """
import os, signal, sys
from autotrack import api
store, folder = sys.argv[1:]
for line in sys.stdin:
    number, last = line.split()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ["AUTOTRACK_STORE"] = store
        returned = os.open(f"{folder}/{number}", os.O_WRONLY | os.O_CREAT)
        run = api.start_run(name=f"kill-{number}", experiment="faults")
        os.pwrite(returned, b"0", 0)
        for step in range(1, int(last) + 1):
            run.log_metrics({"loss": 1 / step}, step=step)
            os.pwrite(returned, b"%d" % step, 0)
        run.end()
        api._at_exit()
        os._exit(0)
    print(pid, flush=True)
"""


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def returned_in(path):
    """The last step that a child told of; -1 before it has a run."""
    return int(path.read_bytes() or -1) if path.exists() else -1


def kill_at_random_moments(tmp_path, times):
    store, folder = tmp_path / "store", tmp_path / "returned"
    folder.mkdir()
    chance = random.Random()
    zygote = subprocess.Popen(
        [sys.executable, "-c", ZYGOTE, str(store), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def start(number, last):
        zygote.stdin.write(f"{number} {last}\n")
        zygote.stdin.flush()
        return int(zygote.stdout.readline())

    try:
        for number in range(times):
            pid = start(number, 10**9)
            if number % 4:  # the others may die while they open their run
                wait_for(lambda: returned_in(folder / str(number)) >= 30)  # noqa: B023
            time.sleep(chance.uniform(0, 0.02))
            os.kill(pid, 9)
            wait_for(lambda: gone(pid))  # noqa: B023
        pid = start("next", 5)
        wait_for(lambda: gone(pid))
    finally:
        zygote.communicate(timeout=60)
    runs = {run.name: run for run in (reader.read_run(FileSource(store), name) for name in FileSource(store).run_ids())}
    returned = {path.name: returned_in(path) for path in folder.iterdir()}
    return runs, returned


def torn_at_a_page(problem):
    torn = re.fullmatch(r"\w+\.jsonl: torn last line of (\d+) bytes at byte (\d+)", problem)
    return torn is not None and (int(torn[1]) + int(torn[2])) % os.sysconf("SC_PAGE_SIZE") == 0


def check_killed(times, runs, returned):
    total = 0
    for number in range(times):
        last = returned.get(str(number), -1)
        run = runs.get(f"kill-{number}")
        if run is None:
            assert last == -1
            continue
        steps = [point.step for point in run.history("loss")] if run.metrics else []
        assert steps == list(range(1, len(steps) + 1))  # each once, in order
        assert last <= len(steps) <= max(last, 0) + 1  # and at most the one that was under way
        assert all(point.value == 1 / point.step for point in (run.history("loss") if steps else []))
        assert run.status == "killed"
        # A SIGKILL may stop one write where a page of the file ends: the line that had not returned is torn there.
        assert [problem for problem in run.problems if not torn_at_a_page(problem)] == []
        total += len(steps)
    assert total > 20 * times  # they were killed while they were logging
    assert runs["kill-next"].status == "finished"
    assert [point.step for point in runs["kill-next"].history("loss")] == [1, 2, 3, 4, 5]


def test_kill_9_at_10_random_moments(tmp_path):
    check_killed(10, *kill_at_random_moments(tmp_path, 10))


@pytest.mark.slow
def test_kill_9_at_200_random_moments(tmp_path):
    check_killed(200, *kill_at_random_moments(tmp_path, 200))


# ---- threads and forks ----------------------------------------------------------------------------------------------


def test_8_threads_with_90_trainings_each_make_720_whole_runs(tracked):
    autotrack.enable(store=tracked, experiment="test", models="never")
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    failures = []

    def work(thread):
        try:
            fit = eval(compile("lambda model: model.fit(X, y)", f"thread-{thread}.py", "eval"), {"X": X, "y": y})
            for number in range(90):  # few enough for one line of code: more are a series
                value = float(thread * 90 + number + 1)
                fit(LogisticRegression(C=value, max_iter=5, tol=1.0))
                autotrack.log_metrics({"mine": value})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    runs = list(autotrack.runs())
    assert len(runs) == 720
    assert sorted(run.params["C"] for run in runs) == [float(number) for number in range(1, 721)]
    for run in runs:
        assert run.status == "finished"
        assert run.problems == []
        assert run.changed.count("C") == (run.params["C"] != 1.0)
        assert [point.value for point in run.history("mine")] == [run.params["C"]]
        assert run.metrics["fit_time"] > 0
        assert not run.children


FORK = """
import os, sys, time
import autotrack
autotrack.enable(store=sys.argv[1])
with autotrack.start_run(name="forked") as run:
    for step in range(50):
        run.log_metrics({"parent": step}, step=step)
    pid = os.fork()
    who = "parent" if pid else "child"
    for step in range(50, 100):
        run.log_metrics({who: step}, step=step)
    if pid == 0:
        run.set_tags({"from": "child"})
        run.child("inner").log_metrics({"x": 1})
        sys.exit(0)  # through __exit__ of the run, and atexit
    assert os.waitpid(pid, 0)[1] == 0
    status = autotrack.get_run(run.id).status
    run.log_metrics({"parent": 100}, step=100)
    run.child("inner").log_metrics({"x": 2})
print(status)
"""


def test_fork_in_mid_run(script, tmp_path):
    quiet = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}  # Python 3.12 warns of a fork beside any other thread
    done = script(FORK, str(tmp_path / "store"), env=quiet)
    assert done.stdout == "running\n"
    assert done.stderr == ""
    source = FileSource(tmp_path / "store")
    (run_id,) = source.run_ids()
    run = reader.read_run(source, run_id)
    assert [point.step for point in run.history("parent")] == list(range(101))
    assert [point.step for point in run.history("child")] == list(range(50, 100))
    assert (run.status, run.tags, run.problems) == ("finished", {"from": "child"}, [])
    assert sorted(child.metrics["x"] for child in run.children) == [1, 2]
    ends = [
        entry for entry in source.read(run_id).entries if type(entry.record).__name__ == "End" and not entry.record.c
    ]
    assert len(ends) == 1


# ---- a disk that takes no more --------------------------------------------------------------------------------------

TRAIN = """
import json, os, shutil, sys
import autotrack
from autotrack.backends import journal
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
os.environ["AUTOTRACK_STRICT"] = "0"
store = sys.argv[1]
autotrack.enable(store=store, experiment="faults", models="always")

def train():
    print(json.dumps(LogisticRegression(max_iter=300).fit(X, y).coef_.tolist()))

def fill(run):
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), run._writer._journal._fd)

def last_folder():
    return os.path.join(store, "runs", sorted(os.listdir(os.path.join(store, "runs")))[-1])
"""

FAULTS = {
    "full disk": """
with autotrack.start_run(name="r") as run:
    fill(run)
    train()
    for step in range(100):
        run.log_metrics({"loss": step})
""",
    "limit of file size": """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal.RETRY_AFTER = 0.0
with autotrack.start_run(name="r") as run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, resource.RLIM_INFINITY))
    train()
    for step in range(100):
        run.log_metrics({"loss": step})
    train()
""",
    "vanished run": """
with autotrack.start_run(name="r") as run:
    run.log_metrics({"loss": 1})
    shutil.rmtree(last_folder())
    train()
    for step in range(100):
        run.log_metrics({"loss": step})
""",
    "vanished store": """
with autotrack.start_run(name="r") as run:
    run.log_metrics({"loss": 1})
    shutil.rmtree(store)
    train()
    run.log_metrics({"loss": 2})
""",
    "store is a file": """
shutil.rmtree(store, ignore_errors=True)
open(store, "w").close()
train()
with autotrack.start_run(name="r") as run:
    run.log_metrics({"loss": 2})
""",
    "store below a file": """
open(store, "w").close()
autotrack.enable(store=store + "/below", experiment="faults", models="always")
train()
""",
    "no permission": """
train()  # imports and files that are needed once
from autotrack.backends.housekeeping import housekeeper
assert housekeeper.wait_idle(100)  # the helper process runs: who we become may not be allowed to start one
os.chmod(os.path.join(store, "runs"), 0o500)
os.chmod(store, 0o500)
if os.getuid() == 0:
    os.setuid(65534)
train()
with autotrack.start_run(name="r") as run:
    train()
    run.log_metrics({"loss": 2})
""",
}


@pytest.fixture(scope="module")
def expected():
    """The numbers of the same training without autotrack."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=300).fit(X, y).coef_.tolist()


@pytest.mark.every_python
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_ends_normally_with_one_warning(script, tmp_path, expected, fault):
    done = script(TRAIN + FAULTS[fault], str(tmp_path / "store"))
    trained = [json.loads(line) for line in done.stdout.splitlines()]
    assert trained
    assert all(coefficients == expected for coefficients in trained)
    first, *last = done.stderr.splitlines()
    assert "autotrack cannot write to" in first
    assert "Your training goes on" in first
    assert len(last) == 1
    dropped = int(last[0].partition("could not write ")[2].split()[0])
    assert dropped > 0
    if fault == "full disk":
        assert dropped >= 100


def test_the_count_of_dropped_records_is_right(script, tmp_path):
    done = script(
        TRAIN
        + """
with autotrack.start_run(name="r") as run:
    from autotrack.backends.housekeeping import housekeeper
    assert housekeeper.wait_idle(100)  # it captures facts beside us
    for step in range(10):
        run.log_metrics({"loss": step})
    print(len(run._writer._backend.source().read(run.id).entries))
    if sys.argv[2] == "vanished":
        shutil.rmtree(last_folder())
    else:
        fill(run)
    for step in range(5):
        run.log_metrics({"loss": step})
""",
        str(tmp_path / "store"),
        "vanished",
    )
    lost = int(done.stdout) + 5 + 1  # what was there, and the metrics and the end that followed
    assert f"could not write {lost} records of 1 runs" in done.stderr.splitlines()[-1]
    full = script((tmp_path / "train.py").read_text(), str(tmp_path / "store"), "full")
    assert "could not write 6 records of 1 runs" in full.stderr.splitlines()[-1]


@pytest.mark.parametrize("before", ["", "autotrack.disable()", "autotrack.disable(); time.sleep(6)"])
def test_who_deletes_a_store_after_its_runs_have_ended_hears_nothing(script, tmp_path, before):
    """As the end of a test or of a temporary folder does, while facts still come in and nothing was forced to disk."""
    done = script(
        TRAIN
        + f"""
import time
train()
with autotrack.start_run(name="r") as run:
    train()
    run.log_metrics({{"loss": 1}})
{before}
os.rename(store, store + ".old")  # at one moment: facts that come in while a folder is being emptied may fill it again
shutil.rmtree(store + ".old")
train()
""",
        str(tmp_path / "store"),
    )
    assert done.stderr == ""


def test_recovery_when_there_is_room_again(tracked, monkeypatch, caplog):
    monkeypatch.setattr(journal, "RETRY_AFTER", 0.0)
    with autotrack.start_run(name="r") as run:
        run.log_metrics({"loss": 0.0})
        assert housekeeper.wait_idle(60)  # no record that is captured beside us is lost instead
        for step in (1, 2):  # twice: the file that was begun after the first failure fails as well
            with open("/dev/full", "wb") as full:
                os.dup2(full.fileno(), run._writer._journal._fd)
            run.log_metrics({"loss": -1.0})
            run.log_metrics({"loss": float(step)})
        LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    found = autotrack.get_run(run.id)
    assert [point.value for point in found.history("loss")] == [0.0, 1.0, 2.0]
    assert found.status == "finished"
    assert found.problems == ["2 records could not be written"]
    assert "model" in found.models
    assert len([message for message in caplog.messages if "cannot write" in message]) == 1
    heads = [
        json.loads(path.read_bytes().partition(b"\n")[0]) for path in (tracked / "runs" / run.id / "journal").iterdir()
    ]
    assert len([head for head in heads if head["pid"] == os.getpid()]) == 3  # whoever saves the model has another
    run._writer._backend.close()  # as at exit
    assert "could not write 2 records of 1 runs" in caplog.messages[-1]


def test_on_a_disk_that_is_nearly_full_only_records_are_written(tracked, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(file_run, "LOW_DISK", 1 << 62)
    (tmp_path / "f.txt").write_text("x")
    with autotrack.start_run(name="r") as run:
        LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        run.log_artifact(tmp_path / "f.txt")
        run.log_params({"long": "y" * 5000, "short": 1})
        run.log_metrics({"loss": 1.0})
    found = autotrack.get_run(run.id)
    assert (found.models, found.artifacts) == ({}, {})
    assert found.metrics["loss"] == 1.0
    assert found.params["short"] == 1
    assert found.params["long"] == "y" * 1000 + "…"
    notes = [text for _, text in found.notes]
    assert any("model 'model' was not saved" in text for text in notes)
    assert any("artifact 'f.txt' was not stored" in text for text in notes)
    assert sorted(path.name for path in (tracked / "runs" / run.id).iterdir()) == ["journal"]
    assert [record.levelno for record in caplog.records if "no room for files" in record.message] == [logging.WARNING]


def test_a_store_that_vanished_is_made_anew_for_the_next_run(tracked):
    with autotrack.start_run(name="one"):
        pass
    assert housekeeper.wait_idle(60)  # nobody writes into what is deleted
    shutil.rmtree(tracked)
    with autotrack.start_run(name="two"):
        pass
    assert [run.name for run in autotrack.runs()] == ["two"]
    assert Path(tracked, "store.json").exists()

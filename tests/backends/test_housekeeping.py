"""The housekeeping thread: rounds and jobs, and that it is away while a process forks."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from autotrack.backends import housekeeping
from autotrack.backends.housekeeping import Housekeeper

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Housekeeper]:
    """One of its own, without a fork hook; its thread is gone afterwards."""
    monkeypatch.setattr(housekeeping, "PATIENCE", 30.0)  # the machine may be slow
    made = Housekeeper()
    yield made
    made.before_fork()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_jobs_are_done_in_their_order(keeper: Housekeeper):
    done: list[int] = []
    for number in range(50):
        keeper.submit(lambda number=number: done.append(number))
    assert keeper.wait_idle(30)
    assert done == list(range(50))


def test_tasks_are_called_each_round_until_they_are_removed(keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(housekeeping, "PERIOD", 0.01)
    rounds: list[int] = []
    keeper.add(rounds, lambda: rounds.append(1))
    wait_until(lambda: len(rounds) > 3)
    keeper.remove(rounds)
    keeper.submit(lambda: None)
    assert keeper.wait_idle(30)  # a round that had begun is over
    seen = len(rounds)
    time.sleep(0.05)
    assert len(rounds) == seen


def test_a_job_that_waits_goes_on_where_it_was(keeper: Housekeeper):
    """The thread leaves in the middle of a wait, and comes back to it."""
    ours, theirs = os.pipe()
    steps: list[str] = []

    def job() -> Iterator[tuple[int, float]]:
        steps.append("begun")
        while not steps[-1].startswith("read"):
            yield ours, 60.0
            if housekeeping.select.select([ours], [], [], 0)[0]:
                steps.append(f"read {os.read(ours, 1)!r}")

    keeper.submit(job)
    wait_until(lambda: keeper._bell is not None)
    for _ in range(3):
        keeper.before_fork()
        assert keeper._thread is None
        assert not keeper.wait_idle(0)
        keeper.after_fork_in_parent()
    keeper.submit(lambda: steps.append("next"))
    os.write(theirs, b"x")
    assert keeper.wait_idle(30)
    assert steps == ["begun", "read b'x'", "next"]
    os.close(ours)
    os.close(theirs)


def test_a_wait_ends_when_its_time_is_up(keeper: Housekeeper):
    ours, theirs = os.pipe()
    waits = iter([(ours, 0.01), (ours, 0.0)])
    keeper.submit(lambda: waits)
    assert keeper.wait_idle(30)
    os.close(ours)
    os.close(theirs)


def test_a_fork_waits_for_a_busy_thread_once_and_not_long(keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(housekeeping, "PATIENCE", 0.05)
    begun, go_on = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        go_on.wait(60)

    keeper.submit(job)
    assert begun.wait(30)
    thread = keeper._thread
    assert thread is not None
    joins: list[float] = []
    join = thread.join
    monkeypatch.setattr(thread, "join", lambda timeout: joins.append(timeout) or join(timeout))
    for _ in range(5):
        keeper.before_fork()
        keeper.after_fork_in_parent()
    assert joins == [0.05]
    go_on.set()
    assert keeper.wait_idle(30)
    wait_until(lambda: not keeper._in_vain)
    monkeypatch.setattr(housekeeping, "PATIENCE", 30.0)
    keeper.before_fork()
    assert not thread.is_alive()
    keeper.after_fork_in_parent()


def test_rounds_come_also_where_a_process_forks_all_the_time(keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(housekeeping, "PERIOD", 0.1)
    rounds: list[int] = []
    keeper.add(rounds, lambda: rounds.append(1))

    def forks() -> bool:
        keeper.before_fork()
        keeper.after_fork_in_parent()
        return len(rounds) > 1

    wait_until(forks)


def test_threads_that_fork_at_once(keeper: Housekeeper):
    keeper.add(keeper, lambda: None)
    keeper.before_fork()
    keeper.before_fork()
    keeper.after_fork_in_parent()
    assert keeper._thread is None
    keeper.submit(lambda: None)
    assert keeper._thread is None
    keeper.after_fork_in_parent()
    assert keeper.wait_idle(30)


FORK = """
    import os, threading
    import autotrack
    from autotrack.backends import housekeeping
    from autotrack.backends.housekeeping import housekeeper

    housekeeping.PATIENCE = 30.0
    run = autotrack.start_run("open")  # the capture of the facts has just begun
    for number in range(5):
        pid = os.fork()
        if pid == 0:
            run.log_metrics({"child": number})
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert "autotrack-housekeeping" in {thread.name for thread in threading.enumerate()}
    assert housekeeper.wait_idle(60)
    run.end()
"""


def test_facts_arrive_though_the_process_forked_meanwhile(script: Script, tmp_path):
    from tests.reading import recorded

    script(FORK)
    (run,) = recorded(tmp_path)
    assert run.facts.keys() >= {"environment", "packages", "hardware"}
    assert "code/train.py" in run.artifacts
    assert sorted(point.value for point in run.history("child")) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert run.problems == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python warns from 3.12 on")
def test_python_does_not_warn_of_a_fork_because_of_us(script: Script):
    done = script(FORK, env={"PYTHONWARNINGS": "error::DeprecationWarning"})
    assert done.stderr == ""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python warns from 3.12 on")
def test_it_does_warn_where_there_is_another_thread(script: Script):
    """The test above tests something."""
    other = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    done = script(other + textwrap.dedent(FORK), check=False, env={"PYTHONWARNINGS": "always"})
    assert "DeprecationWarning: This process" in done.stderr

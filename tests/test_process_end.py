"""How runs end when their process does."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reading import recorded
from tests.timing import least

Script = Callable[..., "subprocess.CompletedProcess[str]"]


OPEN = "import autotrack, os, signal, sys, threading\nrun = autotrack.start_run('a')\nrun.log_metrics({'loss': 0.5})\n"


@pytest.mark.parametrize(
    ("ending", "code", "status"),
    [
        ("pass", 0, "finished"),
        ("sys.exit()", 0, "finished"),
        ("sys.exit(0)", 0, "finished"),
        ("raise ValueError('bad')", 1, "failed"),
        ("raise KeyboardInterrupt", -2, "interrupted"),
        ("signal.raise_signal(signal.SIGINT)", -2, "interrupted"),
        ("os._exit(0)", 0, "killed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "killed"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15, "killed"),
        ("os.abort()", -6, "killed"),
        # A thread's error is not the script's.
        ("threading.Thread(target=lambda: 1 / 0).start()", 0, "finished"),
        # An error that was caught is none.
        ("try: 1 / 0\nexcept ZeroDivisionError: pass", 0, "finished"),
    ],
)
def test_the_end_of_a_process(script: Script, tmp_path: Path, ending: str, code: int, status: str):
    done = script(OPEN + ending, check=False)
    assert done.returncode == code, done.stderr
    (run,) = recorded(tmp_path)
    assert (run.status, run.metrics) == (status, {"loss": 0.5})
    assert run.problems == []
    if status in ("failed", "interrupted"):
        assert run.error is not None
        assert "train.py" in run.error.traceback
    else:
        assert run.error is None


@pytest.mark.parametrize("by_with", [True, False])
def test_sys_exit_with_a_code(script: Script, tmp_path: Path, by_with: bool):
    """A ``with`` sees the code. Python tells nobody at exit: a run by hand is ``finished``, a known limit."""
    code = "with autotrack.start_run('a'): sys.exit(3)" if by_with else "autotrack.start_run('a'); sys.exit(3)"
    done = script("import autotrack, sys\n" + code, check=False)
    assert done.returncode == 3
    assert [run.status for run in recorded(tmp_path)] == ["failed" if by_with else "finished"]


def test_several_open_runs_all_end(script: Script, tmp_path: Path):
    script(OPEN + "inner = autotrack.start_run('b')\nraise ValueError('bad')", check=False)
    (run,) = recorded(tmp_path)
    assert (run.status, [child.status for child in run.children]) == ("failed", ["failed"])


def test_exceptions_are_reported_as_ever(script: Script):
    """No frame of ours in the traceback, and the same exit code."""
    done = script(OPEN + "raise ValueError('bad')", check=False)
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ValueError: bad\n")
    assert done.stderr.count("File ") == 1


def test_a_running_run_is_running_for_others(tmp_path: Path):
    code = "import autotrack\nrun = autotrack.start_run('a')\nprint('go', flush=True)\ninput()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        assert [run.status for run in recorded(tmp_path)] == ["running"]
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert [run.status for run in recorded(tmp_path)] == ["killed"]
    finally:
        process.kill()
        process.communicate()


def test_the_exit_does_not_wait(script: Script):
    """Neither for the next round of housekeeping nor for the heartbeat: those are 5 and 15 s away."""
    facts = "import autotrack.facts; autotrack.facts.EXIT_WAIT = 0.0"  # their capture may take long on a busy machine
    code = OPEN + f"{facts}\nrun.end()\nimport time; print(time.monotonic())"

    def taken() -> float:
        said = float(script(code).stdout)
        return time.monotonic() - said

    assert least(taken, 4, tries=3) < 4


def test_a_forked_child_does_not_end_its_parents_run(script: Script, tmp_path: Path):
    script(
        OPEN
        + textwrap.dedent("""
        pid = os.fork()
        if pid == 0:
            run.log_metrics({"child": 1.0})
            sys.exit(0)
        os.waitpid(pid, 0)
        assert not run.ended
        run.log_metrics({"loss": 0.25})
        """)
    )
    (run,) = recorded(tmp_path)
    assert run.metrics == {"loss": 0.25, "child": 1.0}
    assert run.status == "finished"

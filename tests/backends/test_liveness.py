"""Who still runs, as the file that says so tells."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotrack.backends import liveness
from tests.backends.stores import read, tree


def status_of(backend, run):
    return read(backend, run).status


def pretend(backend, run, age=0.0, **fields):
    """Replace the run's alive file: as if another process, or another host, had written it."""
    alive = backend.root / "runs" / run.id / "alive"
    alive.write_text(json.dumps({**liveness.identity(), **fields}))
    then = time.time() - age
    os.utime(alive, (then, then))
    return alive


def dead_process():
    done = subprocess.Popen([sys.executable, "-c", ""])
    started = liveness._started(done.pid)
    done.wait()
    return done.pid, started


def test_a_run_of_this_process_is_running_however_old_its_file(backend, run):
    assert status_of(backend, run) == "running"
    pretend(backend, run, age=10**6)
    assert status_of(backend, run) == "running"


def test_a_dead_process_of_this_host_is_killed(backend, run):
    pid, started = dead_process()
    pretend(backend, run, pid=pid, started=started)
    assert status_of(backend, run) == "killed"


@pytest.mark.skipif(not os.access("/proc/self/comm", os.W_OK), reason="only /proc tells")
def test_a_process_whose_name_is_no_utf8():
    """Names are cut after 15 bytes, maybe within a character."""
    name = Path("/proc/self/comm").read_bytes().rstrip(b"\n")
    Path("/proc/self/comm").write_bytes(b"entra\xc3")
    try:
        assert liveness._started(os.getpid()).isdigit()
    finally:
        Path("/proc/self/comm").write_bytes(name)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only /proc tells")
def test_a_process_that_nobody_asked_for_after_its_end_is_killed(backend, run):
    """As in a container whose first process is not for that."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pretend(backend, run, pid=process.pid, started=liveness._started(process.pid))
    assert status_of(backend, run) == "running"
    os.kill(process.pid, 9)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert status_of(backend, run) == "killed"
    process.communicate()


def test_a_pid_that_was_given_again_is_killed(backend, run):
    pretend(backend, run, started="1")
    assert status_of(backend, run) == "killed"


@pytest.mark.parametrize("fields", [{"host": "elsewhere"}, {"boot": "earlier"}, {"namespace": "pid:[1]"}])
def test_elsewhere_the_age_of_the_file_counts(backend, run, fields):
    pretend(backend, run, **fields)
    assert status_of(backend, run) == "running"
    pretend(backend, run, age=liveness.LOST_AFTER + 5, **fields)
    assert status_of(backend, run) == "lost"
    pretend(backend, run, **fields)  # lost is reversible
    assert status_of(backend, run) == "running"


def test_without_an_alive_file_a_run_is_lost(backend, run):
    (backend.root / "runs" / run.id / "alive").unlink()
    assert status_of(backend, run) == "lost"


def test_an_ended_run_has_the_status_it_ended_with(backend, run):
    run.end("interrupted")
    pretend(backend, run, host="elsewhere", age=10**6)
    assert status_of(backend, run) == "interrupted"


def test_looking_leaves_nothing_behind(backend, run):
    pretend(backend, run, host="elsewhere")
    before = tree(backend.root)
    status_of(backend, run)
    assert tree(backend.root) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"pid": "x"}', b'{"pid": {}}', b"1" * 5000],
    ids=lambda content: content[:10].decode("latin-1"),
)
def test_a_damaged_alive_file_hurts_nobody(backend, run, content):
    (backend.root / "runs" / run.id / "alive").write_bytes(content)
    assert status_of(backend, run) in ("running", "lost")


@pytest.mark.parametrize("pid", [0, -1, 10**30, True])
def test_an_alive_file_with_an_odd_pid(backend, run, pid):
    pretend(backend, run, pid=pid, started="")
    assert status_of(backend, run) in ("running", "killed")


def test_an_alive_file_that_is_a_pipe_or_a_link_is_not_read(backend, run, tmp_path):
    alive = pretend(backend, run)
    alive.unlink()
    os.mkfifo(alive)
    assert status_of(backend, run) == "lost"
    alive.unlink()
    alive.symlink_to("/dev/zero")
    assert status_of(backend, run) == "lost"


def test_identity_names_this_process():
    identity = liveness.identity()
    assert (identity["pid"], identity["host"]) == (os.getpid(), socket.gethostname())

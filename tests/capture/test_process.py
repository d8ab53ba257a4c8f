"""The process that captures: what it does not find is found here, and nothing of it is left behind."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotrack.capture import process
from autotrack.capture.collect import collect
from autotrack.capture.process import Order

SECTIONS = ["environment", "packages", "hardware", "git", "git", "code"]


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    """A script with a secret, in a repository."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, timeout=120)
    script = tmp_path / "train.py"
    script.write_text("password = 'hunter2'\nname = 'mine-42'\n")
    return Order(str(tmp_path), str(script), ["python", "train.py", "--token", "hunter2"], str(script), ["mine-[0-9]+"])


def wait_out(waits) -> None:
    for fd, seconds in waits:
        process.readable(fd, seconds)


def both(order: Order) -> tuple[list, list]:
    """What another process finds, and what this one does."""
    there: list = []
    here: list = []
    wait_out(process.capture(order, lambda *found: there.append(found)))
    collect(order, lambda *found: here.append(found))
    return there, here


def test_the_process_finds_what_is_found_here(order: Order, monkeypatch: pytest.MonkeyPatch):
    there, here = both(order)
    assert [section for section, _ in there] == SECTIONS
    assert there == here
    found = dict(there)
    assert found["code"]["train.py"] == "password = '[redacted]'\nname = '[redacted]'\n"
    assert found["code"]["changes.patch"].startswith("diff --git a/train.py b/train.py")
    assert "hunter2" not in str(there)
    assert found["environment"]["python"] == sys.version.split()[0]
    assert found["packages"]["autotrack-ml"]


def test_nothing_of_it_is_imported_into_the_training(script):
    script("""
        import sys, autotrack
        from autotrack.backends.housekeeping import housekeeper
        with autotrack.start_run():
            assert housekeeper.wait_idle(60)
        assert "autotrack.capture.process" in sys.modules
        left = {"git", "packages", "hardware", "environment", "collect"}
        assert not {f"autotrack.capture.{name}" for name in left} & set(sys.modules)
    """)


FAKES = {
    "gone": None,
    "no program": "",
    "fails": "exit 3",
    "says nothing": "true",
    "garbage": 'echo \'["packages", {"x": "1"}]\'; echo garbage',
    "no pair": "echo '[1, 2, 3]'; echo '[]'",
    "not a line": "printf '[\"packages\"'",
    "dies": "kill -9 $$",
    "does not read": "exec <&-; sleep 0.2; exit 1",
}


@pytest.mark.parametrize("name", FAKES)
def test_where_the_process_fails_everything_is_found_here(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    fake = tmp_path / "python-fake"
    if FAKES[name]:
        fake.write_text(f"#!/bin/sh\n{FAKES[name]}\n")
        fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "" if FAKES[name] == "" else str(fake))
    monkeypatch.setattr(process, "TIME_LIMIT", 5.0)
    there, here = both(order)
    found = dict(there)
    expected = dict(here)
    if name == "garbage":
        assert found.pop("packages") == {"x": "1"}  # what it said first
        expected.pop("packages")
    assert {**found, 1: 0} == {**expected, 1: 0}
    assert not process._running


def test_one_that_hangs_is_ended(order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake, told = tmp_path / "python-fake", tmp_path / "pid"
    fake.write_text(f"#!/bin/sh\necho $$ > {told}\nexec sleep 300\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    for limit in (1.0, 20.0):  # on a busy machine a shell may need a while to get that far
        monkeypatch.setattr(process, "TIME_LIMIT", limit)
        there, here = both(order)
        assert dict(there) == dict(here)
        if told.exists() and told.read_text().strip():
            break
    assert gone(int(told.read_text()))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_more_than_1024_open_files(order: Order):
    code = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for _ in range(1100):
    os.open(os.devnull, os.O_RDONLY)
from autotrack.capture.process import Order, capture, readable
found = []
for wait in capture(Order(*eval(sys.argv[1])), lambda section, facts: found.append(section)):
    readable(*wait)
assert found == eval(sys.argv[2]), found
assert "autotrack.capture.collect" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, repr(tuple(order)), repr(SECTIONS)], check=True, timeout=300)


def test_an_exit_in_front_of_a_git_that_hangs_leaves_nothing_behind(tmp_path: Path, script):
    folder, told = tmp_path / "bin", tmp_path / "pid"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\necho $$ $PPID > {told}.tmp; mv {told}.tmp {told}\nexec sleep 300\n")
    (folder / "git").chmod(stat.S_IRWXU)
    started = time.monotonic()
    script(
        """
        import os, time, autotrack
        with autotrack.start_run():
            while not os.path.exists("pid"):  # the machine may be slow to get that far
                time.sleep(0.01)
        """,
        env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
    )
    assert time.monotonic() - started < 120  # not 300
    deadline = time.monotonic() + 20
    pids = [int(word) for word in told.read_text().split()]
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_at_the_terminal_does_not_reach_it(order: Order, tmp_path: Path):
    """It leads a session of its own: what it has found is still read."""
    seen = []
    wait_out(process.capture(order, lambda *_: seen.extend(os.getpgid(one.pid) == one.pid for one in process._running)))
    assert seen == [True] * len(SECTIONS)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

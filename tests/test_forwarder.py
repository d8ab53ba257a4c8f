"""A store at a server: the training records into a folder and opens no socket; the forwarder does the rest."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import pytest

import autotrack

DOWN = "http://127.0.0.1:1"
"""A server that is not there: nobody listens on that port."""

TRAIN = """
    import os, sys, time

    seen = []

    def watch(event, arguments):
        if event.startswith("socket.") and event not in ("socket.gethostname", "socket.gethostbyname"):
            seen.append(event)

    sys.addaudithook(watch)
    import autotrack
    autotrack.enable(store=sys.argv[1])
    with autotrack.start_run("by hand") as run:
        for step in range(100):
            run.log_metrics({"loss": 1.0}, step=step)
    from autotrack.backends.housekeeping import housekeeper
    assert housekeeper.wait_idle(60)
    assert seen == [], seen
    print(autotrack.api.session_in_use().forwarders[0]._process.pid)
"""


def state(pid: int) -> str:
    """Z for a process that has ended and that nobody asked for; empty where /proc does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def gone(pid: int, seconds: float = 60.0) -> bool:
    """Whether a process that is not our child ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if state(pid) == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def left(script):
    """The process id of the forwarder that a training left behind, and what was said; it is ended afterwards."""
    done = script(TRAIN, DOWN, env={"AUTOTRACK_EXIT_WAIT": "0"})
    pid = int(done.stdout.split()[-1])
    yield pid, done.stderr
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_training_opens_no_socket_and_says_where_its_runs_are(left, tmp_path: Path):
    """The script itself watches for sockets."""
    _, said = left
    assert DOWN in said
    assert f"all is in {tmp_path / '.autotrack'}" in said
    assert f"autotrack sync --store {tmp_path / '.autotrack'} --to {DOWN}" in said
    assert len(said.splitlines()) == 1
    run = autotrack.get_run("by hand", store=tmp_path / ".autotrack")
    assert (run.status, len(run.history("loss"))) == ("finished", 100)


@pytest.mark.slow
def test_the_forwarder_is_on_its_own_and_goes_on_when_the_training_is_gone(left, tmp_path: Path):
    pid, _ = left
    log = tmp_path / ".autotrack" / "log"
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size for file in log.glob("*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    (file,) = log.iterdir()
    assert "cannot be reached" in file.read_text()
    assert re.fullmatch(r"forward-[0-9a-f]{12}-[0-9a-f]{8}\.log", file.name)
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.getpgid(pid) == os.getsid(pid) == pid
    if Path("/proc/self/fd").is_dir():
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {os.devnull}
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
    os.kill(pid, signal.SIGTERM)
    assert gone(pid)


def test_the_forwarder_leaves_when_its_folder_is_gone(left, tmp_path: Path):
    pid, _ = left
    (tmp_path / ".autotrack").rename(tmp_path / "moved")
    assert gone(pid)


@pytest.mark.parametrize(
    ("store", "words"),
    [("http://ada:secret@host:5000", "credentials"), ("nosuch://host", "no plugin"), ("s3://bucket/x", "no plugin")],
    ids=["credentials", "unknown", "s3"],
)
def test_an_address_that_cannot_be_used_is_refused_at_once(store: str, words: str, tracked: Path):
    with pytest.raises(autotrack.ConfigError, match=words) as caught:
        autotrack.enable(store=store)
    assert "secret" not in str(caught.value)


def test_without_a_run_no_process_is_started(script):
    done = script(f"""
        import autotrack
        autotrack.enable(store="{DOWN}")
        assert autotrack.api.session_in_use().forwarders[0]._process is None
    """)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("mode", ["on", "offline", "off"])
def test_the_environment_says_what_is_done(mode: str, script, tmp_path: Path):
    """On: recorded and copied; offline: recorded; off: nothing at all."""
    done = script(
        """
        import autotrack
        autotrack.enable()
        with autotrack.start_run("one") as run:
            run.log_metrics({"loss": 1.0})
        forwarders = autotrack.api.session_in_use().forwarders
        print(len(forwarders))
        if forwarders:
            import os, signal
            from autotrack.backends.housekeeping import housekeeper
            assert housekeeper.wait_idle(60)
            os.kill(forwarders[0]._process.pid, signal.SIGKILL)
        """,
        env={"AUTOTRACK_STORE": DOWN, "AUTOTRACK_MODE": mode},
    )
    assert done.stdout == ("1\n" if mode == "on" else "0\n")
    if mode == "off":
        assert [path.name for path in tmp_path.iterdir()] == ["train.py"]
    else:
        assert autotrack.get_run("one", store=tmp_path / ".autotrack").status == "finished"


def test_reading_shows_what_was_recorded_here(script):
    script(f"""
        import autotrack
        autotrack.enable(store="{DOWN}")
        with autotrack.start_run("one"):
            pass
        assert [run.name for run in autotrack.runs()] == ["one"]
        assert autotrack.get_run("one").status == "finished"
        import os, signal
        from autotrack.backends.housekeeping import housekeeper
        assert housekeeper.wait_idle(60)
        os.kill(autotrack.api.session_in_use().forwarders[0]._process.pid, signal.SIGKILL)
    """)


def test_several_servers_have_a_forwarder_each(script, tmp_path: Path):
    done = script(
        """
        import autotrack
        with autotrack.start_run("one"):
            pass
        from autotrack.backends.housekeeping import housekeeper
        assert housekeeper.wait_idle(60)
        print(*[forwarder._process.pid for forwarder in autotrack.api.session_in_use().forwarders])
        """,
        env={"AUTOTRACK_STORE": f"{tmp_path}/runs,{DOWN},{DOWN}0/prefix", "AUTOTRACK_EXIT_WAIT": "0"},
    )
    pids = [int(pid) for pid in done.stdout.split()]
    try:
        assert len(pids) == 2
        assert [line.split(" are on ")[1].split()[0] for line in done.stderr.splitlines()] == [DOWN, f"{DOWN}0/prefix"]
        assert autotrack.get_run("one", store=tmp_path / "runs").status == "finished"
        logs, deadline = tmp_path / "runs" / "log", time.monotonic() + 60
        while len(list(logs.glob("*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(list(logs.iterdir())) == 2
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_a_store_is_one_folder_and_any_number_of_servers(tracked: Path, tmp_path: Path):
    with pytest.raises(autotrack.ConfigError, match="one folder"):
        autotrack.enable(store=[tmp_path / "a", "http://h:1", tmp_path / "b"], mode="offline")
    for wrong in ("http://h:1,/folder", "a,http://h:1,memory://"):
        with pytest.raises(autotrack.ConfigError, match="one folder, then servers"):
            autotrack.enable(store=wrong, mode="offline")
    autotrack.enable(store=["http://h:1", tmp_path / "a, b"], mode="offline")
    with autotrack.start_run("one"):
        pass
    assert autotrack.get_run("one", store=tmp_path / "a, b").status == "finished"
    assert [run.name for run in autotrack.runs()] == ["one"]


def test_a_failure_of_the_forwarder_itself_is_in_its_log(script, tmp_path: Path):
    (tmp_path / "store").mkdir()
    script(
        """
        import os, sys
        from autotrack import forward_session, plugins

        def fail(uri):
            raise ZeroDivisionError("a mistake")

        plugins.remote = fail
        sys.argv[1:] = ["store", "http://127.0.0.1:1", "session", "", str(os.pipe()[0]), "-1"]
        forward_session.main()
        """,
        check=False,
    )
    (log,) = (tmp_path / "store" / "log").iterdir()
    assert log.read_text().rstrip().endswith("ZeroDivisionError: a mistake")

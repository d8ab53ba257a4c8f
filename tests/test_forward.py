"""What the forwarder does with any server: here one in memory that can fail."""

import os
from pathlib import Path

import pytest

import autotrack
from autotrack.errors import RemoteError, RemoteRefused
from autotrack.forward import Forwarder, sync
from autotrack.records import Removed


class MemoryRun:
    """A copy of a run: its records by writer and line, and what was kept of its journals."""

    def __init__(self, remote, run_id):
        self.remote = remote
        self.run_id = run_id
        self.exists = run_id in remote.runs
        self.problems = []

    @property
    def removed(self):
        return self.run_id in self.remote.removed

    @property
    def journals(self):
        return {writer: len(data) for (run_id, writer), data in self.remote.journals.items() if run_id == self.run_id}

    def missing(self, entry):
        return (entry.writer, entry.line) not in self.remote.runs.get(self.run_id, {})

    def write(self, writer, entries):
        self.remote.ask()
        self.remote.runs.setdefault(self.run_id, {}).update({(e.writer, e.line): e.record for e in entries})
        if any(isinstance(entry.record, Removed) and not entry.record.c for entry in entries):
            self.remote.removed.add(self.run_id)

    def keep_journal(self, writer, journal, size):
        self.remote.ask()
        self.remote.journals[self.run_id, writer] = journal.read(size)

    def lost(self, time):
        self.remote.lost.append(self.run_id)


class MemoryRemote:
    """``failures``: how many of the next requests fail, and with what."""

    def __init__(self):
        self.runs, self.journals, self.removed, self.lost = {}, {}, set(), []
        self.failures, self.error = 0, RemoteError("away")

    def ask(self):
        if self.failures:
            self.failures -= 1
            raise self.error

    def run(self, local):
        self.ask()
        return MemoryRun(self, local.id)

    def close(self):
        pass


def record(points: int = 3) -> str:
    with autotrack.start_run() as run:
        for step in range(points):
            run.log_metrics({"loss": step / 2}, step=step)
    return run.id


def journals(store: Path, run_id: str) -> dict[tuple[str, str], bytes]:
    folder = store / "runs" / run_id / "journal"
    return {(run_id, path.stem): path.read_bytes() for path in folder.iterdir()}


def test_each_round_sends_what_is_new(tracked: Path):
    remote = MemoryRemote()
    forwarder = Forwarder(tracked, remote)
    assert not forwarder.round()
    with autotrack.start_run() as run:
        run.log_metrics({"loss": 1.0}, step=0)
        assert forwarder.round()
        assert not forwarder.round()
        assert forwarder.progress.open == {run.id}
        assert remote.journals == {}
        run.log_metrics({"loss": 2.0}, step=1)
        before = forwarder.progress.records
        assert forwarder.round()
        assert forwarder.progress.records == before + 1
    while forwarder.round():
        pass
    assert forwarder.progress.open == set()
    assert remote.journals == journals(tracked, run.id)


@pytest.mark.parametrize("failures", range(1, 6))
def test_after_errors_all_is_sent(failures: int, tracked: Path):
    remote = MemoryRemote()
    remote.failures = failures
    ids = [record() for _ in range(3)]
    told = []
    sync(Forwarder(tracked, remote), patience=60, tell=told.append, wait=lambda seconds: None)
    assert set(remote.runs) == set(ids)
    assert remote.journals == journals(tracked, ids[0]) | journals(tracked, ids[1]) | journals(tracked, ids[2])
    assert told == ["away", "the server answers again"]


def test_a_server_that_stays_away_is_given_up(tracked: Path):
    remote = MemoryRemote()
    remote.failures = 10**9
    record()
    with pytest.raises(RemoteError, match="away"):
        sync(Forwarder(tracked, remote), patience=0, tell=lambda text: None, wait=lambda seconds: None)


def test_a_server_that_refuses_is_asked_once(tracked: Path):
    remote = MemoryRemote()
    remote.failures, remote.error = 10**9, RemoteRefused("no")
    record()
    with pytest.raises(RemoteRefused):
        sync(Forwarder(tracked, remote), patience=10**9, watch=True, tell=lambda text: None)
    assert remote.failures == 10**9 - 1


def test_only_runs_that_are_wanted_are_asked_for(tracked: Path):
    first, second = record(), record()
    remote = MemoryRemote()
    Forwarder(tracked, remote, since=second).round()
    assert set(remote.runs) == {second}
    Forwarder(tracked, remote, lambda begin: begin.session == "another").round()
    assert first not in remote.runs


def test_a_dry_run_counts_and_sends_nothing(tracked: Path):
    record(5)
    remote = MemoryRemote()
    dry, real = Forwarder(tracked, remote), Forwarder(tracked, remote)
    dry.round(send=False)
    assert remote.runs == {}
    real.round()
    assert dry.progress.records == real.progress.records > 5


def test_removed_runs_go_and_those_that_were_never_there_stay_away(tracked: Path):
    kept, gone, never = record(), record(), record()
    remote = MemoryRemote()
    autotrack.get_run(never).remove()
    forwarder = Forwarder(tracked, remote)
    forwarder.round()
    assert set(remote.runs) == {kept, gone}
    autotrack.get_run(gone).remove()
    forwarder.round()
    assert remote.removed == {gone}


def test_a_training_that_died_is_told(tracked: Path, script):
    remote = MemoryRemote()
    script(
        """
        import os, autotrack
        autotrack.enable()
        run = autotrack.start_run()
        run.log_metrics({"loss": 1.0})
        os.kill(os.getpid(), 9)
    """,
        check=False,
    )
    forwarder = Forwarder(tracked, remote)
    while forwarder.round():
        pass
    (run_id,) = remote.runs
    assert remote.lost == [run_id]
    assert remote.journals == journals(tracked, run_id)


def test_links_in_a_store_lead_nowhere(tracked: Path, tmp_path: Path):
    run_id = record()
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"k":"tags","g":{"secret":"x"}}\n')
    os.symlink(secret, tracked / "runs" / run_id / "journal" / "0000000000000000.jsonl")
    remote = MemoryRemote()
    forwarder = Forwarder(tracked, remote)
    while forwarder.round():
        pass
    assert {writer for writer, _ in remote.runs[run_id]} == {writer for _, writer in remote.journals}
    assert b"secret" not in b"".join(remote.journals.values())


def test_the_command(tracked: Path, script):
    record()
    missing = script(
        """
        import sys
        from autotrack.cli.main import main
        sys.argv[1:] = ["sync"]
        main()
    """,
        check=False,
    )
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "--to http://HOST:PORT" in missing.stderr

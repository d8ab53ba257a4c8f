"""What the forwarder does with any server: here one in memory that can fail."""

import os
from pathlib import Path

import pytest

import autotrack
from autotrack.errors import RemoteError, RemoteRefused
from autotrack.forward import Forwarder, sync
from autotrack.records import Begin, Metrics, Removed
from tests.backends import written


class MemoryRun:
    """A copy of a run: its records by writer and line, and what was kept of its journals."""

    def __init__(self, remote, run_id):
        self.remote = remote
        self.run_id = run_id
        self.exists = run_id in remote.runs
        self.problems = []

    @property
    def removed(self):
        return self.run_id in self.remote.removed_there

    @property
    def journals(self):
        return {writer: len(data) for (run_id, writer), data in self.remote.journals.items() if run_id == self.run_id}

    def missing(self, entry):
        if {(self.run_id, ""), (self.run_id, entry.record.c)} & self.remote.deleted:
            return False
        return (entry.writer, entry.line) not in self.remote.runs.get(self.run_id, {})

    def write(self, writer, entries):
        self.remote.ask()
        entries = [entry for entry in entries if self.missing(entry)]
        self.remote.runs.setdefault(self.run_id, {}).update({(e.writer, e.line): e.record for e in entries})

    def remove(self, child):
        self.remote.ask()
        there = any(record.c == child for record in self.remote.runs.get(self.run_id, {}).values())
        new = there and (self.run_id, child) not in self.remote.deleted
        self.remote.deleted |= {(self.run_id, child)} if new else set()
        return new

    def restore(self, child):
        self.remote.ask()
        old = (self.run_id, child) in self.remote.deleted
        self.remote.deleted.discard((self.run_id, child))
        return old

    def keep_head(self, head):
        self.head = head

    def keep_journal(self, writer, journal, size):
        self.remote.ask()
        self.remote.journals[self.run_id, writer] = journal.read(size)

    def lost(self, time):
        self.remote.lost.append(self.run_id)


class MemoryRemote:
    """``failures``: how many of the next requests fail, and with what."""

    def __init__(self):
        self.runs, self.journals, self.deleted, self.removed_there, self.lost = {}, {}, set(), set(), []
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


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def journals(store: Path, run_id: str) -> dict[tuple[str, str], bytes]:
    folder = store / "runs" / run_id / "journal"
    return {(run_id, path.stem): path.read_bytes() for path in folder.iterdir()}


def test_each_round_sends_what_is_new(store: Path):
    remote = MemoryRemote()
    run = written.begin(store)
    forwarder = Forwarder(store, remote)
    assert forwarder.round()
    assert forwarder.progress.records == 1
    written.points(run, 0, 1)
    assert forwarder.round()
    assert not forwarder.round()
    assert forwarder.progress.open == {run.run_id}
    assert remote.journals == {}
    written.end(run)
    assert forwarder.round()
    assert forwarder.progress.records == 4
    assert not forwarder.round()
    assert forwarder.progress.open == set()
    assert remote.journals == journals(store, run.run_id)


@pytest.mark.parametrize("failures", range(1, 6))
def test_after_errors_all_is_sent(failures: int, store: Path):
    remote = MemoryRemote()
    remote.failures = failures
    ids = [written.record(store) for _ in range(3)]
    told = []
    sync(Forwarder(store, remote), patience=60, tell=told.append, wait=lambda seconds: None)
    assert set(remote.runs) == set(ids)
    assert remote.journals == journals(store, ids[0]) | journals(store, ids[1]) | journals(store, ids[2])
    assert told == ["away", "the server answers again"]


def test_a_server_that_stays_away_is_given_up(store: Path):
    remote = MemoryRemote()
    remote.failures = 10**9
    written.record(store)
    with pytest.raises(RemoteError, match="away"):
        sync(Forwarder(store, remote), patience=0, tell=lambda text: None, wait=lambda seconds: None)


def test_a_server_that_refuses_is_asked_once(store: Path):
    remote = MemoryRemote()
    remote.failures, remote.error = 10**9, RemoteRefused("no")
    written.record(store)
    with pytest.raises(RemoteRefused):
        sync(Forwarder(store, remote), patience=10**9, watch=True, tell=lambda text: None)
    assert remote.failures == 10**9 - 1


def test_only_runs_that_are_wanted_are_asked_for(store: Path):
    first, second = written.record(store), written.record(store)
    remote = MemoryRemote()
    Forwarder(store, remote, since=second).round()
    assert set(remote.runs) == {second}
    Forwarder(store, remote, lambda begin: begin.session == "another").round()
    assert first not in remote.runs


def test_a_dry_run_counts_and_sends_nothing(store: Path):
    written.record(store, 5)
    remote = MemoryRemote()
    dry, real = Forwarder(store, remote), Forwarder(store, remote)
    dry.round(send=False)
    assert remote.runs == {}
    real.round()
    assert dry.progress.records == real.progress.records == 7


def test_removed_runs_go_and_those_that_were_never_there_stay_away(store: Path):
    kept, gone, never = written.record(store), written.record(store), written.record(store)
    remote = MemoryRemote()
    autotrack.get_run(never, store=store).remove()
    forwarder = Forwarder(store, remote)
    forwarder.round()
    assert set(remote.runs) == {kept, gone}
    autotrack.get_run(gone, store=store).remove()
    forwarder.round()
    assert remote.deleted == {(gone, "")}
    assert set(remote.runs) == {kept, gone}


def settle(*forwarders):
    for forwarder in forwarders:
        while forwarder.round():
            pass


def test_a_child_that_was_restored_goes_with_its_run(store: Path, monkeypatch: pytest.MonkeyPatch):
    run = written.begin(store)
    run.write([Begin(name="inner", c="1")])
    written.end(run)
    remote = MemoryRemote()
    autotrack.get_run(f"{run.run_id}.1", store=store).remove()
    autotrack.restore_run(f"{run.run_id}.1", store=store)
    settle(Forwarder(store, remote))
    autotrack.get_run(run.run_id, store=store).remove()
    settle(Forwarder(store, remote))
    assert remote.deleted == {(run.run_id, "")}
    asked = []
    monkeypatch.setattr(MemoryRun, "restore", lambda self, child: asked.append(child))
    settle(Forwarder(store, remote))
    assert asked == []


@pytest.mark.parametrize("anew", [True, False], ids=["another process", "the same"])
def test_a_run_that_is_restored_comes_back_with_all_that_was_said_meanwhile(store: Path, anew: bool):
    run_id, remote = written.record(store), MemoryRemote()
    forwarder = Forwarder(store, remote)
    settle(forwarder)
    for _ in range(3):  # each edit has a writer of its own, and they are read in no order of theirs
        autotrack.get_run(run_id, store=store).remove()
        settle(Forwarder(store, remote) if anew else forwarder)
        assert remote.deleted == {(run_id, "")}
        autotrack.restore_run(run_id, store=store)
        autotrack.get_run(run_id, store=store).set_tags({"a": "b"})
        settle(Forwarder(store, remote) if anew else forwarder)
        assert remote.deleted == set()
    kinds = [type(record).__name__ for record in remote.runs[run_id].values()]
    assert (kinds.count("Tags"), kinds.count("Metrics")) == (3, 3)
    last = Forwarder(store, remote)
    last.round()
    assert last.progress.records == 0


def test_what_somebody_deleted_there_stays_deleted(store: Path):
    run_id, remote = written.record(store), MemoryRemote()
    settle(Forwarder(store, remote))
    remote.removed_there.add(run_id)
    before = dict(remote.runs[run_id])
    autotrack.get_run(run_id, store=store).set_tags({"a": "b"})
    autotrack.get_run(run_id, store=store).remove()
    autotrack.restore_run(run_id, store=store)
    settle(Forwarder(store, remote))
    assert remote.runs[run_id] == before


def test_a_child_that_was_removed_before_it_was_sent_is_not_sent_until_it_is_restored(store: Path):
    run = written.begin(store)
    run.write([Begin(name="inner", c="1"), Metrics(c="1", m={"loss": 1.0}), Removed(t=run.elapsed(), c="1")])
    written.end(run)
    remote = MemoryRemote()
    settle(Forwarder(store, remote))
    assert {record.c for record in remote.runs[run.run_id].values()} == {""}
    again = Forwarder(store, remote)
    again.round()
    assert again.progress.records == 0
    autotrack.restore_run(f"{run.run_id}.1", store=store)
    settle(Forwarder(store, remote))
    assert [record.c for record in remote.runs[run.run_id].values()].count("1") >= 2


def test_a_training_that_died_is_told(script, tmp_path: Path):
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
    store = tmp_path / ".autotrack"
    forwarder = Forwarder(store, remote)
    while forwarder.round():
        pass
    (run_id,) = remote.runs
    assert remote.lost == [run_id]
    assert remote.journals == journals(store, run_id)


def test_links_in_a_store_lead_nowhere(store: Path, tmp_path: Path):
    run_id = written.record(store)
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"k":"tags","g":{"secret":"x"}}\n')
    os.symlink(secret, store / "runs" / run_id / "journal" / "0000000000000000.jsonl")
    remote = MemoryRemote()
    forwarder = Forwarder(store, remote)
    while forwarder.round():
        pass
    assert {writer for writer, _ in remote.runs[run_id]} == {writer for _, writer in remote.journals}
    assert b"secret" not in b"".join(remote.journals.values())


def test_the_command_wants_to_know_where_to(script):
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

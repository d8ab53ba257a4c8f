"""Writing goes on after errors, beside threads and in forks."""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from autotrack.backends import journal
from autotrack.backends.journal import JournalWriter, read_journal
from autotrack.records import Metrics, Note, encode
from tests.backends.journals import RUN, files, read

# ---- errors ---------------------------------------------------------------------------------------------------------

# Python 3.12 warns of a fork beside any other thread, and earlier tests of the process may have left one.
forks = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def _break(writer):
    """The journal's descriptor becomes one that is always full."""
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), writer._fd)


def test_a_failed_write_begins_another_file_after_a_while(folder, monkeypatch):
    monkeypatch.setattr(journal, "RETRY_AFTER", 1000.0)
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="a")))
    _break(writer)
    for _ in range(2):  # the second does not even try
        with pytest.raises(OSError, match=r"No space|waiting"):
            writer.append(encode(Note(text="lost")))
    assert len(files(folder)) == 1
    later = time.monotonic() + 1001.0
    with monkeypatch.context() as clock:
        clock.setattr(time, "monotonic", lambda: later)
        writer.append(encode(Note(text="b")))
    writer.seal()
    writer.release()
    assert len(files(folder)) == 2
    assert sorted(record.text for record in read(folder)[0]) == ["a", "b"]


def test_a_torn_line_is_never_written_on_to(folder, monkeypatch):
    import resource

    monkeypatch.setattr(journal, "RETRY_AFTER", 0.0)
    writer = JournalWriter(folder, RUN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    failed = 0
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        for step in range(200):
            try:
                writer.append(encode(Metrics(0, "", {"loss": 1.0}, step)))
            except OSError:
                failed += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    writer.release()
    records, damage = read(folder)
    assert failed >= len(damage) > 1
    assert len(records) == 200 - failed
    assert all("torn last line" in hurt for hurt in damage)


def test_a_seal_that_fails_costs_no_record(folder, monkeypatch):
    monkeypatch.setattr(journal, "SEAL_EVERY", 300)
    writer = JournalWriter(folder, RUN)
    write = os.write

    def no_seals(fd, data):
        if b'"seal"' in data:
            raise OSError(28, "full")
        return write(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", no_seals)
        for step in range(20):
            writer.append(encode(Metrics(0, "", {"loss": 1.0}, step)))
    writer.release()
    records, _ = read(folder)
    assert sorted(record.s for record in records) == list(range(20))
    assert len(files(folder)) > 1


def test_a_deleted_file_is_noticed_when_it_is_synced(folder):
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="a")))
    assert not writer.is_deleted()
    writer.path.unlink()
    assert writer.is_deleted()
    with pytest.raises(FileNotFoundError):
        writer.sync()
    assert writer.abandon() == 1
    writer.append(encode(Note(text="b")))
    writer.sync()
    writer.release()
    assert [record.text for record in read(folder)[0]] == ["b"]


def test_who_logs_does_not_wait_for_the_disk(folder, monkeypatch):
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="a")))
    slow, done = threading.Event(), threading.Event()

    def slow_disk(fd):
        slow.set()
        assert done.wait(60)

    monkeypatch.setattr(os, "fsync", slow_disk)
    syncing = threading.Thread(target=writer.sync)
    syncing.start()
    assert slow.wait(30)
    logging = threading.Thread(target=writer.append, args=(encode(Note(text="b")),))
    logging.start()
    logging.join(20)
    blocked = logging.is_alive()
    done.set()
    syncing.join(30)
    logging.join(30)
    writer.release()
    assert not blocked
    assert writer.dirty  # what came meanwhile is synced next time


# ---- many files, threads, forks -------------------------------------------------------------------------------------


def open_below(folder):
    """Open files in a folder; those of other threads lie elsewhere. None where there is no /proc."""
    found = []
    for path in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # of another thread, and closed meanwhile
            found.append(path.readlink())
    return [path for path in found if path.is_relative_to(folder)]


def test_more_journals_than_may_be_open(tmp_path, monkeypatch):
    writers = []
    for number in range(40):
        (tmp_path / str(number)).mkdir()
        writers.append(JournalWriter(tmp_path / str(number), RUN))
    for writer in writers[:20]:
        writer.append(encode(Metrics(0, "", {"loss": 1.0}, 0)))
    monkeypatch.setattr(journal, "OPEN_FILES", 5)  # as if those had been busy when they should have been closed
    for writer in writers[20:]:
        writer.append(encode(Metrics(0, "", {"loss": 1.0}, 0)))
        assert len(open_below(tmp_path)) <= 5
    for step in (1, 2):
        for writer in writers:
            writer.append(encode(Metrics(0, "", {"loss": 1.0}, step)))
            assert len(open_below(tmp_path)) <= 5
    for number, writer in enumerate(writers):
        writer.seal()
        writer.release()
        records, damage = read(tmp_path / str(number))
        assert ([record.s for record in records], damage) == ([0, 1, 2], [])
        assert len(files(tmp_path / str(number))) == 1


def test_threads_share_a_writer(folder):
    writer = JournalWriter(folder, RUN)

    def work(name):
        for step in range(300):
            writer.append(encode(Metrics(writer.elapsed(), "", {name: 1.0}, step)))

    threads = [threading.Thread(target=work, args=(f"m{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.seal()
    writer.release()
    records, damage = read(folder)
    assert damage == []
    for number in range(8):
        assert [record.s for record in records if f"m{number}" in record.m] == list(range(300))


@forks
def test_a_forked_child_writes_a_file_of_its_own(folder):
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="before")))
    pid = os.fork()
    if pid == 0:
        try:
            writer.append(encode(Note(text="child")))
            writer.seal()
        finally:
            os._exit(0)
    writer.append(encode(Note(text="parent")))
    assert os.waitpid(pid, 0)[1] == 0
    writer.append(encode(Note(text="parent again")))
    writer.seal()
    writer.release()
    found = {
        tuple(entry.record.text for entry in read_journal(name, data, RUN)[0]) for name, data in files(folder).items()
    }
    assert found == {("before", "parent", "parent again"), ("child",)}
    assert read(folder)[1] == []
    heads = [json.loads(data.splitlines()[0]) for data in files(folder).values()]
    assert {head["pid"] for head in heads} == {os.getpid(), pid}
    assert len({head["start"] for head in heads}) == 1  # one clock: their times can be compared


@forks
def test_a_fork_while_another_thread_holds_the_lock_does_not_hang(folder):
    writer = JournalWriter(folder, RUN)
    held, go = threading.Event(), threading.Event()

    def hold():
        with writer._lock:
            held.set()
            go.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        writer.append(encode(Note(text="child")))
        os._exit(0)
    go.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert [record.text for record in read(folder)[0]] == ["child"]

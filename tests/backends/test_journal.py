"""The journal: written and read back equal, through truncation, flipped bits, interrupts, forks and full tables."""

import itertools
import json
import os
import signal
import stat
import threading
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from autotrack.backends import journal
from autotrack.backends.base import new_run_id
from autotrack.backends.journal import JournalWriter, read_journal
from autotrack.records import Metrics, Note, Params, Points, Seal, Tags, decode, encode, number_to_json

RUN = "20261122T193015123-9f8e7d6c5b"

texts = st.text(st.characters(exclude_categories=()), max_size=12)
numbers = st.floats().map(number_to_json)
times = st.integers(0, 10**9)
sequences = st.lists(
    st.one_of(
        st.builds(Metrics, t=times, m=st.dictionaries(texts, numbers, max_size=3), s=st.none() | st.integers()),
        st.builds(Note, t=times, text=texts),
        st.builds(Tags, t=times, g=st.dictionaries(texts, st.none() | texts, max_size=3)),
        st.builds(Params, t=times, p=st.dictionaries(texts, st.integers() | st.lists(texts, max_size=2), max_size=3)),
        st.builds(Points, t=times, key=texts, s=st.lists(st.integers(), max_size=3), v=st.lists(numbers, max_size=3)),
    ),
    min_size=1,
    max_size=15,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl"))}


def read(folder):
    """(records of all files, damage) of a folder."""
    records, damage = [], []
    for name, data in files(folder).items():
        entries, hurt, unknown = read_journal(name, data, RUN)
        assert unknown == 0
        records += [entry.record for entry in entries]
        damage += hurt
    return records, damage


def sealed(folder, records):
    """The bytes of a sealed journal of these records."""
    writer = JournalWriter(folder, RUN)
    for record in records:
        writer.append(encode(record))
    writer.seal()
    writer.release()
    data = writer.path.read_bytes()
    writer.path.unlink()
    return data


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(sequences)
def test_what_is_written_is_read_back(folder, records):
    data = sealed(folder, records)
    entries, damage, unknown = read_journal("w.jsonl", data, RUN)
    assert [entry.record for entry in entries] == records
    assert (damage, unknown) == ([], 0)
    assert [entry.line for entry in entries] == list(range(2, 2 + len(records)))


@quick
@given(sequences, st.floats(0, 1))
def test_any_truncation_keeps_the_whole_lines_before_and_names_the_torn_one(folder, records, part):
    whole = sealed(folder, records)
    size = round(part * len(whole))
    entries, damage, _ = read_journal("w.jsonl", whole[:size], RUN)
    lines = whole[:size].count(b"\n")
    assert [entry.record for entry in entries] == records[: max(0, min(lines - 1, len(records)))]
    torn = size - (whole[:size].rfind(b"\n") + 1)
    assert damage == ([f"w.jsonl: torn last line of {torn} bytes at byte {size - torn}"] if torn else [])


def check_flip(whole, records, bit):
    """Flip one bit: the records of untouched lines are there under their numbers, and the damage is named."""
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    line = whole[: bit // 8].count(b"\n") + 1  # the line that the flipped byte is in, from 1
    touched = {line, line + 1} if whole[bit // 8 : bit // 8 + 1] == b"\n" else {line}
    entries, damage, _ = read_journal("w.jsonl", bytes(data), RUN)
    found = [entry.record for entry in entries]
    expected = [record for number, record in enumerate(records, 2) if number not in touched]
    remaining = iter(found)
    assert all(record in remaining for record in expected), (bit, found, expected)  # in this order
    assert len(found) <= len(records) + 1
    assert damage or line == len(records) + 2, bit  # a seal that says something else may stay unseen only at the end
    return damage


@quick
@given(sequences, st.floats(0, 1, exclude_max=True))
def test_any_flipped_bit_costs_no_other_line_and_is_named(folder, records, part):
    whole = sealed(folder, records)
    check_flip(whole, records, int(part * 8 * len(whole)))


def test_every_flipped_bit_of_a_small_journal(folder):
    records = [Note(t=1, text="JJ\u00e9"), Metrics(2, "", {"loss": 0.25}, 1), Params(t=3, p={"J": [1, {"a": None}]})]
    whole = sealed(folder, records)
    for bit in range(8 * len(whole)):
        check_flip(whole, records, bit)


def test_damage_in_one_block_is_not_told_of_the_others(folder, monkeypatch):
    monkeypatch.setattr(journal, "SEAL_EVERY", 400)
    records = [Metrics(step, "", {"loss": float(step)}, step) for step in range(100)]
    whole = sealed(folder, records)
    seals = [line for line in whole.splitlines() if b'"seal"' in line]
    assert len(seals) > 5
    at = whole.index(b"\n", len(whole) // 2)  # two lines become one
    entries, damage, _ = read_journal("w.jsonl", whole[:at] + b" " + whole[at + 1 :], RUN)
    assert len(entries) == 98
    assert len(damage) == 2  # the line, and its block
    numbers = {entry.record.s: entry.line for entry in entries}
    intact = {entry.record.s: entry.line for entry in read_journal("w.jsonl", whole, RUN)[0]}
    blocks = damage[1].split()
    hurt = range(int(blocks[2]), int(blocks[4]))
    for step, number in numbers.items():
        if whole.index(b'"s":%d}' % step) not in hurt:
            assert number == intact[step]


@pytest.mark.parametrize("junk", [b"\x00" * 100, b"\xff\xfe", b"{}", b"[" * 50_000, b'{"k":"m","t":1e999}', b"null"])
def test_junk_lines_are_named_and_cost_nothing(folder, junk):
    head, *lines = sealed(folder, [Note(text="a"), Note(text="b")]).splitlines(keepends=True)
    entries, damage, _ = read_journal("w.jsonl", b"".join([head, lines[0], junk + b"\n", *lines[1:]]), RUN)
    assert [entry.record.text for entry in entries] == ["a", "b"]
    assert "line 3" in damage[0]


def test_times_out_of_range_are_damage(folder):
    head, *lines = sealed(folder, [Note(text="a")]).splitlines(keepends=True)
    for bad in (
        b'{"k":"note","t":1%s,"text":"x"}\n' % (b"0" * 400),
        b'{"k":"head","v":1,"run":"","writer":"","start":1%s}\n' % (b"0" * 400),
    ):
        entries, damage, _ = read_journal("w.jsonl", b"".join([head, bad, *lines]), RUN)
        assert [entry.record.text for entry in entries] == ["a"]
        assert "out of range" in damage[0]
        assert entries[0].time < time.time() + 60


def test_a_file_of_a_newer_version_is_left_alone_with_a_reason(folder):
    whole = sealed(folder, [Note(text="a")])
    newer = whole.replace(b'"v":1', b'"v":2', 1)
    unsealed = newer[: newer.index(b'{"k":"seal"')]
    entries, damage, _ = read_journal("w.jsonl", unsealed, RUN)
    assert entries == []
    assert "format 2" in damage[0]
    assert "upgrade" in damage[0]
    at = len(unsealed)
    resealed = unsealed + encode(Seal(t=1, o=at, n=2, crc=zlib.crc32(unsealed)))
    assert read_journal("w.jsonl", resealed, RUN)[0] == []
    # Against its seal the version is damage, and the rest is read.
    entries, damage, _ = read_journal("w.jsonl", newer, RUN)
    assert [entry.record.text for entry in entries] == ["a"]
    assert damage


def test_unknown_kinds_are_counted(folder):
    head, *lines = sealed(folder, [Note(text="a")]).splitlines(keepends=True)
    data = b"".join([head, b'{"k":"video","t":5}\n', lines[0]])
    entries, damage, unknown = read_journal("w.jsonl", data, RUN)
    assert (len(entries), damage, unknown) == (1, [], 1)


def test_an_empty_file_and_one_without_a_head():
    assert read_journal("w.jsonl", b"", RUN) == ([], [], 0)
    entries, damage, _ = read_journal("w.jsonl", encode(Note(text="a", t=10**6)), RUN)
    assert entries[0].time == pytest.approx(journal.run_start(RUN) + 1)  # the clock of the run's id
    assert "does not begin with a head" in damage[0]


def test_the_start_in_a_run_id_is_its_time():
    now = time.time()
    assert journal.run_start(new_run_id(now)) == pytest.approx(now, abs=0.0011)
    assert journal.run_start("nonsense") == 0.0


# ---- seals ----------------------------------------------------------------------------------------------------------


def test_a_seal_every_64_kib_and_at_the_end(folder):
    writer = JournalWriter(folder, RUN)
    line = encode(Note(text="x" * 100))
    for _ in range(2000):
        writer.append(line)
    writer.seal()
    writer.seal()  # nothing new: no second one
    data = writer.path.read_bytes()
    writer.release()
    offset, since, found = 0, 0, []
    for number, raw in enumerate(data.splitlines(keepends=True), 1):
        record = decode(raw)
        if isinstance(record, Seal):
            assert (record.o, record.n, record.crc) == (offset, number - 1, zlib.crc32(data[since:offset]))
            found.append(offset - since)
            since = offset
        offset += len(raw)
    assert since + len(data.splitlines(keepends=True)[-1]) == len(data)  # the last line is one
    assert len(found) == len(data) // journal.SEAL_EVERY + 1
    assert all(journal.SEAL_EVERY <= size < journal.SEAL_EVERY + 300 for size in found[:-1])


# ---- interrupts and signal handlers ---------------------------------------------------------------------------------


def _after(seconds, handler):
    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    return old


def _interrupt(number, frame):
    """Ctrl-C, but only in the midst of ``append``: not in the lines of the test."""
    while frame is not None:
        if frame.f_code is JournalWriter.append.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back


def _restore(old):
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


def test_an_interrupt_at_any_moment_loses_and_doubles_nothing_whose_call_returned(folder):
    writer = JournalWriter(folder, RUN)
    returned, interrupted, step = set(), set(), 0
    deadline = time.monotonic() + 1.0
    old = _after(0.0007, _interrupt)
    try:
        while time.monotonic() < deadline:
            try:
                while time.monotonic() < deadline:
                    step += 1
                    writer.append(encode(Metrics(step, "", {"loss": 1.0}, step)))
                    returned.add(step)
            except KeyboardInterrupt:
                interrupted.add(step)
    finally:
        _restore(old)
    writer.append(encode(Note(text="at once")))  # no waiting time after Ctrl-C
    writer.release()
    records, damage = read(folder)
    steps = [record.s for record in records if isinstance(record, Metrics)]
    assert len(interrupted) > 10
    assert len(steps) == len(set(steps))
    assert returned <= set(steps)
    assert set(steps) <= returned | interrupted
    assert [record for record in records if isinstance(record, Note)]
    assert all("torn" in hurt or "seal" in hurt for hurt in damage)


def test_after_an_interrupted_write_another_file_is_begun(folder):
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="a")))

    # A FIFO blocks once it is full: the interrupt comes while the write is under way.
    reading, writing = os.pipe()
    os.dup2(writing, writer._fd)
    old = _after(0.2, _interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            writer.append(encode(Note(text="x" * 200_000)))
    finally:
        _restore(old)
        os.close(reading)
        os.close(writing)
    writer.append(encode(Note(text="b")))
    writer.release()
    assert len(files(folder)) == 2
    assert sorted(record.text for record in read(folder)[0]) == ["a", "b"]


def test_a_signal_handler_may_log_while_its_thread_writes(folder):
    writer = JournalWriter(folder, RUN)
    logged = itertools.count()

    def handler(number, frame):
        writer.append(encode(Metrics(0, "", {"handler": 1.0}, next(logged))))

    old = _after(0.0005, handler)
    count = 0
    try:
        deadline = time.monotonic() + 0.7
        while time.monotonic() < deadline:
            writer.append(encode(Metrics(0, "", {"thread": 1.0}, count)))
            count += 1
    finally:
        _restore(old)
    writer.seal()
    writer.release()
    records, damage = read(folder)
    assert damage == []
    # A second signal may interrupt the handler between its number and its write: each once, in any order.
    handled = next(logged)
    assert handled > 10
    assert sorted(record.s for record in records if "handler" in record.m) == list(range(handled))
    assert [record.s for record in records if "thread" in record.m] == list(range(count))


# ---- errors ---------------------------------------------------------------------------------------------------------


def _break(writer):
    """The journal's descriptor becomes one that is always full."""
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), writer._fd)


def test_a_failed_write_begins_another_file_after_a_while(folder, monkeypatch):
    monkeypatch.setattr(journal, "RETRY_AFTER", 0.3)
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="a")))
    _break(writer)
    for _ in range(2):  # the second does not even try
        with pytest.raises(OSError, match=r"No space|waiting"):
            writer.append(encode(Note(text="lost")))
    assert len(files(folder)) == 1
    time.sleep(0.35)
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
        assert done.wait(10)

    monkeypatch.setattr(os, "fsync", slow_disk)
    syncing = threading.Thread(target=writer.sync)
    syncing.start()
    assert slow.wait(10)
    logging = threading.Thread(target=writer.append, args=(encode(Note(text="b")),))
    logging.start()
    logging.join(5)
    blocked = logging.is_alive()
    done.set()
    syncing.join(10)
    logging.join(10)
    writer.release()
    assert not blocked
    assert writer.dirty  # what came meanwhile is synced next time


# ---- many files, threads, forks -------------------------------------------------------------------------------------


def test_more_journals_than_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "OPEN_FILES", 5)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    writers = []
    for number in range(40):
        (tmp_path / str(number)).mkdir()
        writers.append(JournalWriter(tmp_path / str(number), RUN))
    for step in range(3):
        for writer in writers:
            writer.append(encode(Metrics(0, "", {"loss": 1.0}, step)))
            if before:
                assert len(os.listdir("/proc/self/fd")) <= before + 6
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


def test_a_fork_while_another_thread_holds_the_lock_does_not_hang(folder):
    writer = JournalWriter(folder, RUN)
    held, go = threading.Event(), threading.Event()

    def hold():
        with writer._lock:
            held.set()
            go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    pid = os.fork()
    if pid == 0:
        signal.alarm(5)
        writer.append(encode(Note(text="child")))
        os._exit(0)
    go.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert [record.text for record in read(folder)[0]] == ["child"]


# ---- what a file looks like -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o027])
def test_files_are_private_whatever_the_umask(folder, mask):
    old = os.umask(mask)
    try:
        for mode in (0o600, 0o660):
            writer = JournalWriter(folder, RUN, mode)
            writer.append(encode(Note(text="a")))
            writer.release()
            assert stat.S_IMODE(writer.path.stat().st_mode) == mode
    finally:
        os.umask(old)


def test_the_head_says_who_writes(folder):
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="a")))
    head = json.loads(writer.path.read_bytes().splitlines()[0])
    writer.release()
    assert head["run"] == RUN
    assert head["writer"] == writer.path.stem == Path(head["writer"]).name
    assert len(head["writer"]) == 16
    assert head["start"] == pytest.approx(time.time() * 1e6, abs=5e6)
    assert (head["v"], head["pid"], head["host"]) == (1, os.getpid(), os.uname().nodename)

"""Interrupts and signal handlers lose nothing and double nothing."""

import errno
import itertools
import os
import select
import signal
import time
import zlib
from types import SimpleNamespace

import pytest

from autotrack.backends import journal
from autotrack.backends.journal import JournalWriter
from autotrack.records import Metrics, Note, encode
from tests.backends.journals import RUN, files, read


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
    least, most = time.monotonic() + 1.0, time.monotonic() + 30.0
    old = _after(0.0007, _interrupt)

    def goes_on():
        return time.monotonic() < (most if len(interrupted) <= 10 else least)

    try:
        while goes_on():
            try:
                while goes_on():
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

    def interrupt_once_it_blocks(number, frame):
        if not select.select([], [writing], [], 0)[1]:
            _interrupt(number, frame)

    old = _after(0.2, interrupt_once_it_blocks)
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
    logged, calls = itertools.count(), []

    def handler(number, frame):
        calls.append(number)
        writer.append(encode(Metrics(0, "", {"handler": 1.0}, next(logged))))

    old = _after(0.0005, handler)
    count = 0
    try:
        least, most = time.monotonic() + 0.7, time.monotonic() + 30.0
        while time.monotonic() < (most if len(calls) <= 10 else least):
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


def test_thousands_of_lines_of_one_signal_handler_come_after_the_line_that_it_interrupted(folder, monkeypatch):
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="before")))
    really = os.write

    def write(fd, data):
        monkeypatch.setattr(os, "write", really)
        for step in range(3_000):
            writer.append(encode(Metrics(step, "", {"loss": 1.0}, step)))
        return really(fd, data)

    monkeypatch.setattr(os, "write", write)
    writer.append(encode(Note(text="interrupted")))
    writer.seal()
    writer.release()
    records, damage = read(folder)
    assert not damage
    assert [record.text for record in records[:2]] == ["before", "interrupted"]
    assert [record.s for record in records[2:]] == list(range(3_000))


def test_a_signal_handler_that_logs_while_a_block_is_sealed(folder, monkeypatch):
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="before")))

    def crc32(data, value=0):
        monkeypatch.undo()
        writer.append(encode(Note(text="handler")))
        return zlib.crc32(data, value)

    monkeypatch.setattr(journal, "zlib", SimpleNamespace(crc32=crc32))
    writer.seal()
    writer.append(encode(Note(text="after")))
    writer.seal()
    writer.release()
    records, damage = read(folder)
    assert not damage
    assert [record.text for record in records] == ["before", "handler", "after"]


def test_what_a_signal_handler_logged_when_the_disk_filled_up_comes_later(folder, monkeypatch):
    monkeypatch.setattr(journal, "RETRY_AFTER", 0.0)
    writer = JournalWriter(folder, RUN)
    writer.append(encode(Note(text="before")))
    really, calls = os.write, []

    def write(fd, data):
        calls.append(data)
        if len(calls) == 1:
            writer.append(encode(Note(text="handler")))
        elif len(calls) == 2:
            raise OSError(errno.ENOSPC, "full")
        return really(fd, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="full"):
        writer.append(encode(Note(text="interrupted")))
    writer.append(encode(Note(text="after")))
    writer.release()
    records, _ = read(folder)
    assert sorted(record.text for record in records) == ["after", "before", "handler", "interrupted"]

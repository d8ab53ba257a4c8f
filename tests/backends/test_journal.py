"""What is written is read back; damage is named; what a file looks like."""

import json
import os
import stat
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from autotrack.backends import journal
from autotrack.backends.base import new_run_id
from autotrack.backends.journal import JournalWriter, read_journal
from autotrack.records import Metrics, Note, Params, Points, Seal, Tags, decode, encode, number_to_json
from tests.backends.journals import RUN, sealed

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


quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


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
    assert len(found) == 4
    most = journal.SEAL_EVERY + journal.COUNT_EVERY * (len(line) + 1)
    assert all(journal.SEAL_EVERY <= size < most for size in found[:-1])


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
    assert head["start"] == pytest.approx(time.time() * 1e6, abs=60e6)
    assert (head["v"], head["pid"], head["host"]) == (1, os.getpid(), os.uname().nodename)

"""The checks of ``BackendSuite`` for records: what is written comes back, in order, once, equal, in its own run."""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
import threading
import time
from typing import Any

from autotrack import reader, run_list
from autotrack.backends.base import new_run_id
from autotrack.errors import RunNotFound
from autotrack.records import (
    Artifact,
    Begin,
    Change,
    End,
    Facts,
    Failure,
    Metrics,
    Model,
    Note,
    Params,
    Points,
    Record,
    Removed,
    Summary,
    Tags,
    encode,
)
from autotrack.testing.backend_case import LIMIT, Case, point, refused, rule, same_records, steps

ODD_TEXTS = [
    "",
    " ",
    "\ud800",
    "a\udfffb",
    "\0",
    "\n\r\u2028",
    '"},{"',
    "\u202egnp.exe",
    "x" * 100_000,
    "\U0001f600",
    "$",
]
"""Texts that some format or database does not take."""

NO_RUNS = ["", ".", "..", "../..", "x\0", "/", "x/y", "x" * 10_000, "'; --", "\ud800", "*"]
"""What is no run id."""


def _odd_records() -> list[Record]:
    """One of each kind, with the values that get lost first."""
    numbers: list[float | str] = ["nan", "inf", "-inf", -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2.0**53 + 2]
    records: list[Record] = [Metrics(1, "", {"a": number}, step) for step, number in enumerate(numbers)]
    records += [Metrics(1, "", {"a": 1.0}, step, epoch) for step in (2**63 - 1, -(2**63), None) for epoch in (3, None)]
    records += [Metrics(1, "", {text: 0.5}, 1) for text in ODD_TEXTS]
    values: list[Any] = [True, None, 1, 1.0, 2**63, -(2**64), 2**1023, 1e300, [], {}, [1, [2, {"b": [None]}]], "text"]
    return [
        *records,
        *[Params(t=1, p={"a": value}) for value in values],
        *[Params(t=1, p={text: text}, changed=[text]) for text in ODD_TEXTS],
        Params(t=1, p={f"p{number}": number for number in range(3000)}),
        *[Tags(t=1, g={text: text, "gone": None}) for text in ODD_TEXTS],
        *[Note(t=1, text=text, level="warning") for text in ODD_TEXTS],
        Points(t=1, key="a", s=[2, 1, 1], v=["nan", 1.5, 1.5], dt=[-1, 0, 0], e=[0, 0, 1]),
        Points(t=1, key="a", s=[1], v=[1.0], lo=[0.5], hi=["inf"], n=[7]),
        Facts(t=1, f={"data": {"shape": [3, 4], "odd": {"$float": "nan"}}, "x": "\ud800"}),
        Change(t=1, name="\udfff", description=""),
        Artifact(t=1, path="artifacts/\u00e9 %2e", size=2**40, sha256="0" * 64),
        Model(t=1, name="m", format="skops", path="models/m/m.skops", size=1, sha256="0" * 64, requires={"a": "1"}),
        Begin(t=1, c="1", name="child"),
        Metrics(1, "1", {"a": 1.0}, 0),
        Begin(t=1, c="1.1", name="its child"),
        Summary(t=1, params={"a": 1}, metrics={"a": [2.0, "nan", None, None, 0.0]}, tags={"b": ""}),
        End(t=1, c="1", status="failed", duration=0.5, error=Failure("E", "\ud800", "line\nline"), incomplete=True),
        End(t=1, status="finished", duration=1e-9, dropped=3, metrics={"a": [1.0, "inf", 1.0, 1.0, None]}),
    ]


class RecordTests:
    """Rules order, once, values, runs, writers, end and quiet."""

    @rule("order")
    def test_records_come_back_in_order(self, case: Case) -> None:
        """Of one thread, in batches of all sizes, with equal times, beyond any block's or page's end."""
        writer = case.begin()
        sizes = [1, 1, 5, 1, 50, 1000, 1, 1, 100]
        written = [[point(writer, size * 10_000 + number) for number in range(size)] for size in sizes]
        for batch in written:
            now = writer.elapsed()
            for record in batch:
                record.t = now
            writer.write(batch)
        writer.write([Note(t=writer.elapsed(), text="x" * 300_000)])
        writer.write([])
        writer.write([Note(t=writer.elapsed(), text="last")])
        found = case.records(writer)
        expected = [record.s for batch in written for record in batch]
        assert steps(found) == expected, "records do not come back in the order in which they were written"
        assert [len(note.text) for note in found[len(expected) :] if isinstance(note, Note)] == [300_000, 4], (
            "the last records are not the ones that were written last"
        )

    @rule("order")
    def test_entries_are_sorted_by_time(self, case: Case) -> None:
        """Time is start + t; a record that tells of the past, as gathered points do, lies there."""
        writer = case.begin()
        assert abs(writer.start - time.time()) < LIMIT, f"start is {writer.start}, not now in Unix time"
        times = [5_000_000, 4_000_000, 6_000_000, 4_000_000]
        for number, when in enumerate(times):
            writer.write([Metrics(when, "", {"loss": 1.0}, number)])
        log = case.read(writer)
        keys = [(entry.time, entry.writer, entry.line) for entry in log.entries]
        assert keys == sorted(keys), f"entries are not sorted by time, writer and line: {keys}"
        assert steps([entry.record for entry in log.entries]) == [1, 3, 0, 2], "records do not lie where their time is"
        for entry in log.entries:
            wrong = entry.time - (writer.start + entry.record.t / 1e6)
            assert abs(wrong) < 1e-5, f"the time of an entry is {wrong} s away from start + t"

    @rule("order")
    def test_the_clock_never_goes_back(self, case: Case) -> None:
        """Whole microseconds."""
        writer = case.begin()
        ticks = [writer.elapsed() for _ in range(1000)]
        assert all(type(tick) is int for tick in ticks), f"elapsed() gives {ticks[0]!r}, not whole microseconds"
        assert ticks == sorted(ticks), "elapsed() goes back"
        time.sleep(0.01)
        later = writer.elapsed()
        assert ticks[0] >= 0, "elapsed() is negative"
        assert 10_000 <= later - ticks[-1] < LIMIT * 1_000_000, "elapsed() does not count microseconds"

    @rule("once")
    def test_each_record_comes_back_once(self, case: Case) -> None:
        """None is lost, none doubled; equal records stay as many; each has an identity that stays."""
        writer = case.begin()
        first, twin = point(writer, 1), point(writer, 7)
        written = [[first], [twin, twin], [twin], [point(writer, 2)]]
        for batch in written:
            writer.write(batch)
        same_records(case.records(writer), [record for batch in written for record in batch])
        assert writer.dropped == 0, f"{writer.dropped} records are said to be lost"
        identities = [(entry.writer, entry.line) for entry in case.read(writer).entries]
        assert len(set(identities)) == len(identities), f"two records have the same writer and line: {identities}"
        assert [(entry.writer, entry.line) for entry in case.read(writer).entries] == identities, (
            "read a second time, records have another writer or line"
        )

    @rule("once")
    def test_the_last_record_before_the_end_is_there(self, case: Case) -> None:
        """With and without ``close``."""
        writer = case.begin()
        for step in range(3):
            writer.write([point(writer, step)])
            found = steps(case.records(writer))
            assert found == list(range(step + 1)), f"after {step + 1} writes steps {found} are there"
        writer.close()
        assert steps(case.records(writer)) == [0, 1, 2], "close() costs a record"

    @rule("values")
    def test_odd_values_come_back_equal(self, case: Case) -> None:
        """NaN, infinities, 64-bit steps, large integers, lone surrogates, long and hostile texts, every kind."""
        writer = case.begin("\ud800 run")
        written = _odd_records()
        for record in written:
            record.t = writer.elapsed()
            writer.write([record])
        same_records(case.records(writer), written)
        name = reader.read_run(case.backend.source(), writer.run_id).name
        assert name == "\udfff", f"a name with a lone surrogate came back as {name!a}"

    @rule("values")
    def test_unknown_kinds_are_counted(self, case: Case) -> None:
        """What a later version writes is passed over, and costs nothing else."""
        writer = case.begin()
        writer.write([point(writer, 0), _Later(t=writer.elapsed(), what=1), point(writer, 1)])
        log = case.read(writer)
        assert steps([entry.record for entry in log.entries]) == [0, 1], "a record of an unknown kind costs others"
        assert (log.unknown, log.damage) == (1, []), (
            f"one record is of an unknown kind; unknown is {log.unknown}, damage {log.damage}"
        )

    @rule("runs")
    def test_runs_are_apart_and_oldest_first(self, case: Case) -> None:
        """Several are written side by side."""
        assert case.backend.source().run_ids() == [], "a new store has runs"
        writers = []
        for number in range(5):
            writers.append(case.begin(f"run {number}"))
            time.sleep(0.002)  # ids are made of milliseconds
        for step in range(10):
            for number, writer in enumerate(writers):
                writer.write([point(writer, 100 * number + step)])
        for writer in writers:
            case.suite.settle(case.backend, writer.run_id)
        assert case.backend.source().run_ids() == [writer.run_id for writer in writers], "runs are not oldest first"
        for number, writer in enumerate(writers):
            found = steps(case.records(writer))
            assert found == [100 * number + step for step in range(10)], f"run {number} has records of another: {found}"
            name = reader.read_run(case.backend.source(), writer.run_id).name
            assert name == f"run {number}", f"run {number} is called {name!r}"

    @rule("runs")
    def test_an_id_is_given_once(self, case: Case) -> None:
        """A second run of the same id is refused, and the first does not notice."""
        writer = case.begin("first")
        writer.write([point(writer, 0)])
        with refused((FileExistsError,), "beginning a run under an id that is given"):
            case.backend.open_run(writer.run_id, Begin(name="second"))
        writer.write([point(writer, 1)])
        assert steps(case.records(writer)) == [0, 1], "opening a run a second time hurts the first"
        assert reader.read_run(case.backend.source(), writer.run_id).name == "first", "the second one's name is shown"

    @rule("runs")
    def test_what_is_no_run_is_not_found(self, case: Case) -> None:
        """Ids that were never given, and texts that are no ids."""
        case.begin()
        for name in [new_run_id(1.0), *NO_RUNS]:
            with refused((RunNotFound,), f"reading {name[:50]!a}, which is no run,"):
                case.backend.source().read(name)

    @rule("writers")
    def test_threads_share_a_writer(self, case: Case) -> None:
        """Nothing is lost or torn, and each thread's records are in order."""
        writer = case.begin()

        def work(key: str) -> None:
            for step in range(0, 40, 2):
                writer.write([point(writer, step, key), point(writer, step + 1, key)])

        threads = [threading.Thread(target=work, args=(f"m{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "write() from several threads hangs"
        found = case.records(writer)
        for number in range(8):
            mine = steps(found, f"m{number}")
            assert len(mine) == 40, f"a thread wrote 40 records, {len(mine)} are there"
            assert mine == list(range(40)), "the records of one thread are out of order"

    @rule("end")
    def test_the_end_is_a_record_and_no_seal(self, case: Case) -> None:
        """What comes later is kept, also after another end of the handle, and the status stays."""
        writer = case.begin()
        writer.write([point(writer, 0)])
        error = Failure("ValueError", "no", "Traceback")
        writer.write([End(t=writer.elapsed(), status="failed", duration=1.5, error=error)])
        writer.close()
        late = [Tags(t=writer.elapsed(), g={"late": "yes"}), point(writer, 1), Change(t=writer.elapsed(), name="other")]
        writer.write(late)
        writer.write([Summary(t=writer.elapsed(), tags={"late": "yes"})])
        writer.close()
        writer.close()
        case.suite.settle(case.backend, writer.run_id)
        found = reader.read_run(case.backend.source(), writer.run_id)
        assert found.status == "failed", f"a run that ended as failed is {found.status} after a later tag"
        assert (found.duration, found.error) == (1.5, error), "the end is not what was written"
        assert found.tags == {"late": "yes"}, f"a tag that was set after the end is lost: {found.tags}"
        assert [at.step for at in found.history("loss")] == [0, 1], "a metric that was logged after the end is lost"
        assert found.name == "other", "a name that was given after the end is lost"
        assert len(case.records(writer)) == 6, "not every record is there after the end"
        assert writer.dropped == 0, "records after the end are said to be lost"

    @rule("end")
    def test_a_run_goes_on_until_it_is_closed(self, case: Case) -> None:
        """Whoever looks meanwhile is not told that its process is gone, and afterwards not that it works."""
        writer = case.begin()
        assert case.read(writer).alive is not False, "a run that goes on is said to be dead"
        writer.close()
        assert case.read(writer).alive is not True, "a run that was closed is said to go on"

    @rule("end")
    def test_a_tombstone_stays(self, case: Case) -> None:
        """The run is off the list, whatever is written later; other runs stay."""
        removed, other = case.begin("removed"), case.begin("other")
        removed.write([Removed(t=removed.elapsed(), by="suite")])
        removed.write([Tags(t=removed.elapsed(), g={"late": "yes"}), point(removed, 0)])
        removed.close()
        case.suite.settle(case.backend, removed.run_id)
        source = case.backend.source()
        assert reader.read_run(source, removed.run_id).removed, "the tombstone is lost"
        names = [run.name for run in run_list.list_runs(source)]
        assert names == ["other"], f"of a removed run and another one {names} are listed"
        assert case.records(other) == [], "removing one run hurts another"

    @rule("quiet")
    def test_nothing_moves_and_nothing_is_kept(self, case: Case) -> None:
        """No print, no random state; records given are neither changed nor looked at later."""
        out = io.StringIO()
        before = _world()
        params = Params(t=1, p={"a": [1, {"b": 2}]})
        given = encode(params)
        with contextlib.redirect_stdout(out):
            writer = case.begin()
            writer.write([params])
            assert encode(params) == given, "write() changes the records that it is given"
            params.p["a"][1]["b"] = 3
            params.p["c"] = "later"
            writer.write([Note(t=2, text="x")])
            writer.close()
            found = case.records(writer)
        assert encode(found[0]) == given, "a record that was changed after write() comes back changed"
        assert out.getvalue() == "", f"printed on stdout: {out.getvalue()[:200]!r}"
        for what, value in _world().items():
            assert value == before[what], f"{what} moved"


class _Later(Record, tag="of-a-later-version", kw_only=True):
    """What a later version might write."""

    what: int


def _world() -> dict[str, Any]:
    numpy = sys.modules.get("numpy")
    return {
        "the state of random": random.getstate(),
        "the state of numpy.random": numpy and repr(numpy.random.get_state()),
        "the working folder": os.getcwd(),
        "os.environ": dict(os.environ),
    }

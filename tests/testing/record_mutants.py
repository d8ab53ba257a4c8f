"""Mutants of a good backend that lose, double, change or mix records."""

import contextlib
import os
import random
import time
from dataclasses import replace

import msgspec

from autotrack.backends.base import RunLog
from autotrack.errors import RunNotFound
from autotrack.records import Begin, End, Metrics, Note, Params, Removed, encode
from tests.testing.mutants import Good, breaks

# ---- order, once ----------------------------------------------------------------------------------------------------


@breaks("order", "not come back in the order")
class ReversesBatches(Good):
    def write(self, writer, records):
        writer.write(list(reversed(records)))


@breaks("order", "not sorted by time")
class ReadsInTheOrderOfArrival(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        return replace(log, entries=sorted(log.entries, key=lambda entry: entry.line))


@breaks("order", "does not count microseconds")
class CountsMilliseconds(Good):
    def elapsed(self, writer):
        return writer.elapsed() // 1000


@breaks("once", "after 1 writes steps [] are there")
class LosesTheLastRecord(Good):
    """Until another one comes."""

    def write(self, writer, records):
        waiting = [*self.memo.get(writer.run_id, []), *records]
        writer.write(waiting[:-1])
        self.memo[writer.run_id] = waiting[-1:]


@breaks("once", "came back")
class DoublesOne(Good):
    def write(self, writer, records):
        writer.write(records)
        if any(isinstance(record, Metrics) and record.s == 2 for record in records):
            writer.write(records[-1:])


@breaks("once", "came back")
class TakesEqualRecordsForOne(Good):
    """``INSERT OR IGNORE`` with the values for a key."""

    def write(self, writer, records):
        known = self.memo.setdefault("known", set())
        for record in records:
            if (key := (writer.run_id, encode(record))) not in known:
                known.add(key)
                writer.write([record])


@breaks("once", "another writer or line")
class NumbersAnewAtEachReading(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        shift = self.memo["shift"] = self.memo.get("shift", 0) + 1
        return replace(log, entries=[entry._replace(line=entry.line + shift) for entry in log.entries])


@breaks("once", "same writer and line")
class GivesNoNumbers(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        return replace(log, entries=[entry._replace(line=0) for entry in log.entries])


@breaks("once", "close() costs a record")
class DropsOneAtTheEnd(Good):
    def end(self, writer):
        writer.lines.pop()
        writer.close()


@breaks("once", "came back")
class DeliversBlindly(Good):
    """Sends again what had no answer, without saying that it is the same."""

    def again(self, run_id):
        run = self.inner._runs[run_id]
        run.lines.extend(run.lines[1:])


# ---- values ---------------------------------------------------------------------------------------------------------


class ChangesRecords(Good):
    def write(self, writer, records):
        writer.write([self.change(record) for record in records])


@breaks("values", "'nan'")
class SwallowsNaN(ChangesRecords):
    def change(self, record):
        if isinstance(record, Metrics) and "nan" in record.m.values():
            return msgspec.structs.replace(record, m={})
        return record


@breaks("values", "-0.0")
class LosesTheSignOfZero(ChangesRecords):
    def change(self, record):
        if isinstance(record, Metrics):
            return msgspec.structs.replace(record, m={key: value or 0.0 for key, value in record.m.items()})
        return record


@breaks("values", "s=9223372036854775807")
class KeepsStepsIn32Bits(ChangesRecords):
    def change(self, record):
        if isinstance(record, Metrics) and record.s is not None:
            return msgspec.structs.replace(record, s=record.s & 0x7FFFFFFF)
        return record


@breaks("values", "p={'a': True}")
class MakesParametersText(ChangesRecords):
    def change(self, record):
        if isinstance(record, Params):
            return msgspec.structs.replace(record, p={key: str(value) for key, value in record.p.items()})
        return record


@breaks("values", "UnicodeEncodeError")
class FailsOnSurrogates(ChangesRecords):
    def change(self, record):
        msgspec.json.encode(record)
        return record


@breaks("values", "Note(")
class CutsLongTexts(ChangesRecords):
    def change(self, record):
        return msgspec.structs.replace(record, text=record.text[:6000]) if isinstance(record, Note) else record


@breaks("values", "unknown kind")
class HidesUnknownKinds(Good):
    def read(self, source, run_id):
        return replace(source.read(run_id), unknown=0)


# ---- runs, writers --------------------------------------------------------------------------------------------------


@breaks("runs", "not oldest first")
class ListsNewestFirst(Good):
    def run_ids(self, source):
        return source.run_ids()[::-1]


@breaks("runs", "did not raise FileExistsError")
class GivesAnIdTwice(Good):
    def open_run(self, run_id, begin):
        with contextlib.suppress(FileExistsError):
            return super().open_run(run_id, begin)
        return super().open_run(f"{run_id}-2", begin)


@breaks("runs", "did not raise RunNotFound")
class FindsWhatIsNotThere(Good):
    def read(self, source, run_id):
        try:
            return source.read(run_id)
        except RunNotFound:
            return RunLog(run_id)


@breaks("runs", "has records of another")
class MixesRuns(Good):
    def write(self, writer, records):
        first = self.memo.setdefault("first", writer)
        first.write(records)


@breaks("writers", "a thread wrote 40 records")
class LosesWhatThreadsWriteAtOnce(Good):
    def write(self, writer, records):
        lines = list(writer.lines)
        time.sleep(0.0005)
        writer.lines = lines + [encode(record) for record in records]


@breaks("writers", "records of a forked child", over="file")
class WritesInOneProcessOnly(Good):
    pid = os.getpid()

    def write(self, writer, records):
        if os.getpid() == self.pid:
            writer.write(records)


@breaks("writers", "one identity", over="file")
class ForgetsWhoWrote(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        return replace(log, entries=[entry._replace(writer="w") for entry in log.entries])


def entries(log, keep):
    return replace(log, entries=[entry for entry in log.entries if keep(entry.record)])


# ---- end, quiet -----------------------------------------------------------------------------------------------------


@breaks("end", "after a later tag")
class LetsAnEndBeOverwritten(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        last = log.entries[-1].record
        return log if isinstance(last, End) else entries(log, lambda record: not isinstance(record, End))


@breaks("end", "set after the end is lost")
class SealsTheEnd(Good):
    def write(self, writer, records):
        if not writer.closed:
            writer.write(records)


@breaks("end", "said to be dead")
class SaysThatARunIsDead(Good):
    def read(self, source, run_id):
        return replace(source.read(run_id), alive=False)


@breaks("end", "tombstone is lost")
class ForgetsTombstones(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        return entries(log, lambda record: not isinstance(record, Removed) or record is log.entries[-1].record)


@breaks("quiet", "printed on stdout")
class Prints(Good):
    def open_run(self, run_id, begin):
        print("recording to", self.inner)
        return super().open_run(run_id, begin)


@breaks("quiet", "the state of random moved")
class MovesTheRandomState(Good):
    def open_run(self, run_id, begin):
        random.random()
        return super().open_run(run_id, begin)


@breaks("quiet", "changed after write() comes back changed")
class KeepsTheRecordsThemselves(Good):
    """What is read back is the very object that was given."""

    def write(self, writer, records):
        self.memo.setdefault("given", []).extend(records)
        writer.write(records)

    def read(self, source, run_id):
        log = source.read(run_id)
        given = iter(self.memo["given"])
        return replace(
            log,
            entries=[
                entry if isinstance(entry.record, Begin) else entry._replace(record=next(given))
                for entry in log.entries
            ],
        )


@breaks("quiet", "changes the records")
class CleansTheRecordsInPlace(Good):
    def write(self, writer, records):
        for record in records:
            if isinstance(record, Params):
                record.p["a"] = "<redacted>"
        writer.write(records)

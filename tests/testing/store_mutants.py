"""Mutants of a good backend that fail other processes, on a full or damaged disk, and with files."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath

from autotrack.backends.base import StoredFile
from autotrack.records import End
from tests.testing.mutants import Good, breaks

# ---- durable, readers -----------------------------------------------------------------------------------------------


@breaks("durable", "had returned", over="file")
class WritesLater(Good):
    def write(self, writer, records):
        waiting = self.memo.setdefault("waiting", [])
        waiting += records
        if len(waiting) >= 1_000_000:
            writer.write(waiting)
            waiting.clear()


@breaks("durable", "one of them lists", over="file")
class ListsItsOwnRunsOnly(Good):
    def open_run(self, run_id, begin):
        self.memo.setdefault("mine", set()).add(run_id)
        return super().open_run(run_id, begin)

    def run_ids(self, source):
        return [run_id for run_id in source.run_ids() if run_id in self.memo.get("mine", set())]


@breaks("readers", "saw 200 in the end")
class ReadsOnce(Good):
    """A cache that nobody empties: what was read once is all there is, but for the end."""

    def read(self, source, run_id):
        log = source.read(run_id)
        first = self.memo.setdefault(run_id, log)
        ends = [entry for entry in log.entries if isinstance(entry.record, End)]
        return replace(log, entries=[*first.entries, *(ends if first is not log else [])])


@breaks("readers", "197, 199, 198]", over="file")
class ReadsTheTailInAnotherOrder(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        ended = any(isinstance(entry.record, End) for entry in log.entries)
        return log if ended else replace(log, entries=[*log.entries[:-2], *log.entries[:-3:-1]])


@breaks("heads", "a head says")
class ListsOldHeads(Good):
    def heads(self, source, query):
        return [self.memo.setdefault(head.id, head) for head in source.heads(query)]


@breaks("heads", "the heads listed are")
class ListsTheOldestFirst(Good):
    def heads(self, source, query):
        return reversed(list(source.heads(query)))


@breaks("heads", "a history has")
class ForgetsTheLastPoint(Good):
    def history(self, source, run_id, key):
        return source.history(run_id, key)[:-1]


# ---- refusal, damage ------------------------------------------------------------------------------------------------


@breaks("refusal", "OSError", over="file")
class RaisesWhenTheDiskIsFull(Good):
    def write(self, writer, records):
        dropped = writer.dropped
        writer.write(records)
        if writer.dropped > dropped:
            raise OSError("no room")


@breaks("refusal", "counted as lost", over="file")
class CountsNothing(Good):
    def write(self, writer, records):
        writer.write(records)
        writer.dropped = 0


@breaks("refusal", "nobody was warned", over="file")
class WarnsNobody(Good):
    def open_run(self, run_id, begin):
        self.inner._failed = _Everything()
        return super().open_run(run_id, begin)


class _Everything(set):
    def __contains__(self, item):
        return True


@breaks("refusal", "more than once", over="file")
class WarnsEachTime(Good):
    def write(self, writer, records):
        writer.write(records)
        self.inner._failed.clear()


@breaks("refusal", "said to be stored", over="file")
class SaysThatAFileIsStored(Good):
    def put_file(self, writer, path, source):
        return writer.put_file(path, source) or StoredFile(str(path), len(source), "")


@breaks("damage", "nothing is said", over="file")
class SaysNothingOfDamage(Good):
    def read(self, source, run_id):
        return replace(source.read(run_id), damage=[])


@breaks("damage", "costs others", over="file")
class StopsAtDamage(Good):
    def read(self, source, run_id):
        log = source.read(run_id)
        return replace(log, entries=log.entries[:6]) if log.damage else log


# ---- files, paths ---------------------------------------------------------------------------------------------------


@breaks("files", "was stored as")
class HashesTheName(Good):
    def put_file(self, writer, path, source):
        return writer.put_file(path, source)._replace(sha256=hashlib.sha256(str(path).encode()).hexdigest())


@breaks("files", "not come back as it was")
class TakesNewlinesForText(Good):
    def put_file(self, writer, path, source):
        stored = writer.put_file(path, source)
        writer.files[str(path)] = writer.files[str(path)].replace(b"\r\n", b"\n")
        return stored


@breaks("files", "still the earlier one")
class KeepsTheFirstFile(Good):
    def put_file(self, writer, path, source):
        first = writer.files.get(str(path))
        stored = writer.put_file(path, source)
        if first is not None:
            writer.files[str(path)] = first
        return stored


@breaks("files", "that nobody stored", over="file")
class WritesInPlace(Good):
    def put_file(self, writer, path, source):
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        target = writer.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            time.sleep(0.01)  # a reader comes by, also where many others work
            file.write(content[len(content) // 2 :])
        return StoredFile(str(path), len(content), hashlib.sha256(content).hexdigest())


@breaks("files", "opening another run's file")
class KeepsFilesOfAllRunsTogether(Good):
    def put_file(self, writer, path, source):
        writer.files = self.memo.setdefault("files", writer.files)
        return writer.put_file(path, source)

    def open_file(self, source, run_id, path):
        source._run(run_id).files = self.memo.get("files", {})
        return source.open(run_id, path)


@breaks("files", "did not raise FileNotFoundError")
class HidesThatAFileIsAbsent(Good):
    def put_file(self, writer, path, source):
        try:
            return writer.put_file(path, source)
        except FileNotFoundError:
            return None


@breaks("paths", "did not raise ArtifactPathError")
class AcceptsDotDot(Good):
    def put_file(self, writer, path, source):
        if ".." in path.parts:
            return StoredFile(str(path), 0, "")
        return writer.put_file(path, source)


@breaks("paths", "opening '/etc/passwd' did not raise", over="file")
class ReadsOutsideTheStore(Good):
    def open_file(self, source, run_id, path):
        target = source.root / "runs" / run_id / path
        return target.open("rb") if target.is_file() else source.open(run_id, path)


@breaks("paths", "beside the store", over="file")
class WritesBesideTheStore(Good):
    def put_file(self, writer, path, source):
        (self.inner.root.parent / "log").write_text(ascii(path))
        return writer.put_file(path, source)


@breaks("paths", "came back as another file")
class TakesPlusForASpace(Good):
    def put_file(self, writer, path, source):
        stored = writer.put_file(PurePosixPath(str(path).replace("+", " ")), source)
        return stored._replace(path=str(path))

    def open_file(self, source, run_id, path):
        return source.open(run_id, path.replace("+", " "))

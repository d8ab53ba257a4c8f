"""The checks of ``BackendSuite`` for what goes wrong: a store that refuses, damage, a second delivery."""

from __future__ import annotations

from pathlib import PurePosixPath

from autotrack import reader
from autotrack.backends.base import RunWriter
from autotrack.errors import RunNotFound
from autotrack.records import End, Note
from autotrack.testing.backend_case import Case, listening, point, rule, same_records, steps


class FaultTests:
    """Rules refusal, damage and once."""

    @rule("refusal")
    def test_a_store_that_refuses_costs_records_and_nothing_else(self, case: Case) -> None:
        """Nothing is raised; one warning; what is lost is counted, and told in the end."""
        writer = case.begin()
        writer.write([point(writer, step) for step in range(3)])
        with listening() as told:
            with case.suite.refusing(case.backend):
                for step in range(3, 7):
                    writer.write([point(writer, step)])
                writer.write([point(writer, 7), point(writer, 8)])
                stored = writer.put_file(PurePosixPath("artifacts/a"), b"refused")
                assert stored is None, f"a file that the store refused is said to be stored: {stored}"
                other = case.begin("other")
                other.write([point(other, 0)])
            writer.write([point(writer, step) for step in range(9, 12)])
            assert len(told) <= 1, f"a store that refuses is told more than once: {told}"
            writer.write([End(t=writer.elapsed(), status="finished", duration=1.0)])
            writer.close()
            lost = writer.dropped + other.dropped
            assert told or not lost, f"{lost} records are lost and nobody was warned"
            _counted(case, writer, 1 + 12 + 1)
            _counted(case, other, 1 + 1)
            kept = steps(case.records(writer))
            assert kept[:3] == [0, 1, 2], "what was written before the store refused is gone"
            assert kept == sorted(kept, key=lambda step: step or 0), "after a refusal records are out of order"
            told.clear()
            case.close()
            said = " ".join(told)
            assert not lost or str(lost) in said, f"{lost} records were lost; at the end it is said: {said!r}"

    @rule("refusal")
    def test_a_store_that_refuses_from_the_start(self, case: Case) -> None:
        """The run can be begun, logged to and closed all the same, with one warning."""
        with listening() as told:
            with case.suite.refusing(case.backend):
                writer = case.begin()
                writer.write([point(writer, 0)])
                assert writer.put_file(PurePosixPath("artifacts/a"), b"x") is None, (
                    "a refused file is said to be stored"
                )
                writer.close()
            assert len(told) == min(1, writer.dropped), f"one warning is due when a store refuses; told was {told}"
        _counted(case, writer, 2)

    @rule("damage")
    def test_damage_is_named_and_costs_no_other_record(self, case: Case) -> None:
        """Whatever is spoiled: at most the one record that is spoiled itself is lost."""
        for name, spoil in case.suite.damages().items():
            writer = case.begin(name)
            written = [Note(t=writer.elapsed(), text=f"note {number}") for number in range(10)]
            for note in written:
                writer.write([note])
            writer.close()
            same_records(case.records(writer), written)
            spoil(case.backend, writer.run_id)
            log = case.read(writer)
            assert log.damage, f"{name}: nothing is said of the damage"
            problems = reader.read_run(case.backend.source(), writer.run_id).problems
            assert problems, f"{name}: a person who looks at the run is not told of the damage"
            found = [entry.record.text for entry in log.entries if isinstance(entry.record, Note)]
            intact = [text for text in found if text in {note.text for note in written}]
            assert intact == sorted(set(intact)), f"{name}: after damage records are doubled or out of order: {found}"
            assert len(intact) >= 9, f"{name}: damage to one record costs others: {found} are left of 10"

    @rule("once")
    def test_what_is_delivered_again_is_read_once(self, case: Case) -> None:
        """An answer may be lost after the work was done; then everything is sent again."""
        writer = case.begin()
        first, twin = point(writer, 0), point(writer, 1)
        written = [first, twin, twin, point(writer, 2)]
        writer.write(written)
        writer.put_file(PurePosixPath("artifacts/a"), b"a")
        for _ in range(2):
            case.suite.deliver_again(case.backend, writer.run_id)
            same_records(case.records(writer), written)
        assert case.backend.source().run_ids() == [writer.run_id], "delivered again, one run becomes several"
        writer.write([point(writer, 3)])
        same_records(case.records(writer)[:4], written)
        with case.backend.source().open(writer.run_id, "artifacts/a") as file:
            assert file.read() == b"a", "delivered again, a file is another"


def _counted(case: Case, writer: RunWriter, written: int) -> None:
    try:
        found = len(case.read(writer).entries)
    except RunNotFound:
        found = 0
    assert found + writer.dropped == written, (
        f"{written} records were written, {found} are there and {writer.dropped} are counted as lost"
    )

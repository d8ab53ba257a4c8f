"""The checks of ``BackendSuite`` for several processes: forks, death, readers beside writers, many at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from autotrack import reader, run_list
from autotrack.backends.base import RunWriter
from autotrack.records import End
from autotrack.testing.backend_case import LIMIT, Case, Child, point, rule, same_records, steps


class ProcessTests:
    """Rules writers, durable and readers. Those for other processes need a store that outlives its own."""

    @rule("writers")
    def test_a_writer_goes_on_in_a_forked_child(self, case: Case) -> None:
        """Both write on; nothing of either is lost, doubled or mixed."""
        writer = case.begin()
        writer.write([point(writer, step, "parent") for step in range(20)])

        def work(say: Callable[[int], None]) -> None:
            for step in range(50):
                writer.write([point(writer, step, "child")])
            say(writer.dropped)

        child = Child(work)
        for step in range(20, 50):
            writer.write([point(writer, step, "parent")])
        assert child.join() == [0], "a forked child's records are lost, or it fails"
        writer.write([point(writer, 50, "parent")])
        found = case.records(writer)
        assert steps(found, "parent") == list(range(51)), "a fork costs, doubles or mixes the parent's records"
        if case.suite.outlives_process:
            assert steps(found, "child") == list(range(50)), "records of a forked child are lost, doubled or mixed"
        identities = [(entry.writer, entry.line) for entry in case.read(writer).entries]
        assert len(set(identities)) == len(identities), "parent and forked child gave records one identity"

    @rule("writers")
    def test_processes_begin_runs_at_once(self, case: Case) -> None:
        """In a store that is not there yet; each run is whole."""
        _needs_a_store_that_stays(case)
        together = time.monotonic() + 0.1

        def work(say: Callable[[int], None]) -> None:
            time.sleep(max(0.0, together - time.monotonic()))
            for number in range(5):
                writer = case.begin(f"run {number}", case.open())
                writer.write([point(writer, number)])
                writer.close()
                say(writer.dropped)

        for child in [Child(work) for _ in range(4)]:
            assert child.join() == [0] * 5, "records are lost where several processes begin runs at once"
        source = case.open().source()
        runs = [reader.read_run(source, run_id) for run_id in source.run_ids()]
        assert len(runs) == 20, f"4 processes began 5 runs each; {len(runs)} are there"
        for run in runs:
            assert run.problems == [], f"runs that were begun at once are damaged: {run.problems}"
            assert run.name == f"run {run.history('loss')[0].step}", "runs of several processes are mixed"

    @rule("durable")
    def test_what_was_written_outlives_its_process(self, case: Case) -> None:
        """When ``write`` has returned, SIGKILL loses nothing."""
        _needs_a_store_that_stays(case)
        for _ in range(3):
            writer = case.begin()
            # Bound late: the loop waits for each child before it goes on.
            child = Child(lambda say: _write_for_ever(writer, say))  # noqa: B023
            assert len(child.listen(50)) >= 50, "a process that writes ended by itself"
            returned = child.kill()[-1]
            found = steps([entry.record for entry in case.read(writer, case.open()).entries])
            assert found == list(range(len(found))), "after SIGKILL records are missing, doubled or out of order"
            assert len(found) > returned, (
                f"{returned + 1} calls of write() had returned, {len(found)} records are there"
            )
            assert len(found) <= returned + 2, "after SIGKILL there are records that nobody wrote"

    @rule("durable")
    def test_another_backend_reads_the_same(self, case: Case) -> None:
        """Over the same store; it refuses an id that is given, and adds runs of its own."""
        _needs_a_store_that_stays(case)
        writer = case.begin("one")
        writer.write([point(writer, step) for step in range(10)])
        other = case.open()
        same_records(
            [entry.record for entry in case.read(writer, other).entries],
            [entry.record for entry in case.read(writer).entries],
        )
        case.begin("two", other)
        names = [run.name for run in run_list.list_runs(case.backend.source())]
        assert names == ["two", "one"], f"two backends over one store wrote runs one and two; one of them lists {names}"

    @rule("readers")
    def test_a_reader_beside_a_writing_thread(self, case: Case) -> None:
        """It sees a beginning of what was written, which only grows, and in the end all."""
        writer = case.begin()
        half, seen_half = threading.Event(), threading.Event()

        def work() -> None:
            for step in range(0, 400, 5):
                if step == 200:
                    half.set()
                    seen_half.wait(LIMIT)
                writer.write([point(writer, step + number) for number in range(5)])
            writer.write([End(t=writer.elapsed(), status="finished", duration=1.0)])
            writer.close()

        thread = threading.Thread(target=work)
        thread.start()
        assert half.wait(LIMIT), "write() in a thread hangs"
        found = _steps_now(case, writer)
        seen_half.set()
        assert found == list(range(200)), f"write() has returned for steps 0 to 199, a reader beside it sees {found}"
        seen = _watch(case, writer)
        thread.join(LIMIT)
        assert seen[-1] == 400, f"400 records were written, a reader beside the writer saw {seen[-1]} in the end"

    @rule("readers")
    def test_a_reader_beside_a_writing_process(self, case: Case) -> None:
        """As beside a thread."""
        _needs_a_store_that_stays(case)
        writer = case.begin()

        def work(say: Callable[[int], None]) -> None:
            for step in range(0, 400, 5):
                writer.write([point(writer, step + number) for number in range(5)])
                if step % 50 == 45:
                    say(step + 4)
                    time.sleep(0.01)
            writer.write([End(t=writer.elapsed(), status="finished", duration=1.0)])

        child = Child(work)
        written = child.listen(1)[-1] + 1
        count = len(_steps_now(case, writer))
        assert count >= written, f"{written} records were written, a reader in another process sees {count}"
        seen = _watch(case, writer)
        child.join()
        assert seen[-1] == 400, f"400 records were written, a reader in another process saw {seen[-1]} in the end"


def _write_for_ever(writer: RunWriter, say: Callable[[int], None]) -> None:
    step = 0
    while True:
        writer.write([point(writer, step)])
        say(step)
        step += 1


def _steps_now(case: Case, writer: RunWriter) -> list[int | None]:
    return steps([entry.record for entry in case.backend.source().read(writer.run_id).entries])


def _watch(case: Case, writer: RunWriter) -> list[int]:
    """How many records a reader saw, time by time, until it saw the run's end."""
    seen = [0]
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = reader.read_run(case.backend.source(), writer.run_id)
        assert found.problems == [], f"while a run is written, a reader is told of damage: {found.problems}"
        history = [at.step for at in found.history("loss")] if found.metrics else []
        assert history == list(range(len(history))), "a reader beside a writer sees gaps, doubles or another order"
        assert len(history) >= seen[-1], "a reader beside a writer sees records vanish"
        seen.append(len(history))
        if found.status == "finished":
            return seen
    raise AssertionError(f"a reader beside a writer does not see the end of the run in {LIMIT} s; it saw {seen[-1]}")


def _needs_a_store_that_stays(case: Case) -> None:
    if not case.suite.outlives_process:
        pytest.skip("the store is gone with its process (outlives_process)")

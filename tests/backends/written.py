"""Runs written record by record: nothing comes late, as what a session captures in the background does."""

from pathlib import Path

from autotrack.backends.file import FileBackend
from autotrack.backends.file_run import FileRunWriter
from autotrack.records import Begin, End, Metrics
from tests.backends.stores import next_id


def begin(store: Path, name: str = "run", experiment: str = "test", session: str = "0" * 12) -> FileRunWriter:
    """A run that goes on."""
    return FileBackend(store).open_run(next_id(), Begin(name=name, experiment=experiment, session=session))


def points(run: FileRunWriter, *steps: int, key: str = "loss") -> None:
    run.write([Metrics(run.elapsed(), "", {key: step / 2}, step) for step in steps])


def end(run: FileRunWriter) -> None:
    run.write([End(t=run.elapsed(), status="finished", duration=1.0)])
    run.close()


def record(store: Path, count: int = 3, experiment: str = "test") -> str:
    """A run that has ended; its id."""
    run = begin(store, experiment=experiment)
    points(run, *range(count))
    end(run)
    return run.run_id

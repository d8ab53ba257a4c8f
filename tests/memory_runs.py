"""Runs in a store in memory, made of records."""

from autotrack.backends.base import new_run_id
from autotrack.backends.memory import MemoryBackend
from autotrack.records import Begin, End, Metrics, number_to_json

_clock = iter(range(1_700_000_000, 1_800_000_000))


def make(
    store: MemoryBackend, name: str = "run", *records, run_id: str = "", experiment: str = "e", ended: bool = True
) -> str:
    """A run with these records; each starts a second after the one made before. Its id."""
    run_id = run_id or new_run_id(next(_clock))
    writer = store.open_run(run_id, Begin(name=name, experiment=experiment))
    writer.write(records)
    if ended:
        writer.write([End(t=5, status="finished", duration=1.0)])
        writer.close()
    return run_id


def scored(value: float, key: str = "accuracy", step: int = 0) -> Metrics:
    return Metrics(1, "", {key: number_to_json(value)}, step)

"""What one ``log_metrics({"loss": x}, step=i)`` costs: time a call, bytes a line."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from common import emit

import autotrack

CALLS = 2_000


def _size(store: Path) -> int:
    return sum(file.stat().st_size for file in store.glob("runs/*/journal/*.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / ".autotrack"
        autotrack.enable(store=store)
        run_times: list[float] = []
        module_times: list[float] = []
        one_write: list[float] = []
        fd = os.open(Path(folder) / "probe", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        line = b"x" * 60
        with autotrack.start_run() as run:
            run.log_metrics({"loss": 1.0}, step=0)
            time.sleep(0.5)  # the facts about the process have been captured
            before = _size(store)
            for turn in range(repeats):
                steps = range(turn * CALLS, (turn + 1) * CALLS)
                started = time.perf_counter()
                for step in steps:
                    run.log_metrics({"loss": step / 3}, step=step)
                run_times.append((time.perf_counter() - started) / CALLS)
                started = time.perf_counter()
                for step in steps:
                    autotrack.log_metrics({"loss": step / 3}, step=step)
                module_times.append((time.perf_counter() - started) / CALLS)
                started = time.perf_counter()
                for _ in steps:
                    os.write(fd, line)
                one_write.append((time.perf_counter() - started) / CALLS)
            written = _size(store) - before
        os.close(fd)
        autotrack.enable(mode="off")  # the store is closed before its folder goes
        points = len(autotrack.get_run(run.id, store=store).history("loss"))
        assert points == 2 * CALLS * repeats + 1, "not every point was kept"
    emit("scalar: run.log_metrics", [value * 1e6 for value in run_times], "us", 5.0)
    emit("scalar: autotrack.log_metrics", [value * 1e6 for value in module_times], "us", 5.0)
    emit("scalar: one bare os.write of 60 bytes", [value * 1e6 for value in one_write], "us")
    # Seals are counted in; the key "loss" is not.
    emit("scalar: a line, without its key", [written / (2 * CALLS * repeats) - len("loss")], "bytes", 80)


if __name__ == "__main__":
    main()

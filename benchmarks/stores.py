"""Stores of many runs, written through the journal: what ``bench_index.py`` reads."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from autotrack.backends.base import new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.journal import JournalWriter
from autotrack.records import Begin, End, Facts, Params, Points, encode

__all__ = ["write_run_of_points", "write_runs"]

_GATHERED = 100
"""Points in a line: what a training of a thousand steps a second gathers in 100 ms."""


def write_runs(root: Path, runs: int, params: int, metrics: int, points: int, age: float = 7200.0) -> int:
    """Write a store of ended runs; the bytes of its journals.

    Args:
        root: Folder of the store.
        runs: How many.
        params: Parameters of each.
        metrics: Metrics of each.
        points: Points of each metric.
        age: Seconds that have passed since the runs ended.
    """
    FileBackend(root).create()
    chance = random.Random(8)
    body = _body(metrics, points, chance)
    size = 0
    now = time.time() - age
    for number in range(runs):
        folder = root / "runs" / new_run_id(now - (runs - number))
        journal = folder / "journal"
        journal.mkdir(0o700, parents=True)
        size += _write_run(JournalWriter(journal, folder.name), number, params, body, chance, metrics, points)
        if age:
            for path in (*journal.iterdir(), journal):
                os.utime(path, (now, now))
    return size


def write_run_of_points(root: Path, points: int) -> None:
    """A run that goes on, with so many points of the metric ``loss``, a thousand a line."""
    FileBackend(root).create()
    folder = root / "runs" / new_run_id(time.time())
    (folder / "journal").mkdir(0o700, parents=True)
    journal = JournalWriter(folder / "journal", folder.name)
    journal.append(encode(Begin(name="long", experiment="e")))
    for first in range(0, points, 1000):
        steps = list(range(first, first + 1000))
        values = [1 / (step + 1) for step in steps]
        journal.append(
            encode(Points(t=1000 * first, key="loss", s=steps, v=values, dt=list(range(0, 1_000_000, 1000))))
        )
    journal.release()


def _body(metrics: int, points: int, chance: random.Random) -> list[bytes]:
    """Points of all metrics as they are gathered, the same for all runs: it is their number that counts."""
    lines = []
    for first in range(0, points, _GATHERED):
        for metric in range(metrics):
            steps = list(range(first, min(first + _GATHERED, points)))
            values = [chance.random() for _ in steps]
            later = [1000 * at for at in range(len(steps))]
            lines.append(encode(Points(t=1000 * first, key=f"metric{metric}", s=steps, v=values, dt=later)))
    return lines


def _write_run(
    journal: JournalWriter,
    number: int,
    params: int,
    body: list[bytes],
    chance: random.Random,
    metrics: int,
    points: int,
) -> int:
    packages = {f"package{index}": "1.0" for index in range(200)}
    given = {f"param{index}": chance.choice([number, chance.random(), f"word{number % 7}"]) for index in range(params)}
    given["C"] = number % 10
    for record in (
        Begin(name=f"run-{number}", experiment=f"experiment-{number % 5}", session="a1b2c3d4e5f6"),
        Params(t=10, p=given, changed=["C"]),
        Facts(t=20, f={"environment": {"user": "me", "host": "here"}, "packages": packages}),
    ):
        journal.append(encode(record))
    for line in body:
        journal.append(line)
    last = {f"metric{index}": chance.random() for index in range(metrics)}
    seen = {key: [points, value, 0.0, 1.0, points - 1] for key, value in last.items()}
    end = End(t=1000 * points, status="finished", duration=1.0, params=given, metrics=seen, changed=["C"], children=0)
    journal.append(encode(end))
    journal.seal()
    journal.release()
    assert journal.path is not None
    return journal.path.stat().st_size

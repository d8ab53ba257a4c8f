"""A training loop in plain PyTorch: what recording adds to each step, and what a million steps cost.

Bursts of steps with and without recording take turns in one process, one thread; a burst's first steps, in which
a run begins, are not counted. *small*: a step of an MLP that takes some 200 microseconds, with a DataLoader's batch
fetched; *medium*: an MLP step of several milliseconds. *many steps*: by how much the process's memory grows from
the hundred thousandth step on, and the bytes of the journal for each point, before and after that; ``STEPS=1000000``
in the environment makes it as many.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from common import Case, Found, Turn, added, bench, emit, pairs

import autotrack

NEEDS = ("torch",)
FIRST = 5
STEPS = int(os.environ.get("STEPS", "300000"))


def steps_of(width: int, layers: int, batch: int) -> Callable[[int], float]:
    """A function that trains for so many steps, and says how many seconds one took."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    data = TensorDataset(torch.randn(batch * 64, width), torch.randint(0, 10, (batch * 64,)))

    def train(count: int) -> float:
        hidden = [layer for _ in range(layers) for layer in (nn.Linear(width, width), nn.ReLU())]
        model = nn.Sequential(*hidden, nn.Linear(width, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        criterion = nn.CrossEntropyLoss()
        loader = DataLoader(data, batch_size=batch)
        started, step = 0.0, 0
        while True:
            for X, y in loader:
                if step == FIRST:
                    started = time.perf_counter()
                if step == FIRST + count:
                    return (time.perf_counter() - started) / count
                optimizer.zero_grad()
                loss = criterion(model(X), y)
                loss.backward()
                optimizer.step()
                step += 1

    return train


def paired(width: int, layers: int, batch: int, count: int) -> Callable[[Path], Iterator[Turn]]:
    def turns(folder: Path) -> Iterator[Turn]:
        train = steps_of(width, layers, batch)

        def recorded() -> float:
            autotrack.enable(store=folder / ".autotrack", integrations=["torch"], models="never")
            try:
                return train(count)
            finally:
                autotrack.disable()

        while True:
            yield pairs(lambda: train(count), recorded, 4)

    return turns


def many(folder: Path) -> Iterator[Turn]:
    import torch

    torch.set_num_threads(1)
    autotrack.enable(store=folder / ".autotrack", integrations=["torch"], models="never")
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1e-9)
    size, peak = 0, 0
    for step in range(STEPS):
        weight.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 100_000:
            size, peak = journal(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
    autotrack.disable()
    points = len(autotrack.runs(store=folder / ".autotrack")[0].history("train/loss")) - 100_000
    while True:
        yield {"memory": [grown], "a point": [size / 100_000], "thinned": [(journal(folder) - size) / max(1, points)]}


def journal(folder: Path) -> int:
    """Bytes of all journals."""
    return sum(file.stat().st_size for file in folder.glob(".autotrack/runs/*/journal/*"))


CASES = {
    "small": Case(paired(64, 2, 32, 400), NEEDS),
    "medium": Case(paired(512, 2, 128, 20), NEEDS),
    "many steps": Case(many, NEEDS, fresh=True),
}


def report(found: Found) -> None:
    for name, target in (("small", 30.0), ("medium", None)):
        if name in found:
            turn = found[name]
            emit(f"torch: {name} step, plain", turn["plain"], "us")
            emit(f"torch: {name} step, added", added(turn["recorded"], turn["plain"]), "us", at_most=target)
    if "many steps" in found:
        turn = found["many steps"]
        emit("torch: memory grown after 100,000 steps", turn["memory"], "MB", at_most=5.0)
        emit("torch: journal, a point one by one", turn["a point"], "bytes", at_most=80.0)
        emit("torch: journal, a point of 50 ms", turn["thinned"], "bytes")


if __name__ == "__main__":
    bench(CASES, report, rounds=5, seconds=180)

"""What recording adds to a step of a Lightning ``Trainer`` that logs one metric at each step.

A module of two small layers, batches of 32 rows, ``self.log("loss", loss, on_step=True)``, ``log_every_n_steps=1``,
no progress bar, no checkpoints. A value is the median time from one step to the next in a fit of 200 steps; added is
the difference to a fit with ``logger=False`` right before or after it.

- **autotrack**: ``enable()``, ``logger=False``; each step is on record when it has returned.
- **CSVLogger**, **TensorBoardLogger**, **WandbLogger** (offline), **MLFlowLogger** (SQLite): Lightning's own, with
  their defaults.
- **mlflow.autolog**: ``mlflow.pytorch.autolog(log_every_n_step=1)``, SQLite.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common import Case, Found, Turn, added, bench, emit, emit_ratio, pairs

STEPS = 200
PAIRS = 3

Logger = Callable[[], Any]
Switch = Callable[[bool], None]


def fitting() -> Callable[[Any], float]:
    """A function that fits a new module under a logger and returns the median seconds of a step."""
    import lightning.pytorch as pl
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    rows = STEPS * 32
    data = TensorDataset(torch.randn(rows, 20), torch.randint(0, 2, (rows,)))

    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))
            self.started: list[float] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.started.append(time.perf_counter())
            loss = nn.functional.cross_entropy(self.body(batch[0]), batch[1])
            self.log("loss", loss, on_step=True)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    def fit(logger: Any) -> float:
        net = Net()
        pl.Trainer(
            max_epochs=1, accelerator="cpu", logger=logger, log_every_n_steps=1, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        ).fit(net, DataLoader(data, batch_size=32))  # fmt: skip
        return statistics.median(later - one for one, later in itertools.pairwise(net.started))

    return fit


def measure(prepare: Callable[[Path], tuple[Logger, Switch, Callable[[], None]]], folder: Path) -> Iterator[Turn]:
    """Turns of pairs of fits, with what ``prepare`` made: the logger, what switches recording on, what ends a fit."""
    fit = fitting()
    logger, switch, after = prepare(folder)

    def recorded() -> float:
        switch(True)
        try:
            return fit(logger())
        finally:
            after()
            switch(False)

    while True:
        yield pairs(lambda: fit(False), recorded, PAIRS, 0.05)


def nothing(*_: Any) -> None:
    pass


def autotrack_itself(folder: Path) -> tuple[Logger, Switch, Callable[[], None]]:
    import autotrack

    store = folder / ".autotrack"

    def switch(on: bool) -> None:
        autotrack.enable(store=store, models="never") if on else autotrack.disable()

    def check() -> None:
        assert len(autotrack.get_run("@last", store=store).history("loss")) == STEPS

    return (lambda: False), switch, check


def own_logger(name: str, folder: Path) -> tuple[Logger, Switch, Callable[[], None]]:
    from lightning.pytorch import loggers

    if name == "WandbLogger":
        import wandb

        return (lambda: loggers.WandbLogger(save_dir=folder, offline=True)), nothing, wandb.finish
    if name == "MLFlowLogger":
        return (lambda: loggers.MLFlowLogger(tracking_uri=f"sqlite:///{folder}/mlflow.db")), nothing, nothing
    return (lambda: getattr(loggers, name)(folder)), nothing, nothing


def mlflow_itself(folder: Path) -> tuple[Logger, Switch, Callable[[], None]]:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")

    def switch(on: bool) -> None:
        mlflow.pytorch.autolog(log_every_n_step=1, log_models=False, checkpoint=False, silent=True, disable=not on)

    return (lambda: False), switch, nothing


OWN = {"CSVLogger": (), "TensorBoardLogger": ("tensorboard",), "WandbLogger": ("wandb",), "MLFlowLogger": ("mlflow",)}
CASES = {
    "autotrack": Case(partial(measure, autotrack_itself), ("lightning",)),
    **{name: Case(partial(measure, partial(own_logger, name)), ("lightning", *needs)) for name, needs in OWN.items()},
    "mlflow.autolog": Case(partial(measure, mlflow_itself), ("lightning", "mlflow", "pytorch-lightning")),
}


def report(found: Found) -> None:
    if "autotrack" not in found:
        return
    emit("lightning: a step, plain", found["autotrack"]["plain"], "us")
    differences = {name: added(times["recorded"], times["plain"]) for name, times in found.items()}
    for name, values in differences.items():
        emit(f"lightning: added to a step, {name}", values, "us", at_most=40.0 if name == "autotrack" else None)
    for name in [name for name in differences if name != "autotrack"]:
        emit_ratio(f"lightning: {name} / autotrack", differences[name], differences["autotrack"])


if __name__ == "__main__":
    bench(CASES, report, rounds=8, seconds=120)

"""What recording adds to a step of a Lightning ``Trainer`` that logs one metric at each step.

A module of two small layers, batches of 32 rows, ``self.log("loss", loss, on_step=True)``, ``log_every_n_steps=1``,
no progress bar, no checkpoints. A value is the median time from one step to the next in a fit of 200 steps; added is
the difference to a fit with ``logger=False`` right before or after it.

- **autotrack**: ``enable()``, ``logger=False``; each step is on record when it has returned.
- **own callback**: ``logger=False`` and a callback of six lines, whose ``on_train_batch_end`` writes step and loss to a
  file with ``os.write``: the floor of all that goes through a callback and has each step in a file.
- **CSVLogger**, **TensorBoardLogger**, **WandbLogger** (offline), **MLFlowLogger** (SQLite): Lightning's own, with
  their defaults.
- **mlflow.autolog**: ``mlflow.pytorch.autolog(log_every_n_step=1)``, SQLite.
"""

from __future__ import annotations

import itertools
import logging
import os
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

Settings = Callable[[], dict[str, Any]]  # of a Trainer
Switch = Callable[[bool], None]


def fitting() -> Callable[[Any], float]:
    """A function that fits a new module with settings of a Trainer and returns the median seconds of a step."""
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

    def fit(**settings: Any) -> float:
        net = Net()
        pl.Trainer(
            max_epochs=1, accelerator="cpu", log_every_n_steps=1, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, **settings,
        ).fit(net, DataLoader(data, batch_size=32))  # fmt: skip
        return statistics.median(later - one for one, later in itertools.pairwise(net.started))

    return fit


def measure(prepare: Callable[[Path], tuple[Settings, Switch, Callable[[], None]]], folder: Path) -> Iterator[Turn]:
    """Turns of pairs of fits, with what ``prepare`` made: a Trainer's settings, a switch, what comes after a fit."""
    fit = fitting()
    settings, switch, after = prepare(folder)

    def recorded() -> float:
        switch(True)
        try:
            return fit(**settings())
        finally:
            after()
            switch(False)

    while True:
        yield pairs(lambda: fit(logger=False), recorded, PAIRS, 0.05)


def nothing(*_: Any) -> None:
    pass


def autotrack_itself(folder: Path) -> tuple[Settings, Switch, Callable[[], None]]:
    import autotrack

    store = folder / ".autotrack"

    def switch(on: bool) -> None:
        autotrack.enable(store=store, models="never") if on else autotrack.disable()

    def check() -> None:
        assert len(autotrack.get_run("@last", store=store).history("loss")) == STEPS

    return (lambda: {"logger": False}), switch, check


def own_callback(folder: Path) -> tuple[Settings, Switch, Callable[[], None]]:
    import lightning.pytorch as pl

    file = os.open(folder / "steps.csv", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class Writes(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            os.write(file, f"{batch_idx},{outputs['loss'].item()}\n".encode())

    return (lambda: {"logger": False, "callbacks": [Writes()]}), nothing, nothing


def own_logger(name: str, folder: Path) -> tuple[Settings, Switch, Callable[[], None]]:
    from lightning.pytorch import loggers

    after: Callable[[], None] = nothing
    given: dict[str, Any] = {"save_dir": folder}
    if name == "WandbLogger":
        import wandb

        after, given = wandb.finish, {"save_dir": folder, "offline": True}
    elif name == "MLFlowLogger":
        given = {"tracking_uri": f"sqlite:///{folder}/mlflow.db"}
    return (lambda: {"logger": getattr(loggers, name)(**given)}), nothing, after


def mlflow_itself(folder: Path) -> tuple[Settings, Switch, Callable[[], None]]:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")

    def switch(on: bool) -> None:
        mlflow.pytorch.autolog(log_every_n_step=1, log_models=False, checkpoint=False, silent=True, disable=not on)

    return (lambda: {"logger": False}), switch, nothing


OWN = {"CSVLogger": (), "TensorBoardLogger": ("tensorboard",), "WandbLogger": ("wandb",), "MLFlowLogger": ("mlflow",)}
CASES = {
    "autotrack": Case(partial(measure, autotrack_itself), ("lightning",)),
    "own callback": Case(partial(measure, own_callback), ("lightning",)),
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

"""The trackers that are compared, each by the way its documentation shows for one scalar in a training loop.

- **autotrack**: ``run.log_metrics({"loss": x}, step=i)``; each point is in a file when the call returns.
- **CSV**: the standard library's ``csv.writer`` with a flush after each row, which gives the same promise.
- **TensorBoard**: ``SummaryWriter.add_scalar`` of torch.utils.tensorboard with its defaults: a queue of ten, written
  by a thread.
- **W&B**: ``run.log`` in offline mode with its defaults: handed to the wandb-core process.
- **Trackio**: ``trackio.log`` on this machine with its defaults: a thread writes to SQLite twice a second.
- **MLflow**: ``mlflow.log_metric`` into SQLite, its default store; and the same with ``synchronous=False``, the way
  its documentation gives for logging that must not wait.

All run with the defaults of a user who set nothing, except that nothing is sent anywhere.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

__all__ = ["TRACKERS", "Tracker"]

Log = Callable[[float, int], Any]


class Tracker(Protocol):
    """One run of a tracker.

    Attributes:
        log: Log a value of ``loss`` at a step.
        burst: Number of calls in a row that it is measured by; few where they are slow.
    """

    log: Log
    burst: int

    def __init__(self, folder: Path, name: str) -> None:
        """Begin a run called ``name`` that writes into ``folder``, or into the home folder."""

    def drain(self) -> None:
        """Wait until nothing that was logged is being worked on."""

    def finish(self) -> None:
        """End the run; all that was logged is in files."""

    def kept(self) -> int | None:
        """Number of points that a reader finds after ``finish``; None where no reader is at hand."""


class Autotrack:
    burst = 1_000

    def __init__(self, folder: Path, name: str) -> None:
        import autotrack

        self._store = folder / ".autotrack"
        autotrack.enable(store=self._store)
        self._run = run = autotrack.start_run(name)
        self.log: Log = lambda value, step: run.log_metrics({"loss": value}, step=step)
        time.sleep(0.3)  # the facts about the process have been captured

    def drain(self) -> None:
        pass

    def finish(self) -> None:
        self._run.end()

    def kept(self) -> int:
        import autotrack

        return len(autotrack.get_run(self._run.id, store=self._store).history("loss"))


class AutotrackModule(Autotrack):
    """By the function of the module, which finds the run by itself."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        import autotrack

        self.log = lambda value, step: autotrack.log_metrics({"loss": value}, step=step)


class Csv:
    burst = 1_000

    def __init__(self, folder: Path, name: str) -> None:
        self._file = (folder / f"{name}.csv").open("w+", newline="")
        writer = csv.writer(self._file)

        def log(value: float, step: int) -> None:
            writer.writerow((step, time.time(), value))
            self._file.flush()

        self.log: Log = log

    def drain(self) -> None:
        pass

    def finish(self) -> None:
        self._file.flush()

    def kept(self) -> int:
        self._file.seek(0)
        return sum(1 for _ in self._file)


class TensorBoard:
    burst = 1_000

    def __init__(self, folder: Path, name: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder / name
        self._writer = writer = SummaryWriter(self._folder)
        self.log: Log = lambda value, step: writer.add_scalar("loss", value, step)

    def drain(self) -> None:
        self._writer.flush()

    def finish(self) -> None:
        self._writer.close()

    def kept(self) -> int:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self._folder), size_guidance={"scalars": 0})
        return len(events.Reload().Scalars("loss"))


class Wandb:
    burst = 1_000

    def __init__(self, folder: Path, name: str) -> None:
        import wandb

        self._run = run = wandb.init(project="benchmark", name=name, dir=folder)
        self.log: Log = lambda value, step: run.log({"loss": value}, step=step)

    def drain(self) -> None:
        time.sleep(0.3)  # its process writes on; there is no call that waits for it

    def finish(self) -> None:
        self._run.finish()

    def kept(self) -> None:
        return None


class Trackio:
    burst = 1_000

    def __init__(self, folder: Path, name: str) -> None:
        import trackio

        self._project = name
        self._run = trackio.init(project=name)
        self.log: Log = lambda value, step: trackio.log({"loss": value}, step=step)

    def drain(self) -> None:
        time.sleep(0.6)  # its thread comes round twice a second

    def finish(self) -> None:
        import trackio

        trackio.finish()

    def kept(self) -> int:
        from trackio.sqlite_storage import SQLiteStorage

        return sum("loss" in row for row in SQLiteStorage.get_logs(self._project, self._run.name))


class Mlflow:
    burst = 20

    def __init__(self, folder: Path, name: str) -> None:
        import mlflow

        self._run = mlflow.start_run(run_name=name)
        self.log: Log = lambda value, step: mlflow.log_metric("loss", value, step=step)

    def drain(self) -> None:
        pass

    def finish(self) -> None:
        import mlflow

        mlflow.end_run()

    def kept(self) -> int:
        import mlflow

        return len(mlflow.MlflowClient().get_metric_history(self._run.info.run_id, "loss"))


class MlflowAsync(Mlflow):
    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        import mlflow

        self.log = lambda value, step: mlflow.log_metric("loss", value, step=step, synchronous=False)

    def drain(self) -> None:
        import mlflow

        mlflow.flush_async_logging()

    def finish(self) -> None:
        self.drain()
        super().finish()


TRACKERS: dict[str, tuple[type[Tracker], tuple[str, ...]]] = {
    "autotrack": (Autotrack, ()),
    "csv": (Csv, ()),
    "tensorboard": (TensorBoard, ("tensorboard", "torch")),
    "wandb": (Wandb, ("wandb",)),
    "trackio": (Trackio, ("trackio",)),
    "mlflow": (Mlflow, ("mlflow",)),
    "mlflow, synchronous=False": (MlflowAsync, ("mlflow",)),
}
"""Each tracker with the distributions that it needs, by the name that the tables give it."""

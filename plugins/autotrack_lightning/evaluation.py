"""A validation or a test: inside a fit, or after it."""

from __future__ import annotations

from typing import Any

import autotrack
from autotrack_lightning.points import Points
from autotrack_lightning.results import Results

__all__ = ["Evaluation"]


class Evaluation:
    """Records one pass of an evaluation loop to a run.

    Its metrics have the step that Lightning's own loggers give them: how many batches the training has stepped on.
    """

    def __init__(self, trainer: Any, run: autotrack.Run, loop: Any) -> None:
        self._trainer = trainer
        self._run = run
        self._loop = loop
        self._results = Results(trainer, loop)
        self._results.of_epoch()  # of the pass before
        self._points = Points(run)

    def step(self, dataloader: int) -> None:
        """A batch was evaluated; what was logged for it alone."""
        found = self._results.of_step()
        if found:
            step = self._loop._seen_batches_per_dataloader[dataloader]
            self._points.take([(name, tensor) for name, tensor, _ in found], step, self._trainer.current_epoch)
        self._points.emit()

    def end(self) -> None:
        """All batches were."""
        self._points.settle()
        self._run.flush()
        metrics = self._results.of_epoch()
        if metrics:
            step = self._trainer.fit_loop.epoch_loop._batches_that_stepped
            self._run.capture(metrics=metrics, step=step, epoch=self._trainer.current_epoch)

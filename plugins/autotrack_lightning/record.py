"""The record of one ``Trainer.fit``."""

from __future__ import annotations

import operator
import time
from typing import Any

import autotrack
from autotrack_lightning import describe
from autotrack_lightning.checkpoints import describe_checkpoints, keep_models
from autotrack_lightning.logger import told_to_end
from autotrack_lightning.points import Points
from autotrack_lightning.results import Results

__all__ = ["FitRecord"]

_LATE = "on_train_batch_end"  # callbacks are told before the module is

_PERIOD = 20_000_000
"""Nanoseconds between two looks at what has come from a device."""


class FitRecord:
    """Records one fit, from ``on_fit_start`` to its end.

    Attributes:
        run: Its run.
    """

    def __init__(self, trainer: Any, module: Any, scope: autotrack.Scope) -> None:
        self._trainer = trainer
        self._module = module
        self._started = time.perf_counter()
        self._loggers = describe.own_loggers(trainer)
        with autotrack.in_scope(scope.parent):  # seen from where the user called
            name = type(module).__name__
            self._training = (
                self._loggers[0].begin(name) if self._loggers else autotrack.begin_training("lightning", name)
            )
        self.run = self._training.run
        scope.run = self.run
        for logger in self._loggers:
            logger.joined(self)
        self._loop = trainer.fit_loop.epoch_loop
        self._results = Results(trainer, trainer.fit_loop)
        self._points = Points(self.run)
        self._accumulating = False  # gradients: the step goes on
        self._over = False  # the epoch
        self._step = 0  # the one that went on last
        self._epoch = 0
        self._recorded: set[str] = set()  # metrics of this epoch that are on record
        self._rates: list[tuple[str, float]] = []  # on record
        self._next_rates: list[tuple[str, float]] = []  # of the step that goes on
        self._given_rates: list[Any] = []  # the very objects that those come from
        self._described = False
        self._written = 0
        self._groups: list[Any] = []  # parameter groups of each optimizer
        self._inputs: dict[str, Any] = {}  # of the module, as the first batches had them

    def describe(self) -> None:
        """Record what is trained, and how."""
        if self._described:
            return
        self._described = True
        params, changed = describe.params(self._trainer, self._module)
        self.run.capture(params=params, changed=changed, facts=describe.facts(self._trainer, self._module))
        resumed = self._trainer.ckpt_path
        if resumed:
            step = self._loop._batches_that_stepped
            found = {"checkpoint": str(resumed), "epoch": self._trainer.current_epoch, "step": step}
            self.run.capture(tags={"resumed_from": str(resumed)}, facts={"resumed": found})

    # ---- epochs and steps -------------------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """An epoch begins."""
        self.flush()
        self._over = False
        self._epoch = self._trainer.current_epoch
        self._recorded.clear()
        self._groups = [optimizer.param_groups for optimizer in self._trainer.optimizers]
        self._look_at_rates()

    def step(self, after_module: bool = False) -> None:
        """A step has returned. In an accumulation of gradients the last batch is the step.

        What the module logs in its own hook is there ``after_module``, else recorded when the next step has returned.
        """
        trainer = self._trainer
        late, before = not self._accumulating, self._step
        self._accumulating = (
            trainer.accumulate_grad_batches > 1
            and self._module.automatic_optimization
            and trainer.fit_loop._should_accumulate()
        )
        self._step = self._loop._batches_that_stepped
        found: list[tuple[str, Any]] = []
        for name, tensor, hook in self._results.of_step():
            if hook == _LATE and not after_module:
                if late:
                    self._points.take([(name, tensor)], before, self._epoch)
            elif not self._accumulating:
                found.append((name, tensor))
        if self._next_rates is not self._rates:
            found += [rate for rate in self._next_rates if rate not in self._rates]
            self._rates = self._next_rates
        if found:
            self._points.take(found, self._step, self._epoch)
        self._look_at_rates()
        if self._points.waiting:
            now = time.monotonic_ns()
            if now - self._written > _PERIOD:
                self._written = now
                self._points.emit()
                self.run.flush()

    def saw(self, batch: Any) -> None:
        """One of the first batches."""
        found = autotrack.describe_batch(batch)
        self._inputs = autotrack.merge_shapes(self._inputs, found) if self._inputs and found else found

    def _look_at_rates(self) -> None:
        """Learning rates, of which most steps find the very objects that were there before."""
        given = [group.get("lr") for groups in self._groups for group in groups]
        if len(given) != len(self._given_rates) or not all(map(operator.is_, given, self._given_rates)):
            self._given_rates, self._next_rates = given, describe.rates(self._trainer)

    def flush_late(self) -> None:
        """Metrics that the module logged when we had been told of the step already, and all that was noted."""
        if self._accumulating:
            self._points.emit()
            return
        self._points.take([(name, tensor) for name, tensor, _ in self._results.of_step()], self._step, self._epoch)
        self._points.emit()

    def end_epoch(self) -> None:
        """An epoch is over; what the module logs about it now is recorded by the next ``flush``."""
        self.flush_late()
        self.run.flush()
        self._over = True

    def flush(self) -> None:
        """Record what Lightning has computed for an epoch that is over."""
        self.flush_late()
        if not self._over:  # what is there is the last epoch's
            return
        found = {name: value for name, value in self._results.of_epoch().items() if name not in self._recorded}
        if found:
            self._recorded.update(found)
            self.run.capture(metrics=found, step=self._loop._batches_that_stepped - 1, epoch=self._epoch)

    def records(self, name: str) -> bool:
        """Whether the metric of this name comes from ``self.log`` and is recorded here."""
        val_loop = self._loop.val_loop
        return name in self._results.names() or name in Results(self._trainer, val_loop).names()

    # ---- the end ----------------------------------------------------------------------------------------------------

    def end(self, error: BaseException | None) -> None:
        """The fit has returned, or raised ``error``."""
        for logger in self._loggers:
            logger.joined(None)
        try:
            self.describe()
            self.flush()
            self._points.settle()
            stopped = error is not None and not isinstance(error, Exception)  # by a person or a scheduler
            describe_checkpoints(self._trainer, self.run)
            if error is None or stopped:
                signature = {"inputs": self._inputs} if self._inputs else {}
                keep_models(self._trainer, self._module, self.run, time.perf_counter() - self._started, signature)
        finally:
            if told_to_end(error):
                self.run.note("the process was told to end (SIGTERM)", "warning")
                if self._training.own:
                    self.run.end("interrupted", error)
            self._training.end(error)

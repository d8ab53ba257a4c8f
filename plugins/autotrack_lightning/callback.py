"""The callback: what Lightning calls, and which fit's record it is for."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from typing import Any

import autotrack
from autotrack_lightning.evaluation import Evaluation
from autotrack_lightning.record import FitRecord
from autotrack_lightning.settings import Carried

__all__ = ["CallbackMethods", "acting"]

_RUN = "_autotrack_run"  # in the Trainer's state, where its calls go on in processes of their own
_LOOKED_AT = 2  # batches of each epoch

_last_runs: weakref.WeakKeyDictionary[Any, autotrack.Run] = weakref.WeakKeyDictionary()  # by Trainer and by module


class CallbackMethods:
    """Records each ``fit`` of its Trainer as a run.

    It may be given by hand, ``Trainer(callbacks=[AutotrackCallback()])``; then nothing has to be enabled. Where
    there are several, the first one acts. It pickles, and puts nothing into checkpoints.

    Attributes:
        record: Of the fit that goes on.
        told_of_steps: Whether the integration tells that record of each step, which costs less than Lightning's call.
    """

    # Lightning passes over what cannot be called, which spares each step some microseconds.
    on_train_batch_start: Any = None
    on_before_zero_grad: Any = None
    on_before_backward: Any = None
    on_after_backward: Any = None
    on_before_optimizer_step: Any = None

    def __init__(self) -> None:
        self.record: FitRecord | None = None
        self.told_of_steps = False
        self._evaluation: Evaluation | None = None
        self._scope: autotrack.Scope | None = None  # of the Trainer's call, where that is patched
        self._own_scope: AbstractContextManager[None] | None = None
        self._carried: Carried | None = None

    def __getstate__(self) -> dict[str, Any]:
        # To a child process go the settings, and nothing that is open here.
        return {"carried": self._carried or Carried.of_this_process()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        CallbackMethods.__init__(self)
        self._carried = state["carried"]

    # ---- the Trainer's call, seen by the integration ----------------------------------------------------------------

    def called(self, scope: autotrack.Scope | None) -> None:
        """A call of the Trainer has begun, in this scope."""
        self._scope = scope

    def returned(self, trainer: Any, error: BaseException | None) -> None:
        """It has returned, or raised; whatever is still open ends."""
        self._end(error, trainer)
        self._evaluation = None
        self._scope = None
        run = self._run_of_child(trainer)
        if run is not None and trainer.lightning_module is not None:
            _last_runs[trainer.lightning_module] = run  # another Trainer may test it

    def _run_of_child(self, trainer: Any) -> autotrack.Run | None:
        """The run of a fit that went on in processes which are gone: of them all, the Trainer's state comes back."""
        run_id = vars(trainer.state).get(_RUN)
        if run_id is not None and trainer not in _last_runs:
            if self._carried is not None:
                self._carried.use()
            run = autotrack.join_run(run_id)
            if run is not None:
                _last_runs[trainer] = run
        return _last_runs.get(trainer) if run_id is not None else None

    # ---- a fit ------------------------------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The run begins."""
        with autotrack.protect("the start of a fit", "lightning"):
            self._end(None, trainer)
            if acting(trainer) is not self or not trainer.is_global_zero or trainer.fast_dev_run:
                return
            if self._carried is not None:
                self._carried.use()
            if self._scope is None:
                if autotrack.in_training():  # somebody else's
                    return
                self._own_scope = autotrack.ignored_training("lightning")
                self._own_scope.__enter__()
            scope = self._scope or autotrack.current_scope()
            assert scope is not None
            self.record = FitRecord(trainer, pl_module, scope)
            _last_runs[trainer] = _last_runs[pl_module] = self.record.run
            if type(trainer.strategy.launcher).__name__ == "_MultiProcessingLauncher":
                vars(trainer.state)[_RUN] = self.record.run.id

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """All is set up, and a checkpoint restored."""
        if self.record is not None:
            with autotrack.protect("the start of a training", "lightning"):
                self.record.describe()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch begins; what was logged at the end of the one before is there now."""
        vars(self).pop("on_train_batch_end", None)
        if self.record is not None:
            with autotrack.protect("the start of an epoch", "lightning"):
                self.record.begin_epoch()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step has returned."""
        if self.record is not None:
            if not self.told_of_steps:
                autotrack.attempt("a step", "lightning", self.record.step)
            if batch_idx < _LOOKED_AT:
                autotrack.attempt("a batch", "lightning", self.record.saw, batch)
            elif self.told_of_steps:
                vars(self)["on_train_batch_end"] = None  # Lightning passes over what cannot be called

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch is over."""
        if self.record is not None:
            with autotrack.protect("the end of an epoch", "lightning"):
                self.record.end_epoch()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written, which may fail; what is known by now is recorded."""
        if self.record is not None:
            with autotrack.protect("a checkpoint", "lightning"):
                self.record.flush()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """All epochs are over."""
        if self.record is not None:
            with autotrack.protect("the end of a training", "lightning"):
                self.record.flush()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Something was raised; Ctrl-C arrives here as what it is."""
        self._end(exception, trainer)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """A call of the Trainer is about to return."""
        if str(getattr(stage, "value", stage)) == "fit":
            self._end(None, trainer)

    def _end(self, error: BaseException | None, trainer: Any) -> None:
        record, self.record = self.record, None
        with autotrack.protect("the end of a fit", "lightning"):
            if record is not None:
                record.end(error)
        own, self._own_scope = self._own_scope, None
        if own is not None:
            own.__exit__(None, None, None)

    # ---- validation and test ----------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """A validation begins, in a fit or by itself."""
        self._begin_evaluation(trainer, pl_module, "validate")

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """A test begins."""
        self._begin_evaluation(trainer, pl_module, "test")

    def _begin_evaluation(self, trainer: Any, pl_module: Any, kind: str) -> None:
        self._evaluation = None
        with autotrack.protect("the start of an evaluation", "lightning"):
            if trainer.sanity_checking or not trainer.is_global_zero or trainer.fast_dev_run:
                return
            if self.record is not None:
                self.record.flush_late()
                self.record.run.flush()
                self._evaluation = Evaluation(trainer, self.record.run, trainer.fit_loop.epoch_loop.val_loop)
            elif str(trainer.state.fn.value) != "fit" and acting(trainer) is self:
                run = _last_runs.get(trainer) or self._run_of_child(trainer) or _last_runs.get(pl_module)
                run = run or autotrack.active_run()
                loop = trainer.validate_loop if kind == "validate" else trainer.test_loop
                self._evaluation = None if run is None else Evaluation(trainer, run, loop)

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A step of a validation has returned."""
        if self._evaluation is not None:
            autotrack.attempt("a step of an evaluation", "lightning", self._evaluation.step, dataloader_idx)

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A step of a test has returned."""
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """A validation is over."""
        evaluation, self._evaluation = self._evaluation, None
        if evaluation is not None:
            with autotrack.protect("the end of an evaluation", "lightning"):
                evaluation.end()

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """A test is over."""
        self.on_validation_end(trainer, pl_module)


def acting(trainer: Any) -> CallbackMethods | None:
    """The one of our callbacks in a Trainer that acts: the first."""
    return next((one for one in trainer.callbacks if isinstance(one, CallbackMethods)), None)

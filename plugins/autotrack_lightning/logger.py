"""The logger: a run in the form that Lightning users know."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import autotrack

if TYPE_CHECKING:
    from autotrack_lightning.record import FitRecord

__all__ = ["LoggerMethods", "told_to_end"]


class LoggerMethods:
    """A run as a logger: ``Trainer(logger=AutotrackLogger())``. Nothing has to be enabled for it.

    With the callback, or with ``autotrack.enable()``, both write to one run, and nothing twice.

    Args:
        run_name: Name of the run. Default: the module's class and a short id.
        name: Name of the experiment. Default: as for ``enable``.
        save_dir: Folder in which Lightning puts checkpoints, below ``name/version``. Default: the Trainer's
            ``default_root_dir``.
        tags: Tags of the run.

    Attributes:
        model_name: Class of the module that is trained next, where that is known before Lightning asks for the run.
    """

    def __init__(
        self,
        run_name: str | None = None,
        name: str | None = None,
        save_dir: str | os.PathLike[str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._run_name = run_name or ""
        self._name = name or ""
        self._save_dir = None if save_dir is None else os.fspath(save_dir)
        self._tags = dict(tags or {})
        self._training: autotrack.Training | None = None
        self._record: FitRecord | None = None
        self.model_name = "lightning"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_training": None, "_record": None}

    # ---- the run ----------------------------------------------------------------------------------------------------

    def begin(self, model: str) -> autotrack.Training:
        """The training of a fit that begins: one that is open already, or a new one."""
        if self._training is None or self._training.run.ended:
            self._training = autotrack.begin_training(
                "lightning", model, run_name=self._run_name, experiment=self._name
            )
            if self._tags:
                self._training.run.set_tags(self._tags)
            atexit.register(_end_at_exit, weakref.ref(self))
        return self._training

    def joined(self, record: FitRecord | None) -> None:
        """What records the fit that goes on, besides this logger; None: nothing."""
        self._record = record

    @property
    def experiment(self) -> Any:
        """The run; where there is none yet it begins. On other ranks than zero an object that does nothing."""
        if _rank() != 0:
            return _Nothing()
        if self._training is not None:
            return self._training.run
        scope = autotrack.current_scope()
        if scope is None or scope.integration != "lightning":
            return self.begin("lightning").run
        with autotrack.in_scope(scope.parent):
            return self.begin(self.model_name).run

    @property
    def name(self) -> str | None:
        """Name of the experiment."""
        return self.experiment.experiment if _rank() == 0 else self._name or None

    @property
    def version(self) -> str | None:
        """Id of the run."""
        return self.experiment.id if _rank() == 0 else None

    @property
    def save_dir(self) -> str | None:
        """Folder for checkpoints; None for the Trainer's."""
        return self._save_dir

    # ---- what Lightning calls ---------------------------------------------------------------------------------------

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Record hyperparameters."""
        if _rank() == 0 and params:
            given = vars(params) if isinstance(params, argparse.Namespace) else dict(params)
            self.experiment.log_params(given | kwargs)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics; what the callback records of this fit is left to it."""
        if _rank() != 0:
            return
        epoch = metrics.get("epoch")
        rest = {name: value for name, value in metrics.items() if name != "epoch" or len(metrics) == 1}
        if self._record is not None:
            rest = {name: value for name, value in rest.items() if not self._record.records(name)}
        if rest:
            run = self.experiment
            run.capture(metrics=rest, step=step, epoch=None if epoch is None else int(epoch))

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Record where the best and the last checkpoint lie."""
        if _rank() == 0 and self._record is None:
            found = {
                "best": getattr(checkpoint_callback, "best_model_path", ""),
                "last": getattr(checkpoint_callback, "last_model_path", ""),
            }
            self.experiment.capture(facts={"checkpoints": {key: value for key, value in found.items() if value}})

    def finalize(self, status: str) -> None:
        """A call of the Trainer is over; the run ends.

        With ``finished`` it is not: so Lightning says when SLURM asks for the checkpoint of a job to be requeued.
        """
        training = self._training
        if _rank() != 0 or training is None or training.run.ended or self._record is not None:
            return
        error = sys.exc_info()[1]
        if status == "finished":
            training.run.flush()
        elif told_to_end(error):
            training.run.end("interrupted", error)
        elif status == "success" or error is not None:
            training.end(error)
        else:
            training.run.end("failed")

    def close(self) -> None:
        """End the run, where nothing else has."""
        if self._training is not None and not self._training.run.ended:
            self._training.end()


def told_to_end(error: BaseException | None) -> bool:
    """Whether it is Lightning's exception of a SIGTERM, a kind of SystemExit."""
    return isinstance(error, SystemExit) and type(error) is not SystemExit


class _Nothing:
    """Takes every call, on ranks that record nothing."""

    def __getattr__(self, name: str) -> Any:
        return _do_nothing


def _do_nothing(*args: Any, **kwargs: Any) -> None:
    """In place of any method."""


def _end_at_exit(reference: weakref.ref[LoggerMethods]) -> None:
    logger = reference()
    if logger is not None:
        logger.close()


def _rank() -> int:
    """This process's rank, as Lightning's own loggers know it, also before the processes have met."""
    known = sys.modules.get("lightning_utilities.core.rank_zero")
    return int(getattr(getattr(known, "rank_zero_only", None), "rank", 0) or 0)

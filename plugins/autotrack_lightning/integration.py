"""What is patched in Lightning, and why.

``Trainer.fit``, ``validate``, ``test`` and ``predict``: our callback is put in for the call and taken out after it,
and what happens inside belongs to Lightning, so that a training that the Tuner tries out leaves nothing. What is
recorded the callback sees; no run begins before it is told that the fit has started.

``_LoggerConnector.update_train_step_metrics``: called once a step, when all that is logged for it is there. A hook of
a callback would be three times as dear: Lightning measures each of its calls.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Generator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import autotrack

if TYPE_CHECKING:
    from autotrack_lightning.callback import CallbackMethods

_LAST = "update_train_step_metrics"
_CALLS = ("fit", "validate", "test", "predict")
_FIRST = ("BatchSizeFinder", "LearningRateFinder")  # they may end the call before it has begun

Steps = Generator[None, autotrack.Outcome, None]


class LightningIntegration(autotrack.Integration):
    """Records every ``Trainer.fit``."""

    name = "lightning"
    modules = ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer")
    minimum = ("lightning", "2.4")

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: dict[int, CallbackMethods] = {}  # those that we put in, by their Trainer's connector
        if importlib.util.find_spec("lightning") is None and importlib.util.find_spec("pytorch_lightning") is not None:
            self.minimum = ("pytorch_lightning", "2.4")

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch a Trainer."""
        for name in _CALLS:
            patches.around(module.Trainer, name, self._call)
        connector = getattr(sys.modules.get(_connectors(module.__name__)), "_LoggerConnector", None)
        if _LAST in vars(connector or object):
            patches.watch(connector, _LAST, after=self._stepped, hot=True)

    def _stepped(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        callback = self._callbacks.get(id(args[0]))
        if callback is not None and callback.record is not None:
            callback.record.step(after_module=True)

    def _call(self, call: autotrack.Call) -> Steps | None:
        # Inside a training it is an inner one: of a search, of a training step. The owner's is recorded.
        return None if self.dropped or autotrack.in_training() else self._record(call)

    def _record(self, call: autotrack.Call) -> Steps:
        from autotrack_lightning.callback import acting  # noqa: PLC0415  enable() does not need them
        from autotrack_lightning.describe import own_loggers  # noqa: PLC0415

        trainer = call.instance
        with autotrack.ignored_training(self.name):
            callback, own = None, False
            with autotrack.protect("putting the callback in", self.name):
                callback = acting(trainer)
                own = callback is None
                callback = callback or self._put_in(trainer)
                callback.called(autotrack.current_scope())
                for logger in own_loggers(trainer):
                    logger.model_name = type(call.bound.get("model")).__name__
            before = trainer.callbacks
            outcome = yield
            with autotrack.protect("taking the callback out", self.name):
                self._callbacks.pop(id(trainer._logger_connector), None)
                if own:
                    for callbacks in (before, trainer.callbacks):
                        callbacks[:] = [one for one in callbacks if one is not callback]
                if callback is not None:
                    callback.returned(trainer, outcome.exception)

    def _put_in(self, trainer: Any) -> CallbackMethods:
        top = next(cls.__module__ for cls in type(trainer).__mro__ if cls.__module__ in self.modules)
        package = top.partition(".")[0]
        callback: CallbackMethods = importlib.import_module(f"autotrack_lightning.for_{package}").AutotrackCallback()
        place = 0
        for number, one in enumerate(trainer.callbacks, 1):
            if any(cls.__name__ in _FIRST for cls in type(one).__mro__):
                place = number
        trainer.callbacks.insert(place, callback)
        if _LAST in vars(type(trainer._logger_connector)):
            self._callbacks[id(trainer._logger_connector)] = callback
            callback.told_of_steps = True
        return callback


def _connectors(trainer_module: str) -> str:
    """The module of the class that a Trainer asks after each step what was logged."""
    return f"{trainer_module.rpartition('.')[0]}.connectors.logger_connector.logger_connector"

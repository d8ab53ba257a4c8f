"""What is patched in Lightning, and why.

``Trainer.fit``, ``validate``, ``test`` and ``predict``: our callback is put in for the call and taken out after it,
and what happens inside belongs to Lightning, so that a training that the Tuner tries out leaves nothing. What is
recorded the callback sees; no run begins before it is told that the fit has started.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Generator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import autotrack

if TYPE_CHECKING:
    from autotrack_lightning.callback import CallbackMethods

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
        if importlib.util.find_spec("lightning") is None and importlib.util.find_spec("pytorch_lightning") is not None:
            self.minimum = ("pytorch_lightning", "2.4")

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch a Trainer."""
        for name in _CALLS:
            patches.around(module.Trainer, name, self._call)

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
                callback = callback or _put_in(trainer)
                callback.called(autotrack.current_scope())
                for logger in own_loggers(trainer):
                    logger.model_name = type(call.bound.get("model")).__name__
            before = trainer.callbacks
            outcome = yield
            with autotrack.protect("taking the callback out", self.name):
                if own:
                    for callbacks in (before, trainer.callbacks):
                        callbacks[:] = [one for one in callbacks if one is not callback]
                if callback is not None:
                    callback.returned(trainer, outcome.exception)


def _put_in(trainer: Any) -> CallbackMethods:
    top = next(cls.__module__ for cls in type(trainer).__mro__ if cls.__module__ in LightningIntegration.modules)
    package = top.partition(".")[0]
    callback: CallbackMethods = importlib.import_module(f"autotrack_lightning.for_{package}").AutotrackCallback()
    place = 0
    for number, one in enumerate(trainer.callbacks, 1):
        if any(cls.__name__ in _FIRST for cls in type(one).__mro__):
            place = number
    trainer.callbacks.insert(place, callback)
    return callback

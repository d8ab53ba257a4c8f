"""Runs that go on after a call returns: of estimators that learn by ``partial_fit``, or by warm starts."""

from __future__ import annotations

import weakref
from typing import Any

import autotrack


class OnlineRuns:
    """Runs of estimators that are trained batch by batch, by object. Estimators are held weakly."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[weakref.ref[Any], autotrack.Training]] = {}

    def training_of(self, estimator: Any) -> autotrack.Training | None:
        """The estimator's open training."""
        reference, training = self._open.get(id(estimator), (None, None))
        return training if reference is not None and reference() is estimator else None

    def begin(self, estimator: Any) -> autotrack.Training:
        """Open a training that lasts until ``end``."""
        key = id(estimator)
        training = autotrack.begin_training("sklearn", type(estimator).__name__)
        self._open[key] = weakref.ref(estimator, lambda _: self._end(key, None)), training
        return training

    def end(self, estimator: Any, error: BaseException | None = None) -> None:
        """End the estimator's training, if one is open; its model is saved as it is now."""
        training = self.training_of(estimator)
        if training is not None:
            self._save(estimator, training)
            self._end(id(estimator), error)

    def end_all(self) -> None:
        """End all."""
        for key, (reference, training) in list(self._open.items()):
            estimator = reference()
            if estimator is not None:
                self._save(estimator, training)
            self._end(key, None)

    @staticmethod
    def _save(estimator: Any, training: autotrack.Training) -> None:
        if not training.run.elsewhere:  # a forked child has a copy; what becomes of the model its parent will say
            training.run.capture_model(estimator, "model", 0.0)

    def _end(self, key: int, error: BaseException | None) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            with autotrack.protect("ending a run of partial_fit", "sklearn"):
                if found[0]() is None and not found[1].run.elsewhere:
                    found[1].run.note(_GONE, "warning")
                found[1].end(error)


class WarmModels:
    """Models that were trained on in a warm start, after their run saved them: they are saved anew at the end.

    Not after each start: a loop of a hundred would save a hundred models.
    """

    def __init__(self) -> None:
        self._changed: dict[int, tuple[weakref.ref[Any], autotrack.Run]] = {}

    def changed(self, estimator: Any, run: autotrack.Run) -> None:
        """The estimator is not as its run saved it."""
        key = id(estimator)
        self._changed[key] = weakref.ref(estimator, lambda _: self._gone(key)), run

    def save(self, estimator: Any) -> None:
        """Save the estimator as it is now, if it changed since its run saved it."""
        reference, run = self._changed.get(id(estimator), (None, None))
        if reference is not None and run is not None and reference() is estimator:
            del self._changed[id(estimator)]
            if not run.elsewhere:
                run.capture_model(estimator, "model", 0.0)

    def save_all(self) -> None:
        """Save all."""
        for reference, _ in list(self._changed.values()):
            self.save(reference())

    def _gone(self, key: int) -> None:
        _, run = self._changed.pop(key, (None, None))
        if run is not None and not run.elsewhere:
            with autotrack.protect("ending warm starts", "sklearn"):
                run.note(_GONE, "warning")


_GONE = "the model was not saved as it was in the end: its object is gone; log_model keeps it before"

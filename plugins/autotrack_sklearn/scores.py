"""Scores that people compute after a fit, and the run that each belongs to.

That is the run of the model whose prediction was scored: known by identity, through views. Where it is not (a
prediction was thresholded, made a list, or comes from elsewhere) it is guessed: the most recent prediction of
this length in this context, else the run that is open here or ended last here; the record says that it was
guessed. A prediction of a model that is known to have no run is not scored for another's.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import time
import weakref
from collections.abc import Generator, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

import autotrack
from autotrack_sklearn import figures, names
from autotrack_sklearn.arguments import argument_name
from autotrack_sklearn.predictions import Prediction, Predictions, Trained, of_sklearn, recent, rows

Steps = Generator[None, autotrack.Outcome, None]

_MAX_FIGURES = 30  # of a run
_PAUSE = 1.0  # seconds between two figures of one name: a loop of evaluations draws few
_BY_LENGTH = "the most recent prediction of this length"
_BY_ORDER = "the last run here"

# No scores: arrays, tools, and what is called too often to be looked at.
_NOT_SWAPPED = frozenset({"check_scoring", "get_scorer", "get_scorer_names", "make_scorer", "metric_at_thresholds"})
_CURVES = frozenset({"roc_curve", "precision_recall_curve", "det_curve"})
_NOT_SWAPPED_MODULES = ("sklearn.metrics.pairwise",)


class Scores:
    """Records scores; one per integration."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._functions: dict[str, FunctionType] = {}
        self._drawn: weakref.WeakKeyDictionary[autotrack.Run, dict[tuple[str, str], float]] = (
            weakref.WeakKeyDictionary()
        )
        self._told: weakref.WeakKeyDictionary[autotrack.Run, set[str]] = weakref.WeakKeyDictionary()

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch ``sklearn.metrics``: its functions, at every name that they have, and its scorers."""
        for name in module.__all__:
            function = getattr(module, name)
            if (
                isinstance(function, FunctionType)
                and name not in _NOT_SWAPPED
                and function.__module__ not in _NOT_SWAPPED_MODULES
            ):
                patches.swap(function, self.on_metric)
                self._functions[name] = function
        scorers = inspect.getmodule(module.make_scorer)
        for kind in ("_BaseScorer", "_MultimetricScorer"):
            patches.around(getattr(scorers, kind), "__call__", self.on_scorer)

    # ---- what is called round the user's calls ------------------------------------------------------------------

    def on_metric(self, call: autotrack.Call) -> Steps | None:
        """A function of ``sklearn.metrics``."""
        if (autotrack.in_training() and not _in_others_run()) or of_sklearn(autotrack.caller()):
            return None
        return self._metric(call)

    def _metric(self, call: autotrack.Call) -> Steps:
        outcome = yield
        if outcome.exception is not None:
            return
        function = call.original.__name__
        defaults = _defaults(self._functions[function])
        given = dict(zip(defaults, call.args, strict=False))
        given.update(call.kwargs)
        first, second = itertools.islice(defaults, 2)
        truth, predicted = given.get(first), given.get(second)
        prediction = self._predictions.of(predicted) or self._predictions.of(truth)
        if prediction is not None:
            for points in outcome.value if function in _CURVES else ():
                self._predictions.derived(points, prediction)
            self._draw(prediction, truth, predicted)
        scores = names.scores_of(function, defaults, given, outcome.value)
        if not scores:
            return
        if prediction is not None:
            self._record_for(prediction.model, scores, prediction.data)
            return
        prediction = None if autotrack.in_training() else recent(rows(truth))
        if prediction is not None:
            self._record_for(prediction.model, scores, prediction.data, _BY_LENGTH)
            return
        run = autotrack.run_here()
        if run is not None:
            data = argument_name(autotrack.caller(), 0, first)
            self._record(run, scores, data, _BY_ORDER)

    def on_score(self, call: autotrack.Call) -> Steps | None:
        """``estimator.score(X, y)``."""
        if autotrack.in_training() or of_sklearn(autotrack.caller()):
            return None
        return self._score(call)

    def _score(self, call: autotrack.Call) -> Steps:
        with autotrack.ignored_training("sklearn"):  # the metrics inside are how it is computed
            outcome = yield
        value = None if outcome.exception is not None else names.number(outcome.value)
        if value is not None:
            model = self._predictions.model(call.instance)
            given = call.args[1] if len(call.args) > 1 else call.kwargs.get("X")
            data = self._data(model, given, autotrack.caller(), 0, "X", "score")
            self._record_for(model, {"score": value}, data)

    def on_scorer(self, call: autotrack.Call) -> Steps | None:
        """``scorer(estimator, X, y)``."""
        if autotrack.in_training() or of_sklearn(autotrack.caller()):
            return None
        return self._scorer(call)

    def _scorer(self, call: autotrack.Call) -> Steps:
        with autotrack.ignored_training("sklearn"):
            outcome = yield
        if outcome.exception is not None:
            return
        scores = names.scores_of_scorer(call.instance, outcome.value)
        given = call.bound
        model = self._predictions.model(given.get("estimator", next(iter(call.args[1:]), None)))
        if scores:
            data = self._data(model, given.get("X", next(iter(call.args[2:]), None)), autotrack.caller(), 1, "X")
            self._record_for(model, scores, data)

    @staticmethod
    def _data(
        model: Trained | None, given: Any, frame: FrameType | None, position: int, keyword: str, function: str = ""
    ) -> str:
        return "" if model is None else model.called(given, argument_name(frame, position, keyword, function))

    def _draw(self, prediction: Prediction, truth: Any, predicted: Any) -> None:
        """Keep what truth and prediction show together; again where it was some time ago, since the last one counts."""
        if prediction.model is None:
            return
        run = prediction.model.run
        suffix = f"_on_{prediction.data}" if prediction.data else ""
        drawn = self._drawn.setdefault(run, {})
        now = time.monotonic()
        if len(drawn) >= _MAX_FIGURES or now - drawn.get((prediction.method, suffix), -_PAUSE) < _PAUSE:
            return
        drawn[prediction.method, suffix] = now
        with autotrack.protect("drawing a prediction", "sklearn"):
            for name, figure in figures.of_scored(truth, predicted, prediction.method).items():
                run.capture_figure(f"{name}{suffix}.json", figures.content(figure))

    # ---- recording ----------------------------------------------------------------------------------------------

    def _record_for(self, model: Trained | None, scores: Mapping[str, float], data: str, guessed: str = "") -> None:
        if model is not None:
            self._record(model.run, scores, data, guessed, model.step)
            return
        # No run of this process recorded that model: what is open here was opened for something.
        run = autotrack.run_here()
        if run is not None and not run.ended:
            self._record(run, scores, data, _BY_ORDER)

    def _record(
        self,
        run: autotrack.Run,
        scores: Mapping[str, float],
        data: str,
        guessed: str = "",
        step: int | None = None,
    ) -> None:
        """Log the scores; of those whose run was guessed say so, once for each name."""
        scores = {f"{name}_on_{data}" if data else name: value for name, value in scores.items()}
        inferred: dict[str, str] = {}
        if guessed:
            told = self._told.setdefault(run, set())
            inferred = {name: f"the run was guessed: {guessed}" for name in scores if name not in told}
            told.update(inferred)
        run.capture(metrics=scores, facts={"inferred": inferred} if inferred else None, step=step)


def _in_others_run() -> bool:
    """Whether a training of another framework's goes on, whose run the scores are for."""
    scope = autotrack.current_scope()
    return scope is not None and scope.integration not in ("", "sklearn") and scope.run is not None


@functools.cache
def _defaults(function: FunctionType) -> dict[str, Any]:
    """Names of the parameters, in their order, with their defaults."""
    return {parameter.name: parameter.default for parameter in inspect.signature(function).parameters.values()}

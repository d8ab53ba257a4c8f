"""Cross-validation: a run with the estimator's parameters; every fold, or point of a curve, is a point of a metric.

The functions are swapped in place, so they are met at whatever name, imported before or after ``enable()``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

import autotrack
from autotrack_sklearn import extract, folds
from autotrack_sklearn.arguments import argument_name
from autotrack_sklearn.predictions import Predictions, Trained
from autotrack_sklearn.tasks import Failure, Tasks

Steps = Generator[None, autotrack.Outcome, None]

FUNCTIONS = (
    "cross_validate",
    "cross_val_score",
    "cross_val_predict",
    "learning_curve",
    "validation_curve",
    "permutation_test_score",
)


class CrossValidations:
    """Records cross-validations; one per integration."""

    def __init__(
        self,
        integration: str,
        tasks: Tasks,
        capture_before: Callable[[autotrack.Run, autotrack.Call], None],
        predictions: Predictions,
    ) -> None:
        """``capture_before(run, call)`` records an estimator and the data of a call of its ``fit``."""
        self._predictions = predictions
        self._integration = integration
        self._tasks = tasks
        self._capture_before = capture_before
        self._functions: dict[str, FunctionType] = {}

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch ``sklearn.model_selection._validation``."""
        for name in FUNCTIONS:
            self._functions[name] = getattr(module, name)
            patches.swap(self._functions[name], self._on_call)

    def _on_call(self, call: autotrack.Call) -> Steps | None:
        """Within a training it is a part of that; ``cross_val_score`` calls ``cross_validate``."""
        if autotrack.in_training():
            return None
        try:
            given = _signature(self._functions[call.original.__name__]).bind(*call.args, **call.kwargs).arguments
        except TypeError:  # they do not fit: the function will say so
            return None
        return self._record(call.original.__name__, given)

    def _record(self, function: str, given: Mapping[str, Any]) -> Steps:
        estimator = given.get("estimator")
        with autotrack.training(self._integration, type(estimator).__name__) as training:
            run = training.run
            fit = getattr(type(estimator), "fit", None)
            if fit is not None:
                data = [given[name] for name in ("X", "y") if given.get(name) is not None]
                self._capture_before(run, autotrack.Call(fit, (estimator, *data), {}))
            receiver = _Folds(run, function in ("cross_validate", "cross_val_score"))
            with self._tasks.watched(receiver):
                outcome = yield
            with autotrack.protect("recording a cross-validation", self._integration):
                facts = _about(function, given)
                if outcome.exception is None:
                    record = _RECORD.get(function)
                    facts.update(record(run, outcome.value, given) if record is not None else {})
                facts["fits"] = receiver.count
                run.capture(facts={"cross_validation": facts})
                if function == "cross_val_predict" and outcome.exception is None:
                    made = Trained(run).predicted(
                        given.get("method", "predict"), argument_name(autotrack.caller(), 1, "X")
                    )
                    self._predictions.made(outcome.value, made)
                receiver.tell_failures()
            training.end(outcome.exception)


@functools.cache
def _signature(function: FunctionType) -> inspect.Signature:
    return inspect.signature(function)


def _about(function: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, in JSON types."""
    facts: dict[str, Any] = {"function": function}
    for name in ("cv", "scoring", "method", "param_name", "n_permutations"):
        value = extract.readable(given.get(name))
        if value is None:
            continue
        if isinstance(value, (list, tuple)) and name == "cv":  # pairs of arrays of indices
            facts[name] = f"{len(value)} splits"
        elif isinstance(value, (str, int, float, list, tuple, set, dict)):
            facts[name] = autotrack.to_json(value)
        else:
            facts[name] = getattr(value, "__name__", type(value).__name__)
    return facts


class _Folds:
    """Receives what folds return, and records their scores as they come, where they are folds of one estimator."""

    def __init__(self, run: autotrack.Run, live: bool) -> None:
        self.count = 0
        self._run = run
        self._live = live
        self._failures: list[str] = []

    def starts(self, frame: FrameType) -> bool:
        """See ``tasks.Receiver``; an estimator that is fitted between them may have tasks of its own."""
        return frame.f_globals.get("__name__") == "sklearn.model_selection._validation"

    def result(self, index: int, value: Any, failed: Failure | None) -> None:
        """See ``tasks.Receiver``."""
        self.count += 1
        failure = folds.failure_of(value)
        if failure is not None:
            self._failures.append(f"fit {index} failed: {failure[0]}: {failure[1]}")
        if self._live:
            self._run.capture(metrics=folds.values_of(value), step=index)

    def raised(self, index: int, error: BaseException) -> None:
        """See ``tasks.Receiver``."""

    def tell_failures(self) -> None:
        """Note which fits failed and were given the error score."""
        for text in self._failures[:5]:
            self._run.note(text, "warning")
        if len(self._failures) > 5:
            self._run.note(f"{len(self._failures) - 5} more fits failed", "warning")


# ---- what each function returns: recorded, and facts about it -------------------------------------------------------


def _means(run: autotrack.Run, columns: Mapping[str, Any]) -> None:
    rows = {key: [[folds.as_float(value) for value in values]] for key, values in columns.items()}
    metrics = {}
    for key, (means, deviations) in folds.mean_and_std(rows).items():
        metrics[f"mean_{key}"], metrics[f"std_{key}"] = means[0], deviations[0]
    run.capture(metrics=metrics)


def _validated(run: autotrack.Run, value: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    sides = ("test_", "train_", "fit_time", "score_time")
    columns = {key: column for key, column in value.items() if isinstance(key, str) and key.startswith(sides)}
    _means(run, columns)
    return {"folds": len(value["fit_time"])}


def _scored(run: autotrack.Run, value: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    _means(run, {"test_score": value})
    return {"folds": len(value)}


def _learned(run: autotrack.Run, value: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    sizes = [int(size) for size in value[0]]
    arrays = [array for array in value[1:] if array is not None]
    _curves(run, sizes, dict(zip(("train_score", "test_score", "fit_time", "score_time"), arrays, strict=False)))
    return {"step": "training rows", "train_sizes": sizes, "folds": len(value[1][0])}


def _varied(run: autotrack.Run, value: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    _curves(run, list(range(len(value[0]))), {"train_score": value[0], "test_score": value[1]})
    tried = [extract.readable(item) for item in given.get("param_range", ())]
    return {"step": "place in param_range", "param_range": autotrack.to_json(tried), "folds": len(value[0][0])}


def _curves(run: autotrack.Run, steps: list[int], tables: Mapping[str, Any]) -> None:
    """Of each table a row for each step: all of its folds are points of that step, and so is their mean."""
    rows = {key: [[folds.as_float(value) for value in row] for row in table] for key, table in tables.items()}
    averages = folds.mean_and_std(rows)
    for place, step in enumerate(steps):
        for fold in zip(*(table[place] for table in rows.values()), strict=True):
            run.capture(metrics=dict(zip(rows, fold, strict=True)), step=step)
        means = {f"mean_{key}": average[0][place] for key, average in averages.items()}
        run.capture(metrics=means | {f"std_{key}": average[1][place] for key, average in averages.items()}, step=step)


def _permuted(run: autotrack.Run, value: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    score, permuted, pvalue = value
    run.capture(
        metrics={"score": folds.as_float(score), "pvalue": folds.as_float(pvalue)},
        curves={"permutation_score": [folds.as_float(item) for item in permuted]},
    )
    return {}


_RECORD: dict[str, Callable[[autotrack.Run, Any, Mapping[str, Any]], dict[str, Any]]] = {
    "cross_validate": _validated,
    "cross_val_score": _scored,
    "learning_curve": _learned,
    "validation_curve": _varied,
    "permutation_test_score": _permuted,
}

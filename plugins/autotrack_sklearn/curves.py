"""Histories that ``fit`` leaves behind, one value per iteration: by a table, by a rule, and of other libraries.

Attributes of the instance are read; properties and methods are not asked. Steps count from 0.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

Curves = dict[str, list[float]]

TABLE = {
    "loss_curve_": "loss",
    "validation_scores_": "validation_score",
    "train_score_": "train_score",
    "validation_score_": "validation_score",
    "oob_scores_": "oob_score",
    "oob_improvement_": "oob_improvement",
    "estimator_errors_": "estimator_error",
    "estimator_weights_": "estimator_weight",
    "lower_bounds_": "lower_bound",
    "scores_": "score",
    "error_": "error",
}
"""Fitted attributes that are histories, and the name of the metric."""

_EVALUATIONS = ("evals_result_", "_evals_result", "history_")  # xgboost, lightgbm; skorch and scikeras
_COUNTS = ("n_iter_", "n_estimators_", "n_estimators")
_NO_HISTORY = frozenset({"feature_importances_", "coef_", "intercept_", "dual_coef_", "alphas_", "Cs_", "cv_alphas_"})
_SOUNDS_LIKE_ONE = re.compile(r"loss|score|error|cost|curve|histor|objective|likelihood|bound|inertia")
_SEVERAL_METRICS = 100  # more keys than this are no evaluation


def of(estimator: Any) -> Curves:
    """Histories by the name of their metric."""
    attributes = vars(estimator)
    found: Curves = {}
    for name in _EVALUATIONS:
        found.update(_evaluations(attributes.get(name)))
    found.update(_paths(attributes))
    for name, value in list(attributes.items()):
        if name in TABLE or _is_history(name, value, attributes):
            numbers = floats(value)
            if numbers:
                found.setdefault(TABLE.get(name, name.rstrip("_")), numbers)
    return found


def floats(values: Any) -> list[float]:
    """A list or one-dimensional array of at least two numbers; empty for anything else."""
    if type(values).__module__ == "numpy" and getattr(values, "ndim", 0) == 1 and values.dtype.kind in "iuf":
        values = values.tolist()
    if not isinstance(values, (list, tuple)) or len(values) < 2:
        return []
    numbers = [_number(value) for value in values]
    return [] if None in numbers else numbers  # type: ignore[return-value]


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    plain = type(value).__module__ == "numpy" and getattr(value, "size", 0) == 1 and hasattr(value, "dtype")
    return float(value.item()) if plain and value.dtype.kind in "iuf" else None


def _is_history(name: str, value: Any, attributes: Mapping[str, Any]) -> bool:
    """The rule: real numbers, as many as iterations or members, and not as many as features or classes.

    A plain list needs only a name that says so: what is fitted by feature or by class is an array.
    """
    if not name.endswith("_") or name.startswith("_") or name in _NO_HISTORY:
        return False
    telling = _SOUNDS_LIKE_ONE.search(name) is not None
    if isinstance(value, list):
        return telling
    if getattr(getattr(value, "dtype", None), "kind", "") != "f" or getattr(value, "ndim", 0) != 1:
        return False
    counts = {attributes.get(count) for count in _COUNTS if isinstance(attributes.get(count), int)}
    return len(value) in counts and (telling or len(value) not in _other_sizes(attributes))


def _other_sizes(attributes: Mapping[str, Any]) -> set[Any]:
    sizes = {attributes.get("n_features_in_"), attributes.get("n_outputs_"), attributes.get("n_components")}
    classes: Any = attributes.get("classes_")
    return sizes | ({len(classes)} if hasattr(classes, "__len__") else set())


def _paths(attributes: Mapping[str, Any]) -> Curves:
    """What cross-validating estimators keep for each value that they tried, as the mean over the folds."""
    found: Curves = {}
    costs = attributes.get("costs_")  # graphical lasso: pairs
    if isinstance(costs, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in costs):
        found["cost"], found["dual_gap"] = ([float(pair[side]) for pair in costs] for side in (0, 1))
    errors: Any = attributes.get("mse_path_")  # by alpha and fold, or by l1_ratio, alpha and fold
    if getattr(errors, "ndim", 0) == 2:
        found["mse_path"] = errors.mean(axis=1).tolist()
    elif getattr(errors, "ndim", 0) == 3:
        ratios = attributes.get("l1_ratio")
        labels = ratios if isinstance(ratios, list) and len(ratios) == len(errors) else range(len(errors))
        for label, path in zip(labels, errors, strict=True):
            found[f"mse_path_{label}"] = path.mean(axis=1).tolist()
    scores: Any = attributes.get("scores_")  # by fold and C; for each class, before scikit-learn 1.9
    by_class = scores if isinstance(scores, dict) else {"": scores}
    for label, folds in itertools.islice(by_class.items(), _SEVERAL_METRICS):
        if getattr(folds, "ndim", 0) == 2:
            found["cv_score" if len(by_class) == 1 else f"cv_score_of_{label}"] = folds.mean(axis=0).tolist()
    return {name: values for name, values in found.items() if len(values) > 1}


def _evaluations(result: Any) -> Curves:
    """``validation_0/logloss`` of a mapping of mappings, ``loss`` of a mapping, ``train_loss`` of a list of rows."""
    if isinstance(result, Mapping) and len(result) <= _SEVERAL_METRICS:
        found: Curves = {}
        for name, values in result.items():
            inner = values.items() if isinstance(values, Mapping) else (("", values),)
            for metric, points in inner:
                numbers = floats(points) or _single(points)
                if numbers:
                    found[f"{name}/{metric}" if metric else str(name)] = numbers
        return found
    if not isinstance(result, list) or not result or not all(isinstance(row, dict) for row in result):
        return {}
    names = [name for name in result[-1] if not str(name).endswith(("epoch", "batches", "_batch_count"))]
    columns = {name: [_number(row.get(name)) for row in result] for name in names}
    return {
        str(name): [number for number in numbers if number is not None]
        for name, numbers in columns.items()
        if None not in numbers
    }


def _single(points: Any) -> list[float]:
    """Of an evaluation one round is a history too."""
    number = _number(points[0]) if isinstance(points, list) and len(points) == 1 else None
    return [] if number is None else [number]


class Growing:
    """The histories of a model that may be trained on: what of them is new after each call.

    Without ``keep`` nothing is remembered: all is always new.
    """

    def __init__(self, keep: bool = True) -> None:
        self._keep = keep
        self._last: Curves = {}
        self._totals: dict[str, int] = {}

    def new(self, curves: Curves) -> dict[str, tuple[int, list[float]]]:
        """(first step, values) by name. A history goes on where the last one is its beginning; else it began anew."""
        if not self._keep:
            return {name: (0, values) for name, values in curves.items()}
        found = {}
        for name, values in curves.items():
            last = self._last.get(name, [])
            fresh = values[len(last) :] if values[: len(last)] == last else values
            first = self._totals.get(name, 0)
            self._totals[name] = first + len(fresh)
            if fresh:
                found[name] = first, fresh
        self._last = {**self._last, **curves}
        return found

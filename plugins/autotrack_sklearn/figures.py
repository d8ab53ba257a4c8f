"""What people look at, as data: a confusion matrix, ROC, precision and recall, calibration, residuals, importances.

Computed from arrays that a person has just scored, or from fitted attributes; nothing predicts for it. Each is a
small JSON object; a page or a notebook draws it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

_MAX_ROWS = 1_000_000  # counted: a few ms
_MAX_SORTED = 20_000  # sorted: likewise
_MAX_TEXT_ROWS = 5_000  # text sorts slowly
_MAX_CLASSES = 50
_MAX_POINTS = 200
_MAX_PAIRS = 1_000
_MAX_FEATURES = 1_000
_MAX_TREES = 500
_SMALL = 32
_BINS = 10

Figures = dict[str, dict[str, Any]]


def of_scored(truth: Any, predicted: Any, method: str) -> Figures:
    """By name, what truth and prediction show together; empty where they are of another kind, or too many.

    Args:
        truth: True labels or values, of shape (rows,).
        predicted: What ``method`` returned, or a column of it: shape (rows,) or (rows, 2).
        method: ``predict``, ``predict_proba`` or ``decision_function``.
    """
    truth, predicted = _array(truth), _array(predicted)
    if truth is None or predicted is None or truth.ndim != 1 or len(truth) != len(predicted):
        return {}
    if method in ("predict", "fit_predict") and predicted.ndim == 1:
        return _of_labels(truth, predicted) or _of_values(truth, predicted)
    if method in ("predict_proba", "decision_function"):
        if predicted.ndim == 2 and predicted.shape[1] == 2:
            predicted = predicted[:, 1]
        if predicted.ndim == 1 and predicted.dtype.kind == "f":
            return _of_scores(truth, predicted, method == "predict_proba")
    return {}


def _array(values: Any) -> Any:
    """Labels or numbers as an array; None where that would cost too much, or run code of the user's."""
    numpy = sys.modules["numpy"]
    if type(values).__module__.partition(".")[0] not in ("numpy", "pandas", "builtins"):
        return None
    if not 2 <= (len(values) if hasattr(values, "__len__") else 0) <= _MAX_ROWS:
        return None
    if isinstance(values, str) or (isinstance(values, list) and len(values) > _MAX_TEXT_ROWS):
        return None
    array = numpy.asarray(values)
    if array.dtype.kind == "O" and len(array) <= _MAX_TEXT_ROWS and all(type(item) is str for item in array.flat):
        array = array.astype(str)
    slow = array.dtype.kind == "U" and len(array) > _MAX_TEXT_ROWS
    return array if array.dtype.kind in "biufU" and not slow else None


def _of_labels(truth: Any, predicted: Any) -> Figures:
    """A confusion matrix, if both are labels."""
    numpy = sys.modules["numpy"]
    if "f" in (truth.dtype.kind, predicted.dtype.kind) or (truth.dtype.kind == "U") != (predicted.dtype.kind == "U"):
        return {}
    both = numpy.concatenate([truth, predicted])
    if both.dtype.kind in "iu" and both.min() >= 0 and both.max() < _MAX_CLASSES:
        labels, codes = numpy.flatnonzero(numpy.bincount(both)), both.astype(int)
        size = int(codes.max()) + 1
    elif len(both) <= 2 * _MAX_SORTED:
        labels, codes = numpy.unique(both, return_inverse=True)
        size = len(labels)
    else:
        return {}
    if len(labels) > _MAX_CLASSES:
        return {}
    counts = numpy.bincount(codes[: len(truth)] * size + codes[len(truth) :], minlength=size**2).reshape(size, size)
    if size > len(labels):  # numbers between the labels
        counts = counts[labels][:, labels]
    return {"confusion_matrix": {"labels": labels.tolist(), "true_by_predicted": counts.tolist()}}


def _of_values(truth: Any, predicted: Any) -> Figures:
    """Truth and prediction of some rows, evenly spaced, for a plot of residuals."""
    if truth.dtype.kind not in "iuf" or predicted.dtype.kind != "f":
        return {}
    every = -(-len(truth) // _MAX_PAIRS)
    pairs = {"true": truth[::every].tolist(), "predicted": predicted[::every].tolist()}
    return {"residuals": {**pairs, "rows": len(truth), "every": every}}


def _of_scores(truth: Any, score: Any, probability: bool) -> Figures:
    """The curves of a binary classifier; the greater label is the positive one, as in scikit-learn."""
    numpy = sys.modules["numpy"]
    if len(truth) > _MAX_SORTED:
        return {}
    labels = numpy.unique(truth)
    if len(labels) != 2 or not numpy.isfinite(score).all():
        return {}
    positive = truth == labels[1]
    order = numpy.argsort(-score, kind="stable")
    ranked = score[order]
    last = numpy.r_[numpy.flatnonzero(numpy.diff(ranked)), len(ranked) - 1]  # of each distinct score
    hits = numpy.cumsum(positive[order])[last]
    misses = 1 + last - hits
    some = numpy.unique(numpy.linspace(0, len(last) - 1, min(len(last), _MAX_POINTS)).astype(int))
    hits, misses, thresholds = hits[some], misses[some], ranked[last][some]
    recall, fallout = hits / positive.sum(), misses / (len(positive) - positive.sum())
    about = {"positive": labels[1].item(), "threshold": thresholds.tolist()}
    found: Figures = {
        "roc": {**about, "false_positive_rate": fallout.tolist(), "true_positive_rate": recall.tolist()},
        "precision_recall": {**about, "precision": (hits / (hits + misses)).tolist(), "recall": recall.tolist()},
    }
    if probability and ranked[-1] >= 0 and ranked[0] <= 1:
        bins = numpy.minimum((score * _BINS).astype(int), _BINS - 1)
        counts = numpy.bincount(bins, minlength=_BINS)
        some = numpy.flatnonzero(counts)
        found["calibration"] = {
            "positive": labels[1].item(),
            "mean_predicted": (numpy.bincount(bins, score, _BINS)[some] / counts[some]).tolist(),
            "fraction_of_positives": (numpy.bincount(bins, positive, _BINS)[some] / counts[some]).tolist(),
            "count": counts[some].tolist(),
        }
    return found


def importances(estimator: Any) -> Figures:
    """What a fitted estimator says of its features: the mean over a forest's trees, or coefficients."""
    attributes = vars(estimator)
    names = attributes.get("feature_names_in_")
    values, kind = _of_trees(attributes), "impurity"
    if values is None:
        values, kind = attributes.get("feature_importances_"), "importance"
    if values is None:
        values, kind = attributes.get("coef_"), "coefficient"
    rows = 1 if getattr(values, "ndim", 0) == 1 else len(values) if getattr(values, "ndim", 0) == 2 else 0
    if type(values).__module__ != "numpy" or not 0 < rows <= _MAX_CLASSES or values.dtype.kind != "f":
        return {}
    if not 1 < values.shape[-1] <= _MAX_FEATURES:
        return {}
    if kind == "coefficient" and values.size <= _SMALL:  # these are among the facts
        return {}
    content = {"kind": kind, "values": values.tolist()}
    if names is not None and len(names) == values.shape[-1]:
        content["features"] = [str(name) for name in names]
    return {"feature_importances": content}


def _of_trees(attributes: dict[str, Any]) -> Any:
    """Importances of scikit-learn's trees and forests, by their compiled parts: a property would start threads."""
    numpy = sys.modules["numpy"]
    tree: Any = attributes.get("tree_")
    if type(tree).__module__ == "sklearn.tree._tree":
        return tree.compute_feature_importances()
    members = attributes.get("estimators_")
    if not isinstance(members, list) or not 0 < len(members) <= _MAX_TREES:
        return None
    trees: list[Any] = [vars(member).get("tree_") for member in members if hasattr(member, "__dict__")]
    if len(trees) != len(members) or any(type(tree).__module__ != "sklearn.tree._tree" for tree in trees):
        return None
    if "estimators_features_" in attributes:  # bagging: each tree has features of its own
        return None
    each = [tree.compute_feature_importances() for tree in trees if tree.node_count > 1]
    if not each:
        return None
    mean = numpy.mean(each, axis=0)
    return mean / mean.sum() if mean.sum() else mean


def content(figure: dict[str, Any]) -> bytes:
    """The file of a figure."""
    return json.dumps(figure).encode()

"""What ``_fit_and_score`` of scikit-learn returns for one fold, and tables of it: pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import autotrack

MAX_TRACE = 4000
"""Characters kept of the traceback of a fold: there may be thousands that fail in the same way."""

TIMES = ("fit_time", "score_time")
"""Keys of the seconds that a fold took."""

_SIDES = (("test", "test_score", "test_scores"), ("train", "train_score", "train_scores"))


def values_of(result: Any) -> dict[str, float]:
    """``test_score`` (of several metrics ``test_<name>``), the same of ``train``, ``fit_time`` and ``score_time``."""
    values: dict[str, float] = {}
    if not isinstance(result, dict):
        return values
    for side, alone, several in _SIDES:
        scores = result.get(several)
        if isinstance(scores, dict):
            for name, score in scores.items():
                values[f"{side}_{name}"] = as_float(score)
        elif scores is not None:
            values[alone] = as_float(scores)
    for name in TIMES:
        if name in result:
            values[name] = as_float(result[name])
    return values


def as_float(value: Any) -> float:
    """A score as a float; NaN for what is none."""
    if isinstance(value, float):  # numpy's too
        return float(value)
    number, _ = autotrack.foreign(float, value)
    return math.nan if number is None else number


def table(results: Sequence[Any]) -> dict[str, list[float]]:
    """By metric, the values of all folds in their order; NaN (or the error score) where a fold failed.

    With a callable that returns several metrics, a fold that failed has one score for all of them.
    """
    rows = [values_of(result) for result in results]
    if all(row.keys() == rows[0].keys() for row in rows):
        return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}
    keys = dict.fromkeys(key for row in rows for key in row)
    for side, alone, _ in _SIDES:
        several = [key for key in keys if key.startswith(f"{side}_")]
        if alone in keys and len(several) > 1 and any(alone not in row for row in rows):
            keys.pop(alone)
            for row in rows:
                if alone in row:
                    row.update(dict.fromkeys(several, row[alone]))
    return {key: [row.get(key, math.nan) for row in rows] for key in keys}


def mean_and_std(columns: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, tuple[list[float], list[float]]]:
    """Of each row of each column, computed exactly as ``cv_results_`` is."""
    import numpy  # noqa: PLC0415  scikit-learn has imported it

    found = {}
    for key, rows in columns.items():
        array = numpy.array(rows, dtype=numpy.float64)
        with numpy.errstate(all="ignore"):
            means = numpy.average(array, axis=1)
            deviations = numpy.sqrt(numpy.average((array - means[:, numpy.newaxis]) ** 2, axis=1))
        found[key] = means.tolist(), deviations.tolist()
    return found


def failure_of(result: Any) -> tuple[str, str, str] | None:
    """(type, message, traceback) of the fit of a fold that failed, as far as its traceback says."""
    text = result.get("fit_error") if isinstance(result, dict) else None
    return described(text) if isinstance(text, str) else None


def described(text: str) -> tuple[str, str, str]:
    """(type, message, traceback) of a formatted exception."""
    lines = text.rstrip().splitlines()
    last = next((number for number in range(len(lines) - 1, -1, -1) if not lines[number].startswith(" ")), 0)
    # A message of several lines begins on the line after the last indented one.
    while last > 0 and not lines[last - 1].startswith(" "):
        last -= 1
    kind, _, message = "\n".join(lines[last:]).partition(": ")
    return kind.strip(), message, text[-MAX_TRACE:]

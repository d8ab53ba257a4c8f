"""What a score is called: the same in every run, whatever else was called before it.

``accuracy_score`` is ``accuracy``. Arguments that change what is computed are part of the name, as in the names
of scikit-learn's scorers: ``f1_macro``, ``roc_auc_ovr_weighted``, ``fbeta_beta_2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PLAIN = ("multi_class", "average", "weights", "multioutput", "average_method")  # their value alone says it
_NO_PART = frozenset({"zero_division", "output_dict", "digits", "raw_values", "random_state", "scale_by_half"})
_DATA = 2  # the first two arguments are truth and prediction
_MAX_CLASSES = 20  # of a report; further ones are left out


def number(value: Any) -> float | None:
    """A number as a float; None for anything else, and for truth values."""
    if isinstance(value, (float, int)) and not isinstance(value, bool):
        return float(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0 and value.dtype.kind in "iuf":
        return float(value)
    return None


def scores_of(function: str, defaults: Mapping[str, Any], given: Mapping[str, Any], result: Any) -> dict[str, float]:
    """By name, the numbers that a function of ``sklearn.metrics`` returned; empty where it returned arrays.

    Args:
        function: Name of the function.
        defaults: Defaults of its parameters, by name.
        given: Arguments that it was given, by name.
        result: What it returned.
    """
    value = number(result)
    if value is not None:
        plain = len(given) <= _DATA
        return {function.removesuffix("_score") if plain else _name(function, given, defaults): value}
    if function == "classification_report" and isinstance(result, dict):
        return _of_report(result)
    several = _SEVERAL.get(function)
    if several is not None and isinstance(result, tuple):
        average = given.get("average")
        if given.get("beta", 1.0) != 1.0:
            several = (*several[:2], f"fbeta_beta_{given['beta']}")
        suffix = f"_{average}" if isinstance(average, str) and average != "binary" else ""
        found = {name + suffix: number(part) for name, part in zip(several, result, strict=False)}
        return {name: part for name, part in found.items() if part is not None}
    return {}


_SEVERAL = {
    "precision_recall_fscore_support": ("precision", "recall", "f1"),
    "homogeneity_completeness_v_measure": ("homogeneity", "completeness", "v_measure"),
    "class_likelihood_ratios": ("positive_likelihood_ratio", "negative_likelihood_ratio"),
}


def scores_of_scorer(scorer: Any, result: Any) -> dict[str, float]:
    """By name, what a scorer returned."""
    if isinstance(result, dict):
        found = {str(name): number(value) for name, value in result.items()}
        return {name: value for name, value in found.items() if value is not None}
    value = number(result)
    function = getattr(scorer, "_score_func", None)
    if value is None or function is None:
        return {}
    function = getattr(function, "func", function)  # a partial
    name = _name(getattr(function, "__name__", "score"), getattr(scorer, "_kwargs", {}), {})
    return {f"neg_{name}" if getattr(scorer, "_sign", 1) < 0 else name: value}


def _name(function: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    parts = [function.removesuffix("_score")]
    kept = {
        key: value
        for key, value in given.items()
        if key not in _NO_PART
        and isinstance(value, (str, bool, int, float))
        and value != "binary"
        and not (key in defaults and value == defaults[key])
    }
    parts += [str(kept.pop(key)) for key in _PLAIN if key in kept]
    parts += [f"{key}_{value}" for key, value in sorted(kept.items())]
    if given.get("sample_weight") is not None:
        parts.append("sample_weight")
    return "_".join(parts)


def _of_report(report: Mapping[str, Any]) -> dict[str, float]:
    """``precision_macro``, ``f1_weighted``, ``recall_of_setosa``, ``accuracy``: a report flattened."""
    scores: dict[str, float] = {}
    classes = 0
    for row, values in report.items():
        value = number(values)
        if value is not None:  # accuracy
            scores[str(row)] = value
        if not isinstance(values, Mapping):
            continue
        kind, _, average = str(row).rpartition(" ")
        suffix = f"_{kind}" if average == "avg" else f"_of_{row}"
        if average != "avg":
            classes += 1
            if classes > _MAX_CLASSES:
                continue
        for name, part in values.items():
            value = number(part)
            if value is not None and name != "support":
                scores[name.replace("f1-score", "f1") + suffix] = value
    return scores

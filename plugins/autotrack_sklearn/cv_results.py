"""What is read from a search that is done, and how its candidates are called: pure functions."""

from __future__ import annotations

import csv
import io
import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import autotrack
from autotrack_sklearn import extract, folds

_MAX_LABEL = 80


def label(params: Any, more: Mapping[str, Sequence[Any]], place: int) -> str:
    """The name of a candidate: ``C=0.1, penalty=l2``; of Halving's also the iteration."""
    parts = [f"{name}={_short(value)}" for name, value in params.items()] if isinstance(params, Mapping) else []
    text = ", ".join(parts) or "as given"
    text = text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"
    iteration = more.get("iter")
    if isinstance(iteration, Sequence) and place < len(iteration):
        text += f" (iteration {iteration[place]})"
    return text


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(type(value), "get_params"):
        return type(value).__name__
    text, _ = autotrack.foreign(repr, value)
    return type(value).__name__ if text is None else text


def readable(params: Any) -> dict[str, Any]:
    """Parameters of a candidate by name."""
    return {str(name): extract.readable(value) for name, value in params.items()} if isinstance(params, Mapping) else {}


def described(error: BaseException) -> tuple[str, str, str]:
    """(type, message, traceback) of an exception."""
    text = "".join(traceback.format_exception(error))
    message, _ = autotrack.foreign(str, error)
    return type(error).__name__, message or "", text[-folds.MAX_TRACE :]


def ranks(results: Any) -> dict[str, list[int]]:
    """The columns ``rank_…`` of ``cv_results_``."""
    if not isinstance(results, Mapping):
        return {}
    return {
        key: [int(rank) for rank in column]
        for key, column in results.items()
        if isinstance(key, str) and key.startswith("rank_")
    }


def summary(search: Any) -> dict[str, Any]:
    """What a search found, in JSON types."""
    known = vars(search)
    results = known.get("cv_results_")
    facts: dict[str, Any] = {"class": type(search).__name__}
    if isinstance(results, Mapping) and isinstance(results.get("params"), list):
        facts["candidates"] = len(results["params"])
    if "n_splits_" in known:
        facts["splits"] = int(known["n_splits_"])
    if "best_index_" in known:
        facts["best_index"] = int(known["best_index_"])
    if isinstance(known.get("best_params_"), Mapping):
        facts["best_params"] = autotrack.to_json(readable(known["best_params_"]))
    if "best_score_" in known:
        facts["best_score"] = autotrack.to_json(folds.as_float(known["best_score_"]))
    return facts


def as_csv(results: Mapping[str, Any]) -> bytes:
    """``cv_results_`` as a table, without the column of whole dictionaries, which repeats the others."""
    columns = {str(key): _cells(column) for key, column in results.items() if key != "params"}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=False))
    return out.getvalue().encode("utf-8", "backslashreplace")


def _cells(column: Any) -> list[Any]:
    values = column.tolist() if hasattr(column, "tolist") else list(column)  # what is masked becomes None
    plain = (str, bool, int, float, type(None))
    return [
        value if isinstance(value, plain) else json.dumps(autotrack.to_json(extract.readable(value)))
        for value in values
    ]

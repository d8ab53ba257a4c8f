"""What a model takes or gives, as its signature has it: columns, shapes, dtypes, with null for the number of rows."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from typing import Any

from autotrack.capture.dataset import describe_columns, describe_data

__all__ = ["describe_batch", "describe_inputs", "merge_shapes"]

_MAX_NAMES = 50


def describe_inputs(data: Any) -> dict[str, Any]:
    """``shape`` with null for the number of rows, and ``dtype``, or ``columns`` and ``dtypes`` of a frame.

    Of a mapping with tensors or arrays in it ``tensors``: each of them by its name. Empty where nothing is known.
    """
    found = describe_columns(data) or _tensor(data)
    if found or not isinstance(data, Mapping):
        return found or _list(data)
    pairs = list(data.items())[:_MAX_NAMES]
    tensors = {str(name): about for name, value in pairs if (about := describe_columns(value) or _tensor(value))}
    return {"tensors": tensors} if tensors else {}


def describe_batch(batch: Any) -> dict[str, Any]:
    """What a model takes of a batch that a loader gave, as ``describe_inputs`` says it; nothing of it is called.

    Of a tuple or list that is its first member: what comes after are targets, mostly.
    """
    first = batch[0] if type(batch) in (list, tuple) and batch else batch
    if isinstance(first, UserDict):  # a tokenizer's
        first = first.data
    return describe_inputs(first) if type(first) is dict or describe_columns(first) else _tensor(first)


def merge_shapes(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What holds of both: sizes that differ become null, and what else differs is left out."""
    if "tensors" in one and "tensors" in other:
        names = [name for name in one["tensors"] if name in other["tensors"]]
        return {"tensors": {name: merge_shapes(one["tensors"][name], other["tensors"][name]) for name in names}}
    merged = {key: value for key, value in one.items() if other.get(key) == value}
    pair: list[list[int | None]] = [about.get("shape") or [] for about in (one, other)]
    if pair[0] and len(pair[0]) == len(pair[1]):
        merged["shape"] = [a if a == b else None for a, b in zip(*pair, strict=True)]
    return merged


def _list(data: Any) -> dict[str, Any]:
    """A list of rows, as an array would have them."""
    about = describe_data(data) or {}
    if "shape" not in about:
        return {}
    return {"shape": [None, *about["shape"][1:]], **({"dtype": about["dtype"]} if "dtype" in about else {})}


def _tensor(data: Any) -> dict[str, Any]:
    """A tensor of torch, by its attributes."""
    if type(data).__module__.partition(".")[0] != "torch" or not hasattr(data, "dtype"):
        return {}
    if data.is_nested or not data.shape:  # nested ones have none, or one of symbols
        return {}
    return {"shape": [None, *tuple(data.shape)[1:]], "dtype": str(data.dtype).removeprefix("torch.")}

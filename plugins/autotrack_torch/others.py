"""Metrics that people compute with other libraries in their loop: torchmetrics and TensorBoard's writer."""

from __future__ import annotations

import weakref
from typing import Any

import autotrack
from autotrack_torch.names import name_of
from autotrack_torch.scalars import scalar_of

__all__ = ["Torchmetrics", "written_scalars"]


class Torchmetrics:
    """What ``compute()`` gave: the object keeps it until it is reset or updated.

    ``compute`` itself is wrapped by torchmetrics in each object, so it is not patched; a batch's value is
    never kept.
    """

    def __init__(self) -> None:
        self._known: dict[int, weakref.ref[Any]] = {}
        self._told: dict[int, Any] = {}

    def made(self, metric: Any) -> None:
        """A metric was made. Other libraries make their own for themselves, of private classes."""
        if type(metric).__name__.startswith("_"):
            return
        key = id(metric)
        self._known[key] = weakref.ref(metric, lambda _: self._forget(key))

    def _forget(self, key: int) -> None:
        self._known.pop(key, None)
        self._told.pop(key, None)

    def new(self) -> dict[str, float]:
        """Values that were computed since the last call, by what the user calls the metric."""
        found: dict[str, float] = {}
        for reference in list(self._known.values()):
            metric = reference()
            if metric is not None:
                found |= self.new_of(metric)
        return found

    def new_of(self, metric: Any) -> dict[str, float]:
        """As ``new``, of one metric."""
        value = vars(metric).get("_computed")
        if value is None or value is self._told.get(id(metric)):
            return {}
        self._told[id(metric)] = value
        name = name_of(metric) or type(metric).__name__
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        return {key: number for key, part in parts.items() if (number := _number(part)) is not None}


def _number(value: Any) -> float | None:
    """A scalar's value. Whoever computed it reads it as well, so waiting for the device costs nothing more."""
    tensor = scalar_of(value)
    if tensor is None:
        return float(value) if type(value) in (int, float) else None
    number, _ = autotrack.foreign(tensor.item)
    return None if number is None or type(number) is complex else float(number)


def written_scalars(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """(values by tag, step) of a call of ``SummaryWriter.add_scalar`` or ``add_scalars``."""
    tag = args[1] if len(args) > 1 else kwargs.get("tag", kwargs.get("main_tag"))
    value = args[2] if len(args) > 2 else kwargs.get("scalar_value", kwargs.get("tag_scalar_dict"))
    step = args[3] if len(args) > 3 else kwargs.get("global_step")
    if isinstance(value, dict):
        return {f"{tag}/{key}": item for key, item in value.items()}, step
    return {str(tag): value}, step

"""What is counted for an optimizer, and what it is told apart by."""

from __future__ import annotations

from collections import deque
from typing import Any

from autotrack_torch.passes import Pass, Value

__all__ = ["Losses", "Series", "parameter_ids"]

Losses = deque[tuple[Value, Pass | None, int]]
"""Values that ``backward`` was called on, with the pass they came in and the samples they stand for."""


def parameter_ids(optimizer: Any) -> dict[int, Any]:
    """Parameters of an optimizer by id."""
    return {id(parameter): parameter for group in optimizer.param_groups for parameter in group["params"]}


class Series:
    """Losses and learning rates of an optimizer, and of those that took its place or were made at its line.

    Attributes:
        name: What tells it from others in the same loop: the class of its model.
        step: Steps so far.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.step = 0
        self.losses = 0
        self.rates: list[Any] = []
        self.rate: Any = None  # of the first group, the very object that was there
        self.per_step = 1  # losses per step, as seen at the last one

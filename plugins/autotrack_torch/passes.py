"""Passes over data loaders: epochs of training, evaluations, and what they come to.

A pass with optimizer steps in it is training, one without is evaluation. Losses and steps belong to the pass
that gave out a batch last; when it ends, to the innermost one that is still open.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import autotrack
from autotrack_torch.names import loader_name, prefix_of

if TYPE_CHECKING:
    from autotrack_torch.loop import Loop

__all__ = ["Mean", "Pass", "Passes", "Value"]

_LOOKED_AT = 2
_MOST_OPEN = 32  # passes; of a loop that makes a loader for each task and breaks off, one would stay of each

Value: TypeAlias = "float | autotrack.Reading"
"""What a tensor was: known, or under way."""


class Mean:
    """A weighted mean of values, some of which may still be under way."""

    __slots__ = ("_total", "_waiting", "weight")

    def __init__(self) -> None:
        self._total = 0.0
        self.weight = 0.0
        self._waiting: list[tuple[Value, float, bool]] = []

    def add(self, taken: Value, weight: float, summed: bool = False) -> None:
        """One value that stands for ``weight`` samples; ``summed``: it is their sum already."""
        value = taken if isinstance(taken, float) else taken.value
        if value is None:
            self._waiting.append((taken, weight, summed))
        else:
            self._total += value if summed else value * weight
            self.weight += weight

    def add_all(self, values: Sequence[float], weights: Sequence[float]) -> None:
        """As ``add``, for values that are known; those without weight do not count."""
        for value, weight in zip(values, weights, strict=True):
            if weight:
                self._total += value * weight
                self.weight += weight

    def value(self) -> float | None:
        """The mean of what is there."""
        waiting, self._waiting = self._waiting, []
        for taken, weight, summed in waiting:
            self.add(taken, weight, summed)
        return self._total / self.weight if self.weight else None


class Pass:
    """One pass over a loader."""

    def __init__(self, loader: Any, name: str) -> None:
        self.loader = weakref.ref(loader)
        self.name = name
        self.started = self.touched = time.perf_counter()
        self.whole = False  # whether the loader was read to its end
        self.batches = 0
        self.samples = 0
        self.size = 1  # of the batch at hand
        self.steps = 0
        self.loop: Loop | None = None  # whose training it is
        self.epoch: int | None = None
        self.losses: dict[str, Mean] = {}  # of training, by key
        self.evaluated: dict[str, Mean] = {}  # by name of the loss function
        self.shapes: dict[str, Any] = {}  # a signature: of the first batches, and of what an evaluation's loss got

    def batch(self, data: Any) -> None:
        """A batch was given out."""
        self.touched = time.perf_counter()
        self.batches += 1
        try:  # what most loaders give: a list of tensors
            shape = getattr(data[0] if type(data) is list and data else data, "shape", None)
        except RuntimeError:  # a nested tensor
            shape = None
        self.size = int(shape[0]) if shape else _size(data)
        self.samples += self.size
        if self.batches <= _LOOKED_AT:
            self.saw("inputs", data)

    def saw(self, side: str, data: Any) -> None:
        """What goes into the model, or comes out of it, looks like this. Sizes that differ are no part of it."""
        found, before = autotrack.describe_batch(data), self.shapes.get(side)
        if found:
            self.shapes[side] = found if before is None else autotrack.merge_shapes(before, found)

    @property
    def prefix(self) -> str:
        """What an evaluation's metrics begin with: what the user calls its loader."""
        prefix = prefix_of(self.name) or "eval"
        return "train_eval" if prefix in ("train", "training") else prefix

    @property
    def seconds(self) -> float:
        """From its begin to the last that was seen of it."""
        return self.touched - self.started


def _size(data: Any) -> int:
    """Samples in a batch: the first length of the first tensor in it."""
    for _ in range(5):
        if isinstance(data, (list, tuple)) and data:
            data = data[0]
        elif isinstance(data, dict) and data:
            data = next(iter(data.values()))
        else:
            try:
                shape = getattr(data, "shape", None)
            except RuntimeError:  # a nested tensor
                return int(data.size(0))
            return int(shape[0]) if shape else 1
    return 1


class Passes:
    """The passes of one thread, the outermost first."""

    def __init__(self) -> None:
        self.open: list[Pass] = []
        self.current: Pass | None = None
        self.by_iterator: dict[int, tuple[weakref.ref[Any], Pass]] = {}
        self._names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def begin(self, loader: Any, iterator: Any) -> list[Pass]:
        """A pass begins; those that were broken off, as another pass over the loader says, or that they are many."""
        name = self._names.get(loader)
        if name is None:
            name = self._names[loader] = loader_name(loader)
        left = [one for one in self.open if one.loader() is loader]
        if len(self.open) >= _MOST_OPEN:
            going_on = [one for _, one in list(self.by_iterator.values())]
            left += [one for one in self.open if one not in going_on and one not in left]
        new = Pass(loader, name)
        self.open.append(new)
        key = id(iterator)
        self.by_iterator[key] = weakref.ref(iterator, lambda _: self.by_iterator.pop(key, None)), new
        self.current = new
        return left

    def of(self, iterator: Any) -> Pass | None:
        """The open pass of an iterator."""
        found = self.by_iterator.get(id(iterator))
        return None if found is None else found[1]

    def end(self, ended: Pass) -> list[Pass]:
        """It is over. The passes that are to be told of: itself, and one that was read in step with it (``zip``)."""
        if ended not in self.open:
            return []
        place = self.open.index(ended)
        found = [ended]
        if not ended.steps and not ended.evaluated and ended.batches:
            found += [one for one in self.open[place + 1 :] if one.steps and abs(one.batches - ended.batches) <= 1]
        self.open = [one for one in self.open if one not in found]
        self.current = self.open[-1] if self.open else None
        return found

    def enclosing_epoch(self) -> int | None:
        """The epoch of the innermost training pass that is open."""
        return next((one.epoch for one in reversed(self.open) if one.epoch is not None), None)

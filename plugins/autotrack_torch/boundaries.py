"""Which training a step belongs to.

* The first step outside any training begins one. Optimizers that existed by then share it.
* A later optimizer over the same parameters is a new stage of it; over other parameters, a new training, which
  ends the one before.
* If an optimizer of the earlier training steps again, the later one was a helper (a task of meta-learning, a
  discriminator that came late): it is absorbed, and optimizers made at its line begin no more trainings.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import deque
from typing import Any

import autotrack
from autotrack_torch.loop import Loop
from autotrack_torch.names import call_site
from autotrack_torch.notebook import Cells
from autotrack_torch.passes import Passes, Value
from autotrack_torch.roots import Roots
from autotrack_torch.series import Losses, Series, parameter_ids

__all__ = ["Boundaries", "Here", "Local"]

_PAST = 8
_PENDING = 1000


class Local(threading.local):
    """Finds what goes on in the thread that asks."""

    def __init__(self) -> None:
        self.here = Here()


class Here:
    """What goes on in one thread.

    Attributes:
        loop: The loop that its last step belonged to.
        past: Loops before it, the newest first.
        losses: What ``backward`` was called on since the last step.
        passes: Passes over loaders.
        scaled: Losses that a gradient scaler multiplied: (weak reference to the product, the loss itself).
        precision: What autocast computed in last, and how many steps the loop had taken by then.
        helpers: By the line where they are made, the series of absorbed optimizers.
    """

    def __init__(self) -> None:
        self.loop: Loop | None = None
        self.past: deque[Loop] = deque(maxlen=_PAST)
        self.losses: Losses = deque(maxlen=_PENDING)
        self.passes = Passes()
        self.scaled: deque[tuple[weakref.ref[Any], Value]] = deque(maxlen=8)
        self.precision = "", 0
        self.helpers: dict[str, Series] = {}
        self.readings = autotrack.Readings()


class Boundaries:
    """The rules, and the optimizers and loops that they are about."""

    def __init__(self) -> None:
        self.cells = Cells(self.rest_all)
        self.roots = Roots()
        self.loops: list[Loop] = []  # of all threads, those that are open
        self._made: weakref.WeakKeyDictionary[Any, tuple[int, str]] = weakref.WeakKeyDictionary()
        self._schedulers: weakref.WeakKeyDictionary[Any, list[weakref.ref[Any]]] = weakref.WeakKeyDictionary()
        self._holders: weakref.WeakSet[Any] = weakref.WeakSet()
        self._count = 0

    def made(self, optimizer: Any) -> None:
        """An optimizer was made here."""
        self._count += 1
        self._made[optimizer] = (self._count, call_site())

    def scheduled(self, here: Here, scheduler: Any) -> None:
        """A scheduler stepped, which it also does when it is made."""
        optimizer = getattr(scheduler, "optimizer", None)
        if optimizer is None:
            return
        known = self._schedulers.setdefault(optimizer, [])
        if any(reference() is scheduler for reference in known):
            return
        known.append(weakref.ref(scheduler))
        series = None if here.loop is None or here.loop.ended else here.loop.series_of(optimizer)
        if here.loop is not None and series is not None:
            here.loop.describe_schedulers(self._schedulers_of(optimizer), series)

    def _schedulers_of(self, optimizer: Any) -> list[Any]:
        return [one for reference in self._schedulers.get(optimizer, ()) if (one := reference()) is not None]

    def _find(self, here: Here, optimizer: Any, scope: autotrack.Scope | None) -> tuple[Loop, Series] | None:
        """Of an optimizer that is new here, its loop and its series in that; None where this process records none."""
        loop = here.loop
        if loop is not None and scope is loop.scope and not loop.ended:
            if self._holds(loop, optimizer):
                return None
            return self._joined(here, loop, optimizer) or self._begin(here, optimizer, scope)
        if _rank() != 0:
            return None
        return self._begin(here, optimizer, scope)

    def _holds(self, loop: Loop, optimizer: Any) -> bool:
        """Whether an optimizer holds another one that has just stepped for it, as ZeroRedundancyOptimizer does."""
        if optimizer not in self._holders:
            inner = [one for reference, _ in loop.by_optimizer.values() if (one := reference()) is not None]
            held = vars(optimizer).values()
            if not any(one is other for one in inner for other in held):
                return False
            self._holders.add(optimizer)
            loop.run.capture(params={"optimizer.held_by": type(optimizer).__name__})
        return True

    def _joined(self, here: Here, loop: Loop, optimizer: Any) -> tuple[Loop, Series] | None:
        """An optimizer that is new to the loop: the place it takes in it, or in the loop before; else None."""
        serial, site = self._made.get(optimizer, (0, ""))
        for earlier in here.past:
            series = earlier.series_of(optimizer)
            if series is not None and earlier.scope is loop.scope:
                self._absorb(here, earlier, loop)
                return earlier, series
        series = loop.series_by_parameters(optimizer)
        if series is not None:
            loop.add(optimizer, series)
            loop.describe_stage(optimizer, self.roots.of(set(parameter_ids(optimizer))))
            return loop, series
        if site and site in here.helpers:
            series = here.helpers[site]
            loop.add(optimizer, series)
            return loop, series
        if serial < loop.born:
            return loop, self._take_in(loop, optimizer)
        return None

    def _take_in(self, loop: Loop, optimizer: Any) -> Series:
        models = self.roots.of(set(parameter_ids(optimizer)))
        name = type(models[0]).__name__ if models else type(optimizer).__name__
        series = Series(loop.unique_name(name))
        loop.add(optimizer, series)
        loop.describe_optimizer(optimizer, series, models)
        loop.describe_schedulers(self._schedulers_of(optimizer), series)
        return series

    def _begin(self, here: Here, optimizer: Any, scope: autotrack.Scope | None) -> tuple[Loop, Series]:
        """A new training; the one before ends."""
        precision, steps = here.precision
        if steps != (0 if here.loop is None else here.loop.steps):
            precision = ""  # the last training's
        if here.loop is not None:
            self.end(here.loop)
            here.past.appendleft(here.loop)
        models = self.roots.of(set(parameter_ids(optimizer)))
        name = type(models[0]).__name__ if models else "torch"
        expected = 1 + self._others(here, optimizer)
        training = autotrack.begin_training("torch", name)
        loop = Loop(training, scope, self._count + 1, expected, here.passes, here.readings)
        training.run.before_end(loop.finish)
        self.loops.append(loop)
        self.cells.watch()
        here.loop = loop
        series = Series(name)
        loop.add(optimizer, series)
        loop.describe_optimizer(optimizer, series, models)
        loop.describe_precision(precision, bool(here.scaled))
        loop.describe_schedulers(self._schedulers_of(optimizer), series)
        return loop, series

    def _others(self, here: Here, optimizer: Any) -> int:
        """Other optimizers that live, train other parameters, and belong to no training yet."""
        own = parameter_ids(optimizer).keys()
        return sum(
            other is not optimizer
            and not any(loop.series_of(other) is not None for loop in here.past)
            and not own & parameter_ids(other).keys()
            for other in list(self._made)
        )

    def _absorb(self, here: Here, outer: Loop, inner: Loop) -> None:
        """The inner loop was a helper of the outer one."""
        for series in inner.series:
            series.name = outer.unique_name(series.name)
        inner.settle()
        sites = set()
        for reference, series in list(inner.by_optimizer.values()):
            helper = reference()
            if helper is not None:
                outer.add(helper, series)
                site = self._made.get(helper, (0, ""))[1]
                here.helpers[site] = series
                sites.add(site)
        inner.ended = True
        inner.run.discard()
        outer.revive()
        outer.absorb(inner)
        where = ", ".join(sorted(filter(None, sites)))
        outer.run.note(f"optimizers made at {where or 'an unknown line'} are part of this training")
        self.loops = [loop for loop in self.loops if loop is not inner]
        if outer not in self.loops:
            self.loops.append(outer)
        here.past.remove(outer)
        here.loop = outer

    def end(self, loop: Loop, error: BaseException | None = None) -> None:
        """A training is over."""
        self.loops = [other for other in self.loops if other is not loop]
        if not loop.ended:
            loop.end(error)

    def rest_all(self, error: BaseException | None) -> None:
        """A cell of a notebook has ended."""
        for loop in list(self.loops):
            loop.rest(error)

    def end_all(self, error: BaseException | None) -> None:
        """All are over."""
        for loop in list(self.loops):
            with autotrack.protect("ending the run of a loop", "torch"):
                self.end(loop, error)
        self.cells.close()

    def step(self, here: Here, optimizer: Any, scope: autotrack.Scope | None) -> None:
        """An optimizer stepped outside any other training."""
        loop = here.loop
        series = None
        if loop is not None and scope is loop.scope and not loop.ended:
            series = loop.series_of(optimizer)
        if series is None:
            loop, series = self._find(here, optimizer, scope) or (None, None)
        if loop is not None and series is not None:
            loop.step(optimizer, series, here.losses, here.passes.current)
        here.losses.clear()


def _rank() -> int:
    """This process's rank among those that train together; zero where it is alone."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdigit() else 0

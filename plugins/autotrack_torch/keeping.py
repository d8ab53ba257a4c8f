"""The models of a loop: held weakly, their state kept as it was last and when an evaluation was best.

State on the host is not copied while the training goes on: its tensors are held, which keeps no more memory
than a copy would. State on a device is cloned there at the end of a training pass (within a tenth of what is
free) and brought to the host on the housekeeping thread. Files are written there as well, except at exit.
"""

from __future__ import annotations

import math
import sys
import time
import weakref
from functools import partial
from typing import Any

import autotrack
from autotrack_torch.snapshot import Snapshot, snapshot_of

__all__ = ["Keeper"]

_SHARE = 0.1
_EXIT_WAIT = 10.0


class _Kept:
    """One model."""

    def __init__(self, root: Any) -> None:
        self.root = weakref.ref(root)
        self.cls = type(root).__name__
        self.last: Snapshot | None = None
        self.best: Snapshot | None = None
        self.under_way = 0  # copies from the device


class Keeper:
    """Keeps the models of one run."""

    def __init__(self, run: autotrack.Run) -> None:
        self._run = run
        self._models: list[_Kept] = []
        self._refused = ""
        self._started = self._spent_at = time.perf_counter()
        self._best = math.inf
        self._judge = ""  # the evaluation whose loss says what is best
        self._signature: dict[str, Any] = {}

    def add(self, roots: list[Any]) -> None:
        """Models that the loop trains."""
        for root in roots:
            if all(kept.root() is not root for kept in self._models):
                kept = _Kept(root)
                self._models.append(kept)
                self._hold(kept)

    def _hold(self, kept: _Kept) -> None:
        """Hold the state as it is from now on, where that is allowed."""
        root = kept.root()
        if root is None or self._refused:
            return
        state = snapshot_of(root)
        self._refused = self._run.refuses_model(state, math.inf)
        if self._refused:
            for other in self._models:
                other.last = other.best = None
        elif _on_host(state):
            kept.last = state
        elif self._affordable(state):
            self._bring(kept, state, "last")

    def mark(self) -> None:
        """A training pass is over."""
        for kept in self._models:
            self._hold(kept)

    def saw(self, shapes: dict[str, Any]) -> None:
        """What went into the model and came out of it in a pass; the first of each counts."""
        self._signature = {**shapes, **self._signature}

    def consider(self, metrics: dict[str, float], step: int, epoch: int | None) -> None:
        """An evaluation is over; where its loss is the lowest so far, the state as it is now is the best."""
        key = next((key for key in metrics if key.endswith("/loss")), "")
        if not key or self._refused:
            return
        if not self._judge or _rank(key) < _rank(self._judge):
            self._judge, self._best = key, math.inf
        if key != self._judge or not metrics[key] < self._best:
            return
        self._best = metrics[key]
        found = {"key": key, "value": self._best, "step": step, "epoch": epoch}
        self._run.capture(facts={"best": found})
        for kept in self._models:
            root = kept.root()
            state = kept.last if root is None else snapshot_of(root)
            if state is None or not self._affordable(state):
                kept.best = None  # an older one would not be the best
            elif _on_host(state):
                kept.best = _said(state.copied(kept.best), found)
                self._spent_at = time.perf_counter()
            else:
                self._bring(kept, _said(state, found), "best")

    def _affordable(self, state: Snapshot) -> bool:
        """Whether the time since the last copy allows one, and the device has room for it."""
        if self._run.refuses_model(state, time.perf_counter() - self._spent_at):
            return False
        cuda = sys.modules["torch"].cuda
        for device in {tensor.device for tensor in state.tensors.values() if tensor.device.type == "cuda"}:
            if cuda.is_current_stream_capturing() or state.size > _SHARE * cuda.mem_get_info(device)[0]:
                return False
        return True

    def _bring(self, kept: _Kept, state: Snapshot, slot: str) -> None:
        """Have a state brought from its device to the host, beside the training."""
        if kept.under_way > 1:
            return
        torch = sys.modules["torch"]
        kept.under_way += 1
        self._spent_at = time.perf_counter()
        clone, event = state.cloned_on_device(), None
        if any(tensor.is_cuda for tensor in clone.tensors.values()):
            event = torch.cuda.Event()
            event.record()
        autotrack.in_background(partial(_fetch, kept, clone, event, slot))

    def save(self) -> None:
        """Write what is kept."""
        exiting = autotrack.ending()[0]
        if self._refused:
            if "switched off" not in self._refused:
                self._note(self._refused)
            return
        several = len(self._models) > 1
        names: set[str] = set()
        for kept in self._models:
            name = _unique(kept.cls if several else "model", names)
            state = self._last(kept)
            if state is None:
                self._note("it was gone when the training ended, and no copy of it could be made before", name)
                continue
            why = self._run.refuses_model(state, time.perf_counter() - self._started)
            if why:
                self._note(why, name)
                continue
            missing = state.description["missing"]
            if missing and state.tensors:
                self._run.note(f"of model {name!r} these are not kept: {', '.join(missing[:10])}", "warning")
            best, kept.best = kept.best, None  # from now on it is the writer's
            signature = {} if several else self._signature  # which of them took the batch is not known
            states = [(state.copied(), name)] + ([] if best is None else [(best, f"{name}-best")])
            jobs = [
                partial(self._run.capture_model, copy, called, math.inf, signature=signature) for copy, called in states
            ]
            for job in jobs:
                job() if exiting else autotrack.in_background(job)

    def _last(self, kept: _Kept) -> Snapshot | None:
        root = kept.root()
        if root is not None:
            return snapshot_of(root)
        deadline = time.monotonic() + _EXIT_WAIT
        while kept.under_way and time.monotonic() < deadline:
            time.sleep(0.005)
        return kept.last

    def _note(self, why: str, name: str = "model") -> None:
        self._run.note(f"model {name!r} was not saved: {why}. To save it: autotrack.log_model(model)", "warning")


def _fetch(kept: _Kept, clone: Snapshot, event: Any, slot: str) -> None:
    torch = sys.modules["torch"]
    try:
        if event is None:
            state = clone.copied()
        else:
            event.synchronize()
            with torch.cuda.stream(torch.cuda.Stream()):
                state = clone.copied()
        setattr(kept, slot, state)
    finally:
        kept.under_way -= 1


def _said(state: Snapshot, found: dict[str, Any]) -> Snapshot:
    return Snapshot(state.tensors, {**state.description, "best": found})


def _on_host(state: Snapshot) -> bool:
    return all(tensor.is_cpu for tensor in state.tensors.values())


def _rank(key: str) -> int:
    """Validation says what is best before a test does, and the training data last."""
    return 0 if key.startswith(("val", "dev", "eval")) else 2 if key.startswith("train") else 1


def _unique(name: str, taken: set[str]) -> str:
    number, result = 1, name
    while result in taken:
        number += 1
        result = f"{name}-{number}"
    taken.add(result)
    return result

"""The models of a loop: held weakly, their state kept as it was last and when an evaluation was best.

State on the host is not copied at each pass: its tensors are held, which keeps no more memory than a copy would.
State on a device is cloned there at the end of a training pass (within a tenth of what is free) and brought to the
host on the housekeeping thread. Files are written there as well, except at exit. Now and then the state at the end
of a pass is written too, so that it outlives a process that is killed; the next one takes its place.
"""

from __future__ import annotations

import math
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import autotrack
from autotrack_torch.snapshot import Snapshot, snapshot_of

__all__ = ["Keeper"]

_SHARE = 0.1
_EXIT_WAIT = 10.0
_APART = 1.0
"""Seconds between two states that are written while the training goes on, at least."""

_APART_SHARE = 0.25
"""Likewise, as a part of the time that the training has taken: few are written, however long it takes."""


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
        self._written_at = self._started  # a state, while the training goes on
        self._writing: set[str] = set()  # names of models of which such a state is being written
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

    def _hold(self, kept: _Kept) -> bool:
        """Hold the state as it is from now on, where that is allowed, or have it brought to the host."""
        root = kept.root()
        if root is None or self._refused:
            return False
        state = snapshot_of(root)
        self._refused = self._run.refuses_model(state, math.inf)
        if self._refused:
            for other in self._models:
                other.last = other.best = None
            return False
        if _on_host(state):
            kept.last = state
            return True
        return self._affordable(state) and self._bring(kept, state, "last")

    def mark(self, steps: int, epochs: int) -> None:
        """A training pass is over, after so many of each."""
        held = [kept for kept in self._models if self._hold(kept)]
        now = time.perf_counter()
        if self._writing or now - self._written_at < max(_APART, _APART_SHARE * (now - self._started)):
            return
        since = now - self._spent_at
        for name, kept in self._named():
            state = kept.last
            if kept not in held or state is None or self._run.refuses_model(state, since):
                continue
            copy = None  # from a device it is on its way, and there when its turn has come
            if not kept.under_way:
                copy, self._spent_at = state.copied(), now
            self._written_at = now
            self._writing.add(name)
            when = {"steps": steps, "epochs": epochs}
            autotrack.in_background(partial(self._write, kept, copy, name, self._signature_of_one(), when))

    def _write(
        self, kept: _Kept, copy: Snapshot | None, name: str, signature: dict[str, Any], when: dict[str, int]
    ) -> None:
        """Write a state while the training goes on."""
        state = kept.last if copy is None else copy
        try:
            if state is not None:
                self._run.capture_model(state, name, math.inf, signature=signature, interim=True)
                self._run.capture(facts={"training": when})
        finally:
            self._writing.discard(name)

    def saw(self, shapes: dict[str, Any]) -> None:
        """What went into the model and came out of it in a pass; the first of each counts."""
        self._signature = {**shapes, **self._signature}

    def _signature_of_one(self) -> dict[str, Any]:
        """Of several models it is not known which of them took the batch."""
        return {} if len(self._models) > 1 else self._signature

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

    def _bring(self, kept: _Kept, state: Snapshot, slot: str) -> bool:
        """Have a state brought from its device to the host, beside the training; False where two are under way."""
        if kept.under_way > 1:
            return False
        torch = sys.modules["torch"]
        kept.under_way += 1
        self._spent_at = time.perf_counter()
        clone, event = state.cloned_on_device(), None
        if any(tensor.is_cuda for tensor in clone.tensors.values()):
            event = torch.cuda.Event()
            event.record()
        autotrack.in_background(partial(_fetch, kept, clone, event, slot))
        return True

    def save(self) -> None:
        """Write what is kept."""
        exiting = autotrack.ending()[0]
        if self._refused:
            if "switched off" not in self._refused:
                self._note(self._refused)
            return
        if exiting:
            self._wait(lambda: bool(self._writing))
        for name, kept in self._named():
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
            signature = self._signature_of_one()
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
        self._wait(lambda: kept.under_way > 0)
        return kept.last

    def _wait(self, going_on: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _EXIT_WAIT
        while going_on() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _named(self) -> list[tuple[str, _Kept]]:
        """The models with their names in the run."""
        names: set[str] = set()
        return [(_unique(kept.cls if len(self._models) > 1 else "model", names), kept) for kept in self._models]

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

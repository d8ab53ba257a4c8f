"""Values of tensors at every step, without making a device wait for each.

On the CPU a value is read at once. On a device values are stacked and copied to the host fifty at a time, as often
as Lightning's own loggers read them by default, and are there when an event says so.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Readings"]

_BLOCK = 50


class Readings:
    """Takes values of one run's metrics and gives them on in order."""

    def __init__(self, run: Any) -> None:
        self._gather: Callable[..., None] = run.gather
        self._elapsed: Callable[[], int] = run.elapsed
        self._waiting: list[tuple[str, Any, int, int, int]] = []  # (key, tensor, step, epoch, time)
        self._under_way: deque[tuple[Any, Any, list[tuple[str, Any, int, int, int]]]] = deque()

    def take(self, key: str, tensor: Any, step: int, epoch: int) -> None:
        """One point of a metric; ``tensor`` has one element and belongs to nobody who would change it."""
        if tensor.is_cpu:
            self._gather(key, float(tensor.item()), step, epoch)
            return
        self._waiting.append((key, tensor, step, epoch, self._elapsed()))
        if len(self._waiting) >= _BLOCK:
            self._send()
            self._collect(wait=False)

    def _send(self) -> None:
        torch = sys.modules["torch"]
        values = torch.stack([point[1].detach().reshape(()).double() for point in self._waiting])
        cuda = values.is_cuda
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=cuda)
        host.copy_(values, non_blocking=cuda)
        event = None
        if cuda:
            event = torch.cuda.Event()
            event.record()
        self._under_way.append((event, host, self._waiting))
        self._waiting = []

    def _collect(self, wait: bool) -> None:
        while self._under_way:
            event, host, points = self._under_way[0]
            if event is not None:
                if wait:
                    event.synchronize()
                elif not event.query():
                    return
            self._under_way.popleft()
            for (key, _, step, epoch, at), value in zip(points, host.tolist(), strict=True):
                self._gather(key, value, step, epoch, at)

    def settle(self) -> None:
        """Wait until every value has been given on."""
        if self._waiting:
            self._send()
        self._collect(wait=True)

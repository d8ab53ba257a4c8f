"""Values of tensors, read without making a device wait; for plugins whose frameworks compute with torch.

On the CPU a value is read at once. On a GPU it is copied into a small buffer on the device at once (a tensor that is
merely kept would change under CUDA graphs), the buffer is copied to pinned memory now and then, and the values are
there once an event says so. Only ``settle`` waits for the device: at the end of an epoch or a run.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from typing import Any

__all__ = ["BLOCK", "DeviceBlocks", "Reading", "Readings"]

BLOCK = 64
"""Values that a buffer on a device holds."""

_PATIENCE = 1_000_000_000
"""Nanoseconds after which values are sent to the host although the buffer is not full."""

_DEVICES = ("cuda", "xpu", "mps")


class Reading:
    """A value that is on its way from a device.

    Attributes:
        value: The value; None as long as it is under way.
        taken: When it was taken, in monotonic nanoseconds.
    """

    __slots__ = ("taken", "value")

    def __init__(self, taken: int) -> None:
        self.value: float | None = None
        self.taken = taken


class DeviceBlocks:
    """Values of one device and stream on their way to the host."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._stream = sys.modules["torch"].cuda.current_stream(device) if device.type == "cuda" else None
        self._buffer: Any = None
        self._waiting: list[Reading] = []
        self._under_way: deque[tuple[Any, Any, list[Reading]]] = deque()  # (event, values on the host, readings)

    def put(self, tensor: Any, reading: Reading) -> None:
        """Copy a value on the device, in the order of its stream."""
        torch = sys.modules["torch"]
        if self._buffer is None:
            kind = torch.float32 if self.device.type == "mps" else torch.float64
            with torch.inference_mode(False):
                self._buffer = torch.empty(BLOCK, dtype=kind, device=self.device)
        self._buffer[len(self._waiting)].copy_(tensor.detach().view(()))
        self._waiting.append(reading)
        if len(self._waiting) == BLOCK or reading.taken - self._waiting[0].taken > _PATIENCE:
            self._send()
        self._collect(wait=False)

    def _send(self) -> None:
        torch = sys.modules["torch"]
        cuda = self._stream is not None
        with torch.inference_mode(False):
            host = torch.empty(len(self._waiting), dtype=self._buffer.dtype, pin_memory=cuda)
        event = torch.cuda.Event() if cuda else None
        # After what filled the buffer, whatever device and stream are current now: an event of theirs says nothing.
        with torch.cuda.stream(self._stream) if cuda else contextlib.nullcontext():
            host.copy_(self._buffer[: len(self._waiting)], non_blocking=cuda)
            if event is not None:
                event.record()
        self._under_way.append((event, host, self._waiting))
        self._waiting = []

    def _collect(self, wait: bool) -> None:
        while self._under_way:
            event, host, readings = self._under_way[0]
            if event is not None:
                if wait:
                    event.synchronize()
                elif not event.query():
                    return
            self._under_way.popleft()
            for reading, value in zip(readings, host.tolist(), strict=True):
                reading.value = value

    def settle(self) -> None:
        """Wait until every value is there."""
        if self._waiting:
            self._send()
        self._collect(wait=True)


class Readings:
    """Takes the values of tensors of one element, whatever device they are on. For one thread."""

    def __init__(self) -> None:
        self._blocks: dict[Any, DeviceBlocks] = {}

    def take(self, tensor: Any) -> float | Reading | None:
        """The value of a torch tensor of one element, as it is now.

        Returns:
            The number, where it is on the CPU; else a ``Reading``, whose ``value`` comes later. None where it cannot
            be read now without harm: while a CUDA graph is captured, inside ``vmap``, on a device without storage.
        """
        if tensor.is_cpu:
            try:
                value = tensor.item()
            except RuntimeError:  # vmap and the like refuse
                return None
            return value if type(value) is float else None if type(value) is complex else float(value)
        device = tensor.device
        if device.type not in _DEVICES:
            return None
        key: Any = device
        if device.type == "cuda":
            cuda = sys.modules["torch"].cuda
            if cuda.is_current_stream_capturing():
                return None
            key = device, cuda.current_stream(device).cuda_stream
        blocks = self._blocks.get(key)
        if blocks is None:
            blocks = self._blocks[key] = DeviceBlocks(device)
        reading = Reading(time.monotonic_ns())
        blocks.put(tensor, reading)
        return reading

    def settle(self) -> None:
        """Wait until every value is there."""
        for blocks in self._blocks.values():
            blocks.settle()

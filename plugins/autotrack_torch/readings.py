"""Values of tensors, read without making the device wait.

On the CPU a value is read at once. On a GPU it is copied into a small buffer on the device (a tensor that is
merely kept would change under CUDA graphs), the buffer is copied to pinned memory when it is full, and the
values are there once an event says so. Only ``settle`` waits for the device: at the end of an epoch or a run.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any

import autotrack

__all__ = ["BLOCK", "DeviceBlocks", "Reading", "Readings", "scalar_of"]

BLOCK = 1024
"""Values that a buffer on a device holds."""

_DEVICES = ("cuda", "xpu", "mps")


class Reading:
    """A value that was, or will be, read. ``taken``: monotonic nanoseconds, where it came later than it was taken."""

    __slots__ = ("failed", "taken", "value")

    def __init__(self, value: float | None = None, taken: int = 0) -> None:
        self.value = value
        self.taken = taken
        self.failed = False

    @property
    def ready(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.value is not None or self.failed


def scalar_of(tensors: Any) -> Any:
    """The one plain tensor of one element that was given, or None: subclasses may synchronize when they are read."""
    if type(tensors) in (tuple, list) and len(tensors) == 1:
        tensors = tensors[0]
    torch = sys.modules["torch"]
    return tensors if type(tensors) is torch.Tensor and tensors.numel() == 1 else None


class DeviceBlocks:
    """Values of one device and stream on their way to the host."""

    def __init__(self, device: Any) -> None:
        self.device = device
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
        if len(self._waiting) == BLOCK:
            self._send()
        self._collect(wait=False)

    def _send(self) -> None:
        torch = sys.modules["torch"]
        cuda = self.device.type == "cuda"
        with torch.inference_mode(False):
            host = torch.empty(len(self._waiting), dtype=self._buffer.dtype, pin_memory=cuda)
        host.copy_(self._buffer[: len(self._waiting)], non_blocking=cuda)
        event = None
        if cuda:
            event = torch.cuda.Event()
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
    """Takes values, whatever device they are on."""

    def __init__(self) -> None:
        self._blocks: dict[Any, DeviceBlocks] = {}

    def take(self, tensor: Any) -> Reading | None:
        """The value of a tensor of one element; None where it cannot be read now without harm."""
        if tensor.is_cpu:
            value, error = autotrack.foreign(tensor.item)  # vmap and the like refuse
            return None if value is None or error is not None or type(value) is complex else Reading(float(value))
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
        reading = Reading(taken=time.monotonic_ns())
        blocks.put(tensor, reading)
        return reading

    def settle(self) -> None:
        """Wait until every value is there."""
        for blocks in self._blocks.values():
            blocks.settle()

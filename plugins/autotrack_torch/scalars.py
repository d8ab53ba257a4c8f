"""Which of the values that pass by are losses: plain tensors of one element."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["scalar_of"]


def scalar_of(tensors: Any) -> Any:
    """The one plain tensor of one element that was given, or None: subclasses may synchronize when they are read."""
    if type(tensors) in (tuple, list) and len(tensors) == 1:
        tensors = tensors[0]
    torch = sys.modules["torch"]
    return tensors if type(tensors) is torch.Tensor and tensors.numel() == 1 else None

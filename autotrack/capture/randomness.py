"""Random states and settings of determinism, read and never touched. Only what is imported already is asked."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from array import array
from typing import Any

__all__ = ["describe_randomness"]

_SETTINGS = (
    "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_DETERMINISTIC_OPS",
)


def describe_randomness() -> dict[str, Any]:
    """Fingerprints of the global random states here and now, seeds that can be read, settings of determinism.

    Two runs whose ``python``, ``numpy`` and ``torch`` agree started from the same state.
    """
    version, words, spare = random.getstate()
    facts: dict[str, Any] = {"python": _digest(array("I", words).tobytes() + repr((version, spare)).encode())}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and hasattr(numpy_random, "get_state"):
        state = numpy_random.get_state()
        facts["numpy"] = _digest(state[1].tobytes() + repr((state[0], *state[2:])).encode())
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "initial_seed"):
        facts["torch"] = _digest(torch.get_rng_state().numpy().tobytes())
        facts["torch_seed"] = torch.initial_seed()
        facts["torch_deterministic"] = torch.are_deterministic_algorithms_enabled()
        cudnn = getattr(getattr(torch, "backends", None), "cudnn", None)
        facts["cudnn_deterministic"] = getattr(cudnn, "deterministic", None)
        facts["cudnn_benchmark"] = getattr(cudnn, "benchmark", None)
    settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    return {**facts, "settings": settings} if settings else facts


def _digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()[:16]

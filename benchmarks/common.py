"""What all benchmarks share: paired, interleaved repeats, order statistics, one JSON line per case."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["added", "emit", "interleave", "machine", "per_call", "summary"]


def machine() -> dict[str, Any]:
    """Processor, cores and Python; nothing that names the machine or a place on it."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in distributions}


def interleave(cases: Mapping[str, Callable[[], float]], repeats: int, warm_up: int = 3) -> dict[str, list[float]]:
    """Seconds of each case, ``repeats`` times; each round measures all, beginning with another one each time.

    A case times itself, so that its preparation does not count. Values of one round belong together.
    """
    names = list(cases)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warm_up, repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            taken = cases[name]()
            if turn >= 0:
                times[name].append(taken)
    return times


def added(times: Mapping[str, Sequence[float]], case: str, base: str) -> list[float]:
    """Seconds that ``case`` took longer than ``base``, round by round."""
    return [one - other for one, other in zip(times[case], times[base], strict=True)]


def per_call(function: Callable[[], Any], calls: int) -> float:
    """Mean seconds of one of ``calls`` calls, loop included."""
    rounds = range(calls)
    started = time.perf_counter()
    for _ in rounds:
        function()
    return (time.perf_counter() - started) / calls


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Minimum, median, and the 95 % interval of the median by order statistics (no distribution assumed)."""
    ordered = sorted(values)
    count = len(ordered)
    reach = 0.98 * math.sqrt(count)  # 1.96 deviations of a binomial with p = 1/2
    low = max(0, math.floor(count / 2 - reach))
    high = min(count - 1, math.ceil(count / 2 + reach))
    return {
        "n": count,
        "min": ordered[0],
        "median": statistics.median(ordered),
        "low": ordered[low],
        "high": ordered[high],
    }


def emit(
    case: str,
    values: Sequence[float],
    unit: str,
    target: float | None = None,
    distributions: Sequence[str] = (),
) -> None:
    """Print one case as a JSON line. ``target``: the most that the median may be, in ``unit``."""
    figures = {key: round(value, 6) if isinstance(value, float) else value for key, value in summary(values).items()}
    line = {
        "case": case,
        "unit": unit,
        "target": target,
        **figures,
        "versions": _versions(["autotrack-ml", "msgspec", "pluggy", *distributions]),
        "machine": machine(),
    }
    print(json.dumps(line), flush=True)

"""What all benchmarks share: a process per case, turns, statistics, one JSON line per figure.

README.md beside this file says how to add a benchmark.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from processes import CaseProcess, serve

__all__ = ["Case", "Found", "added", "bench", "emit", "emit_ratio", "in_turns", "pairs", "summary"]

T = TypeVar("T")

CONFIDENCE = 0.95
FEWEST_ROUNDS = 2
PEERS = {"mlflow", "tensorboard", "trackio", "wandb"}
UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0, "MB": 1e-6, "bytes": 1.0, "per s": 1.0, "times": 1.0}

Turn = dict[str, list[float]]
"""What one turn measured, by figure: seconds, bytes or points a second."""

Found = dict[str, Turn]
"""What all turns measured, by case and figure."""


class Case(NamedTuple):
    """One thing that is measured, in a process of its own.

    Attributes:
        measure: Called in that process with an empty folder; each turn takes one item of the iterator.
        needs: Distributions that it measures; where one is not installed the case is left out.
        fresh: Whether each turn has a new process. Otherwise the first turn is for warming up and not counted.
    """

    measure: Callable[[Path], Iterator[Turn]]
    needs: tuple[str, ...] = ()
    fresh: bool = False


def bench(cases: Mapping[str, Case], report: Callable[[Found], None], *, rounds: int, seconds: float) -> None:
    """Measure the cases of a benchmark and report: what its ``main`` is.

    Args:
        cases: By name.
        report: Called with what was measured; prints it with ``emit``.
        rounds: How often each case has its turn.
        seconds: After so many no new round begins, if there were ``FEWEST_ROUNDS``.
    """
    program = Path(sys.argv[0]).resolve()
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--rounds", type=int, default=rounds, help="turns of each case (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=seconds, help="at most %(default)s: then no new round begins")
    parser.add_argument("--no-peers", action="store_true", help="leave out the cases that need one of the peers")
    parser.add_argument("--serve", nargs=2, metavar=("CASE", "FD"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(cases[given.serve[0]].measure(Path.cwd()), int(given.serve[1]))
        return
    chosen = {}
    for name, case in cases.items():
        missing = [distribution for distribution in case.needs if not _version(distribution)]
        if missing:
            print(f"{program.name}: {name} is left out: {', '.join(missing)} is not installed", file=sys.stderr)
        elif not (given.no_peers and PEERS.intersection(case.needs)):
            chosen[name] = case
    _versions.extend(sorted({distribution for case in chosen.values() for distribution in case.needs}))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = _measure(program, chosen, Path(folder), given.rounds, min(seconds, given.seconds))
    report(found)


def _measure(program: Path, cases: Mapping[str, Case], folder: Path, rounds: int, seconds: float) -> Found:
    kept: dict[str, CaseProcess] = {}

    def turn(name: str) -> Turn:
        if cases[name].fresh:
            with CaseProcess(program, name, folder) as process:
                return process.turn()
        if name not in kept:
            kept[name] = CaseProcess(program, name, folder)
            kept[name].turn()
        return kept[name].turn()

    turns = in_turns({name: (lambda name=name: turn(name)) for name in cases}, rounds, seconds)
    for process in kept.values():
        process.close()
    return {
        name: {figure: [value for turn in taken for value in turn[figure]] for figure in taken[0]}
        for name, taken in turns.items()
    }


def in_turns(cases: Mapping[str, Callable[[], T]], rounds: int, seconds: float = math.inf) -> dict[str, list[T]]:
    """Call all cases in each round, beginning with another one each time; results of one round belong together."""
    names = list(cases)
    results: dict[str, list[T]] = {name: [] for name in names}
    deadline = time.monotonic() + seconds
    for number in range(rounds):
        if number >= FEWEST_ROUNDS and time.monotonic() > deadline:
            break
        first = number % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(cases[name]())
    return results


# ---- measuring, in the process of a case --------------------------------------------------------------------------


def pairs(plain: Callable[[], float], recorded: Callable[[], float], count: int, pause: float = 0.0) -> Turn:
    """``plain`` and ``recorded`` seconds, one of each ``count`` times, in changing order.

    Args:
        plain: Does the work without the tracker and returns the seconds that it took.
        recorded: Does it with the tracker.
        count: Number of pairs.
        pause: Seconds of rest after each, for what the tracker still does beside the work: it shall not make the
            plain work look slow.
    """
    found: Turn = {"plain": [], "recorded": []}
    for number in range(count):
        order = (("plain", plain), ("recorded", recorded))
        for name, function in order if number % 2 else reversed(order):
            found[name].append(function())
            time.sleep(pause)
    return found


# ---- what is printed ----------------------------------------------------------------------------------------------


def added(recorded: Sequence[float], plain: Sequence[float]) -> list[float]:
    """By how much each of ``recorded`` is above its partner in ``plain``."""
    return [one - other for one, other in zip(recorded, plain, strict=True)]


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """(low, high, confidence reached) of the interval of the median, by order statistics.

    The number of values below the median is binomial with p = 1/2 whatever their distribution. Of fewer than
    six values even all of them together reach less than 95 %.
    """
    ordered = sorted(values)
    count = len(ordered)
    left_out, tail = 0, 0.5**count  # values left out at each end; the chance that the median lies beyond one end
    while left_out + 1 < count / 2:
        more = tail + math.comb(count, left_out + 1) * 0.5**count
        if 2 * more > 1 - confidence:
            break
        left_out, tail = left_out + 1, more
    return ordered[left_out], ordered[count - 1 - left_out], max(0.0, 1 - 2 * tail)


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Number, minimum, median, and the interval of the median."""
    low, high, reached = interval(values)
    return {
        "n": len(values),
        "min": min(values),
        "median": statistics.median(values),
        "low": low,
        "high": high,
        "confidence": round(reached, 3),
    }


def emit(
    case: str, values: Sequence[float], unit: str, *, at_most: float | None = None, at_least: float | None = None
) -> None:
    """Print one figure as a JSON line.

    Args:
        case: ``family: what``.
        values: In seconds, bytes or points a second; one or more.
        unit: One of ``UNITS``, in which it is shown.
        at_most: The target for the median, in that unit.
        at_least: Likewise.
    """
    _print(case, unit, summary([value * UNITS[unit] for value in values]), at_most, at_least)


def emit_ratio(case: str, theirs: Sequence[float], ours: Sequence[float], *, at_least: float | None = None) -> None:
    """Print how many times as large the median of ``theirs`` is as that of ``ours``.

    Each median is within its own interval in 97.5 % of cases, so that the ratio's reaches 95 %.
    """
    (low, high, one), (least, most, other) = (interval(values, (1 + CONFIDENCE) / 2) for values in (theirs, ours))

    def ratio(theirs: float, ours: float) -> float | None:
        return theirs / ours if ours > 0 else None  # within the noise of nothing at all

    figures = {
        "n": min(len(theirs), len(ours)),
        "min": ratio(min(theirs), min(ours)),
        "median": ratio(statistics.median(theirs), statistics.median(ours)),
        "low": ratio(low, most),
        "high": ratio(high, least),
        "confidence": round(max(0.0, one + other - 1), 3),
    }
    _print(case, "times", figures, None, at_least)


def _print(case: str, unit: str, figures: Mapping[str, Any], at_most: float | None, at_least: float | None) -> None:
    met = None
    if at_most is not None:
        met = figures["median"] <= at_most
    elif at_least is not None:
        met = figures["median"] is not None and figures["median"] >= at_least
    line = {
        "case": case,
        "unit": unit,
        **{key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in figures.items()},
        "at_most": at_most,
        "at_least": at_least,
        "met": met,
        "versions": {name: _version(name) for name in _versions},
        "machine": _machine(),
    }
    print(json.dumps(line), flush=True)


_versions = ["autotrack-ml", "msgspec", "pluggy"]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    """Processor, cores, Python and file system; nothing that names the machine or a place on it."""
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
        "filesystem": _filesystem(Path(tempfile.gettempdir())),
    }


def _filesystem(folder: Path) -> str:
    """Its kind, where Linux tells."""
    mounts = Path("/proc/mounts")
    if not mounts.is_file():
        return "unknown"
    kinds = {Path(words[1]): words[2] for words in map(str.split, mounts.read_text().splitlines())}
    return next((kinds[place] for place in (folder.resolve(), *folder.resolve().parents) if place in kinds), "unknown")

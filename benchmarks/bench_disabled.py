"""What a wrapper costs a call: in place and inert after ``disable()``, because somebody wrapped on top of it; and
enabled, in a call that makes no run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import Case, Found, Turn, added, bench, emit

CALLS = 20_000
REPEATS = 5


class Model:
    """Three methods that do the same; two are patched."""

    def plain(self, x: object) -> object:
        return x

    def inert(self, x: object) -> object:
        return x

    def live(self, x: object) -> object:
        return x


def per_call(function: Callable[[Any], Any]) -> float:
    """Mean seconds of a call, loop included."""
    data = object()
    assert function(data) is data
    calls = range(CALLS)
    started = time.perf_counter()
    for _ in calls:
        function(data)
    return (time.perf_counter() - started) / CALLS


def measure(folder: Path) -> Iterator[Turn]:
    import autotrack

    def ignore(call: autotrack.Call) -> None:
        return None

    live = autotrack.PatchSet("benchmark-live")
    live.around(Model, "live", ignore)
    patches = autotrack.PatchSet("benchmark")
    patches.around(Model, "inert", ignore)
    ours = Model.inert

    def theirs(self: Model, x: object) -> object:
        return ours(self, x)

    Model.inert = theirs  # type: ignore[method-assign]
    patches.undo()
    assert Model.inert is theirs
    Model.inert = ours  # type: ignore[method-assign]  # their own cost is not ours
    model = Model()
    while True:
        found: Turn = {"plain": [], "inert": [], "live": []}
        for _ in range(REPEATS):
            for name, taken in found.items():
                taken.append(per_call(getattr(model, name)))
        yield found


def report(found: Found) -> None:
    times = found["a method"]
    emit("disabled: added by an inert wrapper", added(times["inert"], times["plain"]), "us", at_most=1.0)
    emit("enabled: added to a call that makes no run", added(times["live"], times["plain"]), "us")


if __name__ == "__main__":
    bench({"a method": Case(measure)}, report, rounds=20, seconds=15)

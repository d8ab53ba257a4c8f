"""What a wrapper costs that is still in place after ``disable()``, because somebody wrapped on top of it."""

from __future__ import annotations

import argparse

from common import added, emit, interleave, per_call

import autotrack

CALLS = 20_000


class Model:
    """Two methods that do the same; one is patched."""

    def plain(self, x: object) -> object:
        return x

    def fit(self, x: object) -> object:
        return x

    def live(self, x: object) -> object:
        return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats

    def ignore(call: autotrack.Call) -> None:
        return None

    live = autotrack.PatchSet("benchmark-live")
    live.around(Model, "live", ignore)
    patches = autotrack.PatchSet("benchmark")
    patches.around(Model, "fit", ignore)
    ours = Model.fit

    def theirs(self: Model, x: object) -> object:
        return ours(self, x)

    Model.fit = theirs  # type: ignore[method-assign]
    patches.undo()
    assert Model.fit is theirs
    Model.fit = ours  # type: ignore[method-assign]  # their own cost is not ours
    model, data = Model(), object()
    assert model.fit(data) is data
    cases = {
        "plain": lambda: per_call(lambda: model.plain(data), CALLS),
        "inert": lambda: per_call(lambda: model.fit(data), CALLS),
        "inner": lambda: per_call(lambda: model.live(data), CALLS),
    }
    times = interleave(cases, repeats)
    live.undo()
    emit("disabled: added by an inert wrapper", [value * 1e6 for value in added(times, "inert", "plain")], "us", 1.0)
    emit("enabled: added to a call that makes no run", [value * 1e6 for value in added(times, "inner", "plain")], "us")


if __name__ == "__main__":
    main()

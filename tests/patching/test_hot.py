"""Wrappers of hot calls go to their handler straight, and are switched off and on as all others are."""

import functools

import pytest

import autotrack
from autotrack import guard
from autotrack.patching import PatchSet


class Model:
    def step(self, by: int) -> int:
        return by + 1


@pytest.fixture(params=["hot", "raised"])
def watch(request, patches: PatchSet):
    """Puts a handler in, in one of the two forms."""

    def put(after) -> None:
        if request.param == "hot":
            patches.watch(Model, "step", after=after, hot=True)
        else:
            patches.watch(Model, "step", after=after, raised=lambda *given: None)

    return put


def test_off_and_on_again_below_somebody_elses_wrapper(patches: PatchSet, watch, monkeypatch):
    seen = []

    def note(*given):
        seen.append(given[0])

    monkeypatch.setattr(Model, "step", vars(Model)["step"])  # put back when all is over
    watch(note)
    ours = vars(Model)["step"]
    Model.step = functools.wraps(ours)(lambda self, by: ours(self, by))
    assert Model().step(1) == 2
    patches.undo()
    assert Model().step(2) == 3  # in its place, and inert
    watch(note)
    assert Model().step(3) == 4
    assert seen == [2, 4]


@pytest.mark.usefixtures("lenient")
def test_an_integration_that_is_off_is_not_called(patches: PatchSet, watch, monkeypatch):
    calls = []

    def fails(*given):
        calls.append(1)
        raise ValueError("ours")

    watch(fails)
    for _ in range(guard.FAILURE_LIMIT + 3):
        assert Model().step(1) == 2
    assert len(calls) == guard.FAILURE_LIMIT
    guard.reset(patches.integration)
    assert Model().step(1) == 2
    assert len(calls) == guard.FAILURE_LIMIT + 1


def test_inside_a_training_only_what_is_hot_is_told(patches: PatchSet):
    seen = []
    patches.watch(Model, "step", after=lambda *given: seen.append("raised"), raised=lambda *given: None)
    hook = patches.callback("hook", lambda *given: seen.append("hook"), (lambda: False, lambda function: function))
    with autotrack.ignored_training("toy"):
        Model().step(1)
        hook()
    assert seen == []
    Model().step(1)
    hook()
    assert seen == ["raised", "hook"]
    patches.undo()
    patches.watch(Model, "step", after=lambda *given: seen.append("hot"), hot=True)
    with autotrack.ignored_training("toy"):
        Model().step(1)
    assert seen == ["raised", "hook", "hot"]

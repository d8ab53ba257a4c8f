"""Wrappers that a compiler passes over, and callbacks for a framework's own hooks."""

import pytest

from autotrack import guard
from autotrack.patching import PatchSet


class Model:
    def step(self, by: int) -> int:
        return by + 1


class Compiler:
    """Says whether it is at work, and notes what was hidden from it."""

    def __init__(self) -> None:
        self.at_work = False
        self.hidden = 0

    def works(self) -> bool:
        return self.at_work

    def hide(self, function):
        self.hidden += 1
        return function


def test_a_handler_is_hidden_only_while_the_compiler_is_at_work(patches: PatchSet):
    compiler, seen, original = Compiler(), [], vars(Model)["step"]
    patches.watch(Model, "step", after=lambda *given: seen.append(given[0]), untraced=(compiler.works, compiler.hide))
    assert Model().step(1) == 2
    compiler.at_work = True
    assert Model().step(by=2) == 3
    assert (seen, compiler.hidden) == ([2, 3], 1)
    assert vars(Model)["step"].__code__.co_filename.startswith("<frozen importlib")
    patches.undo()
    assert vars(Model)["step"] is original


def test_a_callback_is_told_what_the_framework_gave(patches: PatchSet):
    compiler, seen = Compiler(), []
    hook = patches.callback("step", lambda *given: seen.append(given), (compiler.works, compiler.hide))
    assert hook(1, two=2) is None
    assert seen == [(None, (1,), {"two": 2})]
    patches.undo()
    hook(3)
    assert len(seen) == 1


@pytest.mark.usefixtures("lenient")
def test_errors_of_a_callback_are_swallowed(patches: PatchSet):
    def fails(*given):
        raise ValueError("ours")

    compiler = Compiler()
    hook = patches.callback("step", fails, (compiler.works, compiler.hide))
    hook()
    assert guard.failures[patches.integration] == 1

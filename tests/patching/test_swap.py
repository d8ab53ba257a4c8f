"""Functions that users import by name are reached at every alias, and go back exactly."""

import inspect
import pickle
import statistics
import sys
import threading
import traceback
import types
from pathlib import Path

import pytest
import sklearn.metrics
from sklearn.metrics import accuracy_score as imported_before

from autotrack import patching
from autotrack.errors import PatchError
from autotrack.patching import PatchSet
from tests.patching.models import Model, Recorder, raises_after

pytestmark = pytest.mark.filterwarnings("error")


def looks(function):
    return (
        function, function.__code__, function.__defaults__, function.__kwdefaults__, function.__closure__,
        dict(vars(function)), function.__doc__, function.__module__, function.__name__, function.__qualname__,
        function.__annotations__,
    )  # fmt: skip


def test_every_alias_is_reached(patches):
    seen = Recorder()
    assert patches.swap(imported_before, seen)
    from sklearn.metrics import accuracy_score as imported_after

    assert imported_before is imported_after is sklearn.metrics.accuracy_score
    assert imported_before([0, 1], [0, 1]) == imported_after([0, 1], [0, 1]) == 1.0
    assert seen.values == [1.0, 1.0]


def public_metrics():
    names = sorted(name for name in sklearn.metrics.__all__ if inspect.isfunction(getattr(sklearn.metrics, name)))
    return [getattr(sklearn.metrics, name) for name in names]


def test_all_public_metrics_keep_their_looks_and_go_back_exactly(patches):
    functions = public_metrics() + [getattr(statistics, name) for name in ("mean", "quantiles", "fmean", "stdev")]
    assert len(functions) > 70
    before = [looks(function) for function in functions]
    signatures = [str(inspect.signature(function)) for function in functions]  # nan as a default is not equal to nan
    for function in functions:
        assert patches.swap(function, Recorder())
    for function, signature, look in zip(functions, signatures, before, strict=True):
        assert function.__code__ is not look[1]
        assert str(inspect.signature(function)) == signature
        assert pickle.loads(pickle.dumps(function)) is function
        now = looks(function)
        assert now[2:5] == look[2:5]
        assert now[6:] == look[6:]
    patches.undo()
    after = [looks(function) for function in functions]
    assert all(
        now[0] is look[0] and now[1] is look[1] and now[2:] == look[2:] for now, look in zip(after, before, strict=True)
    )


def test_values_of_swapped_metrics_are_the_same(patches):
    truth, guess = [0, 1, 1, 0, 1], [0, 1, 0, 0, 1]
    names = ["accuracy_score", "f1_score", "log_loss", "mean_squared_error", "confusion_matrix", "roc_auc_score"]
    functions = [getattr(sklearn.metrics, name) for name in names]
    expected = [function(truth, guess) for function in functions]
    seen = Recorder()
    for function in functions:
        patches.swap(function, seen)
    got = [function(truth, guess) for function in functions]
    assert [repr(value) for value in got] == [repr(value) for value in expected]
    assert all(any(value is result for value in seen.values) for result in got)


@pytest.fixture
def module(monkeypatch):
    """A module with functions of all shapes, importable by name."""
    result = types.ModuleType("tests_swapped")
    code = """
def make():
    low, step = 10, 5
    def closed(a, b=2, /, c=3, *rest, d, e=5, **more):
        return low + step + a + b + c + sum(rest) + d + e + sum(more.values())
    closed.__qualname__ = "closed"
    return closed
closed = make()
def recursive(n):
    return 0 if n == 0 else recursive(n - 1) + 1
def fails(error):
    raise error
"""
    monkeypatch.setitem(sys.modules, result.__name__, result)
    exec(code, vars(result))
    return result


def test_closures_and_defaults_are_kept(patches, module):
    seen = Recorder()
    expected = module.closed(1, d=4), module.closed(1, 1, 1, 1, 1, d=1, e=1, f=1)
    signature = inspect.signature(module.closed)
    patches.swap(module.closed, seen)
    assert (module.closed(1, d=4), module.closed(1, 1, 1, 1, 1, d=1, e=1, f=1)) == expected
    assert seen.values == list(expected)
    assert inspect.signature(module.closed) == signature
    assert seen.calls[0][0].bound == {"a": 1, "d": 4}
    with pytest.raises(TypeError, match=r"closed\(\) missing 1 required keyword-only argument: 'd'"):
        module.closed(1)


def test_recursion_in_a_swapped_function(patches, module):
    seen = Recorder()
    patches.swap(module.recursive, seen)
    assert module.recursive(10) == 10
    assert seen.values == list(range(11))


def test_exceptions_of_a_swapped_function(patches, module, lenient):
    patches.swap(module.fails, raises_after)
    error = ValueError("the user's")
    with pytest.raises(ValueError, match="the user's") as caught:
        module.fails(error)
    assert caught.value is error
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    ours = (str(Path(patching.__file__).parent), "<autotrack")  # the package's files, and the shim's name
    assert len([name for name in files if name.startswith(ours)]) == 1


def test_a_swap_twice_is_once(patches, module):
    seen, code = Recorder(), module.recursive.__code__
    assert patches.swap(module.recursive, seen)
    assert not patches.swap(module.recursive, seen)
    module.recursive(0)
    assert len(seen.calls) == 1
    patches.undo()
    assert module.recursive.__code__ is code


@pytest.mark.parametrize("first_off", [0, 1])
def test_two_integrations_swap_one_function(module, first_off):
    before = looks(module.closed)
    sets, seen = [PatchSet("tests-one"), PatchSet("tests-two")], [Recorder(), Recorder()]
    for patch, recorder in zip(sets, seen, strict=True):
        assert patch.swap(module.closed, recorder)
    assert module.closed(1, d=4) == 30
    sets[first_off].undo()
    assert module.closed(1, d=4) == 30
    assert len(seen[first_off].calls) == 1
    assert len(seen[1 - first_off].calls) == 2
    sets[1 - first_off].undo()
    assert module.closed(1, d=4) == 30
    assert looks(module.closed) == before
    assert module.closed.__code__ is before[1]


def test_debuggers_can_look_into_its_frame(script):
    """In a process of its own: where the frame lacks what the function closes over, the interpreter dies."""
    done = script(
        """
        import autotrack.patching, sklearn.metrics, statistics

        def handler(call):
            yield

        patches = autotrack.patching.PatchSet("tests")
        for function in (sklearn.metrics.accuracy_score, statistics.mean):
            assert patches.swap(function, handler)
            try:
                function(3)
            except TypeError as error:
                frame = error.__traceback__.tb_next.tb_frame
                assert frame.f_code is function.__code__
                print(*frame.f_code.co_freevars, frame.f_locals["args"], "func" in frame.f_locals)
        """
    )
    assert done.stdout == (
        "func parameter_constraints prefer_skip_nested_validation (3,) True\n"
        "(3,) False\n"
    )  # fmt: skip


def test_a_swapped_function_works_while_it_is_undone_in_another_thread(patches, module):
    """A thread that has just entered our code must find the original even after undo."""
    errors, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            try:
                assert module.recursive(3) == 3
            except BaseException as error:
                errors.append(error)
                return

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(200):
        patches.swap(module.recursive, lambda call: None)
        patches.undo()
    stop.set()
    thread.join(10)
    assert errors == []


def test_code_entered_before_undo_still_finds_the_original(patches, module):
    patches.swap(module.recursive, Recorder())
    late = types.FunctionType(module.recursive.__code__, vars(module), "late")
    patches.undo()
    assert late(2) == 2


def test_swapped_functions_work_without_our_modules(patches, module, monkeypatch):
    patches.swap(module.recursive, Recorder())
    monkeypatch.delitem(sys.modules, "autotrack.wrappers")
    assert module.recursive(2) == 2


def test_functions_that_are_not_importable_are_not_swapped(patches):
    def local():
        return 1

    with pytest.raises(PatchError, match="not importable"):
        patches.swap(local, Recorder())
    with pytest.raises(PatchError, match="not importable"):
        patches.swap(Model.fit, Recorder())

"""The patch contract, line by line, on functions of our own making and on real ones that users import by name."""

import copy
import gc
import inspect
import linecache
import logging
import pickle
import statistics
import sys
import threading
import timeit
import traceback
import types
import warnings
import weakref
from abc import ABC, abstractmethod
from enum import Enum
from functools import cached_property, partial, wraps

import pytest
import sklearn.metrics
from sklearn.metrics import accuracy_score as imported_before

from autotrack import context, guard, patching, wrappers
from autotrack.errors import PatchError
from autotrack.patching import PatchSet

pytestmark = pytest.mark.filterwarnings("error")


class Model:
    """A framework's model."""

    def fit(self, X, *, scale=1):
        """Fit it."""
        self.fitted_ = X * scale
        return self

    @classmethod
    def build(cls, size):
        return cls, size

    @staticmethod
    def add(a, b):
        return a + b

    @property
    def size(self):
        """How big."""
        return 5

    @size.setter
    def size(self, value):
        self.set_to = value


RAW = dict(vars(Model))


@pytest.fixture
def patches():
    result = PatchSet("tests")
    yield result
    result.undo()
    guard.reset("tests")
    for name in ("fit", "build", "add", "size"):
        assert vars(Model)[name] is RAW[name]


@pytest.fixture
def lenient(monkeypatch):
    """Errors of ours are swallowed, as they are for users."""
    monkeypatch.setenv("AUTOTRACK_STRICT", "0")
    yield
    guard.reset("tests")
    guard._told.clear()


class Recorder:
    """An around handler that remembers what it saw."""

    def __init__(self):
        self.calls = []

    def __call__(self, call):
        outcome = yield
        self.calls.append((call, outcome))

    @property
    def values(self):
        return [outcome.value for _, outcome in self.calls]


# ---- around -----------------------------------------------------------------------------------------------------


def test_the_handler_sees_the_very_arguments_and_the_very_result(patches):
    seen = Recorder()
    assert patches.around(Model, "fit", seen)
    model, X = Model(), 3
    assert model.fit(X, scale=2) is model
    ((call, outcome),) = seen.calls
    assert call.instance is model
    assert call.args == (model, X)
    assert call.kwargs == {"scale": 2}
    assert call.bound == {"self": model, "X": 3, "scale": 2}
    assert outcome.value is model
    assert outcome.exception is None
    assert model.fitted_ == 6


def test_self_may_come_by_keyword(patches):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    model = Model()
    Model.fit(self=model, X=1)
    assert seen.calls[0][0].instance is model


def test_arguments_that_do_not_fit_raise_what_the_original_raises(patches):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    with pytest.raises(TypeError, match=r"fit\(\) missing 1 required positional argument: 'X'"):
        Model().fit()
    assert seen.calls[0][0].bound == {}
    assert isinstance(seen.calls[0][1].exception, TypeError)


@pytest.mark.parametrize("name", ["fit", "build", "add", "size"])
def test_descriptors_keep_their_kind_and_go_back_exactly(patches, name):
    seen = Recorder()
    assert patches.around(Model, name, seen)
    placed = vars(Model)[name]
    assert type(placed) is type(RAW[name])
    assert placed is not RAW[name]
    model = Model()
    results = {
        "fit": lambda: model.fit(1) is model,
        "build": lambda: Model.build(2) == (Model, 2),
        "add": lambda: Model.add(1, 2) == 3,
        "size": lambda: model.size == 5,
    }
    assert results[name]()
    assert len(seen.calls) == 1
    if name == "size":
        model.size = 7
        assert model.set_to == 7
        assert Model.size.__doc__ == "How big."
    patches.undo()
    assert vars(Model)[name] is RAW[name]


def test_a_classmethod_is_bound_to_the_subclass(patches):
    patches.around(Model, "build", Recorder())

    class Sub(Model):
        pass

    assert Sub.build(1) == (Sub, 1)


def test_signature_names_and_doc_stay(patches):
    signature = inspect.signature(Model.fit)
    patches.around(Model, "fit", Recorder())
    assert inspect.signature(Model.fit) == signature
    assert inspect.isfunction(Model.fit)
    assert (Model.fit.__name__, Model.fit.__qualname__, Model.fit.__module__) == ("fit", "Model.fit", __name__)
    assert Model.fit.__doc__ == "Fit it."


def test_copies_work(patches):
    patches.around(Model, "fit", Recorder())
    model = Model().fit(2)
    assert copy.deepcopy(model).fitted_ == 2
    assert copy.copy(model.fit)(3) is model


def test_a_handler_that_does_not_care_costs_nothing_more(patches):
    asked = []
    patches.around(Model, "fit", lambda call: asked.append(call))
    assert Model().fit(4).fitted_ == 4
    assert len(asked) == 1


def test_subclasses_that_call_super_pass_both_wrappers(patches):
    class Sub(Model):
        def fit(self, X, *, scale=1):
            return super().fit(X + 1, scale=scale)

    seen = Recorder()
    patches.around(Model, "fit", seen)
    patches.around(Sub, "fit", seen)
    model = Sub().fit(1)
    assert model.fitted_ == 2
    assert [call.bound["X"] for call, _ in seen.calls] == [2, 1]


def test_reentrant_calls_of_one_object(patches):
    class Deep:
        def fit(self, depth):
            return depth if depth == 0 else self.fit(depth - 1) + 1

    seen = Recorder()
    patches.around(Deep, "fit", seen)
    assert Deep().fit(20) == 20
    assert seen.values == list(range(21))


def test_metaclasses_and_modules_can_be_owners(patches):
    class Meta(type):
        def __call__(cls, *args):
            return super().__call__(*args)

        def __setattr__(cls, name, value):
            raise AssertionError("the user's metaclass is not asked")

    class Made(metaclass=Meta):
        def fit(self):
            return 1

    seen = Recorder()
    fit = vars(Made)["fit"]
    patches.around(Meta, "__call__", seen)
    patches.around(Made, "fit", seen)
    module = types.ModuleType("made")
    module.function = function = lambda: 2
    patches.around(module, "function", seen)
    assert Made().fit() + module.function() == 3
    assert len(seen.calls) == 3
    patches.undo()
    assert module.function is function
    assert vars(Made)["fit"] is fit


def test_slotted_instances_keep_working(patches):
    class Slim:
        __slots__ = ("fitted",)

        def fit(self, X):
            self.fitted = X
            return self

    patches.around(Slim, "fit", Recorder())
    assert Slim().fit(3).fitted == 3


class Refused(ABC):
    class Kind(classmethod):
        pass

    @abstractmethod
    def fit(self):
        """To be written."""

    @cached_property
    def cached(self):
        return 1

    odd = Kind(lambda cls: 1)
    part = partial(int)


class Slotted:
    __slots__ = ("fn",)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Refused, "fit"),
        (Refused, "cached"),
        (Refused, "odd"),
        (Refused, "part"),
        (Refused, "absent"),
        (type("Sub", (Model,), {}), "fit"),  # inherited
        (Enum("Color", "red"), "red"),
        (int, "bit_length"),
        (Slotted(), "fn"),
        ([], "append"),
    ],
)
def test_what_cannot_be_wrapped_exactly_is_refused(patches, owner, name):
    before = dict(getattr(owner, "__dict__", {}))
    with pytest.raises(PatchError):
        patches.around(owner, name, Recorder())
    assert dict(getattr(owner, "__dict__", {})) == before
    assert len(patches) == 0


def test_twice_is_once(patches):
    seen = Recorder()
    assert patches.around(Model, "fit", seen)
    placed = vars(Model)["fit"]
    assert not patches.around(Model, "fit", seen)
    assert vars(Model)["fit"] is placed
    patches.undo()
    patches.undo()
    assert vars(Model)["fit"] is RAW["fit"]


def test_two_threads_patch_once(patches):
    seen = Recorder()
    start = threading.Barrier(8)
    done = []

    def work():
        start.wait()
        done.append(patches.around(Model, "fit", seen))

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(done) == [False] * 7 + [True]
    Model().fit(1)
    assert len(seen.calls) == 1


def test_each_handler_serves_its_own_attribute_though_their_names_are_the_same(patches):
    class Other:
        def fit(self):
            return 0

    def handler_for(what, log):
        def handle(call):
            yield
            log.append(what)

        return handle

    log = []
    patches.around(Model, "fit", handler_for("model", log))
    patches.around(Other, "fit", handler_for("other", log))
    Model().fit(1)
    Other().fit()
    assert log == ["model", "other"]


def test_one_attribute_may_be_watched_and_wrapped(patches):
    seen, watched = Recorder(), []
    patches.around(Model, "fit", seen)
    patches.watch(Model, "fit", before=lambda args, kwargs: watched.append(args))
    Model().fit(1)
    assert len(seen.calls) == len(watched) == 1


# ---- watch ------------------------------------------------------------------------------------------------------


def test_watch_sees_arguments_and_result(patches):
    log = []
    patches.watch(
        Model,
        "fit",
        before=lambda args, kwargs: log.append(("before", args, kwargs)),
        after=lambda result, args, kwargs: log.append(("after", result)),
    )
    model = Model()
    model.fit(1, scale=2)
    assert log == [("before", (model, 1), {"scale": 2}), ("after", model)]


def test_watch_does_not_call_after_an_exception(patches):
    log = []
    patches.watch(Model, "fit", after=lambda *seen: log.append(seen))
    with pytest.raises(TypeError):
        Model().fit()
    assert log == []


# ---- the original runs once, whatever ours does -------------------------------------------------------------------


class Panic(BaseException):
    """As a panic of a library written in Rust arrives."""


Panic.__module__ = "pyo3_runtime"


def raises_before(call):
    raise ValueError("ours")
    yield


def raises_after(call):
    yield
    raise ValueError("ours")


def raises_generator_exit(call):
    yield
    raise GeneratorExit


def raises_stop_iteration(call):
    raise StopIteration
    yield


def panics(call):
    raise Panic("ours")
    yield


def yields_twice(call):
    yield
    yield


def never_yields(call):
    return
    yield


def is_no_generator(call):
    return [1]


def raises_in_cleanup(call):
    try:
        yield
        yield
    finally:
        raise ValueError("ours, in cleanup")


BAD = [
    raises_before, raises_after, raises_generator_exit, raises_stop_iteration, panics, yields_twice, never_yields,
    is_no_generator, raises_in_cleanup,
]  # fmt: skip


@pytest.mark.parametrize("handler", BAD)
def test_a_bad_handler_changes_nothing_for_the_user(patches, lenient, handler, caplog):
    calls = []

    class Counted:
        def fit(self, fails):
            calls.append(fails)
            if fails is not None:
                raise fails
            return self

    patches.around(Counted, "fit", handler)
    model = Counted()
    assert model.fit(None) is model
    error = KeyError("the user's")
    with pytest.raises(KeyError) as caught:
        model.fit(error)
    assert caught.value is error
    assert calls == [None, error]
    assert len([record for record in caplog.records if "autotrack failed" in record.getMessage()]) == 1


@pytest.mark.parametrize("handler", BAD)
def test_in_strict_mode_a_bad_handler_is_heard(patches, handler):
    patches.around(Model, "fit", handler)
    with pytest.raises((ValueError, RuntimeError, TypeError, GeneratorExit, Panic)):
        Model().fit(1)


def test_a_bad_watch_handler_changes_nothing(patches, lenient):
    def fail(*args):
        raise ValueError("ours")

    patches.watch(Model, "fit", before=fail, after=fail)
    assert Model().fit(2).fitted_ == 2
    assert guard.failures["tests"] == 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("when", ["before", "after"])
def test_ctrl_c_inside_our_lines_reaches_the_user(patches, lenient, kind, when):
    calls = []

    class Counted:
        def fit(self):
            calls.append(1)

    def handler(call):
        if when == "before":
            raise kind
        yield
        raise kind

    patches.around(Counted, "fit", handler)
    with pytest.raises(kind):
        Counted().fit()
    assert len(calls) == (when == "after")
    assert guard.failures["tests"] == 0


def fail_deep(error, cause):
    try:
        raise LookupError("the context")
    except LookupError:
        raise error from cause


@pytest.mark.parametrize("mood", ["quiet", "raises it anew", "raises another", "chains"])
def test_the_users_exception_is_left_as_it_is(patches, lenient, mood):
    class Failing:
        def fit(self, error, cause):
            fail_deep(error, cause)

    def run():
        error, cause = ValueError("the user's"), OSError("the cause")
        with pytest.raises(ValueError, match="the user's") as caught:
            Failing().fit(error, cause)
        assert caught.value is error
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        return frames, error.__cause__ is cause, repr(error.__context__), error.__suppress_context__

    def handler(call):
        outcome = yield
        try:
            raise TypeError("a context of ours")
        except TypeError:
            if mood == "raises it anew":
                raise outcome.exception  # noqa: B904  a context of ours is what must not stay
            if mood == "raises another":
                raise ArithmeticError from outcome.exception
            if mood == "chains":
                raise outcome.exception from None

    frames, *rest = run()
    patches.around(Failing, "fit", handler)
    if mood == "quiet":
        patches.undo()
        patches.around(Failing, "fit", Recorder())
    patched_frames, *patched_rest = run()
    assert patched_rest == rest
    ours = [name for name in patched_frames if "autotrack importlib" in name]
    assert len(ours) == 1
    assert [name for name in patched_frames if name not in ours] == frames
    assert guard.failures["tests"] == (mood == "raises another")


def test_an_exception_of_ours_has_the_users_as_no_part_of_it(patches, lenient):
    error = ValueError("the user's")

    class Failing:
        def fit(self):
            raise error

    patches.around(Failing, "fit", raises_after)
    with pytest.raises(ValueError, match="the user's"):
        Failing().fit()
    assert error.__context__ is None


class _Interrupt:
    """A trace function that raises KeyboardInterrupt at the n-th line that our own modules execute."""

    OURS = ("autotrack/wrappers.py", "autotrack/guard.py", "_bootstrap shim>")

    def __init__(self, at):
        self.left = at

    def __call__(self, frame, event, arg):
        if not frame.f_code.co_filename.endswith(self.OURS):
            return None
        # Python looks for signals where a call begins or has ended: lines without one are left out.
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "call" or (event == "line" and "(" in line):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("fails", [False, True])
def test_ctrl_c_at_any_line_of_ours_leaves_no_scope_open(patches, fails):
    """A generator left suspended would keep the training's scope: later fits would count as inner ones."""
    calls, closed = [], []

    class Counted:
        def fit(self):
            calls.append(1)
            if fails:
                raise ValueError("the user's")
            return self

    def handler(call):
        try:
            with context.training(None, "tests"):
                yield
        finally:
            closed.append(1)

    patches.around(Counted, "fit", handler)
    before, interrupted = sys.gettrace(), 0
    for at in range(1, 200):
        calls.clear()
        kept = None
        try:
            sys.settrace(_Interrupt(at))
            Counted().fit()
        except KeyboardInterrupt as error:
            kept = error  # as IPython does: frames stay alive in sys.last_traceback
            interrupted += 1
        except ValueError:
            pass
        finally:
            sys.settrace(before)
        assert context.training_scope() is None, (
            at,
            [(f.filename, f.lineno, f.name) for f in traceback.extract_tb(kept.__traceback__)],
        )
        assert len(calls) <= 1
        if kept is None:
            break
    else:
        raise AssertionError("the call never got through")
    assert interrupted > 15


# ---- others who patch ---------------------------------------------------------------------------------------------


def by_others(function):
    @wraps(function)
    def theirs(*args, **kwargs):
        theirs.calls += 1
        return function(*args, **kwargs)

    theirs.calls = 0
    return theirs


def by_others_unmarked(function):
    return lambda *args, **kwargs: function(*args, **kwargs)


def by_others_with_an_object(function):
    return lambda *args, inner=None, **kwargs: partial(function, *args)(**kwargs)


@pytest.fixture
def fresh():
    class Fresh:
        def fit(self, X):
            return X

    return Fresh


@pytest.mark.parametrize("other", [by_others, by_others_unmarked, by_others_with_an_object])
def test_somebody_wraps_on_top(patches, fresh, other):
    seen = Recorder()
    patches.around(fresh, "fit", seen)
    theirs = fresh.fit = other(vars(fresh)["fit"])
    assert patches.verify() == []
    assert fresh().fit(1) == 1
    assert len(seen.calls) == 1
    patches.undo()
    assert vars(fresh)["fit"] is theirs
    assert fresh().fit(2) == 2
    assert len(seen.calls) == 1
    patches.around(fresh, "fit", seen)  # switched on again: ours, below theirs, is awake and not doubled
    assert vars(fresh)["fit"] is theirs
    fresh().fit(3)
    assert len(seen.calls) == 2


def test_somebody_wrapped_below(patches, fresh):
    theirs = fresh.fit = by_others(vars(fresh)["fit"])
    seen = Recorder()
    patches.around(fresh, "fit", seen)
    fresh().fit(1)
    assert theirs.calls == len(seen.calls) == 1
    patches.undo()
    assert vars(fresh)["fit"] is theirs


def test_somebody_takes_ours_away(patches, fresh):
    original = vars(fresh)["fit"]
    seen = Recorder()
    patches.around(fresh, "fit", seen)
    fresh.fit = original
    fresh().fit(1)
    assert seen.calls == []
    assert patches.verify() == ["Fresh.fit"]
    fresh().fit(1)
    assert len(seen.calls) == 1
    patches.undo()
    assert vars(fresh)["fit"] is original


def test_somebody_deletes_the_attribute(patches, fresh):
    patches.around(fresh, "fit", Recorder())
    del fresh.fit
    assert patches.verify() == []
    patches.undo()
    assert "fit" not in vars(fresh)


def test_a_subclass_that_names_our_wrapper_is_a_place_of_its_own(patches, fresh):
    seen = Recorder()
    patches.around(fresh, "fit", seen)

    class Sub(fresh):
        @wraps(fresh.fit)
        def fit(self, X):
            return X + 1

    assert patches.around(Sub, "fit", seen)
    assert Sub().fit(1) == 2
    assert len(seen.calls) == 1


def test_an_alias_of_our_wrapper_is_called_once_and_goes_back(patches, fresh):
    original, seen = vars(fresh)["fit"], Recorder()
    patches.around(fresh, "fit", seen)
    alias = type("Alias", (), {"fit": vars(fresh)["fit"]})
    assert not patches.around(alias, "fit", seen)
    alias().fit(1)
    assert len(seen.calls) == 1
    patches.undo()
    assert vars(alias)["fit"] is original


@pytest.mark.parametrize("first_off", [0, 1])
def test_two_integrations_on_one_attribute(fresh, first_off):
    original = vars(fresh)["fit"]
    sets = [PatchSet("tests-one"), PatchSet("tests-two")]
    seen = [Recorder(), Recorder()]
    for patch, recorder in zip(sets, seen, strict=True):
        assert patch.around(fresh, "fit", recorder)
    fresh().fit(1)
    sets[first_off].undo()
    fresh().fit(2)
    assert len(seen[first_off].calls) == 1
    assert len(seen[1 - first_off].calls) == 2
    sets[1 - first_off].undo()
    assert vars(fresh)["fit"] is original


def test_the_mark_does_not_travel(patches, fresh):
    patches.around(fresh, "fit", Recorder())
    assert patching.is_ours(vars(fresh)["fit"])
    assert not patching.is_ours(by_others(vars(fresh)["fit"]))


def test_classes_do_not_live_on_through_us(patches):
    def make():
        class Short:
            def fit(self):
                return __class__  # a closure that leads back to the class

        return Short

    for _ in range(10):
        cls = make()
        patches.around(cls, "fit", Recorder.__call__.__get__(patches))
        last = weakref.ref(cls)
    del cls
    gc.collect()
    assert last() is None
    assert len(patches) == 0


def test_warnings_and_log_lines_point_at_the_user(patches, caplog):
    class Loud:
        def fit(self):
            warnings.warn("mind this", UserWarning, stacklevel=2)
            logging.getLogger("loud").warning("mind that", stacklevel=2)

    patches.around(Loud, "fit", Recorder())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        Loud().fit()
        Loud().fit()
    here = [warning.lineno for warning in caught]
    assert [warning.filename for warning in caught] == [__file__] * 2
    assert here[1] == here[0] + 1
    assert [record.lineno for record in caplog.records] == here


# ---- swap: functions that users import by name --------------------------------------------------------------------


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
    assert len([name for name in files if "autotrack" in name and "test_patching" not in name]) == 1


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


# ---- off ----------------------------------------------------------------------------------------------------------


def test_wrappers_call_straight_through_where_autotrack_is_absent(patches, monkeypatch):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    patches.watch(Model, "add", after=seen)
    monkeypatch.delitem(sys.modules, "autotrack.wrappers")
    assert Model().fit(1).fitted_ + Model.add(1, 2) == 4
    assert seen.calls == []


def test_a_quarantined_integration_is_not_called(patches, lenient):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    patches.watch(Model, "add", before=seen)
    for number in range(guard.FAILURE_LIMIT):
        guard.swallow(f"place {number}", ValueError("ours"), "tests")
    Model().fit(1)
    Model.add(1, 2)
    assert seen.calls == []


def test_an_inert_wrapper_is_cheap(patches, fresh):
    bare = fresh.fit
    patches.around(fresh, "fit", Recorder())
    ours = vars(fresh)["fit"]
    fresh.fit = by_others(ours)  # keeps ours in place, inert
    patches.undo()
    number = 20_000
    inert = min(timeit.repeat(lambda: ours(None, 1), number=number, repeat=5)) / number
    plain = min(timeit.repeat(lambda: bare(None, 1), number=number, repeat=5)) / number
    assert inert - plain < 3e-6


def test_by_value_copies_use_only_what_is_importable(patches):
    patches.around(Model, "fit", Recorder())
    wrapper = vars(Model)["fit"]
    reached = inspect.getclosurevars(wrapper)
    assert set(reached.globals) == {"sys"}
    assert {name: type(value) for name, value in reached.nonlocals.items()} == {
        "key": str,
        "original": types.FunctionType,
    }
    assert wrappers.cell(wrapper, "original") is RAW["fit"]

"""The original runs once and its outcome reaches the user, whatever our lines do."""

import linecache
import sys
import traceback

import pytest

from autotrack import context, guard
from tests.patching.models import Model, Recorder, raises_after

pytestmark = pytest.mark.filterwarnings("error")


class Panic(BaseException):
    """As a panic of a library written in Rust arrives."""


Panic.__module__ = "pyo3_runtime"


def raises_before(call):
    raise ValueError("ours")
    yield


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

"""What runs when a patched callable is called; ``patching`` puts it in and takes it out.

A wrapper is a plain function that closes over the original and a string. It looks this module up in
``sys.modules`` and calls straight through when it is not there, so that a class pickled by value works
where autotrack is absent. ``warnings`` and ``logging`` skip frames whose file name contains ``importlib``
and ``_bootstrap`` when they count stack levels; wrappers carry such a name, hence ``stacklevel=2`` still
points at the user's line.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Generator
from types import CodeType, FrameType, FunctionType, GeneratorType, TracebackType
from typing import Any, TypeGuard

from autotrack import context, guard
from autotrack.guard import attempt

__all__ = [
    "MARK",
    "UNTRACED",
    "After",
    "Around",
    "Before",
    "Call",
    "Handler",
    "Outcome",
    "Untraced",
    "caller",
    "cell",
    "handlers",
    "integration_of",
    "is_ours",
    "observe",
    "shim",
    "slots",
    "swapped_code",
    "wrap_around",
    "wrap_watch",
]

_SHIM = "<autotrack importlib._bootstrap shim>"
UNTRACED = "<frozen importlib._bootstrap autotrack shim>"
"""File name of wrappers that torch's compiler passes over."""

MARK = "__autotrack__"  # holds the wrapper itself: functools.wraps copies attributes onto other people's wrappers

handlers: dict[str, Handler] = {}
"""By key, what is called for a patched attribute. A wrapper whose key is not here is inert."""

slots: dict[str, list[After | None]] = {}
"""By key, the handler's ``after`` as hot wrappers find it; None where they are inert. A slot is never replaced."""

_signatures: weakref.WeakKeyDictionary[Callable[..., Any], inspect.Signature] = weakref.WeakKeyDictionary()


class Call:
    """One call of a patched callable, with the very arguments of the user."""

    __slots__ = ("args", "kwargs", "original")

    def __init__(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.original = original
        self.args = args
        self.kwargs = kwargs

    @property
    def instance(self) -> Any:
        """``self`` of a method."""
        return self.args[0] if self.args else next(iter(self.bound.values()))  # Model.fit(self=model, X=X)

    @property
    def bound(self) -> dict[str, Any]:
        """Arguments by name, without defaults. Empty where they do not fit: the original will say so."""
        signature = _signatures.get(self.original)
        if signature is None:
            signature = _signatures[self.original] = inspect.signature(self.original)
        try:
            return signature.bind(*self.args, **self.kwargs).arguments
        except TypeError:
            return {}


class Outcome:
    """How the original ended: with ``value``, or with ``exception``."""

    __slots__ = ("exception", "value")

    def __init__(self, value: Any, exception: BaseException | None) -> None:
        self.value = value
        self.exception = exception


Steps = Generator[None, Outcome, None]
Around = Callable[[Call], "Steps | None"]
Before = Callable[[tuple[Any, ...], dict[str, Any]], None]
After = Callable[[Any, tuple[Any, ...], dict[str, Any]], None]
Untraced = tuple[Callable[[], Any], Callable[[Any], Any]]
"""A builtin that says whether a compiler looks at what is called now, and a decorator that hides a function from it."""


class Handler:
    """What an integration wants called: an around handler, or plain functions before and after."""

    __slots__ = ("after", "around", "before", "integration", "raised")

    def __init__(
        self,
        integration: str,
        around: Around | None,
        before: Before | None = None,
        after: After | None = None,
        raised: After | None = None,
    ) -> None:
        self.integration = integration
        self.around = around
        self.before = before
        self.after = after
        self.raised = raised

    def same(self, other: Handler) -> bool:
        """Whether both call the same functions."""
        mine = (self.around, self.before, self.after, self.raised)
        return mine == (other.around, other.before, other.after, other.raised)


def caller() -> FrameType | None:
    """For handlers: the frame that called what is patched; None at the root of a thread."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in (_SHIM, UNTRACED):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_filename in (_SHIM, UNTRACED):
        frame = frame.f_back
    return frame


# ---- what wrappers call -------------------------------------------------------------------------------------------


class _Pending:
    """The second half of an around handler; called with the value or the exception."""

    __slots__ = ("done", "integration", "place", "scope", "steps")

    def __init__(self, steps: Steps, place: str, integration: str) -> None:
        self.steps = steps
        self.place = place
        self.integration = integration
        self.scope = context.innermost()
        self.done = False

    def __call__(self, value: Any, exception: BaseException | None) -> None:
        kept = None if exception is None else _looks(exception)
        with guard.protect(self.place, self.integration):
            try:
                self.steps.send(Outcome(value, exception))
            except StopIteration:
                self.done = True
                return
            except BaseException as error:
                if error is not exception:
                    raise
                return  # a handler may let the user's own exception through
            finally:
                if exception is not None and kept is not None:
                    _restore(exception, *kept)
            raise RuntimeError(f"the handler of {self.place} yields more than once")

    def close(self) -> None:
        """After a handler that failed, or into which Ctrl-C came: it stays neither suspended nor in its scope."""
        if not self.done:
            self.done = True
            with guard.protect(self.place, self.integration):
                self.steps.close()
            context.put_back(self.scope)


def _looks(error: BaseException) -> tuple[TracebackType | None, BaseException | None, BaseException | None, bool]:
    return error.__traceback__, error.__context__, error.__cause__, error.__suppress_context__


def _restore(
    error: BaseException,
    traceback: TracebackType | None,
    context: BaseException | None,
    cause: BaseException | None,
    suppress: bool,
) -> None:
    """Raising it anew in a handler added our frames to the user's exception, and perhaps a context."""
    error.__traceback__ = traceback
    error.__context__ = context
    error.__cause__ = cause
    error.__suppress_context__ = suppress  # last: setting the cause sets it


def enter(key: str, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Pending | None:
    """First half of an around handler. None: nobody cares, call the original straight."""
    handler = handlers.get(key)
    if handler is None or handler.around is None or handler.integration in guard.quarantined:
        return None
    pending = None
    started = False
    try:
        with guard.protect(key, handler.integration):
            steps = handler.around(Call(original, args, kwargs))
            if steps is None:
                return None
            if not isinstance(steps, GeneratorType):
                raise TypeError(f"the handler of {key} is no generator function")
            pending = _Pending(steps, key, handler.integration)
            try:
                next(steps)
            except StopIteration:
                raise RuntimeError(f"the handler of {key} does not yield") from None
            started = True
    except BaseException:  # Ctrl-C came
        if pending is not None:
            pending.close()
        raise
    if pending is None or started:
        return pending
    pending.close()
    return None


def observe(key: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any], when: int) -> None:
    """One part of a watch handler: ``when`` is 0 before the call, 1 when it returned, 2 when it raised ``result``."""
    handler = handlers.get(key)
    if handler is None:
        return
    if when == 1:
        if handler.after is not None:
            attempt(key, handler.integration, handler.after, result, args, kwargs)
    elif when == 0:
        if handler.before is not None:
            attempt(key, handler.integration, handler.before, args, kwargs)
    elif handler.raised is not None:
        kept = _looks(result)
        attempt(key, handler.integration, handler.raised, result, args, kwargs)
        _restore(result, *kept)


# ---- wrappers: everything that they reach must be importable, since classes of __main__ are pickled by value ------


def wrap_around(original: Callable[..., Any], key: str) -> FunctionType:
    """A wrapper whose handler is a generator function."""

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = getattr(sys.modules.get("autotrack.wrappers"), "enter", None)
        pending = None if start is None else start(key, original, args, kwargs)
        if pending is None:
            return original(*args, **kwargs)
        try:
            value = original(*args, **kwargs)
        except BaseException as error:
            pending(None, error)
            raise
        else:
            pending(value, None)
        finally:
            pending.close()
        return value

    return wrapper  # type: ignore[return-value]


def wrap_watch(
    original: Callable[..., Any],
    key: str,
    early: bool = True,
    late: bool = True,
    unless: Callable[[], bool] | None = None,
    traced: Callable[[], bool] | None = None,
) -> FunctionType:
    """A wrapper whose handlers are plain functions: called before (``early``), after (``late``).

    Where ``unless()`` or ``traced()``, the original is called straight.
    """

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if (unless is not None and unless()) or (traced is not None and traced()):
            return original(*args, **kwargs)
        tell = getattr(sys.modules.get("autotrack.wrappers"), "observe", None)
        if tell is None:
            return original(*args, **kwargs)
        if early:
            tell(key, None, args, kwargs, 0)
        value = original(*args, **kwargs)
        if late:
            tell(key, value, args, kwargs, 1)
        return value

    return wrapper  # type: ignore[return-value]


# The body of a function whose code was swapped. It runs with that function's globals, so it names nothing of ours:
# swapped_code puts the constants in. It is text, since it must have as many free variables as that function, and be
# compiled with them: where they are only declared, whoever looks at the frame's variables (a debugger, pytest) crashes
# the interpreter.
_SWAPPED = """
def closure({free}):
    def swapped(*args, **kwargs):
        if False:
            ({free})
        original = "<original>"
        start = "<enter>"
        pending = start("<key>", original, args, kwargs)
        if pending is None:
            return original(*args, **kwargs)
        try:
            value = original(*args, **kwargs)
        except BaseException as error:
            pending(None, error)
            raise
        else:
            pending(value, None)
        finally:
            pending.close()
        return value
"""


@functools.cache
def _swapped(free: int) -> CodeType:
    """The body, with so many free variables."""
    text = _SWAPPED.format(free=", ".join(f"free{number}" for number in range(free)))
    code = compile(text, _SHIM, "exec")
    for _ in range(2):
        code = next(const for const in code.co_consts if isinstance(const, CodeType))
    return code


def shim(code: CodeType, name: str = _SHIM) -> CodeType:
    """``code`` with its inner functions under a file name that ``warnings`` does not count."""
    inner = tuple(shim(const, name) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.replace(co_filename=name, co_consts=inner)


for _maker in (wrap_around, wrap_watch):
    _maker.__code__ = shim(_maker.__code__)


def swapped_code(key: str, original: FunctionType) -> CodeType:
    """The body for one function, with the free variables of the closure that it will find."""
    given = {"<key>": key, "<original>": original, "<enter>": enter}
    code = original.__code__
    body = _swapped(len(code.co_freevars))
    consts = tuple(given.get(const, const) if isinstance(const, str) else const for const in body.co_consts)
    return body.replace(
        co_consts=consts, co_freevars=code.co_freevars, co_name=code.co_name, co_qualname=code.co_qualname
    )


# ---- what patching asks of wrappers ---------------------------------------------------------------------------------


def integration_of(key: str) -> str:
    """Whose handler a key is for."""
    return key.partition(":")[0]


def is_ours(function: Any) -> TypeGuard[FunctionType]:
    """Whether a function is a wrapper made here (and not somebody's wrapper of ours)."""
    return isinstance(function, FunctionType) and function.__dict__.get(MARK) is function


def cell(wrapper: FunctionType, name: str) -> Any:
    """A variable that one of our wrappers closes over: ``key`` or ``original``."""
    return (wrapper.__closure__ or ())[wrapper.__code__.co_freevars.index(name)].cell_contents

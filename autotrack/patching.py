"""Wrapping foreign callables exactly: the original runs once, and everything goes back as it was.

Three forms:

* ``PatchSet.around(owner, name, handler)``: the handler is a generator function (or returns None where
  it does not care) that yields once, where the user's call runs, and is sent its ``Outcome``.
* ``PatchSet.watch(owner, name, before=…, after=…)``: plain functions round a hot call.
* ``PatchSet.swap(function, handler)``: as ``around``, for a function that users import by name; its
  ``__code__`` is swapped, so it is reached at every alias and keeps its identity.

A wrapper is a plain function that closes over the original and a string. It looks this module up in
``sys.modules`` and calls straight through when it is not there, so that a class pickled by value works
where autotrack is absent. ``warnings`` skips frames whose file name contains ``importlib`` and
``_bootstrap`` when it counts stack levels; wrappers carry such a name, hence ``stacklevel=2`` still
points at the user's line.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from types import CodeType, FunctionType
from typing import Any, TypeGuard

from autotrack import guard
from autotrack.errors import PatchError

__all__ = ["Call", "Outcome", "PatchSet", "defining_owner", "is_ours"]

_SHIM = "<autotrack importlib._bootstrap shim>"
_MARK = "__autotrack__"  # holds the wrapper itself: functools.wraps copies attributes onto other people's wrappers
_MISSING = object()

_lock = threading.RLock()
_handlers: dict[str, _Handler] = {}
originals: dict[str, FunctionType] = {}
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
        return self.args[0]

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


class _Handler:
    __slots__ = ("after", "around", "before", "integration")

    def __init__(
        self, integration: str, around: Around | None, before: Before | None = None, after: After | None = None
    ) -> None:
        self.integration = integration
        self.around = around
        self.before = before
        self.after = after


# ---- what wrappers call -------------------------------------------------------------------------------------------


class _Pending:
    """The second half of an around handler; called with the value or the exception."""

    __slots__ = ("integration", "place", "steps")

    def __init__(self, steps: Steps, place: str, integration: str) -> None:
        self.steps = steps
        self.place = place
        self.integration = integration

    def __call__(self, value: Any, exception: BaseException | None) -> None:
        with guard.protect(self.place, self.integration):
            try:
                self.steps.send(Outcome(value, exception))
            except StopIteration:
                return
            self.steps.close()
            raise RuntimeError(f"the handler of {self.place} yields more than once")


def enter(key: str, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Pending | None:
    """First half of an around handler. None: nobody cares, call the original straight."""
    handler = _handlers.get(key)
    if handler is None or handler.around is None or handler.integration in guard.quarantined:
        return None
    with guard.protect(key, handler.integration):
        steps = handler.around(Call(original, args, kwargs))
        if steps is None:
            return None
        try:
            next(steps)
        except StopIteration:
            raise RuntimeError(f"the handler of {key} does not yield") from None
        return _Pending(steps, key, handler.integration)
    return None


def observe(key: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any], done: bool) -> None:
    """Either half of a watch handler."""
    handler = _handlers.get(key)
    if handler is None or handler.integration in guard.quarantined:
        return
    if done and handler.after is not None:
        with guard.protect(key, handler.integration):
            handler.after(result, args, kwargs)
    elif not done and handler.before is not None:
        with guard.protect(key, handler.integration):
            handler.before(args, kwargs)


# ---- wrappers: everything that they reach must be importable, since classes of __main__ are pickled by value ------


def _wrap_around(original: Callable[..., Any], key: str) -> FunctionType:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = getattr(sys.modules.get("autotrack.patching"), "enter", None)
        pending = None if start is None else start(key, original, args, kwargs)
        if pending is None:
            return original(*args, **kwargs)
        try:
            value = original(*args, **kwargs)
        except BaseException as error:
            pending(None, error)
            raise
        pending(value, None)
        return value

    return wrapper  # type: ignore[return-value]


def _wrap_watch(original: Callable[..., Any], key: str) -> FunctionType:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        tell = getattr(sys.modules.get("autotrack.patching"), "observe", None)
        if tell is None:
            return original(*args, **kwargs)
        tell(key, None, args, kwargs, False)
        value = original(*args, **kwargs)
        tell(key, value, args, kwargs, True)
        return value

    return wrapper  # type: ignore[return-value]


def _swapped(*args: Any, **kwargs: Any) -> Any:
    # The body of a function whose code was swapped: it runs with that function's globals, so it names nothing of ours.
    from sys import modules  # noqa: PLC0415

    tracker = modules["autotrack.patching"]
    original = tracker.originals["<key>"]
    pending = tracker.enter("<key>", original, args, kwargs)
    if pending is None:
        return original(*args, **kwargs)
    try:
        value = original(*args, **kwargs)
    except BaseException as error:
        pending(None, error)
        raise
    pending(value, None)
    return value


def _shim(code: CodeType) -> CodeType:
    """``code`` with its inner functions under a file name that ``warnings`` does not count."""
    inner = tuple(_shim(const) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.replace(co_filename=_SHIM, co_consts=inner)


for _maker in (_wrap_around, _wrap_watch, _swapped):
    _maker.__code__ = _shim(_maker.__code__)


# ---- the public part ----------------------------------------------------------------------------------------------


def is_ours(function: Any) -> TypeGuard[FunctionType]:
    """Whether a function is a wrapper made here (and not somebody's wrapper of ours)."""
    return isinstance(function, FunctionType) and function.__dict__.get(_MARK) is function


def defining_owner(cls: type, name: str) -> type | None:
    """The class in ``cls``'s method resolution order that has the attribute in its own namespace."""
    return next((owner for owner in cls.__mro__ if name in vars(owner)), None)


def _function_of(raw: Any) -> Any:
    """The function inside a descriptor."""
    if isinstance(raw, (classmethod, staticmethod)):
        return raw.__func__
    return raw.fget if isinstance(raw, property) else raw


def _contains_ours(function: Any) -> bool:
    """Whether ours is somewhere in the chain of ``__wrapped__``."""
    for _ in range(100):
        if function is None or is_ours(function):
            return function is not None
        function = getattr(function, "__wrapped__", None)
    return False


class _Site:
    """One patched attribute. Owners are held weakly: classes made in a loop must not live on through us."""

    __slots__ = ("kept", "key", "make", "name", "owner")

    def __init__(
        self,
        owner: Any,
        name: str,
        key: str,
        make: Callable[[Callable[..., Any], str], FunctionType],
        gone: Callable[[Any], None],
    ) -> None:
        self.owner = weakref.ref(owner, gone)
        self.name = name
        self.key = key
        self.make = make
        self.kept: tuple[Any, Any] | None = None  # (raw, placed) of descriptors; a plain function is in its wrapper

    def on_top(self) -> bool:
        """Whether the wrapper is where it was put: a quick look, since every run looks at every site."""
        owner = self.owner()
        current = None if owner is None else vars(owner).get(self.name)
        return current is self.kept[1] if self.kept is not None else getattr(current, _MARK, None) is current

    def apply(self) -> bool:
        """Put the wrapper in unless it is there. True where it was put in."""
        owner = self.owner()
        raw = _MISSING if owner is None else vars(owner).get(self.name, _MISSING)
        if raw is _MISSING or _contains_ours(_function_of(raw)):
            return False
        function = _function_of(raw)
        if not isinstance(function, FunctionType) or getattr(function, "__isabstractmethod__", False):
            raise PatchError(
                f"{owner!r}.{self.name} is a {type(raw).__name__}; only functions, classmethods, staticmethods and "
                "properties can be wrapped. For other descriptors patch the function that they hold."
            )
        wrapper = self.make(function, self.key)
        setattr(wrapper, _MARK, wrapper)
        placed: Any = wrapper
        if isinstance(raw, (classmethod, staticmethod)):
            placed = type(raw)(wrapper)
        elif isinstance(raw, property):
            placed = type(raw)(wrapper, raw.fset, raw.fdel, raw.__doc__)
        self.kept = None if placed is wrapper else (raw, placed)
        setattr(owner, self.name, placed)
        return True

    def undo(self) -> None:
        """Put the raw object back where ours is on top; elsewhere the wrapper stays and is inert."""
        owner = self.owner()
        if owner is None:
            return
        current = vars(owner).get(self.name, _MISSING)
        if self.kept is not None:
            if current is self.kept[1]:
                setattr(owner, self.name, self.kept[0])
        elif is_ours(current):
            setattr(owner, self.name, vars(current)["__wrapped__"])


def _drop(sites: dict[tuple[int, str], _Site], place: tuple[int, str]) -> None:
    """An owner has died: its address may be another's soon."""
    sites.pop(place, None)


class PatchSet:
    """The patches of one integration: put in together, checked at each run, taken out in reverse order."""

    def __init__(self, integration: str) -> None:
        self.integration = integration
        self._sites: dict[tuple[int, str], _Site] = {}
        self._swaps: dict[str, tuple[FunctionType, CodeType]] = {}
        self._keys: set[str] = set()

    def __len__(self) -> int:
        return len(self._sites) + len(self._swaps)

    def around(self, owner: Any, name: str, handler: Around) -> bool:
        """Wrap ``vars(owner)[name]``. True where it was not wrapped before.

        Raises:
            PatchError: The owner has no such attribute of its own, or it is of a kind that cannot be wrapped.
        """
        return self._add(owner, name, _Handler(self.integration, handler), _wrap_around)

    def watch(self, owner: Any, name: str, *, before: Before | None = None, after: After | None = None) -> bool:
        """Call plain functions before and after ``vars(owner)[name]``; ``after`` only when it returned.

        Raises:
            PatchError: As for ``around``.
        """
        return self._add(owner, name, _Handler(self.integration, None, before, after), _wrap_watch)

    def _add(
        self, owner: Any, name: str, handler: _Handler, make: Callable[[Callable[..., Any], str], FunctionType]
    ) -> bool:
        if name not in vars(owner):
            raise PatchError(f"{owner!r} has no attribute {name!r} of its own; patch the class that defines it")
        with _lock:
            key = self._register(name, handler)
            place = (id(owner), name)
            site = self._sites.get(place)
            if site is None:
                sites = self._sites
                site = _Site(owner, name, key, make, lambda _: _drop(sites, place))
            done = site.apply()
            if done or _contains_ours(_function_of(vars(owner)[name])):
                self._sites[place] = site
            return done

    def _register(self, name: str, handler: _Handler) -> str:
        """The key under which wrappers of this attribute find their handler."""
        function = handler.around or handler.after or handler.before
        key = f"{self.integration}:{name}:{getattr(function, '__qualname__', '')}"
        _handlers[key] = handler
        self._keys.add(key)
        return key

    def swap(self, function: FunctionType, handler: Around) -> bool:
        """Wrap a module-level function in place: every alias of it, whenever imported, is reached.

        Raises:
            PatchError: The function cannot be found by its module and name. Such a function is pickled by
                value, and its code would be missing where autotrack is absent.
        """
        home = sys.modules.get(function.__module__)
        if function.__module__ == "__main__" or getattr(home, function.__qualname__, None) is not function:
            raise PatchError(f"{function!r} is not importable by name; its code cannot be swapped")
        with _lock:
            key = self._register(f"{function.__module__}.{function.__qualname__}", _Handler(self.integration, handler))
            if key in originals:
                return False
            code = function.__code__
            inner = FunctionType(
                code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
            )
            inner.__kwdefaults__ = function.__kwdefaults__
            inner.__qualname__ = function.__qualname__
            signature = inspect.signature(function)
            originals[key] = inner
            self._swaps[key] = (function, code)
            function.__code__ = _swapped_code(key, code)
            if inspect.signature(function) != signature:  # no __wrapped__ that says it
                function.__signature__ = signature
            return True

    def verify(self) -> list[str]:
        """Put back wrappers that somebody took away. Returns what was put back, as ``Class.name``."""
        with _lock:
            restored = []
            for site in list(self._sites.values()):
                if not site.on_top() and site.apply():
                    restored.append(f"{getattr(site.owner(), '__name__', site.owner())}.{site.name}")
            return restored

    def undo(self) -> None:
        """Put every attribute back to the identical object, in reverse order; the handlers are forgotten."""
        with _lock:
            for key in self._keys:
                _handlers.pop(key, None)
            self._keys.clear()
            for site in reversed(list(self._sites.values())):
                site.undo()
            self._sites.clear()
            for key, (function, code) in self._swaps.items():
                function.__code__ = code
                vars(function).pop("__signature__", None)
                originals.pop(key, None)
            self._swaps.clear()


def _swapped_code(key: str, code: CodeType) -> CodeType:
    """The body of ``_swapped`` for one key, with as many free variables as the closure that it will find."""
    consts = tuple(key if const == "<key>" else const for const in _swapped.__code__.co_consts)
    return _swapped.__code__.replace(
        co_consts=consts, co_freevars=code.co_freevars, co_name=code.co_name, co_qualname=code.co_qualname
    )

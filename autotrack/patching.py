"""Wrapping foreign callables exactly: the original runs once, and everything goes back as it was.

Three forms:

* ``PatchSet.around(owner, name, handler)``: the handler is a generator function (or returns None where
  it does not care) that yields once, where the user's call runs, and is sent its ``Outcome``.
* ``PatchSet.watch(owner, name, before=…, after=…)``: plain functions round a hot call.
* ``PatchSet.swap(function, handler)``: as ``around``, for a function that users import by name; its
  ``__code__`` is swapped, so it is reached at every alias and keeps its identity.

What runs when they are called is in ``wrappers``.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from autotrack.errors import PatchError
from autotrack.hot_wrappers import wrap_callback, wrap_hot, wrap_untraced, wrap_watch_raised
from autotrack.wrappers import (
    MARK,
    After,
    Around,
    Before,
    Call,
    Handler,
    Outcome,
    Untraced,
    caller,
    cell,
    handlers,
    is_ours,
    slots,
    swapped_code,
    wrap_around,
    wrap_watch,
)

__all__ = ["Call", "Outcome", "PatchSet", "caller", "is_ours"]

_MISSING = object()

_lock = threading.RLock()
_owners: weakref.WeakKeyDictionary[FunctionType, weakref.ref[Any]] = weakref.WeakKeyDictionary()  # of our wrappers


def _function_of(raw: Any) -> Any:
    """The function inside a descriptor."""
    if type(raw) in (classmethod, staticmethod):  # exactly: what a subclass keeps beside is not known
        return raw.__func__
    return raw.fget if type(raw) is property else raw


def _beneath(function: Any) -> Iterator[Any]:
    """The functions below other people's wrappers: what ``functools.wraps`` noted, else what they close over."""
    waiting = [function]
    for _ in range(100):
        if not waiting:
            return
        function = waiting.pop()
        yield function
        wrapped = getattr(function, "__wrapped__", None) or getattr(function, "func", None)
        if wrapped is not None:
            waiting.append(wrapped)
            continue
        for free in getattr(function, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # an empty cell
                if isinstance(free.cell_contents, FunctionType):
                    waiting.append(free.cell_contents)


def _put(owner: Any, name: str, value: Any) -> None:
    """Set an attribute, past a metaclass that watches or forbids it."""
    try:
        type.__setattr__(owner, name, value) if isinstance(owner, type) else setattr(owner, name, value)
    except (AttributeError, TypeError) as error:
        raise PatchError(f"{owner!r}.{name} cannot be set: {error}") from error


class _Site:
    """One patched attribute. Owners are held weakly: classes made in a loop must not live on through us."""

    __slots__ = ("kept", "key", "make", "name", "owner", "wrapper")

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
        self.wrapper: Callable[[], FunctionType | None] = lambda: None
        self.kept: tuple[Any, Any] | None = None  # (raw, placed) of descriptors; a plain function is in its wrapper

    def _stands(self, function: Any, owner: Any) -> bool:
        """Whether our wrapper of this attribute is in place, on top or below somebody else's."""
        if function is self.wrapper() or (is_ours(function) and cell(function, "key") == self.key):
            return True
        return any(
            is_ours(inner) and cell(inner, "key") == self.key and _owners.get(inner, self.owner)() is owner
            for inner in _beneath(function)
        )

    def on_top(self) -> bool:
        """Whether the wrapper is where it was put: a quick look, since every run looks at every site."""
        owner = self.owner()
        current = None if owner is None else vars(owner).get(self.name)
        return current is self.kept[1] if self.kept is not None else getattr(current, MARK, None) is current

    def apply(self) -> bool:
        """Put the wrapper in unless it is there. True where it was put in."""
        owner = self.owner()
        raw = _MISSING if owner is None else vars(owner).get(self.name, _MISSING)
        function = _function_of(raw)
        if raw is _MISSING or self._stands(function, owner):
            return False
        if not isinstance(function, FunctionType) or getattr(function, "__isabstractmethod__", False):
            raise PatchError(
                f"{owner!r}.{self.name} is a {type(raw).__name__}; only functions with a body, classmethods, "
                "staticmethods and properties can be wrapped. For other descriptors patch the function that they hold."
            )
        wrapper = self.make(function, self.key)
        setattr(wrapper, MARK, wrapper)
        placed: Any = wrapper
        if type(raw) in (classmethod, staticmethod):
            kind: Any = type(raw)
            placed = kind(placed)
        elif type(raw) is property:
            placed = property(placed, raw.fset, raw.fdel, raw.__doc__)
        _put(owner, self.name, placed)
        self.kept = None if placed is wrapper else (raw, placed)
        self.wrapper = weakref.ref(wrapper)
        _owners[wrapper] = self.owner
        return True

    def undo(self) -> None:
        """Put the raw object back where ours is on top; elsewhere the wrapper stays and is inert."""
        owner = self.owner()
        if owner is None:
            return
        current = raw = vars(owner).get(self.name, _MISSING)
        if self.kept is not None:
            raw = self.kept[0] if current is self.kept[1] else current
        while is_ours(raw) and cell(raw, "key") not in handlers:  # also those of others that were switched off
            raw = cell(raw, "original")
        if raw is not current:
            _put(owner, self.name, raw)


class _Swap:
    """One function whose code was swapped."""

    __slots__ = ("function", "key", "placed", "raw", "signed")

    def __init__(self, function: FunctionType, key: str) -> None:
        raw = function.__code__
        inner = FunctionType(raw, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
        inner.__kwdefaults__ = function.__kwdefaults__
        inner.__qualname__ = function.__qualname__
        self.function = function
        self.key = key
        self.raw = raw
        self.placed = swapped_code(key, inner)
        function.__code__ = self.placed
        # Signature and source are the original's: what ``inspect`` finds at the end of ``__wrapped__``.
        self.signed = "__wrapped__" not in vars(function)
        if self.signed:
            function.__wrapped__ = inner  # type: ignore[attr-defined]


_swaps: list[_Swap] = []  # of all integrations, in the order in which they were made


def _unswap(function: FunctionType) -> None:
    """Take off the swaps on top that nobody owns any more; below somebody's code they stay and are inert."""
    for swap in [swap for swap in reversed(_swaps) if swap.function is function]:
        if swap.key in handlers or function.__code__ is not swap.placed:
            return
        function.__code__ = swap.raw
        if swap.signed:
            vars(function).pop("__wrapped__", None)
        _swaps.remove(swap)


def _importable(function: FunctionType) -> bool:
    """Whether a function is found under its module and name, so that it is pickled by name."""
    home = sys.modules.get(function.__module__)
    return function.__module__ != "__main__" and getattr(home, function.__qualname__, None) is function


def _drop(sites: dict[tuple[int, str, str], _Site], place: tuple[int, str, str], _: object) -> None:
    """An owner has died: its address may be another's soon. Modules die when our names are gone already."""
    sites.pop(place, None)


class PatchSet:
    """The patches of one integration: put in together, checked at each run, taken out in reverse order."""

    def __init__(self, integration: str) -> None:
        self.integration = integration
        self._sites: dict[tuple[int, str, str], _Site] = {}
        self._swapped: dict[FunctionType, None] = {}
        self._aliases: list[tuple[weakref.ref[ModuleType], str, FunctionType]] = []
        self._keys: set[str] = set()

    def __len__(self) -> int:
        return len(self._sites) + len(self._swapped)

    def around(self, owner: Any, name: str, handler: Around) -> bool:
        """Wrap ``vars(owner)[name]``. True where it was not wrapped before.

        Raises:
            PatchError: The owner has no such attribute of its own, or it is of a kind that cannot be wrapped.
        """
        return self._add(owner, name, Handler(self.integration, handler), wrap_around)

    def watch(
        self,
        owner: Any,
        name: str,
        *,
        before: Before | None = None,
        after: After | None = None,
        raised: After | None = None,
        unless: Callable[[], bool] | None = None,
        traced: Callable[[], bool] | None = None,
        untraced: Untraced | None = None,
        hot: bool = False,
    ) -> bool:
        """Call plain functions before and after ``vars(owner)[name]``; ``after`` only when it returned.

        Args:
            owner: Class or module that has the attribute.
            name: The attribute.
            before: Called with ``(args, kwargs)``.
            after: Called with ``(result, args, kwargs)``.
            raised: Called with ``(exception, args, kwargs)``; together with ``after`` only, for what is never pickled
                by value. ``after`` is then not called inside a training that is being recorded.
            unless: Where it says True, the original is called straight.
            traced: Likewise; says whether a compiler traces through the wrapper, which then sees nothing else of it.
            untraced: For a call that a compiler meets and leaves alone; as for ``raised``.
            hot: For a call that a training makes at every step, and is never pickled by value; ``after`` only.

        Raises:
            PatchError: As for ``around``.
        """
        handler = Handler(self.integration, None, before, after, raised)
        make: Callable[[Callable[..., Any], str], FunctionType] = wrap_watch_raised
        if raised is None:
            make = partial(wrap_watch, early=before is not None, late=after is not None, unless=unless, traced=traced)
        if untraced is not None:
            make = partial(wrap_untraced, untraced=untraced)
        elif hot:
            make = wrap_hot
        return self._add(owner, name, handler, make)

    def alias(self, wrapper: Any, modules: Iterable[ModuleType]) -> None:
        """Put a wrapper also where modules hold its original, imported by name before it was wrapped.

        For functions whose code must not be swapped. What holds them otherwise, a class or a list, is not reached.
        """
        if not is_ours(wrapper):  # somebody wrapped on top
            return
        original = cell(wrapper, "original")
        with _lock:
            for module in modules:
                for name in [name for name, value in list(vars(module).items()) if value is original]:
                    _put(module, name, wrapper)
                    self._aliases.append((weakref.ref(module), name, wrapper))

    def callback(self, name: str, after: After, untraced: Untraced) -> FunctionType:
        """A function for a framework's own hooks: ``after`` gets ``(None, args, kwargs)`` of the framework's call.

        As what is patched it is guarded, and inert when the integration is off, and inside a training that is being
        recorded.
        """
        key = self._register(name, Handler(self.integration, None, after=after))
        return wrap_callback(key, untraced)

    def _add(
        self,
        owner: Any,
        name: str,
        handler: Handler,
        make: Callable[[Callable[..., Any], str], FunctionType],
    ) -> bool:
        if name not in getattr(owner, "__dict__", {}):
            raise PatchError(f"{owner!r} has no attribute {name!r} of its own; patch the class that defines it")
        with _lock:
            key = self._register(name, handler)
            place = (id(owner), name, key)
            site = self._sites.get(place)
            if site is None:
                sites = self._sites
                site = _Site(owner, name, key, make, partial(_drop, sites, place))
            done = site.apply()
            self._sites[place] = site
            return done

    def _register(self, name: str, handler: Handler) -> str:
        """The key under which wrappers of this attribute find their handler."""
        function = handler.around or handler.after or handler.before
        first = key = f"{self.integration}:{name}:{getattr(function, '__qualname__', '')}"
        number = 1
        while not handlers.setdefault(key, handler).same(handler):  # another one of this name
            number += 1
            key = f"{first}#{number}"
        slots.setdefault(key, [None])[0] = handler.after
        self._keys.add(key)
        return key

    def swap(self, function: FunctionType, handler: Around) -> bool:
        """Wrap a module-level function in place: every alias of it, whenever imported, is reached.

        Raises:
            PatchError: The function cannot be found by its module and name. Such a function is pickled by
                value, and its code would be missing where autotrack is absent.
        """
        while not _importable(function) and "__wrapped__" in vars(function):  # somebody's wrapper: the one below it
            function = vars(function)["__wrapped__"]
        if not _importable(function):
            raise PatchError(f"{function!r} is not importable by name; its code cannot be swapped")
        with _lock:
            key = self._register(f"{function.__module__}.{function.__qualname__}", Handler(self.integration, handler))
            if any(swap.key == key and swap.function is function for swap in _swaps):
                return False
            _swaps.append(_Swap(function, key))
            self._swapped[function] = None
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
                handlers.pop(key, None)
                slots[key][0] = None
            self._keys.clear()
            for module, name, wrapper in self._aliases:
                owner = module()
                if owner is not None and vars(owner).get(name) is wrapper:
                    _put(owner, name, cell(wrapper, "original"))
            self._aliases.clear()
            for site in reversed(list(self._sites.values())):
                site.undo()
            self._sites.clear()
            for function in self._swapped:
                _unswap(function)
            self._swapped.clear()

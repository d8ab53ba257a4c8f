"""What is known of objects that cannot be keys of a dictionary: by identity, and held weakly."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_MAX_BASES = 10


class ByIdentity(Generic[T]):
    """One value per object. An object that dies is forgotten; nothing is kept alive by being known."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], T]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, thing: Any, value: T) -> None:
        """Remember ``value`` for ``thing``. Lists and the like cannot be referred to weakly: they stay unknown.

        An array that is a view of the whole of another (a transposed one) is remembered with that one: numpy
        calls that one the base of the array's own views.
        """
        self._keep(thing, value)
        if type(thing).__module__ == "numpy":
            base: Any = getattr(thing, "base", None)
            if type(base) is type(thing) and base.size == thing.size:
                self._keep(base, value)

    def _keep(self, thing: Any, value: T) -> None:
        known, number = self._known, id(thing)
        try:
            known[number] = weakref.ref(thing, lambda _: known.pop(number, None) and None), value
        except TypeError:
            return

    def get(self, thing: Any) -> T | None:
        """What is known of this very object."""
        found = self._known.get(id(thing))
        return found[1] if found is not None and found[0]() is thing else None

    def of_view(self, array: Any) -> T | None:
        """What is known of this object, or of the arrays that it is a view of."""
        for _ in range(_MAX_BASES):
            if array is None:
                return None
            found = self._known.get(id(array))
            if found is not None and found[0]() is array:
                return found[1]
            array = getattr(array, "base", None) if type(array).__module__ == "numpy" else None
        return None

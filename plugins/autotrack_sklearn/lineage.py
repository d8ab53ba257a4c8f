"""Which transformer made which array: by identity, through views, and never by keeping the data alive."""

from __future__ import annotations

import weakref
from typing import Any

_MAX_BASES = 10


class Lineage:
    """What is known of fitted transformers, and of the arrays that they returned."""

    def __init__(self) -> None:
        self._transformers: dict[int, tuple[weakref.ref[Any], dict[str, Any]]] = {}
        self._outputs: dict[int, tuple[weakref.ref[Any], dict[str, Any]]] = {}

    def fitted(self, transformer: Any, info: dict[str, Any]) -> None:
        """Remember a transformer that was fitted by itself, with what is to be said of it."""
        self._keep(self._transformers, transformer, info)

    def made(self, transformer: Any, output: Any) -> None:
        """Remember what a transformer returned, if it is one that is remembered."""
        found = self._transformers.get(id(transformer))
        if found is not None and found[0]() is transformer:
            self._keep(self._outputs, output, found[1])

    def of(self, data: dict[str, Any]) -> dict[str, Any]:
        """By argument name, the transformer that made it, itself saying where its own data came from."""
        origins = {name: self._origin(value) for name, value in data.items() if name in ("X", "y")}
        return {name: info for name, info in origins.items() if info is not None}

    def _origin(self, value: Any) -> dict[str, Any] | None:
        for _ in range(_MAX_BASES):
            if value is None:
                return None
            found = self._outputs.get(id(value))
            if found is not None and found[0]() is value:
                return found[1]
            value = getattr(value, "base", None) if type(value).__module__ == "numpy" else None
        return None

    @staticmethod
    def _keep(where: dict[int, tuple[weakref.ref[Any], dict[str, Any]]], key: Any, info: dict[str, Any]) -> None:
        number = id(key)
        try:
            where[number] = weakref.ref(key, lambda _: where.pop(number, None) and None), info
        except TypeError:  # lists and the like: their origin is not known
            return

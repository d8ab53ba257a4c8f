"""Which transformer made which array: by identity, through views, and never by keeping the data alive."""

from __future__ import annotations

from typing import Any

from autotrack_sklearn.identity import ByIdentity


class Lineage:
    """What is known of fitted transformers, and of the arrays that they returned."""

    def __init__(self) -> None:
        self._transformers: ByIdentity[dict[str, Any]] = ByIdentity()
        self._outputs: ByIdentity[dict[str, Any]] = ByIdentity()

    def fitted(self, transformer: Any, info: dict[str, Any]) -> None:
        """Remember a transformer that was fitted by itself, with what is to be said of it."""
        self._transformers.keep(transformer, info)

    def made(self, transformer: Any, output: Any) -> None:
        """Remember what a transformer returned, if it is one that is remembered."""
        info = self._transformers.get(transformer)
        if info is not None:
            self._outputs.keep(output, info)

    def of(self, data: dict[str, Any]) -> dict[str, Any]:
        """By argument name, the transformer that made it, itself saying where its own data came from."""
        origins = {name: self._outputs.of_view(value) for name, value in data.items() if name in ("X", "y")}
        return {name: info for name, info in origins.items() if info is not None}

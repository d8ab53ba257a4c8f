"""What was given to ``self.log``, as Lightning keeps it.

Nothing here computes a metric: ``trainer.callback_metrics`` does when it is asked, and then all ranks would have to
ask. Values of steps are read where ``self.log`` put them, those of epochs where Lightning puts them when it has
computed them for itself.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Results"]


class Results:
    """The logged metrics of one loop (training, validation or test) of a Trainer."""

    def __init__(self, trainer: Any, loop: Any) -> None:
        self._connector = trainer._logger_connector
        self._items: dict[str, Any] = loop._results
        self._names: dict[tuple[str, bool], str] = {}
        self._seen: dict[str, Any] = {}  # by name, the tensor that was there last

    def _name(self, key: str, meta: Any, on_step: bool) -> str:
        """The name that Lightning's loggers get: ``x_step`` and ``x_epoch`` where both are logged."""
        found = self._names.get((key, on_step))
        if found is None:
            found = str(meta.forked_name(on_step))
            if meta.add_dataloader_idx and meta.dataloader_idx is not None:
                found += f"/dataloader_idx_{meta.dataloader_idx}"
            self._names[key, on_step] = found
        return found

    def names(self) -> set[str]:
        """Names of all metrics that were ever logged here."""
        return {self._name(key, item.meta, on_step) for key, item in self._items.items() for on_step in (True, False)}

    def of_step(self) -> list[tuple[str, Any, str]]:
        """Metrics that were logged for a step since they were last asked for: name, tensor, and the hook that did."""
        found = []
        seen = self._seen
        for key, item in self._items.items():
            meta = item.meta
            if not meta.on_step or item.has_reset:
                continue
            tensor = item._forward_cache
            if tensor is None or tensor is seen.get(key):
                continue
            seen[key] = tensor
            if getattr(tensor, "numel", int)() == 1:
                found.append((self._name(key, meta, True), tensor, meta.fx))
        return found

    def of_epoch(self) -> dict[str, float]:
        """Metrics of whole epochs that Lightning computed since they were last asked for."""
        found = {}
        computed = self._connector._callback_metrics
        for key, item in self._items.items():
            if not item.meta.on_epoch:
                continue
            name = self._name(key, item.meta, False)
            tensor = computed.get(name)
            if tensor is None or tensor is self._seen.get(name + " of epoch"):
                continue
            self._seen[name + " of epoch"] = tensor
            if tensor.numel() == 1:
                found[name] = float(tensor.item())
        return found

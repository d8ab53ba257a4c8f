"""What a child process that Lightning spawned must know, so that it records where its parent would."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import autotrack

__all__ = ["Carried"]


class Carried(NamedTuple):
    """Settings on their way to a child process."""

    store: str
    experiment: str
    mode: Literal["on", "offline", "off"]
    models: Literal["auto", "always", "never"]

    @classmethod
    def of_this_process(cls) -> Carried:
        """Those in use here."""
        now = autotrack.current_settings()
        store = str(Path(now.store).absolute()) if now.store and "://" not in now.store else now.store
        return cls(store, now.experiment, now.mode, now.models)

    def use(self) -> None:
        """Use them here. A child whose script enabled the same has its integrations; any other needs none."""
        if self != Carried.of_this_process():
            autotrack.enable(**self._asdict(), integrations=[])

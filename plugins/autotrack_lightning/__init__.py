"""autotrack's plugin for Lightning, under both of its names: ``lightning`` and ``pytorch_lightning``.

Importing it imports neither. ``AutotrackCallback`` and ``AutotrackLogger`` are made for the package that has been
imported when they are asked for; for both, where both have been.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import autotrack
from autotrack_lightning.integration import LightningIntegration

if TYPE_CHECKING:
    from autotrack_lightning.for_lightning import AutotrackCallback, AutotrackLogger

__all__ = ["AutotrackCallback", "AutotrackLogger"]


@autotrack.hookimpl
def autotrack_integrations() -> list[autotrack.Integration]:
    """Record every ``Trainer.fit``."""
    return [LightningIntegration()]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'autotrack_lightning' has no attribute {name!r}")
    return getattr(importlib.import_module(f"autotrack_lightning.for_{_package()}"), name)


def _package() -> str:
    """Which package the classes are to suit."""
    imported = [
        name for name, top in (("lightning", "lightning.pytorch"), ("pytorch_lightning",) * 2) if top in sys.modules
    ]
    if imported:
        return "both" if len(imported) > 1 else imported[0]
    found = importlib.util.find_spec("lightning") or not importlib.util.find_spec("pytorch_lightning")
    return "lightning" if found else "pytorch_lightning"

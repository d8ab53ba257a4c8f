"""The classes for ``lightning.pytorch``. They stand in a module so that they pickle by name."""

from __future__ import annotations

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import Logger

from autotrack_lightning.callback import CallbackMethods
from autotrack_lightning.logger import LoggerMethods


class AutotrackCallback(CallbackMethods, Callback):
    """Records each ``fit`` of its Trainer; see ``CallbackMethods``."""


class AutotrackLogger(LoggerMethods, Logger):
    """A run as a logger; see ``LoggerMethods`` for its arguments."""

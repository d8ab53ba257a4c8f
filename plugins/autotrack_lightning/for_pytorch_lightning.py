"""The classes for ``pytorch_lightning``. They stand in a module so that they pickle by name."""

from __future__ import annotations

from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers.logger import Logger

from autotrack_lightning.callback import CallbackMethods
from autotrack_lightning.logger import LoggerMethods


class AutotrackCallback(CallbackMethods, Callback):
    """Records each ``fit`` of its Trainer; see ``CallbackMethods``."""


class AutotrackLogger(LoggerMethods, Logger):
    """A run as a logger; see ``LoggerMethods`` for its arguments."""

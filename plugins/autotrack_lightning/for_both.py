"""The classes where both packages have been imported, perhaps by a library: they suit either's Trainer."""

from __future__ import annotations

import lightning.pytorch
import lightning.pytorch.loggers.logger
import pytorch_lightning
import pytorch_lightning.loggers.logger

from autotrack_lightning.callback import CallbackMethods
from autotrack_lightning.logger import LoggerMethods


class AutotrackCallback(CallbackMethods, lightning.pytorch.Callback, pytorch_lightning.Callback):  # type: ignore[misc]
    """Records each ``fit`` of its Trainer; see ``CallbackMethods``."""


class AutotrackLogger(LoggerMethods, lightning.pytorch.loggers.logger.Logger, pytorch_lightning.loggers.logger.Logger):
    """A run as a logger; see ``LoggerMethods`` for its arguments."""

"""In IPython a training is at rest when its cell has ended, and goes on with the next step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import autotrack

__all__ = ["Cells"]


class Cells:
    """Tells when a cell has ended, with the exception that it raised."""

    def __init__(self, ended: Callable[[BaseException | None], None]) -> None:
        self._ended = ended
        self._shell: Any = None

    def watch(self) -> None:
        """From now on, if this is IPython."""
        get = getattr(sys.modules.get("IPython"), "get_ipython", None)
        shell = None if get is None else get()
        if shell is not None and self._shell is None:
            self._shell = shell
            shell.events.register("post_run_cell", self._after_cell)

    def close(self) -> None:
        """No longer."""
        if self._shell is not None:
            autotrack.foreign(self._shell.events.unregister, "post_run_cell", self._after_cell)
            self._shell = None

    def _after_cell(self, result: Any) -> None:
        with autotrack.protect("the end of a cell", "torch"):
            self._ended(getattr(result, "error_in_exec", None) or getattr(result, "error_before_exec", None))

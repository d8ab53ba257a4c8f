"""The code that trains: the entry script, or in IPython the cells run so far; the command line."""

from __future__ import annotations

import sys
from pathlib import Path

from autotrack.config import is_installed

__all__ = ["MAX_SOURCE", "cell_number", "command_line", "entry_script", "entry_source", "in_notebook"]

MAX_SOURCE = 1_000_000
"""Bytes kept of a source."""


def command_line() -> list[str]:
    """The interpreter's own arguments, as the process was started."""
    return list(sys.orig_argv)


def in_notebook() -> bool:
    """Whether this is IPython, in a terminal or behind a notebook."""
    return _shell() is not None


def _shell() -> object | None:
    ipython = sys.modules.get("IPython")
    get = getattr(ipython, "get_ipython", None)
    return get() if get is not None else None


def cell_number() -> int:
    """Number of the execution of a cell that is going on; 0 outside IPython."""
    number = getattr(_shell(), "execution_count", 0)
    return number if isinstance(number, int) else 0


def entry_script() -> str:
    """Path of the entry script, or empty. Asked early: at exit Python takes it away."""
    return str(getattr(sys.modules.get("__main__"), "__file__", None) or "")


def entry_source(script: str) -> tuple[str, str] | None:
    """(file name, text) of the code that this process runs; None for ``python -c``, bare prompts and tools.

    Args:
        script: What ``entry_script`` said.
    """
    shell = _shell()
    if shell is not None:
        cells = [cell for cell in getattr(shell, "user_ns", {}).get("In", []) if isinstance(cell, str) and cell.strip()]
        return "cells.py", "\n\n".join(f"# %% [{number}]\n{cell}" for number, cell in enumerate(cells, 1))[:MAX_SOURCE]
    if not script:
        return None
    path = Path(script)
    if is_installed(script):  # pytest's, say: no code of the user's
        return None
    try:
        with path.open("rb") as file:
            return path.name, file.read(MAX_SOURCE).decode(errors="surrogateescape")  # byte by byte as it is
    except OSError:
        return None

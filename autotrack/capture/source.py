"""The code that trains: the entry script, or in IPython the cells run so far; the command line."""

from __future__ import annotations

import sys
from pathlib import Path

from autotrack.config import is_installed

__all__ = [
    "MAX_SOURCE",
    "cell_number",
    "cells",
    "command_line",
    "entry_script",
    "in_notebook",
    "own_script",
    "script_source",
]

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


def cells() -> str | None:
    """The cells run so far, in order; None outside IPython."""
    shell = _shell()
    if shell is None:
        return None
    ran = [cell for cell in getattr(shell, "user_ns", {}).get("In", []) if isinstance(cell, str) and cell.strip()]
    return "\n\n".join(f"# %% [{number}]\n{cell}" for number, cell in enumerate(ran, 1))[:MAX_SOURCE]


def own_script(script: str) -> str:
    """The script, if it is the user's: empty for ``python -c``, bare prompts, notebooks and tools such as pytest."""
    return "" if in_notebook() or is_installed(script) else script


def script_source(script: str) -> tuple[str, str] | None:
    """(file name, text) of a script; None where there is none. Bytes that are no UTF-8 are lone surrogates in it."""
    if not script:
        return None
    path = Path(script)
    try:
        with path.open("rb") as file:
            return path.name, file.read(MAX_SOURCE).decode(errors="surrogateescape")
    except OSError:
        return None

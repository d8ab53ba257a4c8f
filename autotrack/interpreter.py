"""Whether a Python can be started beside this one."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["can_start_python"]


def can_start_python() -> bool:
    """Whether ``sys.executable`` is an interpreter: where Python is part of a program, that program may start anew."""
    return Path(sys.executable or "").name.startswith(("python", "pypy")) and not hasattr(sys, "frozen")

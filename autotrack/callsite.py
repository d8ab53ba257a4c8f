"""Where a training was started: the line of the user's code, and the library between that line and the training.

Frames are walked outwards from the training. Machinery is passed over: autotrack and its plugins, the standard
library, the frameworks that are recorded, and libraries that wrap ``fit`` themselves.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from autotrack.capture.source import cell_number

__all__ = ["CallSite", "find_call_site"]

_USER = ""
_MACHINERY = "<machinery>"
_TRACKERS = frozenset({"clearml", "comet_ml", "mlflow", "wandb"})  # they wrap fit; who called them called it
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118, PTH120  compared as text, for each file once

_owners: dict[str, str] = {}


class CallSite(NamedTuple):
    """A line that trains.

    Attributes:
        file: Its file; of a library only where no code of the user's is on the stack (in a thread, say).
        line: Its line there.
        cell: In a notebook the number of the execution: the same cell run again is another loop.
        library: Top-level name of the library in site-packages that started the training by itself, or empty.
    """

    file: str
    line: int
    cell: int
    library: str

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


def find_call_site(frameworks: frozenset[str]) -> CallSite:
    """The line of the caller's caller, or further out, that started a training.

    Args:
        frameworks: Top-level names of packages that are machinery here: what is recorded, and what records it.
    """
    frame = sys._getframe(1)
    outermost = frame
    library, site = "", None
    while frame is not None:
        file = frame.f_code.co_filename
        owner = _owners.get(file)
        if owner is None:
            owner = _owners[file] = _owner(file)
        if owner is not _MACHINERY and owner not in frameworks and owner not in _TRACKERS:
            module = str(frame.f_globals.get("__name__"))
            if owner == _USER or module == "__main__" or owner == _main_package():
                # A framework may lie elsewhere than in site-packages: it is known by the name of its module.
                top = module.partition(".")[0]
                if top not in frameworks and top != "autotrack" and not top.startswith("autotrack_"):
                    return CallSite(file, frame.f_lineno, cell_number(), library)
            elif not library:
                library, site = owner, frame
        outermost = frame
        frame = frame.f_back  # type: ignore[assignment]
    found = site or outermost
    return CallSite(found.f_code.co_filename, found.f_lineno, cell_number(), library)


def _owner(file: str) -> str:
    """Whose file it is: the user's, machinery, or of the library with this top-level name."""
    parts = Path(file).parts
    for index, part in enumerate(parts[:-1]):
        if part in ("site-packages", "dist-packages"):
            return parts[index + 1].removesuffix(".py")
    if file.startswith((_STANDARD, "<frozen ", "<autotrack ")):
        return _MACHINERY
    return _USER


def _main_package() -> str:
    """Top-level name of the package that runs as ``python -m``: the user's, wherever it is installed."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return str(getattr(spec, "name", "")).partition(".")[0]

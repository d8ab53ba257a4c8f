"""The runs of a store, read as anybody else would."""

from pathlib import Path

import autotrack
from autotrack.reader import RunRecord


def recorded(folder: Path) -> list[RunRecord]:
    """Runs in the store that a script made in its working folder, newest first."""
    return list(autotrack.runs(store=folder / ".autotrack"))

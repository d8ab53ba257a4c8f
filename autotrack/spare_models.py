"""Models that a rule says are too many: found here, deleted with a word in their runs, which stay."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from autotrack.backends.edits import is_folder
from autotrack.backends.file_source import FileSource
from autotrack.backends.waste import Waste, waste_at
from autotrack.matching import Order
from autotrack.reader import RunRecord
from autotrack.run_list import list_runs

__all__ = ["spare_models"]

_LIVE = ("running", "idle", "lost")

_YOUNG = 60.0
"""Seconds for which files may still come to a model, or it is on its way to its safe form."""


def spare_models(source: FileSource, keep: int, orders: Sequence[Order] = ()) -> Iterator[Waste]:
    """Models of all runs but ``keep`` of each experiment, and of their children.

    Runs that go on and models of the last minute are left alone, and so are registered models, which are copies.

    Args:
        source: The store.
        keep: So many runs of each experiment keep their models; runs without models do not count.
        orders: The first ones in this order do; by default the newest.
    """
    seen: Counter[str] = Counter()
    for run in list_runs(source, orders=orders, archived=True):
        folder = source.root / "runs" / run.id
        found = [(one, models) for one, models in _folders(run, folder) if is_folder(models)]
        if not found or run.status in _LIVE:
            continue
        seen[run.experiment] += 1
        if seen[run.experiment] > keep:
            for one, models in found:
                waste = waste_at("spare model", source.root, models, partial(_delete, source, one, models, keep))
                if waste.age > _YOUNG:
                    yield waste


def _folders(run: RunRecord, folder: Path) -> Iterator[tuple[RunRecord, Path]]:
    """The run and its descendants, each with the folder of its models."""
    yield run, folder / "models"
    if is_folder(folder / "children"):
        waiting = list(run.children)
        while waiting:
            child = waiting.pop()
            waiting += child.children
            yield child, folder / "children" / child.id.partition(".")[2] / "models"


def _delete(source: FileSource, run: RunRecord, folder: Path, keep: int) -> None:
    """First the word, then the deed: files that nobody names any more are waste, should we be stopped in between."""
    said = f"by `autotrack gc --keep-models {keep}` on {time.strftime('%Y-%m-%d')}"
    known = [model for model in run.models.values() if not model.gone]
    if known:
        gone = [msgspec.structs.replace(model, gone=said, becomes="") for model in known]
        source.edit(run.id.partition(".")[0], gone)
    shutil.rmtree(folder, ignore_errors=True)

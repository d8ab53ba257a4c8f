"""Which columns a list of runs has, and what stands in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len

from autotrack.errors import FilterError
from autotrack.filter import parse_order
from autotrack.matching import ATTRIBUTES, Order
from autotrack.reader import RunRecord
from autotrack.texts import ago, number, printable, seconds, short_name

__all__ = ["Column", "chosen_columns", "usual_columns", "usual_metrics"]

_MOST = 3
_NAME, _SHORT_NAME = 40, 28
_GAP = 2
_COMMA = re.compile(r",(?=(?:[^`]*`[^`]*`)*[^`]*$)")  # not in backticks


class Column(NamedTuple):
    """A header and a cell for each run. ``rank``: where there is no room, the columns of the highest are left out."""

    name: str
    cells: list[str]
    right: bool = True
    rank: int = 0

    @property
    def width(self) -> int:
        """Cells of the terminal, with the gap to the next one."""
        return max(map(cell_len, [self.name, *self.cells])) + _GAP


_HOW = ("n_iter", "lr", "time")
_ASIDE = ("random_state", "n_jobs", "verbose", "seed")  # not what a model is; of a step of a pipeline, too


def usual_metrics(runs: Iterable[RunRecord]) -> list[str]:
    """Names of the metrics worth a column: those that most runs have; what says how it was done after all others."""
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.metrics.keys())
    for key in [key for key in counts if key.endswith("_time")]:  # nearly what the column "took" says
        del counts[key]
    # How long a solver took or what its steps were is what is asked for last, and nearly every run has it.
    return sorted(counts, key=lambda key: (key.partition("/")[0] in _HOW, -counts[key], key))[:_MOST]


def _params(runs: Sequence[RunRecord]) -> list[str]:
    """Names of the params worth a column: not all default; those that tell the runs apart come first."""
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.changed)
    same = {key: len({repr(run.params[key]) for run in runs if key in run.params}) < 2 for key in counts}
    return sorted(counts, key=lambda key: (same[key], key.endswith(_ASIDE), -counts[key], key))[:_MOST]


def usual_columns(runs: Sequence[RunRecord], width: int | None, metric: str | None = None) -> list[Column]:
    """The columns that matter most, in so many cells: the score and what was changed come before how long it took.

    ``metric`` is the one that matters here.
    """
    narrow = width is not None and width < 100
    columns = [
        Column("run", [short_name(run.name, _SHORT_NAME if narrow else _NAME) for run in runs], False),
        Column("status", [printable(run.status, 12) for run in runs], False),
        Column("started", [ago(run.start) for run in runs], False, 5),
        Column("took", [seconds(run.duration) for run in runs], rank=7),
    ]
    if any(run.child_count for run in runs):
        columns.append(Column("children", [f"{run.child_count:,}" if run.child_count else "" for run in runs], rank=10))
    for key, rank in zip([metric] if metric is not None else usual_metrics(runs), (1, 6, 9), strict=False):
        columns.append(Column(printable(key, 30), [_metric(run, key) for run in runs], rank=rank))
    for key, rank in zip(_params(runs), (2, 3, 8), strict=False):
        columns.append(Column(printable(key, 30), [_param(run, key) for run in runs], rank=rank))
    while width is not None and len(columns) > 2 and sum(column.width for column in columns) - _GAP > width:
        columns.remove(max(columns, key=lambda column: column.rank))
    return columns


def _metric(run: RunRecord, key: str) -> str:
    return number(run.metrics[key]) if key in run.metrics else ""


def _param(run: RunRecord, key: str) -> str:
    return printable(run.params[key], 24) if key in run.params else ""


_ATTRIBUTES: dict[str, Callable[[Any], str]] = {
    "start_time": lambda value: ago(value / 1000),
    "end_time": lambda value: ago(value / 1000),
    "duration": seconds,
}


def chosen_columns(runs: Sequence[RunRecord], names: str) -> list[Column]:
    """The columns that somebody named: ``metrics.accuracy,params.C,duration``; the run's name comes first.

    Raises:
        FilterError: A name is not understood.
    """
    texts = _COMMA.split(names)
    orders = [parse_order(text) for text in texts]
    for order, text in zip(orders, texts, strict=True):
        if order.descending:
            raise FilterError(f"{text.strip()!r} is an order, not a column; sort with --sort")
    return [
        Column("run", [short_name(run.name, _NAME) for run in runs], False),
        *(_column(runs, order) for order in orders),
    ]


def _column(runs: Sequence[RunRecord], order: Order) -> Column:
    entity, key, _ = order
    if entity == "metrics":
        return Column(printable(key, 30), [_metric(run, key) for run in runs])
    if entity == "params":
        return Column(printable(key, 30), [_param(run, key) for run in runs])
    if entity == "tags":
        return Column(printable(key, 30), [printable(run.tags.get(key, ""), 40) for run in runs], False)
    found = [ATTRIBUTES[key](run) for run in runs]
    text = _ATTRIBUTES.get(key, lambda value: printable(value, 60))
    return Column(key, ["" if value is None else text(value) for value in found], key in _ATTRIBUTES)

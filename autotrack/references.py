"""From a reference to the run that it means."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Iterator

from autotrack.backends.base import RUN_ID, RunSource
from autotrack.backends.heads import Query, RunHead
from autotrack.errors import AmbiguousReference, RunNotFound
from autotrack.experiment import experiment_names
from autotrack.matching import Order
from autotrack.reader import RunRecord, open_run
from autotrack.run_list import RunList, heads_in

__all__ = ["find_run"]

_EXTREME = re.compile(r"@(max|min):(.+)", re.DOTALL)


def find_run(source: RunSource, ref: str) -> RunRecord:
    """The run that a reference means.

    Args:
        source: Where to look.
        ref: An id, ``@last``, ``@max:accuracy``, ``@min:loss``, a name, or else a unique beginning of an id or of
            its random part (random: a name must win). A child is ``<id of its parent>.<number>``.

    Raises:
        RunNotFound: It means none.
        AmbiguousReference: It means several; the message lists them.
    """
    base, _, child = ref.partition(".")
    if RUN_ID.fullmatch(base) and (child or base == ref):
        try:
            run = open_run(source, base)
        except RunNotFound:  # a name may look like an id
            pass
        else:
            return _descendant(run, ref, child)
    match = _EXTREME.fullmatch(ref)
    if ref == "@last":
        candidates = [head.id for head in itertools.islice(_all(source), 1)]
    elif match:
        candidates = _extreme(source, match[1], match[2])
    else:
        candidates = [head.id for head in _all(source, archived=True) if head.name == ref]
        if len(candidates) > 1:
            _only(candidates, ref)
        if not candidates and base and (child or base == ref):
            begun = [
                run_id
                for run_id in source.run_ids()
                if base in (run_id[: len(base)], run_id.partition("-")[2][: len(base)])
            ]
            if begun:
                return _descendant(open_run(source, _only(begun, ref)), ref, child)
    if not candidates:
        if (ref == "@last" or match) and any(_all(source, archived=True)):
            raise RunNotFound(f"{ref}: all runs here are of archived experiments; `autotrack experiments ls --all`")
        raise RunNotFound(f"no run matches {ref!r} among {len(source.run_ids())} runs; `autotrack ls` lists them")
    return open_run(source, candidates[0])


def _all(source: RunSource, *orders: Order, archived: bool = False) -> Iterator[RunHead]:
    return heads_in(source, Query(orders=orders), experiment_names(source), archived)


def _only(ids: list[str], ref: str) -> str:
    if len(ids) > 1:
        raise AmbiguousReference(f"{ref!r} means {len(ids)} runs: {', '.join(ids[:10])}; write more of the id")
    return ids[0]


def _extreme(source: RunSource, which: str, key: str) -> list[str]:
    found = [(head.metrics, head.id) for head in _all(source, Order("metrics", key))]
    if found and not any(key in metrics for metrics, _ in found):
        known = {name for run in RunList(source, [run_id for _, run_id in found]) for name in run.metrics}
        # Without the data it is of, where that is clear: accuracy for accuracy_on_X_test.
        of_data = [name for name in known if name.startswith(f"{key}_on_")]
        if len(of_data) == 1:
            return _extreme(source, which, of_data[0])
        names = sorted(known, key=lambda name: (not name.startswith(key), name))
        raise RunNotFound(f"no run has a metric {key!r}; there are: {', '.join(names[:20]) or 'none'}")
    scored = [(metrics[key], run_id) for metrics, run_id in found if key in metrics and not math.isnan(metrics[key])]
    if found and not scored:
        raise RunNotFound(f"metric {key!r} is NaN in all runs that have it")
    pick = max if which == "max" else min
    return [pick(scored, key=operator.itemgetter(0))[1]] if scored else []


def _descendant(run: RunRecord, ref: str, child: str) -> RunRecord:
    if not child:
        return run
    waiting = list(run.children)
    while waiting:
        candidate = waiting.pop()
        if candidate.id == f"{run.id}.{child}":
            return candidate
        waiting += candidate.children
    raise RunNotFound(f"run {run.id} has no child {child!r} (of {ref!r}); it has {len(run.children)} children")

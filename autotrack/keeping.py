"""Keeping a store in order: experiments, and runs that were removed."""

from __future__ import annotations

import os
from collections import defaultdict

from autotrack.backends.base import new_run_id
from autotrack.backends.heads import Query
from autotrack.errors import AmbiguousReference, ExperimentNotFound, RunNotFound
from autotrack.experiment import Experiment, experiment_names, names_told, told_experiments
from autotrack.lookup import source_of
from autotrack.reader import RunRecord, read_run
from autotrack.records import Restored
from autotrack.references import find_run
from autotrack.run_list import heads_in

__all__ = ["experiments", "get_experiment", "removed_runs", "restore_run"]


def experiments(*, archived: bool = False, store: str | os.PathLike[str] | None = None) -> list[Experiment]:
    """The experiments of a store, the one of the newest run first. One is there as soon as a run names it.

    Args:
        archived: Whether those that were archived are among them.
        store: Where to look. Default: the store in use, else the one found from here.
    """
    source = source_of(store)
    told = told_experiments(source)
    found = {experiment.name: experiment for experiment in told}
    names = names_told(told)
    starts: defaultdict[str, list[float]] = defaultdict(list)
    for head in heads_in(source, Query(), names, archived=True):
        starts[head.experiment].append(head.start)
    for name, times in starts.items():
        experiment = found.setdefault(name, Experiment(name, [name], _source=source))
        experiment.runs, experiment.last = len(times), max(times)
        experiment.archived = names.hides(name, experiment.last)
    for experiment in found.values():
        experiment._taken = frozenset(found)
    shown = [experiment for experiment in found.values() if archived or not experiment.archived]
    return sorted(shown, key=lambda experiment: (-(experiment.last or 0.0), experiment.name))


def get_experiment(name: str, *, store: str | os.PathLike[str] | None = None) -> Experiment:
    """One experiment, by a name that it has or had.

    Raises:
        ExperimentNotFound: There is none, neither described nor named by a run.
    """
    known = experiments(archived=True, store=store)
    meant = experiment_names(source_of(store)).of(name)
    for experiment in known:
        if experiment.name == meant:
            return experiment
    names = ", ".join(experiment.name for experiment in known[:20]) or "none"
    raise ExperimentNotFound(f"no experiment {name!r}; there are: {names}")


def removed_runs(*, store: str | os.PathLike[str] | None = None) -> list[RunRecord]:
    """Runs in the trash, newest first."""
    trash = source_of(store).removed()
    return [] if trash is None else [read_run(trash, run_id) for run_id in reversed(trash.run_ids())]


def restore_run(ref: str, *, store: str | os.PathLike[str] | None = None) -> RunRecord:
    """Bring back a run that was removed.

    Args:
        ref: Its id, a unique beginning of it or of its random part, or its name. A child run by its whole id.
        store: As for ``get_run``.

    Raises:
        RunNotFound: There is none in the trash.
        AmbiguousReference: There are several; the message lists them.
        StoreError: It cannot be brought back; the message says why.
    """
    source = source_of(store)
    run_id = removed_id(ref, removed_runs(store=store))
    base, _, child = run_id.partition(".")
    if child:
        source.edit(base, [Restored(c=child)])
    else:
        source.restore(base)
    return find_run(source, run_id)


def removed_id(ref: str, trash: list[RunRecord]) -> str:
    """The id that a reference to a removed run means; one that is in no trash may be whole, or a child's."""
    ids = [run.id for run in trash]
    if ref in ids:
        return ref
    meant = [run.id for run in trash if run.name == ref] or [
        run_id for run_id in ids if ref and (run_id.startswith(ref) or run_id.partition("-")[2].startswith(ref))
    ]
    if len(meant) > 1:
        raise AmbiguousReference(f"{ref!r} means {len(meant)} removed runs: {', '.join(meant[:10])}; write more of it")
    if not meant and len(ref) < len(new_run_id(0)):
        raise RunNotFound(f"no removed run matches {ref!r}; `autotrack restore` lists the {len(ids)} in the trash")
    return meant[0] if meant else ref

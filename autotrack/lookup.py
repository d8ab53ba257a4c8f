"""Reading back what was recorded: the public functions that a training does not need."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autotrack import api, config, plugins
from autotrack.backends.base import RunSource
from autotrack.backends.file import FileBackend
from autotrack.backends.null import NullBackend
from autotrack.errors import ConfigError, StoreError
from autotrack.filter import parse_filter, parse_order
from autotrack.reader import RunRecord
from autotrack.references import find_run
from autotrack.run_list import RunList, list_children, list_runs
from autotrack.session import open_backend

if TYPE_CHECKING:
    from autotrack.session import AnyBackend

__all__ = ["backend_of", "get_run", "runs", "source_of"]


def backend_of(store: str | os.PathLike[str] | None) -> AnyBackend:
    """A store; by default the one in use, else the one found from here.

    Raises:
        StoreError: ``store`` names a folder that is none.
    """
    if store is not None:
        if config.is_remote(os.fspath(store)):
            raise StoreError("runs can be read from a server, and are copied to it; they are changed in their folder")
        backend = open_backend(os.fspath(store))
        if isinstance(backend, FileBackend):
            _check_is_store(backend.root)
    elif (session := api.session_in_use()) is not None:
        backend = session.backend
    else:
        backend = open_backend(config.resolve().store)
    return open_backend(config.resolve().store) if isinstance(backend, NullBackend) else backend


def _check_is_store(root: Path) -> None:
    session = api.session_in_use()
    in_use = None if session is None else getattr(session.backend, "root", None)
    if in_use is not None and in_use.resolve() == root.resolve():
        return  # its folder is made by the first run
    if not (root / "store.json").exists() and not (root / "runs").is_dir():
        inner = root / config.STORE_FOLDER
        raise StoreError(f"there is no store at {root}" + (f"; did you mean {inner}?" if inner.is_dir() else ""))


def source_of(store: str | os.PathLike[str] | None) -> RunSource:
    """The reading half of a store.

    By default of the one in use; where that is a server, of the folder from which the runs are copied to it.
    """
    if store is not None and config.is_remote(os.fspath(store)):
        return plugins.check_remote(os.fspath(store)).source(os.fspath(store))
    source: RunSource = backend_of(store).source()  # type: ignore[union-attr]
    return source


def runs(
    filter: str | None = None,  # noqa: A002  what it is called everywhere
    experiment: str | None = None,
    order_by: str | Sequence[str] | None = None,
    limit: int | None = None,
    *,
    parent: str | None = None,
    store: str | os.PathLike[str] | None = None,
) -> RunList:
    """Recorded runs, newest first.

    Args:
        filter: Only those that meet it: ``"metrics.accuracy > 0.9 and params.C = 10"``, in MLflow's search syntax.
        experiment: Only those of this experiment, by any name that it has or had. Default: all but the archived.
        order_by: Sort by this, ``"metrics.accuracy DESC"``, or by several.
        limit: At most so many.
        parent: The child runs of this run, in the order of their start, in place of runs that have no parent.
        store: Where to look. Default: the store in use, else the one found from here.

    Raises:
        FilterError: The filter or the order is not understood; the message shows the place.
        RunNotFound: There is no such parent.
        StoreError: There is no store at ``store``.
    """
    conditions = parse_filter(filter or "")
    orders = [parse_order(text) for text in ([order_by] if isinstance(order_by, str) else order_by or ())]
    source = source_of(store)
    if parent is None:
        return list_runs(source, experiment, limit, conditions, orders)
    if experiment is not None:
        raise ConfigError("child runs are where their parent is: name an experiment or a parent, not both")
    return list_children(find_run(source, parent), limit, conditions, orders)


def get_run(ref: str, *, store: str | os.PathLike[str] | None = None) -> RunRecord:
    """One recorded run.

    Args:
        ref: Its id, a unique beginning of it or of its random part, its name, ``@last``, ``@max:accuracy`` or
            ``@min:loss``.
        store: As for ``runs``.

    Raises:
        RunNotFound: There is none.
        AmbiguousReference: There are several; the message lists them.
    """
    return find_run(source_of(store), ref)

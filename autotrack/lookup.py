"""Reading back what was recorded: the public functions that a training does not need."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Sequence
from typing import Any

from autotrack import api, config, models, plugins, reader
from autotrack.backends.base import RunSource
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.null import NullBackend
from autotrack.errors import ModelError
from autotrack.filter import parse_filter, parse_order
from autotrack.models import conversion
from autotrack.reader import RunList, RunRecord
from autotrack.records import Model
from autotrack.session import open_backend

__all__ = ["get_run", "load_model", "runs", "source_of"]

CONVERSION_WAIT = 60.0
"""Seconds that ``load_model`` waits for a model of this very process to get its safe form."""

YOUNG = 20.0
"""Age in seconds up to which a model of another process may still be on its way to its safe form."""


def source_of(store: str | os.PathLike[str] | None) -> RunSource:
    """The reading half of a store; by default of the one in use, else of the one found from here."""
    if store is not None:
        backend: Any = open_backend(os.fspath(store))
    elif (session := api.session_in_use()) is not None:
        backend = session.backend
    else:
        backend = open_backend(config.resolve().store)
    if isinstance(backend, NullBackend):
        backend = open_backend(config.resolve().store)
    source: RunSource = backend.source()
    return source


def runs(
    filter: str | None = None,  # noqa: A002  what it is called everywhere
    experiment: str | None = None,
    order_by: str | Sequence[str] | None = None,
    limit: int | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
) -> RunList:
    """Recorded runs, newest first.

    Args:
        filter: Only those that meet it: ``"metrics.accuracy > 0.9 and params.C = 10"``, in MLflow's search syntax.
        experiment: Only those of this experiment, by any name that it has or had. Default: all but the archived.
        order_by: Sort by this, ``"metrics.accuracy DESC"``, or by several.
        limit: At most so many.
        store: Where to look. Default: the store in use, else the one found from here.

    Raises:
        FilterError: The filter or the order is not understood; the message shows the place.
    """
    conditions = parse_filter(filter or "")
    orders = [parse_order(text) for text in ([order_by] if isinstance(order_by, str) else order_by or ())]
    return reader.list_runs(source_of(store), experiment, limit, conditions, orders)


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
    return reader.find_run(source_of(store), ref)


def load_model(
    ref: str, trusted: list[str] | bool | None = None, *, store: str | os.PathLike[str] | None = None
) -> Any:
    """Load a recorded model. Nothing is unpickled, and no unknown type is made, without the caller's word.

    Args:
        ref: A run as for ``get_run``, or ``<run>/<model name>`` where a run has several; ``model-best`` beside
            ``model`` is the state in which an evaluation was best.
        trusted: Names of types that you vouch for; True for the whole file, whatever is in it.
        store: As for ``runs``.

    Raises:
        RunNotFound: There is no such run.
        ModelNotTrusted: More would have to be trusted; the message says what.
        ModelError: The run has no such model, or the file is not what was saved.
    """
    source = source_of(store)
    housekeeper.wait_idle(CONVERSION_WAIT)  # this very process may be writing it
    ref, _, name = ref.partition("/")
    run, model = _find_model(source, ref, name)
    deadline = time.monotonic() + CONVERSION_WAIT
    while _gets_safe(run, model, trusted) and time.monotonic() < deadline:
        time.sleep(0.05)
        run, model = _find_model(source, run.id, name)
    try:
        data = _content(run, model)
    except FileNotFoundError:  # perhaps it was turned into its safe form just now
        run, model = _find_model(source, run.id, name)
        try:
            data = _content(run, model)
        except FileNotFoundError:
            raise ModelError(f"the file of model {model.name!r} of run {run.name} is gone: {model.path}") from None
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise ModelError(f"{model.path} of run {run.name} is not the file that was saved (its sha256 differs)")
    for form in plugins.model_formats():
        models.register_format(form)
    return models.load(data, model.format, trusted, f"model {model.name!r} of run {run.name}")


def _content(run: RunRecord, model: Model) -> bytes:
    with run._open(model.path) as file:
        return file.read()


def _find_model(source: RunSource, ref: str, name: str) -> tuple[RunRecord, Model]:
    run = reader.find_run(source, ref)
    if not run.models:
        why = "; ".join(text for _, text in run.notes if "model" in text)
        raise ModelError(f"run {run.name} has no model" + (f": {why}" if why else ""))
    # A loop keeps a model as it was last, and beside it as it was best.
    meant = [known for known in run.models if not known.endswith("-best")] or list(run.models)
    name = name or (meant[0] if len(meant) == 1 else "")
    if name not in run.models:
        have = ", ".join(f"{run.id}/{known}" for known in run.models)
        raise ModelError(f"run {run.name} has no single model {name!r}; name one of: {have}")
    return run, run.models[name]


def _gets_safe(run: RunRecord, model: Model, trusted: list[str] | bool | None) -> bool:
    """Whether a pickle is still to be turned into its safe form, by our helper or by another process's."""
    if trusted is True or model.format != "pickle" or model.stays:
        return False
    return conversion.under_way(model.sha256) or (bool(model.becomes) and _age(run, model) < YOUNG)


def _age(run: RunRecord, model: Model) -> float:
    """Seconds since the model's file was written; infinite where it is gone or no file."""
    try:
        with run._open(model.path) as file:
            return time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return math.inf

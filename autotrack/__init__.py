"""Experiment tracking that nobody has to type: ``import autotrack; autotrack.enable()``.

Importing this module loads nothing, starts nothing and touches no file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotrack.api import (
        Training,
        active_run,
        begin_training,
        current_settings,
        disable,
        enable,
        ending,
        ignored_training,
        in_background,
        init_store,
        join_run,
        last_run,
        log_artifact,
        log_figure,
        log_metrics,
        log_model,
        log_params,
        run_here,
        set_tags,
        start_run,
        training,
    )
    from autotrack.backends.registry import ModelVersion, RegisteredModel
    from autotrack.capture.dataset import describe_columns, describe_data
    from autotrack.capture.shapes import describe_batch, merge_shapes
    from autotrack.children import ChildRun
    from autotrack.context import Scope, current_scope, in_scope, in_training
    from autotrack.errors import (
        AmbiguousReference,
        ArtifactPathError,
        AutotrackError,
        ConfigError,
        ExperimentNotFound,
        FilterError,
        ModelError,
        ModelNotFound,
        ModelNotTrusted,
        NoActiveRun,
        PatchError,
        RunNotFound,
        StoreError,
        StoreVersionError,
    )
    from autotrack.experiment import Experiment
    from autotrack.guard import attempt, foreign, protect
    from autotrack.hookspecs import hookimpl
    from autotrack.integration import Integration
    from autotrack.keeping import experiments, get_experiment, restore_run
    from autotrack.lookup import get_run, runs
    from autotrack.model_lookup import get_model, load_model
    from autotrack.models import Exported, ModelFormat, Saved
    from autotrack.patching import Call, Outcome, PatchSet, caller
    from autotrack.reader import History, Point, RunRecord
    from autotrack.readings import Reading, Readings
    from autotrack.registering import get_registered_model, register_model, registered_models, update_model
    from autotrack.run import Run
    from autotrack.run_list import RunList
    from autotrack.stored import StoredModel
    from autotrack.values import is_default, to_json
    from autotrack.workers import WorkerContext, send_along, sent_along, worker_context

__version__ = "0.1.0"

_HOMES = {
    "autotrack.api": (
        "Training", "active_run", "begin_training", "current_settings", "disable", "enable", "ending",
        "ignored_training", "in_background", "init_store", "join_run", "last_run", "log_artifact", "log_figure",
        "log_metrics", "log_model", "log_params", "run_here", "set_tags", "start_run", "training",
    ),
    "autotrack.backends.registry": ("ModelVersion", "RegisteredModel"),
    "autotrack.capture.dataset": ("describe_columns", "describe_data"),
    "autotrack.capture.shapes": ("describe_batch", "merge_shapes"),
    "autotrack.children": ("ChildRun",),
    "autotrack.context": ("Scope", "current_scope", "in_scope", "in_training"),
    "autotrack.errors": (
        "AmbiguousReference", "ArtifactPathError", "AutotrackError", "ConfigError", "ExperimentNotFound", "FilterError",
        "ModelError", "ModelNotFound",
        "ModelNotTrusted", "NoActiveRun", "PatchError", "RunNotFound", "StoreError", "StoreVersionError",
    ),
    "autotrack.experiment": ("Experiment",),
    "autotrack.guard": ("attempt", "foreign", "protect"),
    "autotrack.hookspecs": ("hookimpl",),
    "autotrack.integration": ("Integration",),
    "autotrack.keeping": ("experiments", "get_experiment", "restore_run"),
    "autotrack.lookup": ("get_run", "runs"),
    "autotrack.model_lookup": ("get_model", "load_model"),
    "autotrack.models": ("Exported", "ModelFormat", "Saved"),
    "autotrack.patching": ("Call", "Outcome", "PatchSet", "caller"),
    "autotrack.reader": ("History", "Point", "RunRecord"),
    "autotrack.readings": ("Reading", "Readings"),
    "autotrack.registering": ("get_registered_model", "register_model", "registered_models", "update_model"),
    "autotrack.run": ("Run",),
    "autotrack.run_list": ("RunList",),
    "autotrack.stored": ("StoredModel",),
    "autotrack.values": ("is_default", "to_json"),
    "autotrack.workers": ("WorkerContext", "send_along", "sent_along", "worker_context"),
}  # fmt: skip

__all__ = [
    "AmbiguousReference",
    "ArtifactPathError",
    "AutotrackError",
    "Call",
    "ChildRun",
    "ConfigError",
    "Experiment",
    "ExperimentNotFound",
    "Exported",
    "FilterError",
    "History",
    "Integration",
    "ModelError",
    "ModelFormat",
    "ModelNotFound",
    "ModelNotTrusted",
    "ModelVersion",
    "NoActiveRun",
    "Outcome",
    "PatchError",
    "PatchSet",
    "Point",
    "Reading",
    "Readings",
    "RegisteredModel",
    "Run",
    "RunList",
    "RunNotFound",
    "RunRecord",
    "Saved",
    "Scope",
    "StoreError",
    "StoreVersionError",
    "StoredModel",
    "Training",
    "WorkerContext",
    "__version__",
    "active_run",
    "attempt",
    "begin_training",
    "caller",
    "current_scope",
    "current_settings",
    "describe_batch",
    "describe_columns",
    "describe_data",
    "disable",
    "enable",
    "ending",
    "experiments",
    "foreign",
    "get_experiment",
    "get_model",
    "get_registered_model",
    "get_run",
    "hookimpl",
    "ignored_training",
    "in_background",
    "in_scope",
    "in_training",
    "init_store",
    "is_default",
    "join_run",
    "last_run",
    "load_model",
    "log_artifact",
    "log_figure",
    "log_metrics",
    "log_model",
    "log_params",
    "merge_shapes",
    "protect",
    "register_model",
    "registered_models",
    "restore_run",
    "run_here",
    "runs",
    "send_along",
    "sent_along",
    "set_tags",
    "start_run",
    "to_json",
    "training",
    "update_model",
    "worker_context",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'autotrack' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

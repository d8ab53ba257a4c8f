"""Runs to copy, and what MLflow's own client reads of their copies."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from autotrack import plugins
from autotrack.forward import Forwarder, sync


def copy(store: Path, address: str, patience: float = 60.0) -> Forwarder:
    """Copy all runs of a store, as ``autotrack sync`` does."""
    remote = plugins.remote(address)
    forwarder = Forwarder(store, remote)
    try:
        sync(forwarder, patience=patience, tell=lambda text: None)
    finally:
        remote.close()
    return forwarder


def client(address: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(address)


def on_server(address: str, experiment: str) -> dict[str, Any]:
    """The active runs of an experiment by the id that they have with us; each once."""
    found = client(address).get_experiment_by_name(experiment)
    if found is None:
        return {}
    runs = client(address).search_runs([found.experiment_id])
    ids = [run.data.tags["autotrack.id"] for run in runs]
    assert len(ids) == len(set(ids)), "a run is there twice"
    return dict(zip(ids, runs, strict=True))


def points(address: str, run: Any, key: str) -> list[tuple[int, float]]:
    """Steps and values of a metric, sorted."""
    return sorted((m.step, m.value) for m in client(address).get_metric_history(run.info.run_id, key))


def sync_process(store: Path, address: str, **options: Any) -> "subprocess.Popen[str]":
    """``autotrack sync`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "autotrack", "sync", "--store", store, "--to", address],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options,
    )  # fmt: skip

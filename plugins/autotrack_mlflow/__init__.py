"""Runs on a stock MLflow tracking server, over its REST API and without the mlflow package."""

from __future__ import annotations

import autotrack
from autotrack.remote import Offer, Remote, RunSource

__all__ = ["autotrack_remotes"]


def _connect(uri: str) -> Remote:
    from autotrack_mlflow.server import MlflowRemote  # noqa: PLC0415  the HTTP client is needed here only

    return MlflowRemote(uri)


def _source(uri: str) -> RunSource:
    from autotrack_mlflow.source import MlflowSource  # noqa: PLC0415

    return MlflowSource(uri)


@autotrack.hookimpl
def autotrack_remotes() -> list[Offer]:
    """Offer the MLflow tracking server."""
    schemes = ("http", "https", "mlflow+http", "mlflow+https")
    return [Offer("mlflow", schemes, ("urllib3", "pip install 'autotrack-ml[mlflow]'"), _connect, _source)]

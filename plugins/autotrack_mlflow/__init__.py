"""Runs on a stock MLflow tracking server, over its REST API and without the mlflow package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import autotrack

if TYPE_CHECKING:
    from autotrack.remote import ForeignRun, Offer, Remote, RunSource

if TYPE_CHECKING:
    from autotrack.remote_reading import Registry

__all__ = ["autotrack_remotes"]


def _connect(uri: str) -> Remote:
    from autotrack_mlflow.server import MlflowRemote  # noqa: PLC0415  the HTTP client is needed here only

    return MlflowRemote(uri)


def _source(uri: str) -> RunSource:
    from autotrack_mlflow.source import MlflowSource  # noqa: PLC0415

    return MlflowSource(uri)


def _foreign(place: str) -> Iterator[list[ForeignRun]]:
    if "://" in place:
        from autotrack_mlflow.foreign import foreign_runs  # noqa: PLC0415

        return foreign_runs(place)
    from autotrack_mlflow.mlruns import runs_in  # noqa: PLC0415

    return runs_in(Path(place).expanduser())


def _registry(uri: str) -> Registry:
    from autotrack_mlflow.registry import MlflowRegistry  # noqa: PLC0415

    return MlflowRegistry(uri)


@autotrack.hookimpl
def autotrack_remotes() -> list[Offer]:
    """Offer the MLflow tracking server."""
    from autotrack.remote import Offer  # noqa: PLC0415  enable() does not need it

    schemes = ("http", "https", "mlflow+http", "mlflow+https")
    needs = "urllib3", "pip install 'autotrack-ml[mlflow]'"
    return [Offer("mlflow", schemes, needs, _connect, _source, _foreign, _registry)]

"""pytest fixtures, asked for by name: ``from autotrack.testing.fixtures import tracked``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import autotrack
from autotrack import context
from autotrack.run import Run

__all__ = ["tracked"]


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Recording into a store of this test's own, in a folder of its own, with errors of ours raised; the store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTRACK_STRICT", "1")
    store = tmp_path / ".autotrack"
    autotrack.enable(store=store, experiment="test", models="auto")
    yield store
    autotrack.disable()
    for run in context.explicit_runs():
        if isinstance(run, Run):
            run.end()

"""Patches that are undone, and errors of ours that are swallowed as they are for users."""

import pytest

from autotrack import guard
from autotrack.patching import PatchSet
from tests.patching.models import RAW, Model


@pytest.fixture
def patches():
    result = PatchSet("tests")
    yield result
    result.undo()
    guard.reset("tests")
    for name in ("fit", "build", "add", "size"):
        assert vars(Model)[name] is RAW[name]


@pytest.fixture
def lenient(monkeypatch):
    """Errors of ours are swallowed, as they are for users."""
    monkeypatch.setenv("AUTOTRACK_STRICT", "0")
    yield
    guard.reset("tests")
    guard._told.clear()

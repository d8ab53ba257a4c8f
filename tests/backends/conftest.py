"""A folder for the journals of a run; a file store, and a run in it."""

import pytest

from autotrack.backends.file import FileBackend
from tests.backends.stores import open_run


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def backend(tmp_path):
    made = FileBackend(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def run(backend):
    made = open_run(backend)
    yield made
    made.end()

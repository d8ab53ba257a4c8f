"""A folder for the journals of a run."""

import pytest


@pytest.fixture
def folder(tmp_path):
    return tmp_path

"""What the contract of a backend says of reading and of registered models, on a real MLflow server.

A server is a copy and no backend: records are written into a folder, as always, and copied before they are read back.
So what the suite says of writing (a store that refuses, processes that write at once, what survives a kill, which files
are taken) is of the folder, and not asked here.
"""

from pathlib import Path
from unittest import mock

import pytest
from autotrack_mlflow.registry import MlflowRegistry
from autotrack_mlflow.source import MlflowSource

from autotrack.backends.file import FileBackend
from autotrack.testing.backend_case import BackendHooks, Case
from autotrack.testing.backend_reading import ReadingTests
from autotrack.testing.backend_records import RecordTests
from autotrack.testing.backend_registry import RegistryTests
from tests.plugins.mlflow.copying import client, copy

pytestmark = pytest.mark.slow


class Copied(FileBackend):
    """Written in a folder, read from a server."""

    def __init__(self, folder: Path, server: str) -> None:
        super().__init__(folder)
        self.server = server

    def source(self):
        return MlflowSource(self.server)

    def registry(self):
        return MlflowRegistry(self.server)


class OnServer(BackendHooks):
    @pytest.fixture
    def case(self, tmp_path, server):
        self.server = server
        self.ended = True
        api = client(server)
        for model in api.search_registered_models():
            api.delete_registered_model(model.name)
        for run in api.search_runs([one.experiment_id for one in api.search_experiments()]):
            api.delete_run(run.info.run_id)
        made = Case(self, tmp_path)
        yield made
        made.close()

    def backend(self, folder):
        return Copied(folder, self.server)

    def settle(self, backend, run_id):
        with mock.patch("autotrack.forward.is_alive", return_value=(not self.ended, True)):
            copy(backend.root, self.server)


class TestJournals(OnServer, RecordTests, ReadingTests):
    """Runs whose process is gone: restored from their journals."""

    test_a_run_goes_on_until_it_is_closed = None  # here its process is always gone
    test_a_tombstone_stays = None  # on a server a run that was removed is gone


class TestLive(OnServer, ReadingTests):
    """Runs that go on: read from what MLflow holds."""

    @pytest.fixture(autouse=True)
    def goes_on(self, case):
        self.ended = False


class TestRegistry(OnServer, RegistryTests):
    """Registered models, whose numbers are the server's."""

"""The store in memory keeps the contract of a backend."""

from pathlib import Path

from autotrack.backends.memory import MemoryBackend
from autotrack.testing.backend_suite import BackendSuite


class TestContract(BackendSuite):
    outlives_process = False

    def backend(self, folder: Path) -> MemoryBackend:
        return MemoryBackend()

"""The contract of a backend as tests: subclass ``BackendSuite`` and run pytest.

    class TestContract(BackendSuite):
        def backend(self, folder: Path) -> Backend:
            return MyBackend(f"mystore://{SERVER}/{folder.name}")

A test that fails names the rule that is broken ("backend contract, order: …"); the rules stand in
``autotrack.backends.base`` and ``autotrack.backends.registry``. What a suite does not say how to do
(refuse, damage, deliver again) is skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrack.testing.backend_case import BackendHooks, Case
from autotrack.testing.backend_faults import FaultTests
from autotrack.testing.backend_files import FileTests
from autotrack.testing.backend_processes import ProcessTests
from autotrack.testing.backend_reading import ReadingTests
from autotrack.testing.backend_records import RecordTests
from autotrack.testing.backend_registry import RegistryTests

__all__ = ["BackendSuite"]


class BackendSuite(RecordTests, ProcessTests, FileTests, FaultTests, ReadingTests, RegistryTests, BackendHooks):
    """Tests that a backend keeps the contract. ``BackendHooks`` says what a subclass may state."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[Case]:
        """The store that a check works on."""
        made = Case(self, tmp_path)
        yield made
        made.close()

"""Frameworks' own tests end the same way with recording on."""

import sys
from pathlib import Path

import pytest

from tests.transparency import framework_suite


def test_base():
    tests, runs, found = framework_suite.compare(["sklearn.tests.test_base"], timeout=300)
    assert found == []
    assert tests > 50
    assert runs > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "sklearn.tests.test_pipeline",
        "sklearn.tests.test_metaestimators_metadata_routing",
        "sklearn.tests.test_metadata_routing",
        "sklearn.model_selection.tests.test_search",
    ],
)
def test_the_rest(module):
    tests, runs, found = framework_suite.compare([module], timeout=1200)
    assert found == []
    assert tests > 50
    assert runs > 0


def test_a_difference_is_found(tmp_path, monkeypatch):
    """A module whose tests notice the recorder: it must not pass for the same."""
    (tmp_path / "noticing.py").write_text(
        "import os, sys, warnings\n"
        "def test_outcome(): assert 'autotrack' not in sys.modules\n"
        "def test_warning():\n"
        "    if 'autotrack' in sys.modules: warnings.warn('seen')\n"
        "def test_same(): pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tests, _, found = framework_suite.compare(["noticing"], timeout=120)
    assert tests == 3
    assert [text.partition(":")[0].rpartition("/")[2] for text in found] == ["noticing.py", "noticing.py"]
    assert "test_outcome" in found[0]
    assert "test_warning" in found[1]


def test_the_program_reports_what_it_cannot_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["framework_suite.py", "no.such.module"])
    assert framework_suite.main() == 1
    assert Path(framework_suite.__file__).name == "framework_suite.py"

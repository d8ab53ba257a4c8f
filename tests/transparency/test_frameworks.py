"""Frameworks' own tests end the same way with recording on."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.transparency import framework_suite


class Suite(NamedTuple):
    """Test modules of a framework, and what share of them is run: one test in ``part``."""

    module: str
    part: int = 1
    tests: int = 20  # at least so many, else nothing was compared
    records: bool = True  # whether its tests train


# About eight minutes on two cores. Of torch and lightning only what their wheels bring can be run.
SUITES = [
    Suite("sklearn.tests.test_pipeline"),
    Suite("sklearn.tests.test_metaestimators_metadata_routing"),
    Suite("sklearn.tests.test_metadata_routing"),
    Suite("sklearn.tests.test_common", part=25),
    Suite("sklearn.model_selection.tests", part=3),
    Suite("sklearn.metrics.tests.test_classification", records=False),
    Suite("sklearn.utils.tests.test_parallel", tests=5),
    Suite("sklearn.callback.tests"),
]


def installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_base():
    result = framework_suite.compare(["sklearn.tests.test_base"], timeout=1200)
    assert result.found == []
    assert result.tests > 40  # 44 in scikit-learn 1.5
    assert result.runs > 0


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.module)
def test_the_rest(suite):
    if not installed(suite.module):
        pytest.skip("not in this version")
    result = framework_suite.compare([suite.module], timeout=1200, part=suite.part)
    assert result.found == []
    assert result.tests >= suite.tests
    assert result.runs > 0 or not suite.records
    print(f"{suite.module}: {result.tests} tests, {result.runs} runs, unstable: {result.unstable}")


def noticing(tmp_path, monkeypatch, code: str) -> framework_suite.Comparison:
    (tmp_path / "noticing.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return framework_suite.compare(["noticing"], timeout=300)


def test_a_difference_is_found(tmp_path, monkeypatch):
    """A module whose tests notice the recorder: it must not pass for the same."""
    result = noticing(
        tmp_path,
        monkeypatch,
        "import os, sys, warnings\n"
        "def test_outcome(): assert 'autotrack' not in sys.modules\n"
        "def test_warning():\n"
        "    if 'autotrack' in sys.modules: warnings.warn('seen')\n"
        "def test_same(): pass\n",
    )
    assert result.tests == 3
    assert [text.partition(":")[0].rpartition("/")[2] for text in result.found] == ["noticing.py", "noticing.py"]
    assert "test_outcome" in result.found[0]
    assert "test_warning" in result.found[1]
    assert result.unstable == []


def test_a_test_that_differs_from_itself_says_nothing_of_us(tmp_path, monkeypatch):
    result = noticing(
        tmp_path,
        monkeypatch,
        "import pathlib, sys\n"
        "def test_unstable(): assert pathlib.Path.cwd().name == 'plain'\n"  # the folder of the first plain run
        "def test_ours(): assert 'autotrack' not in sys.modules\n",
    )
    assert [name.rpartition("::")[2] for name in result.unstable] == ["test_unstable"]
    assert len(result.found) == 1
    assert "test_ours" in result.found[0]


def test_a_difference_with_a_reason_is_let_pass(tmp_path, monkeypatch):
    monkeypatch.setitem(framework_suite.EXPLAINED, "noticing.py::test_outcome", "it looks for us")
    result = noticing(
        tmp_path,
        monkeypatch,
        "import sys\ndef test_outcome(): assert 'autotrack' not in sys.modules\ndef test_same(): pass\n",
    )
    assert (result.tests, result.found) == (2, [])


def test_a_part_of_the_tests_is_the_same_part_in_each_mode(tmp_path, monkeypatch):
    code = "import pytest\n@pytest.mark.parametrize('number', range(200))\ndef test_it(number): pass\n"
    (tmp_path / "many.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = framework_suite.compare(["many"], timeout=300, part=10)
    assert 5 <= result.tests <= 50
    assert result.found == []


def test_the_program_reports_what_it_cannot_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["framework_suite.py", "no.such.module"])
    assert framework_suite.main() == 1
    assert Path(framework_suite.__file__).name == "framework_suite.py"

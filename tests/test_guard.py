"""Errors of ours: swallowed and told once for users, raised in tests."""

import contextlib
import logging

import pytest

from autotrack import context, guard
from autotrack.guard import FAILURE_LIMIT, guarded, protect


class FakeRun:
    """As much of a run as the guard knows."""

    def __init__(self):
        self.incomplete = False
        self.ended = False


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setenv("AUTOTRACK_STRICT", "0")
    guard._told.clear()
    yield
    guard._told.clear()
    for name in ("", "tests"):
        guard.reset(name)


class Panic(BaseException):
    """As pyo3 names what a panic of Rust becomes."""


Panic.__module__ = "pyo3_runtime"


@pytest.mark.parametrize("error", [ValueError, GeneratorExit, RecursionError, MemoryError, StopIteration, Panic])
def test_errors_of_ours_are_swallowed(lenient, error):
    @guarded("a place")
    def ours():
        raise error("ours")

    with protect("another place", "tests"):
        raise error("ours")
    assert ours() is None
    assert guard.failures["tests"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_and_exit_pass(lenient, error):
    @guarded("a place")
    def ours():
        raise error

    with pytest.raises(error), protect("another place", "tests"):
        raise error
    with pytest.raises(error):
        ours()
    assert guard.failures["tests"] == 0


def test_strict_mode_raises_the_very_error():
    assert guard.strict()
    error = ValueError("ours")

    @guarded("a place")
    def ours():
        raise error

    with pytest.raises(ValueError, match="ours") as caught, protect("another place", "tests"):
        raise error
    assert caught.value is error
    with pytest.raises(ValueError, match="ours"):
        ours()
    assert guard.failures["tests"] == 0


def test_a_place_is_told_once_with_a_hint(lenient, caplog):
    for place in ("here", "here", "there"):
        with protect(place):
            raise ValueError("ours")
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(" (")[0] for text in told] == ["autotrack failed in here", "autotrack failed in there"]
    assert "ValueError: ours" in told[0]
    assert "AUTOTRACK_STRICT=1" in told[0]
    assert "AUTOTRACK_MODE=off" in told[0]


def test_the_run_at_hand_is_marked_incomplete(lenient):
    run, other = FakeRun(), FakeRun()
    with context.training(run, "tests"):
        with protect("here"):
            raise ValueError("ours")
    with context.training(other, "tests"):
        with protect("here"):
            pass
    assert run.incomplete
    assert not other.incomplete


def test_an_integration_is_off_after_several_errors(lenient, caplog):
    for number in range(FAILURE_LIMIT):
        assert "tests" not in guard.quarantined
        with protect(f"place {number}", "tests"):
            raise ValueError("ours")
    assert "tests" in guard.quarantined
    assert [record.getMessage() for record in caplog.records][-1] == (
        f"autotrack switched its integration 'tests' off for this process after {FAILURE_LIMIT} errors."
    )
    guard.reset("tests")
    assert "tests" not in guard.quarantined
    assert guard.failures["tests"] == 0


def test_errors_of_no_integration_switch_nothing_off(lenient):
    for number in range(2 * FAILURE_LIMIT):
        with protect(f"place {number}"):
            raise ValueError("ours")
    assert guard.quarantined == set()


def test_a_logging_filter_that_raises_is_not_the_trainings_concern(lenient):
    def refuse(record):
        raise OSError("the user's filter")

    logger = logging.getLogger("autotrack")
    logger.addFilter(refuse)
    try:
        with protect("here", "tests"):
            raise ValueError("ours")
        guard.tell("something")
    finally:
        logger.removeFilter(refuse)
    assert guard.failures["tests"] == 1


def test_an_error_that_cannot_be_printed(lenient, caplog):
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    with contextlib.redirect_stderr(None), protect("here", "tests"):
        raise Silent
    assert guard.failures["tests"] == 1


def test_things_are_told_once(lenient, caplog):
    for _ in range(3):
        guard.tell("mind this")
    assert [record.getMessage() for record in caplog.records] == ["autotrack: mind this"]


def test_a_guarded_function_keeps_its_name_and_result():
    @guarded("a place")
    def double(number):
        """Twice."""
        return 2 * number

    assert double(2) == 4
    assert (double.__name__, double.__doc__) == ("double", "Twice.")

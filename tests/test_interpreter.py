"""Where Python is part of another program, nothing is started that would be that program again."""

import sys

import pytest
from sklearn.linear_model import LogisticRegression

import autotrack
from autotrack.interpreter import can_start_python


@pytest.mark.parametrize("name", ["/opt/app/blender", "/opt/app/train", ""])
def test_a_program_that_holds_python_is_not_started_again(monkeypatch: pytest.MonkeyPatch, name: str):
    assert can_start_python()
    monkeypatch.setattr(sys, "executable", name)
    assert not can_start_python()


def test_a_frozen_program_is_not_started_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not can_start_python()


def test_a_model_stays_a_pickle_where_no_python_can_be_started(tracked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/opt/app/train")
    LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model = autotrack.get_run("@last").models["model"]
    assert model.format == "pickle"
    assert model.stays == "there is no Python here that could turn it into skops"
    assert not model.becomes

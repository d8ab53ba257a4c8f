"""Searches of many candidates: what each further one costs, in things that can be counted."""

import os
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import numpy
import pytest
from autotrack_sklearn import search
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV

import autotrack

# scikit-learn 1.5 casts memory that nobody wrote to when parameters are whole numbers.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")

X, y = numpy.zeros((12, 2)), numpy.array([0, 1] * 6)
OURS = tuple(str(Path(module.__file__).parent) for module in (autotrack, search))


class Idle(ClassifierMixin, BaseEstimator):
    def __init__(self, a=0):
        self.a = a

    def fit(self, X, y):
        self.classes_ = numpy.unique(y)
        return self

    def score(self, X, y):
        return 0.5


class Cost(NamedTuple):
    """What recording a search takes: lines and bytes of the children, writes and calls of the thread that trains."""

    lines: int
    bytes: int
    writes: int
    calls: int


def cost(tracked, monkeypatch, candidates: int) -> Cost:
    writes, calls = [], [0]
    write, thread = os.write, threading.get_ident()

    def count(frame, event, arg):
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            calls[0] += 1

    autotrack.enable(store=tracked, models="never")  # the helper process would make a file of its own
    model = GridSearchCV(Idle(), {"a": list(range(candidates))}, cv=2, refit=False)

    def counted(fd, data):
        if threading.get_ident() == thread:
            writes.append(fd)
        return write(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", counted)
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            model.fit(X, y)
        finally:
            sys.setprofile(before)
    run = autotrack.get_run("@last")
    assert len(run.children) == candidates
    assert not (tracked / "runs" / run.id / "children").exists()
    (journal,) = (tracked / "runs" / run.id / "journal").iterdir()
    lines = [line for line in journal.read_bytes().splitlines() if b'"c":"' in line]
    return Cost(len(lines), sum(map(len, lines)), len(writes), calls[0])


def test_a_further_candidate_costs_what_the_others_do(tracked, monkeypatch):
    monkeypatch.setattr(search, "WRITE_EVERY", 1e9)  # else the writes depend on how quick the machine is
    cost(tracked, monkeypatch, 10)
    few, more, many = (cost(tracked, monkeypatch, count) for count in (40, 80, 160))
    first = Cost(*(second - one for one, second in zip(few, more, strict=True)))  # 40 candidates
    later = Cost(*((third - second) / 2 for second, third in zip(more, many, strict=True)))
    assert later.lines == 320  # begin, params, scores, two times, means, end, rank
    assert later.bytes < 40_000
    assert later.writes < 5
    assert later.calls < 8_000
    for early, late in zip(first, later, strict=True):
        assert late == pytest.approx(early, rel=0.1, abs=4)


def test_slow_candidates_are_written_as_they_come(tracked, monkeypatch):
    monkeypatch.setattr(search, "WRITE_EVERY", 0.0)
    assert cost(tracked, monkeypatch, 30).writes > 30

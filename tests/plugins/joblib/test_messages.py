"""What a task says beside its result reaches the process that started it, and the result is the very same."""

import pickle

import joblib
import numpy
import pytest

import autotrack


def tell(value):
    if value:
        autotrack.send_along(f"about {value}")
        autotrack.send_along(["and", 1.5])
    return {"value": value}


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_messages_of_worker_processes(tracked, backend):
    results = joblib.Parallel(2, backend=backend)(joblib.delayed(tell)(value) for value in range(3))
    assert results == [{"value": 0}, {"value": 1}, {"value": 2}]
    assert {type(result) for result in results} == {dict}
    assert [autotrack.sent_along(result) for result in results] == [
        [], ["about 1", ["and", 1.5]], ["about 2", ["and", 1.5]],
    ]  # fmt: skip
    assert [autotrack.sent_along(result) for result in results] == [[], [], []]


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_in_the_same_process_there_is_nobody_to_tell(tracked, backend):
    results = joblib.Parallel(2, backend=backend)(joblib.delayed(tell)(value) for value in range(3))
    assert [autotrack.sent_along(result) for result in results] == [[], [], []]


def test_what_nobody_asks_for_does_not_pile_up(tracked):
    from autotrack import workers

    for number in range(workers._MAX_RECEIVED + 50):
        result = pickle.loads(pickle.dumps(workers._Envelope(numpy.arange(number), ["x"])))
        assert type(result) is numpy.ndarray
    assert len(workers._received) == workers._MAX_RECEIVED
    assert autotrack.sent_along(result) == ["x"]
    workers._received.clear()

"""Beside others who patch; wrappers that are switched off."""

import gc
import inspect
import logging
import sys
import timeit
import types
import warnings
import weakref
from functools import partial, wraps

import pytest

from autotrack import guard, patching, wrappers
from autotrack.patching import PatchSet
from tests.patching.models import RAW, Model, Recorder
from tests.timing import least

pytestmark = pytest.mark.filterwarnings("error")


# ---- others who patch ---------------------------------------------------------------------------------------------


def by_others(function):
    @wraps(function)
    def theirs(*args, **kwargs):
        theirs.calls += 1
        return function(*args, **kwargs)

    theirs.calls = 0
    return theirs


def by_others_unmarked(function):
    return lambda *args, **kwargs: function(*args, **kwargs)


def by_others_with_an_object(function):
    return lambda *args, inner=None, **kwargs: partial(function, *args)(**kwargs)


@pytest.fixture
def fresh():
    class Fresh:
        def fit(self, X):
            return X

    return Fresh


@pytest.mark.parametrize("other", [by_others, by_others_unmarked, by_others_with_an_object])
def test_somebody_wraps_on_top(patches, fresh, other):
    seen = Recorder()
    patches.around(fresh, "fit", seen)
    theirs = fresh.fit = other(vars(fresh)["fit"])
    assert patches.verify() == []
    assert fresh().fit(1) == 1
    assert len(seen.calls) == 1
    patches.undo()
    assert vars(fresh)["fit"] is theirs
    assert fresh().fit(2) == 2
    assert len(seen.calls) == 1
    patches.around(fresh, "fit", seen)  # switched on again: ours, below theirs, is awake and not doubled
    assert vars(fresh)["fit"] is theirs
    fresh().fit(3)
    assert len(seen.calls) == 2


def test_somebody_wrapped_below(patches, fresh):
    theirs = fresh.fit = by_others(vars(fresh)["fit"])
    seen = Recorder()
    patches.around(fresh, "fit", seen)
    fresh().fit(1)
    assert theirs.calls == len(seen.calls) == 1
    patches.undo()
    assert vars(fresh)["fit"] is theirs


def test_somebody_takes_ours_away(patches, fresh):
    original = vars(fresh)["fit"]
    seen = Recorder()
    patches.around(fresh, "fit", seen)
    fresh.fit = original
    fresh().fit(1)
    assert seen.calls == []
    assert patches.verify() == ["Fresh.fit"]
    fresh().fit(1)
    assert len(seen.calls) == 1
    patches.undo()
    assert vars(fresh)["fit"] is original


def test_somebody_deletes_the_attribute(patches, fresh):
    patches.around(fresh, "fit", Recorder())
    del fresh.fit
    assert patches.verify() == []
    patches.undo()
    assert "fit" not in vars(fresh)


def test_a_subclass_that_names_our_wrapper_is_a_place_of_its_own(patches, fresh):
    seen = Recorder()
    patches.around(fresh, "fit", seen)

    class Sub(fresh):
        @wraps(fresh.fit)
        def fit(self, X):
            return X + 1

    assert patches.around(Sub, "fit", seen)
    assert Sub().fit(1) == 2
    assert len(seen.calls) == 1


def test_an_alias_of_our_wrapper_is_called_once_and_goes_back(patches, fresh):
    original, seen = vars(fresh)["fit"], Recorder()
    patches.around(fresh, "fit", seen)
    alias = type("Alias", (), {"fit": vars(fresh)["fit"]})
    assert not patches.around(alias, "fit", seen)
    alias().fit(1)
    assert len(seen.calls) == 1
    patches.undo()
    assert vars(alias)["fit"] is original


@pytest.mark.parametrize("first_off", [0, 1])
def test_two_integrations_on_one_attribute(fresh, first_off):
    original = vars(fresh)["fit"]
    sets = [PatchSet("tests-one"), PatchSet("tests-two")]
    seen = [Recorder(), Recorder()]
    for patch, recorder in zip(sets, seen, strict=True):
        assert patch.around(fresh, "fit", recorder)
    fresh().fit(1)
    sets[first_off].undo()
    fresh().fit(2)
    assert len(seen[first_off].calls) == 1
    assert len(seen[1 - first_off].calls) == 2
    sets[1 - first_off].undo()
    assert vars(fresh)["fit"] is original


def test_the_mark_does_not_travel(patches, fresh):
    patches.around(fresh, "fit", Recorder())
    assert patching.is_ours(vars(fresh)["fit"])
    assert not patching.is_ours(by_others(vars(fresh)["fit"]))


def test_classes_do_not_live_on_through_us(patches):
    def make():
        class Short:
            def fit(self):
                return __class__  # a closure that leads back to the class

        return Short

    for _ in range(10):
        cls = make()
        patches.around(cls, "fit", Recorder.__call__.__get__(patches))
        last = weakref.ref(cls)
    del cls
    gc.collect()
    assert last() is None
    assert len(patches) == 0


def test_warnings_and_log_lines_point_at_the_user(patches, caplog):
    class Loud:
        def fit(self):
            warnings.warn("mind this", UserWarning, stacklevel=2)
            logging.getLogger("loud").warning("mind that", stacklevel=2)

    patches.around(Loud, "fit", Recorder())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        Loud().fit()
        Loud().fit()
    here = [warning.lineno for warning in caught]
    assert [warning.filename for warning in caught] == [__file__] * 2
    assert here[1] == here[0] + 1
    assert [record.lineno for record in caplog.records] == here


# ---- off ----------------------------------------------------------------------------------------------------------


def test_wrappers_call_straight_through_where_autotrack_is_absent(patches, monkeypatch):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    patches.watch(Model, "add", after=seen)
    monkeypatch.delitem(sys.modules, "autotrack.wrappers")
    assert Model().fit(1).fitted_ + Model.add(1, 2) == 4
    assert seen.calls == []


def test_a_quarantined_integration_is_not_called(patches, lenient):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    patches.watch(Model, "add", before=seen)
    for number in range(guard.FAILURE_LIMIT):
        guard.swallow(f"place {number}", ValueError("ours"), "tests")
    Model().fit(1)
    Model.add(1, 2)
    assert seen.calls == []


def test_an_inert_wrapper_is_cheap(patches, fresh):
    bare = fresh.fit
    patches.around(fresh, "fit", Recorder())
    ours = vars(fresh)["fit"]
    fresh.fit = by_others(ours)  # keeps ours in place, inert
    patches.undo()
    number = 10_000

    def added() -> float:
        inert = timeit.timeit(lambda: ours(None, 1), number=number)
        return (inert - timeit.timeit(lambda: bare(None, 1), number=number)) / number

    assert least(added, 3e-6) < 3e-6


def test_by_value_copies_use_only_what_is_importable(patches):
    patches.around(Model, "fit", Recorder())
    wrapper = vars(Model)["fit"]
    reached = inspect.getclosurevars(wrapper)
    assert set(reached.globals) == {"sys"}
    assert {name: type(value) for name, value in reached.nonlocals.items()} == {
        "key": str,
        "original": types.FunctionType,
    }
    assert wrappers.cell(wrapper, "original") is RAW["fit"]

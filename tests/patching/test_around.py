"""Wrapped methods: what the handler sees, what stays as it was, what is refused."""

import copy
import inspect
import threading
import types
from abc import ABC, abstractmethod
from enum import Enum
from functools import cached_property, partial

import pytest

from autotrack.errors import PatchError
from tests.patching.models import RAW, Model, Recorder

pytestmark = pytest.mark.filterwarnings("error")


# ---- around -----------------------------------------------------------------------------------------------------


def test_the_handler_sees_the_very_arguments_and_the_very_result(patches):
    seen = Recorder()
    assert patches.around(Model, "fit", seen)
    model, X = Model(), 3
    assert model.fit(X, scale=2) is model
    ((call, outcome),) = seen.calls
    assert call.instance is model
    assert call.args == (model, X)
    assert call.kwargs == {"scale": 2}
    assert call.bound == {"self": model, "X": 3, "scale": 2}
    assert outcome.value is model
    assert outcome.exception is None
    assert model.fitted_ == 6


def test_self_may_come_by_keyword(patches):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    model = Model()
    Model.fit(self=model, X=1)
    assert seen.calls[0][0].instance is model


def test_arguments_that_do_not_fit_raise_what_the_original_raises(patches):
    seen = Recorder()
    patches.around(Model, "fit", seen)
    with pytest.raises(TypeError, match=r"fit\(\) missing 1 required positional argument: 'X'"):
        Model().fit()
    assert seen.calls[0][0].bound == {}
    assert isinstance(seen.calls[0][1].exception, TypeError)


@pytest.mark.parametrize("name", ["fit", "build", "add", "size"])
def test_descriptors_keep_their_kind_and_go_back_exactly(patches, name):
    seen = Recorder()
    assert patches.around(Model, name, seen)
    placed = vars(Model)[name]
    assert type(placed) is type(RAW[name])
    assert placed is not RAW[name]
    model = Model()
    results = {
        "fit": lambda: model.fit(1) is model,
        "build": lambda: Model.build(2) == (Model, 2),
        "add": lambda: Model.add(1, 2) == 3,
        "size": lambda: model.size == 5,
    }
    assert results[name]()
    assert len(seen.calls) == 1
    if name == "size":
        model.size = 7
        assert model.set_to == 7
        assert Model.size.__doc__ == "How big."
    patches.undo()
    assert vars(Model)[name] is RAW[name]


def test_a_classmethod_is_bound_to_the_subclass(patches):
    patches.around(Model, "build", Recorder())

    class Sub(Model):
        pass

    assert Sub.build(1) == (Sub, 1)


def test_signature_names_and_doc_stay(patches):
    signature = inspect.signature(Model.fit)
    patches.around(Model, "fit", Recorder())
    assert inspect.signature(Model.fit) == signature
    assert inspect.isfunction(Model.fit)
    assert (Model.fit.__name__, Model.fit.__qualname__) == ("fit", "Model.fit")
    assert Model.fit.__module__ == RAW["fit"].__module__ == "tests.patching.models"
    assert Model.fit.__doc__ == "Fit it."


def test_copies_work(patches):
    patches.around(Model, "fit", Recorder())
    model = Model().fit(2)
    assert copy.deepcopy(model).fitted_ == 2
    assert copy.copy(model.fit)(3) is model


def test_a_handler_that_does_not_care_costs_nothing_more(patches):
    asked = []
    patches.around(Model, "fit", lambda call: asked.append(call))
    assert Model().fit(4).fitted_ == 4
    assert len(asked) == 1


def test_subclasses_that_call_super_pass_both_wrappers(patches):
    class Sub(Model):
        def fit(self, X, *, scale=1):
            return super().fit(X + 1, scale=scale)

    seen = Recorder()
    patches.around(Model, "fit", seen)
    patches.around(Sub, "fit", seen)
    model = Sub().fit(1)
    assert model.fitted_ == 2
    assert [call.bound["X"] for call, _ in seen.calls] == [2, 1]


def test_reentrant_calls_of_one_object(patches):
    class Deep:
        def fit(self, depth):
            return depth if depth == 0 else self.fit(depth - 1) + 1

    seen = Recorder()
    patches.around(Deep, "fit", seen)
    assert Deep().fit(20) == 20
    assert seen.values == list(range(21))


def test_metaclasses_and_modules_can_be_owners(patches):
    class Meta(type):
        def __call__(cls, *args):
            return super().__call__(*args)

        def __setattr__(cls, name, value):
            raise AssertionError("the user's metaclass is not asked")

    class Made(metaclass=Meta):
        def fit(self):
            return 1

    seen = Recorder()
    fit = vars(Made)["fit"]
    patches.around(Meta, "__call__", seen)
    patches.around(Made, "fit", seen)
    module = types.ModuleType("made")
    module.function = function = lambda: 2
    patches.around(module, "function", seen)
    assert Made().fit() + module.function() == 3
    assert len(seen.calls) == 3
    patches.undo()
    assert module.function is function
    assert vars(Made)["fit"] is fit


def test_slotted_instances_keep_working(patches):
    class Slim:
        __slots__ = ("fitted",)

        def fit(self, X):
            self.fitted = X
            return self

    patches.around(Slim, "fit", Recorder())
    assert Slim().fit(3).fitted == 3


class Refused(ABC):
    class Kind(classmethod):
        pass

    @abstractmethod
    def fit(self):
        """To be written."""

    @cached_property
    def cached(self):
        return 1

    odd = Kind(lambda cls: 1)
    part = partial(int)


class Slotted:
    __slots__ = ("fn",)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Refused, "fit"),
        (Refused, "cached"),
        (Refused, "odd"),
        (Refused, "part"),
        (Refused, "absent"),
        (type("Sub", (Model,), {}), "fit"),  # inherited
        (Enum("Color", "red"), "red"),
        (int, "bit_length"),
        (Slotted(), "fn"),
        ([], "append"),
    ],
)
def test_what_cannot_be_wrapped_exactly_is_refused(patches, owner, name):
    before = dict(getattr(owner, "__dict__", {}))
    with pytest.raises(PatchError):
        patches.around(owner, name, Recorder())
    assert dict(getattr(owner, "__dict__", {})) == before
    assert len(patches) == 0


def test_twice_is_once(patches):
    seen = Recorder()
    assert patches.around(Model, "fit", seen)
    placed = vars(Model)["fit"]
    assert not patches.around(Model, "fit", seen)
    assert vars(Model)["fit"] is placed
    patches.undo()
    patches.undo()
    assert vars(Model)["fit"] is RAW["fit"]


def test_two_threads_patch_once(patches):
    seen = Recorder()
    start = threading.Barrier(8)
    done = []

    def work():
        start.wait()
        done.append(patches.around(Model, "fit", seen))

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(done) == [False] * 7 + [True]
    Model().fit(1)
    assert len(seen.calls) == 1


def test_each_handler_serves_its_own_attribute_though_their_names_are_the_same(patches):
    class Other:
        def fit(self):
            return 0

    def handler_for(what, log):
        def handle(call):
            yield
            log.append(what)

        return handle

    log = []
    patches.around(Model, "fit", handler_for("model", log))
    patches.around(Other, "fit", handler_for("other", log))
    Model().fit(1)
    Other().fit()
    assert log == ["model", "other"]


def test_one_attribute_may_be_watched_and_wrapped(patches):
    seen, watched = Recorder(), []
    patches.around(Model, "fit", seen)
    patches.watch(Model, "fit", before=lambda args, kwargs: watched.append(args))
    Model().fit(1)
    assert len(seen.calls) == len(watched) == 1


# ---- watch ------------------------------------------------------------------------------------------------------


def test_watch_sees_arguments_and_result(patches):
    log = []
    patches.watch(
        Model,
        "fit",
        before=lambda args, kwargs: log.append(("before", args, kwargs)),
        after=lambda result, args, kwargs: log.append(("after", result)),
    )
    model = Model()
    model.fit(1, scale=2)
    assert log == [("before", (model, 1), {"scale": 2}), ("after", model)]


def test_watch_does_not_call_after_an_exception(patches):
    log = []
    patches.watch(Model, "fit", after=lambda *seen: log.append(seen))
    with pytest.raises(TypeError):
        Model().fit()
    assert log == []

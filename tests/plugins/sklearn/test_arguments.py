"""What callers call their arguments, read from the text of the call."""

import sys

import pytest
from autotrack_sklearn.arguments import argument_name

X = X_test = data = object()
box = {"X_test": X_test}
test = 0


class Holder:
    X_test = X_test

    def to_numpy(self):
        return self

    def astype(self, name):
        return self


holder = Holder()


def score(data, y=None):
    """What a patched function asks about its first argument."""
    return argument_name(sys._getframe(1), 0, "data")


def identity(value, *rest):
    return value


CALLS = {
    "a name": (lambda: score(X_test), "X_test"),
    "by keyword": (lambda: score(y=1, data=X_test), "X_test"),
    "an attribute": (lambda: score(holder.X_test), "holder_X_test"),
    "an item": (lambda: score(box["X_test"]), "box_X_test"),
    "rows": (lambda: score([X_test][test]), ""),
    "rows of a name": (lambda: score(box[test] if test else X_test), ""),
    "wrapped": (lambda: score(identity(X_test, 1)), "X_test"),
    "converted": (lambda: score(holder.to_numpy()), "holder"),
    "of another type": (lambda: score(holder.astype("float32")), "holder"),
    "a number": (lambda: score(1), ""),
    "starred": (lambda: score(*[X_test]), ""),
    "on several lines": (
        lambda: score(
            # a remark: é
            X_test,
            y=len("é"),
        ),
        "X_test",
    ),
    "after odd characters": (lambda: ("é", score(X_test))[1], "X_test"),
    "with an odd escape": (lambda: score(X_test, y="\n"), ""),
}


@pytest.mark.parametrize("what", CALLS)
def test_the_text_of_a_call(what):
    call, expected = CALLS[what]
    assert call() == expected
    assert call() == expected  # remembered


def test_a_parameter_is_followed_to_its_caller():
    def evaluate(model, X, y=None):
        return score(X, y)

    def outer(thing):
        return evaluate(1, X=thing)

    assert evaluate(1, X_test) == "X_test"
    assert evaluate(1, X=X_test, y=2) == "X_test"
    assert outer(X_test) == "X_test"
    assert evaluate(1, 2) == "X"


def test_a_method_counts_without_self():
    class Evaluation:
        def run(self, X):
            return score(X)

    assert Evaluation().run(X_test) == "X_test"
    assert Evaluation.run(Evaluation(), X_test) != "Evaluation"


def test_a_function_handed_to_another_is_not_mistaken():
    def evaluate(X):
        return score(X)

    assert list(map(evaluate, [X_test])) == ["X"]


def test_an_attribute_of_self():
    class Evaluation:
        def __init__(self):
            self.X_test = X_test

        def run(self):
            return score(self.X_test)

    assert Evaluation().run() == "X_test"


def test_without_source_there_is_no_name():
    scope = {"score": score, "X_test": X_test}
    exec("found = score(X_test)", scope)
    assert scope["found"] == ""


def test_the_callers_variables_are_not_kept_alive():
    """Reading the variables of a frame leaves copies in it before Python 3.13."""
    import weakref

    class Data:
        pass

    def run():
        big = Data()
        reference = weakref.ref(big)
        assert score(big) == "big"
        del big
        return reference()

    assert run() is None

"""Which model made which prediction, and on what data: so that a score finds its run.

Estimators, data and predictions are held weakly. What is only guessed (by the length of a prediction) is
remembered in the context, so no thread guesses from what another one did.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any

import autotrack
from autotrack_sklearn import extract
from autotrack_sklearn.arguments import argument_name
from autotrack_sklearn.curves import Growing
from autotrack_sklearn.identity import ByIdentity

METHODS = ("predict", "predict_proba", "decision_function", "score_samples")

_MAX_LENGTHS = 16
_FITTED_PREDICTIONS = ("labels_", "oob_prediction_", "oob_decision_function_")


class Trained:
    """A model that a run recorded.

    Attributes:
        run: The run.
        data: The training data, weakly; None where it cannot be referred to.
        name: What the caller of ``fit`` calls the training data.
        step: The last step, of a model that is trained step by step; else None.
        histories: What of its histories was recorded.
    """

    __slots__ = ("_predictions", "data", "histories", "name", "run", "step")

    def __init__(self, run: autotrack.Run, data: Any = None, name: str = "", warm: bool = False) -> None:
        self.run = run
        self.name = name
        self.step = 0 if warm else None
        self.histories = Growing(keep=warm)
        self._predictions: dict[tuple[str, str], Prediction] = {}
        try:
            self.data: Any = weakref.ref(data)
        except TypeError:
            self.data = _nothing

    def predicted(self, method: str, data: str) -> Prediction:
        """What a method returns on data of this name: one object for all calls."""
        found = self._predictions.get((method, data))
        if found is None:
            found = self._predictions[method, data] = Prediction(self, method, data)
        return found

    def called(self, data: Any, name: str) -> str:
        """What data is called: as at the training, if it is the training data, else ``name``."""
        return (self.name or name) if data is not None and self.data() is data else name


def _nothing() -> None:
    return None


class Prediction:
    """What a model returned.

    Attributes:
        model: The model; None for one that no run of this process recorded.
        method: ``predict``, ``predict_proba``, …
        data: What the caller calls the data that was predicted on, or "".
    """

    __slots__ = ("data", "method", "model")

    def __init__(self, model: Trained | None, method: str, data: str) -> None:
        self.model = model
        self.method = method
        self.data = data


_OF_NOBODY = Prediction(None, "", "")

_recent: ContextVar[dict[int, Prediction] | None] = ContextVar("autotrack_sklearn_recent", default=None)


class Predictions:
    """What is known of recorded models, and of what models returned.

    Attributes:
        watchers: For each method that predicts, what is called after it.
    """

    def __init__(self) -> None:
        self._models: ByIdentity[Trained] = ByIdentity()
        self._outputs: ByIdentity[Prediction] = ByIdentity()
        self.watchers: dict[str, Callable[[Any, tuple[Any, ...], dict[str, Any]], None]] = {
            method: functools.partial(self._predicted, method) for method in METHODS
        }

    def trained(self, estimator: Any, trained: Trained) -> None:
        """Remember a model that a run recorded, with the parts of it that people use by themselves."""
        for part in extract.parts(estimator):
            self._models.keep(part, trained)
            for name in _FITTED_PREDICTIONS:
                output = vars(part).get(name)
                if output is not None:
                    self._outputs.keep(output, trained.predicted(name, trained.name))

    def model(self, estimator: Any) -> Trained | None:
        """What is known of an estimator."""
        return self._models.get(estimator)

    def _predicted(self, method: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Called for each prediction, so as short as can be.
        if not args:
            return
        trained = self._models.get(args[0])
        if trained is None:  # of a model that no run recorded it is enough to know that no run did
            self.made(result, _OF_NOBODY)
            return
        given = args[1] if len(args) > 1 else kwargs.get("X")
        data = trained.called(given, argument_name(autotrack.caller(), 0, "X", method))
        self.made(result, trained.predicted(method, data))

    def made(self, result: Any, prediction: Prediction) -> None:
        """Remember a prediction: itself, and in this context as the most recent one of its length."""
        self._outputs.keep(result, prediction)
        length = rows(result)
        if length:
            recent = _recent.get() or {}
            if recent.get(length) is not prediction:
                if len(recent) >= _MAX_LENGTHS and length not in recent:
                    recent = {}
                _recent.set({**recent, length: prediction})

    def derived(self, result: Any, prediction: Prediction) -> None:
        """Remember what was made of a prediction: the points of a curve, say."""
        self._outputs.keep(result, prediction)

    def of(self, array: Any) -> Prediction | None:
        """The prediction that this array is, or is a view of."""
        return self._outputs.of_view(array)


def recent(length: int) -> Prediction | None:
    """The most recent prediction of this length in this context."""
    return (_recent.get() or {}).get(length)


def rows(value: Any) -> int:
    """Length of a sequence or an array, 0 where it has none."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if type(shape) is tuple and shape and isinstance(shape[0], int) else 0
    return len(value) if type(value) in (list, tuple) else 0


def of_sklearn(frame: FrameType | None) -> bool:
    """Whether the code that is running is scikit-learn's own."""
    name = None if frame is None else frame.f_globals.get("__name__")
    return type(name) is str and name.startswith("sklearn.")

"""What is patched in scikit-learn, and why.

Each class's own ``fit``, ``fit_transform``, ``fit_predict`` and ``partial_fit``: found by walking
``BaseEstimator.__subclasses__()``, and for later classes when the outermost ``__init_subclass__`` returns
(scikit-learn's own wraps ``transform`` there, and would wrap on top of us). Third-party and users'
estimators are met the same way. ``transform`` is watched for the arrays that it returns: the run of a
model says through which transformers its training data came.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Generator
from types import FunctionType, ModuleType
from typing import Any

import autotrack
from autotrack_sklearn import extract
from autotrack_sklearn.crossval import CrossValidations
from autotrack_sklearn.lineage import Lineage
from autotrack_sklearn.search import Searches
from autotrack_sklearn.tasks import Tasks

METHODS = ("fit", "fit_transform", "fit_predict", "partial_fit")

Steps = Generator[None, autotrack.Outcome, None]


class SklearnIntegration(autotrack.Integration):
    """Records trainings of scikit-learn estimators."""

    name = "sklearn"
    modules = ("sklearn.base", "sklearn.utils.parallel", "sklearn.model_selection._validation")
    minimum = ("sklearn", "1.5")

    def __init__(self) -> None:
        super().__init__()
        self._lineage = Lineage()
        self._online = _OnlineRuns()
        self._tasks = Tasks(self.name)
        self._searches = Searches(self.name, self._tasks)
        self._cross_validations = CrossValidations(self.name, self._tasks, self._capture_before)
        self._making = threading.local()  # depth of nested __init_subclass__ calls

    # ---- patches ------------------------------------------------------------------------------------------------

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch the classes there are, and have later ones patched when they are made."""
        if module.__name__ != "sklearn.base":
            recorder = self._tasks if module.__name__ == "sklearn.utils.parallel" else self._cross_validations
            recorder.install(module, patches)
            return
        base = module.BaseEstimator
        for cls in extract.subclasses(base):
            self._patch_class(cls, patches)
        for hooked in {extract.owner_of(cls, "__init_subclass__") for cls in (base, module.TransformerMixin)}:
            patches.around(hooked, "__init_subclass__", self._on_class)

    def _patch_class(self, cls: type, patches: autotrack.PatchSet) -> None:
        for name in METHODS:
            raw = vars(cls).get(name)
            handler = self._on_partial_fit if name == "partial_fit" else self._on_fit
            if isinstance(raw, FunctionType) and not getattr(raw, "__isabstractmethod__", False):
                patches.around(cls, name, handler)
            elif isinstance(getattr(raw, "fn", None), FunctionType):  # available_if: the descriptor stays
                patches.around(raw, "fn", handler)
        if isinstance(vars(cls).get("transform"), FunctionType):
            patches.watch(cls, "transform", after=self._transformed)

    def _on_class(self, call: autotrack.Call) -> Steps:
        """Patch a new class once the outermost ``__init_subclass__`` is through with it."""
        self._making.depth = getattr(self._making, "depth", 0) + 1
        try:
            outcome = yield
        finally:
            self._making.depth -= 1
        cls = call.instance
        if self._making.depth == 0 and outcome.exception is None and extract.is_estimator_class(cls):
            self._patch_class(cls, self.patches)

    # ---- trainings ----------------------------------------------------------------------------------------------

    def _on_fit(self, call: autotrack.Call) -> Steps | None:
        """Inner trainings (steps of a pipeline, members of an ensemble) are no runs."""
        if autotrack.in_training():
            return self._searches.inner(call)
        self._online.end(call.instance)  # fitted anew
        return self._record_model(call) if extract.makes_run(call.instance) else self._remember_transformer(call)

    def _record_model(self, call: autotrack.Call) -> Steps:
        estimator = call.instance
        with autotrack.training(self.name, type(estimator).__name__) as training:
            self._capture_before(training.run, call)
            with self._searches.within(training.run, estimator) as finish:
                started = time.perf_counter()
                outcome = yield
                duration = time.perf_counter() - started
            finish(outcome)
            if outcome.exception is None:
                self._capture_after(training.run, estimator, duration)
                self._capture_model(training.run, call, duration)
            training.end(outcome.exception)

    def _capture_before(self, run: autotrack.Run, call: autotrack.Call) -> None:
        with autotrack.protect("reading an estimator's parameters", self.name):
            params, changed, why = extract.params(call.instance)
            run.capture(params=params, changed=changed)
            if why:
                run.note(why, "warning")
        with autotrack.protect("describing the training data", self.name):
            data = call.bound
            facts = {"estimator": extract.about(call.instance), "data": extract.data(data)}
            origin = self._lineage.of(data)
            run.capture(facts={**facts, "lineage": origin} if origin else facts)

    def _capture_after(self, run: autotrack.Run, estimator: Any, duration: float) -> None:
        with autotrack.protect("reading a fitted estimator", self.name):
            metrics, fitted = extract.fitted(estimator)
            curves = extract.curves(estimator)
            last = {key: value for key, value in metrics.items() if key not in curves}  # loss_ ends loss_curve_
            facts = {"fitted": fitted} if fitted else None
            run.capture(metrics={**last, "fit_time": duration}, curves=curves, facts=facts)

    def _capture_model(self, run: autotrack.Run, call: autotrack.Call, duration: float) -> None:
        signature: dict[str, Any] = {}
        data = call.bound
        with autotrack.protect("describing a model's inputs and outputs", self.name):
            signature = extract.signature(call.instance, data)
        run.capture_model(call.instance, "model", duration, signature=signature, sample=data.get("X"))

    def _remember_transformer(self, call: autotrack.Call) -> Steps:
        """A transformer of its own makes no run; the run whose data it made will name it."""
        info: dict[str, Any] = {}
        with autotrack.protect("describing a transformer", self.name):
            params, changed, _ = extract.params(call.instance)
            data = call.bound
            info = {
                **extract.about(call.instance),
                "changed": extract.to_json({key: params[key] for key in changed}),
                "data": extract.data(data).get("X"),
                "from": self._lineage.of(data),
            }
        with autotrack.ignored_training(self.name):
            outcome = yield
        if outcome.exception is None:
            self._lineage.fitted(call.instance, {key: value for key, value in info.items() if value})
            if outcome.value is not call.instance:  # fit_transform
                self._lineage.made(call.instance, outcome.value)

    def _transformed(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._lineage.made(args[0], result)

    # ---- partial_fit --------------------------------------------------------------------------------------------

    def _on_partial_fit(self, call: autotrack.Call) -> Steps | None:
        if autotrack.in_training():
            return None
        return self._record_batch(call) if extract.makes_run(call.instance) else self._remember_transformer(call)

    def _record_batch(self, call: autotrack.Call) -> Steps:
        """One run per estimator object, one step per call; it ends when the object dies, is fitted anew, or at exit."""
        estimator = call.instance
        training = self._online.training_of(estimator)
        if training is None:
            training = self._online.begin(estimator)
            self._capture_before(training.run, call)
        started = time.perf_counter()
        with autotrack.ignored_training(self.name):
            outcome = yield
        duration = time.perf_counter() - started
        if outcome.exception is not None:
            self._online.end(estimator, outcome.exception)
            return
        with autotrack.protect("reading a batch", self.name):
            rows = extract.rows(call.bound.get("X"))
            metrics, _ = extract.fitted(estimator)
            training.run.log_metrics({**metrics, "fit_time": duration, **({"rows": rows} if rows else {})})

    def close(self) -> None:
        """End the runs of estimators that learn by ``partial_fit``."""
        self._online.end_all()


class _OnlineRuns:
    """Runs of estimators that are trained batch by batch, by object. Estimators are held weakly."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[weakref.ref[Any], autotrack.Training]] = {}

    def training_of(self, estimator: Any) -> autotrack.Training | None:
        """The estimator's open training."""
        reference, training = self._open.get(id(estimator), (None, None))
        return training if reference is not None and reference() is estimator else None

    def begin(self, estimator: Any) -> autotrack.Training:
        """Open a training that lasts until ``end``."""
        key = id(estimator)
        training = autotrack.begin_training("sklearn", type(estimator).__name__)
        self._open[key] = weakref.ref(estimator, lambda _: self._end(key, None)), training
        return training

    def end(self, estimator: Any, error: BaseException | None = None) -> None:
        """End the estimator's training, if one is open; its model is saved as it is now."""
        training = self.training_of(estimator)
        if training is not None:
            training.run.capture_model(estimator, "model", 0.0)
            self._end(id(estimator), error)

    def end_all(self) -> None:
        """End all."""
        for key, (reference, training) in list(self._open.items()):
            estimator = reference()
            if estimator is not None:
                training.run.capture_model(estimator, "model", 0.0)
            self._end(key, None)

    def _end(self, key: int, error: BaseException | None) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            with autotrack.protect("ending a run of partial_fit", "sklearn"):
                if found[0]() is None:
                    found[1].run.note(
                        "the model was not saved: its object is gone; log_model keeps it before", "warning"
                    )
                found[1].end(error)

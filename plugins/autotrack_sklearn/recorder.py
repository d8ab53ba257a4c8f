"""What is patched in scikit-learn, and why.

Each class's own ``fit``, ``fit_transform``, ``fit_predict`` and ``partial_fit``: found by walking
``BaseEstimator.__subclasses__()``, and for later classes when the outermost ``__init_subclass__`` returns
(scikit-learn's own wraps ``transform`` there, and would wrap on top of us). Third-party and users'
estimators are met the same way. ``transform`` is watched for the arrays that it returns: the run of a
model says through which transformers its training data came.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Generator, Iterable, Sequence
from types import FunctionType, ModuleType
from typing import Any

import autotrack
from autotrack_sklearn import curves, extract, figures, training_metrics
from autotrack_sklearn.arguments import argument_name
from autotrack_sklearn.callbacks import listening
from autotrack_sklearn.crossval import CrossValidations
from autotrack_sklearn.dumps import Dumps
from autotrack_sklearn.lineage import Lineage
from autotrack_sklearn.online import OnlineRuns, WarmModels
from autotrack_sklearn.predictions import Predictions, Trained
from autotrack_sklearn.scores import Scores
from autotrack_sklearn.scoring_failures import ScoringFailures
from autotrack_sklearn.search import Searches
from autotrack_sklearn.tasks import Tasks

METHODS = ("fit", "fit_transform", "fit_predict", "partial_fit")

Steps = Generator[None, autotrack.Outcome, None]


class Recorder:
    """Records trainings of scikit-learn estimators; one per integration."""

    def __init__(self, name: str, patches: autotrack.PatchSet) -> None:
        self.name = name
        self._patches = patches
        self._lineage = Lineage()
        self._online = OnlineRuns()
        self._warm = WarmModels()
        self._predictions = Predictions()
        self._scores = Scores(self._predictions)
        self._tasks = Tasks(self.name)
        self._scoring_failures = ScoringFailures(self._tasks)
        self._searches = Searches(self.name, self._tasks)
        self._cross_validations = CrossValidations(self.name, self._tasks, self._capture_before, self._predictions)
        self._mixins: weakref.WeakSet[type] = weakref.WeakSet()  # that were patched
        self._making = threading.local()  # depth of nested __init_subclass__ calls

    # ---- patches ------------------------------------------------------------------------------------------------

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch the classes there are, and have later ones patched when they are made."""
        others = {
            "sklearn.metrics": self._install_metrics,
            "sklearn.utils.parallel": self._install_parallel,
            "sklearn.model_selection._validation": self._install_validation,
        }
        if module.__name__ in others:
            others[module.__name__](module, patches)
            return
        base = module.BaseEstimator
        classes = extract.subclasses(base)
        for cls in classes:
            self._patch_class(cls, patches)
        self._mixins.clear()
        self._patch_mixins(classes, patches)
        for hooked in {extract.owner_of(cls, "__init_subclass__") for cls in (base, module.TransformerMixin)}:
            patches.around(hooked, "__init_subclass__", self._on_class)

    def _install_metrics(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        self._scores.install(module, patches)
        self._scoring_failures.install(sys.modules["sklearn.metrics._scorer"], patches)

    def _install_validation(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        self._cross_validations.install(module, patches)
        self._scoring_failures.install(module, patches)

    def _install_parallel(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        self._tasks.install(module, patches)
        Dumps(self._predictions).install(sys.modules["joblib.numpy_pickle"], patches)  # joblib has been imported for it

    def _patch_class(self, cls: type, patches: autotrack.PatchSet) -> None:
        for name in METHODS:
            found = _function(cls, name)
            if found is not None:
                patches.around(*found, self._on_partial_fit if name == "partial_fit" else self._on_fit)
        if isinstance(vars(cls).get("transform"), FunctionType):
            patches.watch(cls, "transform", after=self._transformed)
        self._patch_predicting(cls, patches)

    def _patch_mixins(self, classes: Iterable[type], patches: autotrack.PatchSet) -> None:
        """Bases that are no estimators by themselves define ``score``, and some of them ``predict``."""
        for mixin in extract.mixins(classes):
            if mixin not in self._mixins:
                self._mixins.add(mixin)
                self._patch_predicting(mixin, patches)

    def _patch_predicting(self, cls: type, patches: autotrack.PatchSet) -> None:
        """What predicts and scores."""
        for name, after in self._predictions.watchers.items():
            found = _function(cls, name)
            if found is not None:
                patches.watch(*found, after=after)
        found = _function(cls, "score")
        if found is not None:
            patches.around(*found, self._scores.on_score)

    def _on_class(self, call: autotrack.Call) -> Steps:
        """Patch a new class once the outermost ``__init_subclass__`` is through with it."""
        self._making.depth = getattr(self._making, "depth", 0) + 1
        try:
            outcome = yield
        finally:
            self._making.depth -= 1
        cls = call.instance
        if self._making.depth == 0 and outcome.exception is None and extract.is_estimator_class(cls):
            self._patch_class(cls, self._patches)
            self._patch_mixins([cls], self._patches)

    # ---- trainings ----------------------------------------------------------------------------------------------

    def _on_fit(self, call: autotrack.Call) -> Steps | None:
        """Inner trainings (steps of a pipeline, members of an ensemble) are no runs."""
        if autotrack.in_training():
            return self._searches.inner(call)
        self._online.end(call.instance)  # fitted anew
        if not extract.makes_run(call.instance):
            return self._remember_transformer(call)
        trained = self._goes_on(call.instance)
        return self._record_model(call) if trained is None else self._record_more(call, trained)

    def _record_model(self, call: autotrack.Call) -> Steps:
        estimator = call.instance
        name = argument_name(autotrack.caller(), 0, "X")
        with autotrack.training(self.name, type(estimator).__name__) as training:
            self._capture_before(training.run, call)
            asked = training_metrics.before(call) if training.metrics_wanted else None
            with (
                self._searches.within(training.run, estimator) as finish,
                listening(estimator, call.bound.get("X")) as iterations,
            ):
                started = time.perf_counter()
                outcome = yield
                duration = time.perf_counter() - started
            finish(outcome)
            if outcome.exception is None:
                trained = Trained(training.run, call.bound.get("X"), name, warm=_is_warm(estimator))
                self._capture_after(trained, estimator, duration, iterations)
                if asked is not None:
                    training_metrics.after(training.run, estimator, *asked)
                self._capture_model(training.run, call, duration)
                self._remember_model(call, outcome.value, trained)
            training.end(outcome.exception)

    def _goes_on(self, estimator: Any) -> Trained | None:
        """What is known of a model that this fit trains on, in a warm start; its run must be the one that is open."""
        trained = self._predictions.model(estimator)
        if trained is not None and trained.step is not None and _is_warm(estimator):
            here = autotrack.run_here()
            if here is None or here.ended or here is trained.run or trained.run.id.startswith(f"{here.id}."):
                return trained
        self._warm.save(estimator)  # as it was before this fit
        return None

    def _record_more(self, call: autotrack.Call, trained: Trained) -> Steps:
        """A further step of a run that has ended, or of one opened by hand."""
        with autotrack.protect("reading an estimator's parameters", self.name):
            params, changed, _ = extract.params(call.instance)
            trained.run.capture(params=params, changed=changed)
        started = time.perf_counter()
        with autotrack.ignored_training(self.name):
            outcome = yield
        duration = time.perf_counter() - started
        if outcome.exception is not None:
            trained.run.note(f"a warm start raised {type(outcome.exception).__name__}", "warning")
            return
        trained.step = (trained.step or 0) + 1
        self._capture_after(trained, call.instance, duration)
        self._warm.changed(call.instance, trained.run)

    def _remember_model(self, call: autotrack.Call, result: Any, trained: Trained) -> None:
        """Scores will be looked for by the model, and by what ``fit_predict`` returned."""
        self._predictions.trained(call.instance, trained)
        if result is not call.instance:
            self._predictions.made(result, trained.predicted("fit_predict", trained.name))

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

    def _capture_after(
        self, trained: Trained, estimator: Any, duration: float, iterations: Sequence[float] = ()
    ) -> None:
        with autotrack.protect("reading a fitted estimator", self.name):
            _, fitted = extract.fitted(estimator)
            metrics, histories = _inside(estimator)
            facts = {"fitted": fitted} if fitted else None
            trained.run.capture(metrics={**metrics, "fit_time": duration}, facts=facts, step=trained.step)
            if iterations:
                trained.run.capture(curves={"iteration_time": iterations})
            for name, figure in figures.importances(extract.parts(estimator)[-1]).items():
                trained.run.capture_figure(f"{name}.json", figures.content(figure))
            for key, (first, values) in trained.histories.new(histories).items():
                trained.run.capture(curves={key: values}, step=first)

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
        trained = self._predictions.model(args[0])
        if trained is not None:  # clusterings and projections are scored by what they make of data
            self._predictions.derived(result, trained.predicted("transform", ""))

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
            self._predictions.trained(estimator, Trained(training.run))
        trained = self._predictions.model(estimator)
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
            if trained is not None:
                trained.step = 0 if trained.step is None else trained.step + 1

    def close(self) -> None:
        """End the runs of estimators that learn by ``partial_fit``, and save those that learned by warm starts."""
        self._online.end_all()
        self._warm.save_all()


def _is_warm(estimator: Any) -> bool:
    return vars(estimator).get("warm_start") is True


def _inside(estimator: Any) -> tuple[dict[str, float], curves.Curves]:
    """(metrics, histories) that a fit left in an estimator or in a part of it; the outermost value wins."""
    metrics: dict[str, float] = {}
    histories: curves.Curves = {}
    for part in reversed(extract.parts(estimator)):
        metrics.update(extract.fitted(part)[0])
        histories.update(curves.of(part))
    return {key: value for key, value in metrics.items() if key not in histories}, histories  # loss_ ends loss_curve_


def _function(cls: type, name: str) -> tuple[Any, str] | None:
    """Where the function is that a class defines under a name: in the class, or in its ``available_if``."""
    raw = vars(cls).get(name)
    if isinstance(raw, FunctionType):
        return None if getattr(raw, "__isabstractmethod__", False) else (cls, name)
    return (raw, "fn") if isinstance(getattr(raw, "fn", None), FunctionType) else None

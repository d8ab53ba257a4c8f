"""Metrics on the training data, for who asks for them with ``training_metrics=True``.

This is the only place that calls a model's ``predict``, and it does so only where that is known to change nothing:
exact classes of scikit-learn on a list that is tested, with parameters that are plain values, on a copy of at most
1,000 rows, taken before the fit (which may overwrite its data).
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any, NamedTuple

import autotrack

MAX_ROWS = 1000
_MAX_BYTES = 32_000_000

PREDICTORS = {
    "discriminant_analysis": ("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
    "ensemble": (
        "AdaBoostClassifier", "AdaBoostRegressor", "BaggingClassifier", "BaggingRegressor", "ExtraTreesClassifier",
        "ExtraTreesRegressor", "GradientBoostingClassifier", "GradientBoostingRegressor",
        "HistGradientBoostingClassifier", "HistGradientBoostingRegressor", "RandomForestClassifier",
        "RandomForestRegressor", "StackingClassifier", "StackingRegressor", "VotingClassifier", "VotingRegressor",
    ),
    "calibration": ("CalibratedClassifierCV",),
    "compose": ("TransformedTargetRegressor",),
    "gaussian_process": ("GaussianProcessClassifier", "GaussianProcessRegressor"),
    "isotonic": ("IsotonicRegression",),
    "kernel_ridge": ("KernelRidge",),
    "linear_model": (
        "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "GammaRegressor", "HuberRegressor", "Lars",
        "LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression",
        "LogisticRegression", "LogisticRegressionCV", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV",
        "Perceptron", "PoissonRegressor", "QuantileRegressor", "Ridge", "RidgeCV", "RidgeClassifier",
        "RidgeClassifierCV", "SGDClassifier", "SGDRegressor", "TheilSenRegressor", "TweedieRegressor",
    ),
    "model_selection": ("GridSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "RandomizedSearchCV"),
    "multiclass": ("OneVsOneClassifier", "OneVsRestClassifier"),
    "naive_bayes": ("BernoulliNB", "CategoricalNB", "ComplementNB", "GaussianNB", "MultinomialNB"),
    "neighbors": ("KNeighborsClassifier", "KNeighborsRegressor", "NearestCentroid"),
    "neural_network": ("MLPClassifier", "MLPRegressor"),
    "pipeline": ("Pipeline",),
    "svm": ("LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "SVC", "SVR"),
    "tree": ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"),
}  # fmt: skip
"""Exact classes whose ``predict`` and ``predict_proba`` draw nothing and leave the model as it was."""

TRANSFORMERS = {
    "compose": ("ColumnTransformer",),
    "decomposition": ("PCA", "TruncatedSVD"),
    "feature_extraction": ("CountVectorizer", "TfidfTransformer", "TfidfVectorizer"),
    "feature_selection": ("SelectFromModel", "SelectKBest", "SelectPercentile", "VarianceThreshold"),
    "impute": ("SimpleImputer",),
    "kernel_approximation": ("Nystroem", "RBFSampler"),
    "pipeline": ("FeatureUnion",),
    "preprocessing": (
        "KBinsDiscretizer", "MaxAbsScaler", "MinMaxScaler", "Normalizer", "OneHotEncoder", "OrdinalEncoder",
        "PolynomialFeatures", "PowerTransformer", "QuantileTransformer", "RobustScaler", "SplineTransformer",
        "StandardScaler",
    ),
}  # fmt: skip
"""Exact classes whose ``transform`` does; steps of a pipeline may be these."""

_PLAIN = (type(None), bool, int, float, str)
_NOT_LISTED = "{} is not among what is known to change nothing when a model predicts"


class Sample(NamedTuple):
    """Copied rows of the training data: ``rows`` of ``total``, evenly spread."""

    data: Any
    target: Any
    rows: int
    total: int


def before(call: autotrack.Call) -> tuple[Sample | None, str] | None:
    """What ``after`` needs, from a ``fit`` that is about to run."""
    with autotrack.protect("copying rows of the training data", "sklearn"):
        return take_sample(call.instance, call.bound)
    return None


def after(run: autotrack.Run, estimator: Any, sample: Sample | None, why_not: str) -> None:
    """Record the metrics of an estimator that was fitted just now, or why there are none."""
    with autotrack.protect("computing metrics on the training data", "sklearn"):
        if sample is not None:
            metrics, why_not = compute(estimator, sample)
            run.capture(metrics=metrics, facts={"training_metrics": {"rows": sample.rows, "of": sample.total}})
        if why_not:
            run.note(f"no metrics on the training data: {why_not}")


def take_sample(estimator: Any, arguments: dict[str, Any]) -> tuple[Sample | None, str]:
    """(at most 1,000 rows, or None; why there are none), to be asked before the fit."""
    data: Any = arguments.get("X")
    target: Any = arguments.get("y")
    if not _listed(estimator, PREDICTORS):
        return None, _NOT_LISTED.format(type(estimator).__name__)
    for values in (data, target):
        if type(values) not in _kinds():
            return None, f"X and y are copied where they are arrays, tables or lists, not {type(values).__name__}"
    if getattr(target, "ndim", 1) != 1:
        return None, "the target has several columns"
    total = data.shape[0] if hasattr(data, "shape") else len(data)
    each = getattr(data, "nbytes", 0) / max(total, 1)
    rows = min(total, MAX_ROWS, int(_MAX_BYTES / each) if each else MAX_ROWS)
    if rows < 2 or len(target) != total:
        return None, "there are too few rows"
    at = [index * (total - 1) // (rows - 1) for index in range(rows)]
    sample = Sample(_take(data, at), _take(target, at), rows, total)
    if sample.data is None or sample.target is None:
        return None, "X or y holds objects that are no numbers and no text"
    return sample, ""


def _kinds() -> set[type]:
    """Containers in memory whose rows are copied by code that is known."""
    found: set[type] = {list}
    for name in (
        "numpy.ndarray",
        "scipy.sparse.csr_matrix",
        "scipy.sparse.csr_array",
        "pandas.DataFrame",
        "pandas.Series",
    ):
        module, _, kind = name.rpartition(".")
        found.add(getattr(sys.modules.get(module), kind, list))
    return found


def _take(values: Any, at: list[int]) -> Any:
    """A copy of some rows, or None where they hold anything but plain values."""
    if type(values) is list:
        taken: Any = [values[index] for index in at]
        return taken if _all_plain(taken) else None
    if hasattr(values, "iloc"):
        taken = values.iloc[at].copy()
        columns = [taken] if taken.ndim == 1 else [taken.iloc[:, index] for index in range(taken.shape[1])]
        return taken if all(_all_plain(column.tolist()) for column in columns if column.dtype == object) else None
    taken = values[at]
    return taken if taken.dtype.kind in "biufUS" or _all_plain(taken.reshape(-1).tolist()) else None


def _all_plain(items: list[Any]) -> bool:
    return all(type(item) in _PLAIN or (type(item) is list and _all_plain(item)) for item in items)


def _listed(estimator: Any, *lists: dict[str, tuple[str, ...]]) -> bool:
    """Whether it is of exactly a class that is listed, with its own methods."""
    cls = type(estimator)
    top, _, rest = cls.__module__.partition(".")
    package = rest.partition(".")[0]
    return (
        top == "sklearn"
        and any(cls.__name__ in names.get(package, ()) for names in lists)
        and _public(package, cls.__name__) is cls
        and vars(estimator).keys().isdisjoint(("predict", "predict_proba", "transform"))
    )


def _public(package: str, name: str) -> Any:
    module = f"sklearn.{package}.text" if package == "feature_extraction" else f"sklearn.{package}"
    return getattr(sys.modules.get(module), name, None)


def unknown_part(estimator: Any) -> str:
    """What of a fitted estimator is not known to change nothing when it predicts, in words; empty where all is."""
    if not _listed(estimator, PREDICTORS, TRANSFORMERS):
        return type(estimator).__name__
    best = vars(estimator).get("best_estimator_")
    if best is not None:  # a search predicts with what it found
        return unknown_part(best)
    for name, value in estimator.get_params(deep=False).items():
        part = _unknown_value(value)
        if part:
            return part if hasattr(value, "get_params") else f"{part} ({name} of {type(estimator).__name__})"
    return ""


def _unknown_value(value: Any) -> str:
    """No function of the user's, no object of an unknown class: predicting would call them."""
    kind = type(value)
    home = kind.__module__
    if kind in _PLAIN or home == "numpy.random.mtrand":  # a RandomState is drawn from in the fit only
        return ""
    if isinstance(value, (type, FunctionType)):
        return "" if _is_library(value) else value.__name__
    if kind in (list, tuple, set, frozenset):
        return next((part for item in value if (part := _unknown_value(item))), "")
    if kind is dict:
        return next((part for pair in value.items() for item in pair if (part := _unknown_value(item))), "")
    if home == "numpy":
        return "" if getattr(getattr(value, "dtype", None), "kind", "O") in "biufUS" else kind.__name__
    if kind is _public("compose", "make_column_selector"):  # called in the fit only
        return ""
    return unknown_part(value) if home.startswith("sklearn.") else kind.__name__


def _is_library(value: Any) -> bool:
    """A type such as ``dtype=numpy.float64``, or a function of scikit-learn such as ``score_func=f_classif``."""
    if isinstance(value, type):
        return value.__module__ in ("numpy", "builtins")
    home = sys.modules.get(value.__module__)
    return value.__module__.startswith("sklearn.") and getattr(home, value.__qualname__, None) is value


def compute(estimator: Any, sample: Sample) -> tuple[dict[str, float], str]:
    """(metrics of a fitted estimator on the sample, why there are none)."""
    import numpy  # noqa: PLC0415  scikit-learn is there, so it is too
    from sklearn.base import is_classifier, is_regressor  # noqa: PLC0415

    if not hasattr(estimator, "predict"):
        return {}, "it cannot predict"
    part = unknown_part(estimator)
    if part:
        return {}, _NOT_LISTED.format(part)
    with numpy.errstate(all="ignore"):
        if is_classifier(estimator):
            found = _of_classifier(estimator, sample)
        elif is_regressor(estimator):
            found = _of_regressor(estimator, sample)
        else:
            found = {}
    return {f"training_{name}": float(value) for name, value in found.items()}, ""


def _of_classifier(estimator: Any, sample: Sample) -> dict[str, float]:
    from sklearn import metrics  # noqa: PLC0415

    y, predicted = sample.target, estimator.predict(sample.data)
    average: Any = {"average": "weighted", "zero_division": 0}
    found = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "precision": metrics.precision_score(y, predicted, **average),
        "recall": metrics.recall_score(y, predicted, **average),
        "f1": metrics.f1_score(y, predicted, **average),
    }
    if hasattr(estimator, "predict_proba"):
        probabilities = estimator.predict_proba(sample.data)
        classes = list(estimator.classes_)
        if abs(probabilities.sum(axis=1) - 1).max() < 1e-6 and len(classes) > 1:
            found["log_loss"] = metrics.log_loss(y, probabilities, labels=classes)
        if len(classes) == 2 and len(set(y)) == 2:
            found["roc_auc"] = metrics.roc_auc_score(y, probabilities[:, 1])
    return found


def _of_regressor(estimator: Any, sample: Sample) -> dict[str, float]:
    from sklearn import metrics  # noqa: PLC0415

    predicted = estimator.predict(sample.data)
    squared = metrics.mean_squared_error(sample.target, predicted)
    return {
        "r2": metrics.r2_score(sample.target, predicted),
        "mean_squared_error": squared,
        "root_mean_squared_error": squared**0.5,
        "mean_absolute_error": metrics.mean_absolute_error(sample.target, predicted),
    }

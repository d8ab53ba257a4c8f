"""What is read from estimators: pure functions. None of them calls predict, transform, score, fit or a scorer."""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Iterable
from typing import Any

import autotrack
from autotrack_sklearn import curves

to_json = autotrack.to_json

# Fitted attributes that are metrics: free, since fit computed them anyway.
_METRICS = {
    "best_score_": "best_score",
    "oob_score_": "oob_score",
    "inertia_": "inertia",
    "loss_": "loss",
    "best_loss_": "best_loss",
    "best_validation_score_": "best_validation_score",
    "lower_bound_": "lower_bound",
    "reconstruction_err_": "reconstruction_error",
    "kl_divergence_": "kl_divergence",
    "stress_": "stress",
    "bound_": "bound",
    "log_likelihood_": "log_likelihood",
    "log_marginal_likelihood_value_": "log_marginal_likelihood",
    "n_iter_": "n_iter",
}

_SMALL = 32
_MAX_FITTED = 60
_MAX_PARTS = 10


def subclasses(base: type) -> list[type]:
    """All classes derived from ``base`` that are loaded, each once."""
    found: dict[type, None] = {}
    waiting = [base]
    while waiting:
        derived: list[type] = type.__subclasses__(waiting.pop())
        for cls in derived:
            if cls not in found:
                found[cls] = None
                waiting.append(cls)
    return list(found)


def mixins(classes: Iterable[type]) -> list[type]:
    """The bases of estimator classes that are no estimators by themselves, each once."""
    found = dict.fromkeys(base for cls in classes for base in cls.__mro__)
    return [base for base in found if base.__module__ not in ("builtins", "abc") and not is_estimator_class(base)]


def owner_of(cls: type, name: str) -> type:
    """The class that defines an attribute of ``cls``."""
    return next(owner for owner in cls.__mro__ if name in vars(owner))


def is_estimator_class(cls: type) -> bool:
    """Whether a class just made is an estimator's."""
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    return base is not None and issubclass(cls, base)


def makes_run(estimator: Any) -> bool:
    """Whether training it is a run of its own: anything but a transformer.

    A transformer is what has ``transform`` (or only ``fit_transform``) and neither ``predict`` nor
    ``fit_predict``. PCA and the like, which also have ``score_samples``, are transformers: they are nearly
    always preprocessing. A pipeline is what its last step is.
    """
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps and isinstance(steps[-1], (tuple, list)) and len(steps[-1]) == 2:
        last = steps[-1][1]
        return last not in (None, "passthrough") and makes_run(last)
    kind = type(estimator)
    if hasattr(kind, "predict") or hasattr(kind, "fit_predict"):
        return True
    return not (hasattr(kind, "transform") or hasattr(kind, "fit_transform"))


def parts(estimator: Any) -> list[Any]:
    """The estimator, and those in it that people also use by themselves: a pipeline's last step, what a search
    refitted, a transformed target's regressor.
    """
    found: list[Any] = []
    waiting = [estimator]
    while waiting and len(found) < _MAX_PARTS:
        part = waiting.pop()
        if hasattr(part, "__dict__") and not any(part is other for other in found):
            found.append(part)
            steps = vars(part).get("steps")
            if isinstance(steps, list) and steps and isinstance(steps[-1], tuple) and len(steps[-1]) == 2:
                waiting.append(steps[-1][1])
            waiting += [vars(part).get(name) for name in ("best_estimator_", "regressor_")]
    return found


@functools.lru_cache(maxsize=64)
def _version(package: str) -> str:
    return str(getattr(sys.modules.get(package), "__version__", ""))


def about(estimator: Any) -> dict[str, Any]:
    """Class of the estimator and version of the package that it comes from."""
    cls = type(estimator)
    package = cls.__module__.partition(".")[0]
    facts = {"class": f"{cls.__module__}.{cls.__qualname__}", "scikit-learn": _version("sklearn")}
    if package not in ("sklearn", "__main__") and _version(package):
        facts[package] = _version(package)
    return facts


_defaults_of: weakref.WeakKeyDictionary[type, dict[str, Any]] = weakref.WeakKeyDictionary()


def _defaults(cls: type) -> dict[str, Any]:
    """Defaults of the constructor, by parameter."""
    found = _defaults_of.get(cls)
    if found is None:
        found = _defaults_of[cls] = {}
        for owner in cls.__mro__:
            if "__init__" not in vars(owner):
                continue
            try:
                parameters = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
            except (ValueError, TypeError):
                break
            for parameter in parameters:
                if parameter.default is not parameter.empty:
                    found.setdefault(parameter.name, parameter.default)
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break  # else the rest is passed on to the next one, as xgboost and skorch do
    return found


def params(estimator: Any) -> tuple[dict[str, Any], list[str], str]:
    """(deep parameters, names of those that differ from their default, what of them could not be read, in words).

    Estimators among the values are named by their class: their own parameters follow under ``name__``.
    ``get_params`` may be the user's own; it also raises where a class stands in an estimator's place.
    """
    everything, error = autotrack.foreign(lambda: _by_name(estimator.get_params(deep=True)))
    if everything is None:
        everything, _ = autotrack.foreign(lambda: _by_name(estimator.get_params(deep=False)))
    why = f"get_params raised {type(error).__name__}: {autotrack.foreign(str, error)[0]}" if error is not None else ""
    return (*_described(estimator, everything or {}), why)


def _by_name(given: dict[Any, Any]) -> dict[str, Any]:
    """Names are text, except those of a pipeline whose steps are called 1 and 2."""
    return {str(name): value for name, value in given.items()}


def _described(estimator: Any, everything: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    changed = []
    owners = {"": estimator}
    for name in sorted(everything, key=lambda name: name.count("__")):
        prefix, _, own = name.rpartition("__")
        value = everything[name]
        if hasattr(type(value), "get_params"):
            owners[name] = value
        owner = owners.get(prefix)
        default = _defaults(type(owner)).get(own, _UNSET) if owner is not None else _UNSET
        if default is not _UNSET and not autotrack.is_default(value, default):
            changed.append(name)
    return {name: readable(value) for name, value in everything.items()}, changed


_UNSET = object()


def readable(value: Any) -> Any:
    """Objects of scikit-learn's own that are no estimators (splitters, kernels) have a repr worth having."""
    cls = type(value)
    if cls.__module__.startswith("sklearn.") and not hasattr(value, "fit") and not isinstance(value, type):
        text, _ = autotrack.foreign(repr, value)  # a splitter's shows the values in it, and calls their repr
        return value if text is None else text[:500]
    return value


def data(arguments: dict[str, Any]) -> dict[str, Any]:
    """Fingerprints of what ``fit`` was given."""
    facts: dict[str, Any] = {}
    for name, value in arguments.items():
        if name != "self" and value is not None and name in ("X", "y", "Y", "sample_weight", "raw_documents"):
            facts[name] = autotrack.describe_data(value, target=name in ("y", "Y"))
    return facts


def rows(value: Any) -> int:
    """Number of rows of a batch; 0 where it cannot be told."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0])
    return len(value) if isinstance(value, (list, tuple)) else 0


def _plain_number(value: Any) -> float | None:
    """A number that may be read without calling anything of the user's."""
    if isinstance(value, (bool, int, float)) and not isinstance(value, bool):
        return float(value)
    single = type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "size", 0) == 1
    return float(value.item()) if single and value.dtype.kind in "iuf" else None


def fitted(estimator: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, facts) from the fitted attributes in the instance itself; properties are not asked."""
    metrics: dict[str, float] = {}
    facts: dict[str, Any] = {}
    for name, value in list(vars(estimator).items()):
        if not name.endswith("_") or name.startswith("_"):
            continue
        number = _plain_number(value) if name in _METRICS else None
        if number is not None:
            metrics[_METRICS[name]] = number
        elif name not in curves.TABLE and len(facts) < _MAX_FITTED:
            shown = _fact(value)
            if shown is not None:
                facts[name] = shown
    return metrics, facts


def _fact(value: Any) -> Any:
    """A fitted attribute in JSON types: small values whole, arrays by shape, anything else not."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return to_json(value)
    if type(value).__module__ == "numpy":
        if getattr(value, "size", _SMALL + 1) <= _SMALL and getattr(value, "dtype", None) is not None:
            return to_json(value) if value.dtype.kind != "O" else to_json([str(item) for item in value.reshape(-1)])
        return {"shape": list(value.shape), "dtype": str(value.dtype)} if hasattr(value, "shape") else None
    if isinstance(value, dict) and len(value) <= _SMALL:
        plain = (str, bool, int, float, type(None))
        if all(isinstance(key, str) and isinstance(item, plain) for key, item in value.items()):
            return to_json(value)
    return None


def signature(estimator: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """``inputs`` and ``outputs`` of a fitted estimator: outputs are like the target, or like ``labels_``."""
    target = arguments.get("y", arguments.get("Y", vars(estimator).get("labels_")))
    sides = {"inputs": autotrack.describe_columns(arguments.get("X")), "outputs": autotrack.describe_columns(target)}
    return {name: side for name, side in sides.items() if side}

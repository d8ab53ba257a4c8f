"""Estimators on disk: pickled at once (microseconds), turned into skops by the helper process.

Importing ``skops.io`` takes over a second and dumping a forest ten times its pickle, so neither is done in
the training process.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from typing import Any

import autotrack
from autotrack_sklearn.trusted import TRUSTED

_SECONDS_PER_BYTE = 1 / 400e6
_SECONDS_PER_OBJECT = 2e-6
_MAX_OBJECTS = 20_000


class SkopsFormat:
    """skops files of scikit-learn estimators; only exact class names on our list load by themselves."""

    name = "skops"

    def can_save(self, model: Any) -> bool:
        """Whether it is an estimator."""
        base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
        return base is not None and isinstance(model, base)

    def cost(self, model: Any) -> tuple[float, int]:
        """Predicted (seconds, bytes) of pickling, from the sizes of the arrays in it."""
        size, objects = _measure(model)
        return size * _SECONDS_PER_BYTE + objects * _SECONDS_PER_OBJECT, size

    def save(self, model: Any) -> autotrack.Saved:
        """The estimator pickled. One of a class of ``__main__`` stays a pickle: no other process has its class."""
        try:
            data = pickle.dumps(model, protocol=5)
        except Exception as error:  # whatever the user's own __getstate__ raises
            raise autotrack.ModelError(f"it cannot be pickled ({type(error).__name__}: {error})") from error
        requires = _requires(model)
        if type(model).__module__ == "__main__":
            why = f"the class {type(model).__qualname__} is defined in __main__, where no other process finds it"
            return autotrack.Saved(data, ".pickle", "pickle", requires, stays=why)
        return autotrack.Saved(data, ".pickle", "pickle", requires, self.name)

    def convert(self, data: bytes) -> autotrack.Saved:
        """Turn our own pickle into a skops file."""
        import skops.io  # noqa: PLC0415

        try:
            model = pickle.loads(data)  # noqa: S301  written by the process that sent us, checked by its sha256
            safe = skops.io.dumps(model, compression=zipfile.ZIP_DEFLATED)
            return autotrack.Saved(safe, ".skops", self.name, _requires(model))
        except Exception as error:
            raise autotrack.ModelError(f"skops cannot keep it ({type(error).__name__}: {error})") from error

    def untrusted(self, data: bytes) -> list[str]:
        """Types that neither skops nor our list of exact names trusts."""
        return sorted(_unknown_to_skops(data) - TRUSTED)

    def load(self, data: bytes, trusted: list[str]) -> Any:
        """The estimator."""
        import skops.io  # noqa: PLC0415

        vouched = _unknown_to_skops(data) & (TRUSTED | set(trusted))
        try:
            return skops.io.load(io.BytesIO(data), trusted=sorted(vouched))
        except Exception as error:
            raise autotrack.ModelError(f"skops cannot load the file ({type(error).__name__}: {error})") from error


def _unknown_to_skops(data: bytes) -> set[str]:
    """Names in a file that skops does not trust by itself."""
    import skops.io  # noqa: PLC0415

    try:
        return set(skops.io.get_untrusted_types(data=data))
    except Exception as error:
        raise autotrack.ModelError(f"this is no file of skops ({type(error).__name__}: {error})") from error


def _requires(model: Any) -> dict[str, str]:
    """Versions of the distributions that the estimator needs."""
    requires = {"scikit-learn": str(sys.modules["sklearn"].__version__)}
    package = type(model).__module__.partition(".")[0]
    if package not in ("sklearn", "__main__") and hasattr(sys.modules.get(package), "__version__"):
        requires[package] = str(sys.modules[package].__version__)
    return requires


def _measure(model: Any) -> tuple[int, int]:
    """(bytes, objects) reachable from an estimator through its attributes and plain containers."""
    size = objects = 0
    seen: set[int] = set()
    waiting = [model]
    while waiting and objects < _MAX_OBJECTS:
        item = waiting.pop()
        if id(item) in seen or item is None or isinstance(item, (bool, int, float, type)):
            continue
        seen.add(id(item))
        objects += 1
        nbytes = getattr(item, "nbytes", None) if type(item).__module__ == "numpy" else None
        if nbytes is not None:
            size += int(nbytes)
            if getattr(item, "dtype", None) is not None and item.dtype.kind == "O" and item.ndim:
                waiting.extend(item.reshape(-1)[:_MAX_OBJECTS].tolist())
        elif isinstance(item, (str, bytes)):
            size += len(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting.extend(item)
        elif hasattr(item, "node_count") and hasattr(item, "max_n_classes"):  # a tree's Cython part
            size += item.node_count * (64 + 8 * item.max_n_classes * item.n_outputs)
        elif hasattr(item, "__dict__"):
            waiting.extend(vars(item).values())
    return size, objects

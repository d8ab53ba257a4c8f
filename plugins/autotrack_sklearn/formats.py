"""Estimators on disk: pickled at once (microseconds), turned into skops by the helper process.

Importing ``skops.io`` takes over a second and dumping a forest ten times its pickle, so neither is done in
the training process.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import itertools
import math
import pickle
import sys
import sysconfig
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import autotrack
from autotrack_sklearn.trusted import TRUSTED

if TYPE_CHECKING:
    from autotrack.records import Model

_SECONDS_PER_BYTE = 1 / 400e6
_SECONDS_PER_OBJECT = 5e-6  # an array, an estimator, a tree: each calls Python code of its own
_SECONDS_PER_VALUE = 0.15e-6  # text and numbers
_SECONDS_PER_FILE = 0.2e-3
_MAX_OBJECTS = 20_000
_MAX_DRAWN = 200  # estimators in one diagram: 4 MB, and seconds of work
_SAMPLE = 100  # so many items of a container stand for all of them


_MAX_UNPACKED = 1_000_000_000
_MAX_RATIO = 100
"""A file that unpacks to more bytes than both allow is refused: its content could be made to fill the memory."""

_LOAD = '''\
"""Load the model of this folder. Needs skops and scikit-learn, see requirements.txt; autotrack is not needed."""

from pathlib import Path

import skops.io

TRUSTED = {trusted!r}


def load(folder=Path(__file__).parent):
    return skops.io.load(Path(folder) / {file!r}, trusted=TRUSTED)


if __name__ == "__main__":
    print(load())
'''


class SkopsFormat:
    """skops files of scikit-learn estimators; only exact class names on our list load by themselves."""

    name = "skops"
    suffixes = (".skops",)

    def can_save(self, model: Any) -> bool:
        """Whether it is an estimator."""
        base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
        return base is not None and isinstance(model, base)

    def cost(self, model: Any) -> tuple[float, int]:
        """Predicted (seconds, bytes) of pickling, from the sizes of the arrays in it."""
        size, objects, values = _measure(model)
        seconds = size * _SECONDS_PER_BYTE + objects * _SECONDS_PER_OBJECT + values * _SECONDS_PER_VALUE
        return seconds + _SECONDS_PER_FILE, size

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
            model = _Installed(io.BytesIO(data)).load()  # written by the process that sent us, checked by its sha256
            safe = skops.io.dumps(model, compression=zipfile.ZIP_DEFLATED)
            types = sorted(_unknown_to_skops(safe))
            return autotrack.Saved(safe, ".skops", self.name, _requires(model), types=types, pages=_diagram(model))
        except autotrack.ModelError:
            raise
        except Exception as error:
            raise autotrack.ModelError(f"skops cannot keep it ({type(error).__name__}: {error})") from error

    def of_file(self, data: bytes) -> autotrack.Saved:
        """A file that a person gives. What it was saved with it does not say: it stands with the versions of here."""
        _unknown_to_skops(data)
        version = importlib.metadata.version("scikit-learn")
        return autotrack.Saved(data, ".skops", self.name, {"scikit-learn": version})

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

    def export(self, data: bytes, file: str) -> autotrack.Exported:
        """The same file; what its loaders must trust is written beside it, MLflow's own flavor among them."""
        return _exported(file, sorted(_unknown_to_skops(data)), importlib.metadata.version("scikit-learn"))

    def describe(self, record: Model, file: BinaryIO) -> autotrack.Exported | None:
        """As ``export``, by what was recorded; None where a type is in it that our list does not have."""
        if record.types is None or not TRUSTED.issuperset(record.types):
            return None
        return _exported(PurePosixPath(record.path).name, record.types, record.requires.get("scikit-learn", ""))


def _exported(file: str, trusted: list[str], version: str) -> autotrack.Exported:
    flavors: dict[str, dict[str, Any]] = {
        "python_function": {"loader_module": "mlflow.sklearn", "model_path": file, "predict_fn": "predict"},
        "sklearn": {
            "pickled_model": file,
            "serialization_format": "skops",
            "skops_trusted_types": trusted,
            "sklearn_version": version,
            "code": None,
        },
    }
    return autotrack.Exported(_LOAD.format(trusted=trusted, file=file), flavors)


def _diagram(model: Any) -> dict[str, bytes]:
    """scikit-learn's own page of an estimator that is made of others; of a plain one its parameters say as much."""
    from sklearn.utils import estimator_html_repr  # noqa: PLC0415

    try:
        made_of = [part for part in model.get_params().values() if hasattr(part, "fit") and not isinstance(part, type)]
        drawn = 0 < len(made_of) <= _MAX_DRAWN
        return {"estimator.html": estimator_html_repr(model).encode()} if drawn else {}
    except Exception:  # noqa: BLE001  whatever a third party's __repr__ raises: the model is kept all the same
        return {}


class _Installed(pickle.Unpickler):
    """Imports installed packages only: a user's own module would run its top-level code a second time."""

    def find_class(self, module: str, name: str) -> Any:
        spec = importlib.util.find_spec(module.partition(".")[0])
        if not _is_installed(getattr(spec, "origin", None) or ""):
            raise autotrack.ModelError(f"it needs {module}.{name}, which is no installed package's")
        return super().find_class(module, name)


def _is_installed(origin: str) -> bool:
    """Whether a module's file is the standard library's or an installer's: also one for this user alone
    (``pip install --user``), or for an environment below this one (``--system-site-packages``)."""
    places = sysconfig.get_paths()
    return (
        origin in ("built-in", "frozen")
        or not {"site-packages", "dist-packages"}.isdisjoint(Path(origin).parts)
        or any(origin.startswith(places[kind]) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
    )


def _unknown_to_skops(data: bytes) -> set[str]:
    """Names in a file that skops does not trust by itself."""
    _refuse_bomb(data)
    import skops.io  # noqa: PLC0415

    try:
        return set(skops.io.get_untrusted_types(data=data))
    except Exception as error:
        raise autotrack.ModelError(f"this is no file of skops ({type(error).__name__}: {error})") from error


def _refuse_bomb(data: bytes) -> None:
    """Raise ModelError where a file would unpack to far more than it is: what it says is the most that it gives."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            size = sum(entry.file_size for entry in file.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise autotrack.ModelError(f"this is no file of skops ({error})") from error
    if size > max(_MAX_UNPACKED, _MAX_RATIO * len(data)):
        raise autotrack.ModelError(
            f"the file of {len(data) / 1e6:.3g} MB would unpack to {size / 1e9:.3g} GB, as a zip bomb does: it is not "
            "opened. If you know that it is what you saved, open it by skops.io.load."
        )


_DISTRIBUTIONS = {"imblearn": "imbalanced-learn"}  # where it is not the name that one imports


def _requires(model: Any) -> dict[str, str]:
    """Versions of the distributions that the estimator needs."""
    requires = {"scikit-learn": str(sys.modules["sklearn"].__version__)}
    package = type(model).__module__.partition(".")[0]
    if package not in ("sklearn", "__main__") and hasattr(sys.modules.get(package), "__version__"):
        requires[_DISTRIBUTIONS.get(package, package)] = str(sys.modules[package].__version__)
    return requires


def _measure(model: Any) -> tuple[int, float, float]:
    """(bytes, objects, plain values) reachable from an estimator through its attributes and plain containers."""
    size = objects = values = 0.0
    seen: dict[int, float] = {}  # what of an object's bytes was counted for its likes
    waiting: list[tuple[Any, float]] = [(model, 1.0)]  # with how many of its kind it stands for
    looked = 0
    while waiting and looked < _MAX_OBJECTS:
        item, weight = waiting.pop()
        if item is None or isinstance(item, (bool, int, float, str, bytes)):
            values += weight
            size += weight * (len(item) + 3 if isinstance(item, (str, bytes)) else 3)
            continue
        if id(item) in seen or isinstance(item, type):
            size -= seen.get(id(item), 0.0)  # it is the same object in all of them
            seen[id(item)] = 0.0
            continue
        looked += 1
        parts, count, own = _parts(item)
        if not isinstance(item, _CONTAINERS):
            objects += weight
        size += weight * own
        seen[id(item)] = (weight - 1) * own
        waiting.extend((part, weight * count / len(parts)) for part in parts)
    rest = 1 + sum(weight for _, weight in waiting) / max(1.0, objects + values)  # what was not looked at is like it
    return int(size * rest), objects * rest, values * rest


_CONTAINERS = (dict, list, tuple, set, frozenset)


def _parts(item: Any) -> tuple[list[Any], int, int]:
    """(some of what an object is made of, how many there are in all, its own bytes)."""
    package = type(item).__module__.partition(".")[0]
    if isinstance(item, dict):
        some = itertools.islice(item.items(), _SAMPLE)
        return [part for pair in some for part in pair], 2 * len(item), 0
    if isinstance(item, (list, tuple)):
        return list(item[:: math.ceil(len(item) / _SAMPLE) or 1]), len(item), 0
    if isinstance(item, _CONTAINERS):
        return list(itertools.islice(item, _SAMPLE)), len(item), 0
    if package == "numpy" and hasattr(item, "nbytes"):
        dtype = getattr(item, "dtype", None)
        held = item.reshape(-1) if dtype is not None and dtype.kind == "O" and item.ndim else ()
        return list(held[:: math.ceil(len(held) / _SAMPLE) or 1]), len(held), int(item.nbytes)
    if package == "pandas" and hasattr(item, "memory_usage"):
        used = item.memory_usage(index=True)
        return [], 0, int(used if isinstance(used, int) else used.sum())
    arrays = item.get_arrays() if package == "sklearn" and hasattr(item, "get_arrays") else ()  # a k-d or ball tree
    if hasattr(item, "node_count") and hasattr(item, "max_n_classes"):  # a tree's Cython part
        return [], 0, int(item.node_count * (64 + 8 * item.max_n_classes * item.n_outputs))
    parts = [*arrays, *(vars(item).values() if hasattr(item, "__dict__") else ())]
    return parts, len(parts), 0

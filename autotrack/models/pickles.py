"""Pickles: the format that core knows itself. Opening one runs whatever code is in it."""

from __future__ import annotations

import io
from typing import Any

from autotrack.errors import ModelError
from autotrack.models.formats import Exported, Saved

__all__ = ["PickleFormat"]

_LOAD = '''\
"""Load the model of this folder. It is a pickle: opening it runs whatever code is in it. autotrack is not needed."""

import pickle
from pathlib import Path


def load(folder=Path(__file__).parent):
    with (Path(folder) / {file!r}).open("rb") as file:
        return pickle.load(file)


def _load_pyfunc(path):  # for mlflow.pyfunc.load_model
    return load(path)


if __name__ == "__main__":
    print(load())
'''


class PickleFormat:
    """Pickles, by the caller's word alone. A framework's own format decides what becomes one."""

    name = "pickle"
    runs_code = True
    suffixes = (".pickle", ".pkl")

    def can_save(self, model: Any) -> bool:
        """Nothing is pickled because no other format can save it."""
        return False

    def cost(self, model: Any) -> tuple[float, int]:
        """See ``save``."""
        raise NotImplementedError

    def save(self, model: Any) -> Saved:
        """See ``can_save``."""
        raise NotImplementedError

    def convert(self, data: bytes) -> Saved:
        """What wrote a pickle turns it into its safe form, under that form's name."""
        raise ModelError("a pickle whose safe form is not named stays a pickle")

    def of_file(self, data: bytes) -> Saved:
        """A pickle that a person made, by ``cloudpickle`` say. It is not opened."""
        return Saved(data, ".pickle", self.name, {})

    def untrusted(self, data: bytes) -> list[str]:
        """The whole of it."""
        return ["pickle"]

    def load(self, data: bytes, trusted: list[str]) -> Any:
        """What is in it, after its code has run."""
        import pickle  # noqa: PLC0415  enable() does not need it

        try:
            return pickle.load(io.BytesIO(data))  # noqa: S301  by the caller's word
        except (AttributeError, ImportError):  # its class is not here
            raise
        except Exception as error:  # whatever reading a torn file comes to
            raise ModelError(f"this is no pickle, or a part of one ({type(error).__name__}: {error})") from error

    def export(self, data: bytes, file: str) -> Exported:
        """With a loader of its own, for MLflow as well."""
        import hashlib  # noqa: PLC0415  loads OpenSSL

        module = f"load_{hashlib.sha256(data).hexdigest()[:12]}"
        flavors = {"python_function": {"loader_module": module, "code": "code"}}
        return Exported(_LOAD.format(file=file), flavors, module)

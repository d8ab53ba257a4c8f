"""Files of ``joblib.dump``: pickles beside their arrays. A person gives them to ``log_model`` by their path."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
from typing import Any

import autotrack

__all__ = ["JoblibFormat"]

_LOAD = '''\
"""Load the model of this folder. It is a pickle: opening it runs whatever code is in it. autotrack is not needed."""

from pathlib import Path

import joblib


def load(folder=Path(__file__).parent):
    return joblib.load(Path(folder) / {file!r})


def _load_pyfunc(path):  # for mlflow.pyfunc.load_model
    return load(path)


if __name__ == "__main__":
    print(load())
'''


class JoblibFormat:
    """Files of joblib, opened by the caller's word alone: what estimators become by themselves is skops."""

    name = "joblib"
    runs_code = True
    suffixes = (".joblib",)

    def can_save(self, model: Any) -> bool:
        """Nothing: one gives a file."""
        return False

    def cost(self, model: Any) -> tuple[float, int]:
        """See ``can_save``."""
        raise NotImplementedError

    def save(self, model: Any) -> autotrack.Saved:
        """See ``can_save``."""
        raise NotImplementedError

    def convert(self, data: bytes) -> autotrack.Saved:
        """A file that was given stays as it is."""
        raise autotrack.ModelError("a file of joblib stays as it is")

    def of_file(self, data: bytes) -> autotrack.Saved:
        """The file as it is. It is not opened, so what it needs beside joblib is not known."""
        return autotrack.Saved(data, ".joblib", self.name, {"joblib": importlib.metadata.version("joblib")})

    def untrusted(self, data: bytes) -> list[str]:
        """The whole of it."""
        return ["pickle"]

    def load(self, data: bytes, trusted: list[str]) -> Any:
        """What is in it, after its code has run."""
        import joblib  # noqa: PLC0415

        try:
            return joblib.load(io.BytesIO(data))
        except (AttributeError, ImportError):  # its class is not here
            raise
        except Exception as error:  # whatever reading a torn file comes to
            raise autotrack.ModelError(f"joblib cannot load the file ({type(error).__name__}: {error})") from error

    def export(self, data: bytes, file: str) -> autotrack.Exported:
        """With a loader of its own, for MLflow as well."""
        module = f"load_{hashlib.sha256(data).hexdigest()[:12]}"
        flavors = {"python_function": {"loader_module": module, "code": "code"}}
        return autotrack.Exported(_LOAD.format(file=file), flavors, module)

"""Models of ONNX: protocol buffers, in which there is no code of Python's.

Nothing is turned into ONNX here: that runs a model's ``forward``, or needs to be told what goes in. Whoever wants it
exports, by ``torch.onnx.export`` or ``skl2onnx``, and gives ``log_model`` the ``onnx.ModelProto`` or the file's path.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import autotrack

if TYPE_CHECKING:
    from autotrack.records import Model

__all__ = ["OnnxFormat"]

_SECONDS_PER_BYTE = 1 / 500e6

_LOAD = '''\
"""Load the model of this folder as a session. Needs onnxruntime; autotrack is not needed."""

from pathlib import Path

import onnxruntime


def load(folder=Path(__file__).parent):
    return onnxruntime.InferenceSession(str(Path(folder) / {file!r}), providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    print([(one.name, one.shape, one.type) for one in load().get_inputs()])
'''


class OnnxFormat:
    """ONNX models, whole in one file."""

    name = "onnx"
    suffixes = (".onnx",)

    def can_save(self, model: Any) -> bool:
        """Whether it is an ``onnx.ModelProto``."""
        proto = getattr(sys.modules.get("onnx"), "ModelProto", None)
        return proto is not None and isinstance(model, proto)

    def cost(self, model: Any) -> tuple[float, int]:
        """Predicted (seconds, bytes) of ``save``."""
        size = int(model.ByteSize())
        return size * _SECONDS_PER_BYTE, size

    def save(self, model: Any) -> autotrack.Saved:
        """The model as the bytes of a file."""
        return self.of_file(model.SerializeToString())

    def convert(self, data: bytes) -> autotrack.Saved:
        """Nothing has to be turned."""
        raise autotrack.ModelError("models of ONNX stay as they are")

    def of_file(self, data: bytes) -> autotrack.Saved:
        """A file that a person made; its graph says what goes in and what comes out."""
        model = _read(data)
        requires = {name: version for name in ("onnx", "onnxruntime") if (version := _version(name))}
        inner = {tensor.name for tensor in model.graph.initializer}
        sides = {
            "inputs": _described([value for value in model.graph.input if value.name not in inner]),
            "outputs": _described(model.graph.output),
        }
        signature = {name: side for name, side in sides.items() if side}
        return autotrack.Saved(data, ".onnx", self.name, requires, cls="onnx.ModelProto", signature=signature)

    def untrusted(self, data: bytes) -> list[str]:
        """Nothing: what could do harm is refused."""
        _read(data)
        return []

    def load(self, data: bytes, trusted: list[str]) -> Any:
        """The ``onnx.ModelProto``; ``onnxruntime.InferenceSession(model.SerializeToString())`` runs it."""
        return _read(data)

    def export(self, data: bytes, file: str) -> autotrack.Exported:
        """The same file, with MLflow's own flavor."""
        return _exported(file, _version("onnx"))

    def describe(self, record: Model, file: BinaryIO) -> autotrack.Exported | None:
        """As ``export``, by what was recorded."""
        return _exported(PurePosixPath(record.path).name, record.requires.get("onnx", ""))


def _exported(file: str, version: str) -> autotrack.Exported:
    flavors: dict[str, dict[str, Any]] = {
        "python_function": {"loader_module": "mlflow.onnx", "data": file},
        "onnx": {"onnx_version": version, "data": file, "providers": ["CPUExecutionProvider"]},
    }
    return autotrack.Exported(_LOAD.format(file=file), flavors)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _read(data: bytes) -> Any:
    """The model.

    Raises:
        ModelError: It is none, or parts of it lie in other files, which could be any of the machine's.
    """
    try:
        onnx = importlib.import_module("onnx")
    except ImportError:
        raise autotrack.ModelError("onnx is not installed: pip install onnx") from None
    model, error = autotrack.foreign(onnx.load_model_from_string, data)
    if error is None:
        outside = sorted({item.value for tensor in _tensors(model) for item in tensor.external_data})
        if outside:
            raise autotrack.ModelError(
                f"parts of it lie in other files ({', '.join(outside)[:200]}), which are not opened; "
                "onnx.save_model(model, path, save_as_external_data=False) writes it whole"
            )
        _, error = autotrack.foreign(onnx.checker.check_model, model)
    if error is not None:
        raise autotrack.ModelError(f"this is no model of ONNX ({type(error).__name__}: {error})") from error
    return model


def _tensors(message: Any) -> Iterator[Any]:
    """All tensors in a message, wherever they are: in subgraphs, functions, attributes."""
    waiting = [message]
    while waiting:
        one = waiting.pop()
        if hasattr(one, "external_data"):
            yield one
            continue
        for field, value in one.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else list(value)


def _described(values: Any) -> dict[str, Any]:
    """Inputs or outputs as a signature has them; of several each by its name."""
    found = {value.name: about for value in values if (about := _tensor(value.type.tensor_type))}
    if len(found) == 1:
        return next(iter(found.values()))
    return {"tensors": found} if found else {}


def _tensor(of: Any) -> dict[str, Any]:
    onnx = sys.modules["onnx"]
    dtype, error = autotrack.foreign(onnx.helper.tensor_dtype_to_np_dtype, of.elem_type)
    if error is not None or not of.HasField("shape"):
        return {}
    shape = [one.dim_value if one.HasField("dim_value") else None for one in of.shape.dim]
    return {"shape": shape, "dtype": str(dtype)}

"""A model as a folder that needs no autotrack: its file, load.py, requirements.txt, model.json, MLflow's MLmodel."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Mapping
from typing import Any

from autotrack.errors import ModelError
from autotrack.models.formats import Exported
from autotrack.records import Model

__all__ = ["description_files", "export_files", "mlflow_schema"]

_TYPES = {  # MLflow's names of the types of columns
    "bool": "boolean", "boolean": "boolean", "int8": "integer", "int16": "integer", "int32": "integer",
    "uint8": "integer", "uint16": "integer", "int64": "long", "uint32": "long", "float16": "float", "float32": "float",
    "float64": "double", "object": "string", "str": "string", "string": "string",
    "datetime64[ns]": "datetime", "datetime64[us]": "datetime",
}  # fmt: skip


_OURS = {"MLmodel", "code", "input_example.json", "load.py", "model.json", "requirements.txt"}
_REQUIREMENT = re.compile(r"#[ -~]*|[A-Za-z0-9][A-Za-z0-9._-]*(==[A-Za-z0-9.!_-]+)?")


def export_files(
    data: bytes, file: str, record: Model, exported: Exported, facts: Mapping[str, Any], beside: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Content of the folder, by POSIX path.

    Args:
        data: The model's file.
        file: Its name.
        record: What was recorded of it.
        exported: What its format says.
        facts: All that is known of it, for model.json.
        beside: Files that lie beside it in the store.

    Raises:
        ModelError: The model's file has the name of one that is written here.
    """
    if file in _OURS:
        raise ModelError(f"the model cannot be exported: its file is called {file!r}, as another one of the folder is")
    files = {**beside, file: data, "load.py": exported.code.encode()}
    files["requirements.txt"] = _requirements(beside.get("requirements.txt", b""), record.requires)
    files["model.json"] = json.dumps(facts, indent=2).encode() + b"\n"
    return files | description_files(record, exported)


def description_files(record: Model, exported: Exported) -> dict[str, bytes]:
    """What MLflow needs beside the model's file to open it, by POSIX path; nothing where it cannot."""
    files = {}
    if exported.module:  # MLflow imports it by name: two models in one process need two names
        files[f"code/{exported.module}.py"] = exported.code.encode()
    if exported.flavors:
        files["MLmodel"] = json.dumps(_mlmodel(record, exported), indent=2).encode() + b"\n"
    return files


def _requirements(beside: bytes, requires: Mapping[str, str]) -> bytes:
    """The file beside the model, where all of it is what we write: pip obeys other lines, and installs from URLs."""
    lines = beside.decode("ascii", "replace").splitlines()
    if not lines or not all(map(_REQUIREMENT.fullmatch, lines)):
        lines = [f"{name}=={version.partition('+')[0]}" for name, version in sorted(requires.items())]
    return "".join(f"{line}\n" for line in lines if _REQUIREMENT.fullmatch(line)).encode()


def _mlmodel(record: Model, exported: Exported) -> dict[str, Any]:
    """MLflow's description of a model: YAML, of which JSON is a part."""
    flavors = {name: dict(content) for name, content in exported.flavors.items()}
    if "python_function" in flavors:
        flavors["python_function"]["python_version"] = platform.python_version()
    content: dict[str, Any] = {
        "flavors": flavors,
        "model_size_bytes": record.size,
        "utc_time_created": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }
    inputs, outputs = (mlflow_schema(record.signature.get(half)) for half in ("inputs", "outputs"))
    if inputs:
        content["signature"] = {"inputs": inputs, "outputs": outputs, "params": None}
    return content


def mlflow_schema(half: Any) -> str | None:
    """Inputs or outputs of a signature as MLflow writes them; None where it has no words for them."""
    if not isinstance(half, Mapping):
        return None
    if "columns" in half:
        types = [_TYPES.get(str(dtype)) for dtype in half.get("dtypes", ())]
        names = half["columns"]
        if len(types) != len(names) or None in types or not all(isinstance(name, str) for name in names):
            return None
        columns = zip(names, types, strict=True)
        return json.dumps([{"type": kind, "name": name, "required": True} for name, kind in columns])
    dtype, shape = half.get("dtype"), half.get("shape")
    if not shape or _TYPES.get(str(dtype)) in (None, "string", "datetime"):
        return None
    sizes = [-1 if size is None else size for size in shape]
    return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": str(dtype), "shape": sizes}}])

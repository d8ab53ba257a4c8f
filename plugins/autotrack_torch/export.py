"""The load.py of an exported module: torch and safetensors alone."""

from __future__ import annotations

import hashlib
from typing import Any

import autotrack

__all__ = ["exported"]

_STATE = '''\
"""Load the state dict of this folder's model: its module cannot be built. autotrack is not needed."""

from pathlib import Path

from safetensors.torch import load_file

WHY = {why!r}


def load(folder=Path(__file__).parent):
    tensors = load_file(Path(folder) / {file!r})
    return tensors | {{alias: tensors[name] for alias, name in {aliases!r}.items()}}


if __name__ == "__main__":
    print(list(load()))
'''

_MODULE = '''\
"""Load the model of this folder. Needs torch and safetensors, see requirements.txt; autotrack is not needed."""

import importlib
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file

SPEC = {spec!r}


def build(spec):
    module, _, name = spec["class"].rpartition(".")
    built = getattr(importlib.import_module(module), name)(**spec.get("arguments", {{}}))
    for key, child in spec.get("children", {{}}).items():
        built.add_module(key, build(child))
    return built


def load(folder=Path(__file__).parent):
    tensors = load_file(Path(folder) / {file!r})
    tensors |= {{alias: tensors[name] for alias, name in {aliases!r}.items()}}
    model = build(SPEC)
    model.load_state_dict(tensors, strict={strict!r})
    for name, parameter in model.named_parameters():
        if name in tensors and parameter.dtype != tensors[name].dtype:
            parameter.data = tensors[name].clone()
    for alias, name in {aliases!r}.items():
        (owner, _, leaf), (other, _, first) = alias.rpartition("."), name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, getattr(model.get_submodule(other), first))
    return model.eval()


class Predictor:
    """What mlflow.pyfunc calls: an array or a frame in, an array out."""

    def __init__(self, model):
        self.model = model

    def predict(self, data, params=None):
        inputs = torch.as_tensor(numpy.array(data))
        dtype = next((p.dtype for p in self.model.parameters()), None)
        if dtype is not None and inputs.is_floating_point():
            inputs = inputs.to(dtype)
        with torch.no_grad():
            outputs = self.model(inputs)
        return (outputs.float() if outputs.dtype == torch.bfloat16 else outputs).numpy()


def _load_pyfunc(path):
    return Predictor(load(path))


if __name__ == "__main__":
    print(load())
'''


def exported(sha256: str, file: str, description: dict[str, Any], why_not: str) -> autotrack.Exported:
    """A loader that builds the module, or, where that cannot be, gives its state dict.

    Args:
        sha256: Hash of the file.
        file: Its name.
        description: What was written into its metadata.
        why_not: Why its module is not to be built, in words; empty where it may.
    """
    spec = description.get("spec") or {}
    aliases, missing = description.get("aliases") or {}, description.get("missing") or []
    unknown, error = autotrack.foreign(_unknown, spec)
    if unknown or why_not or error is not None:
        why = why_not or (f"unknown: {', '.join(unknown)}" if unknown else "its description is none")
        return autotrack.Exported(_STATE.format(why=why, file=file, aliases=aliases), {})
    # MLflow imports it by this name: the same state may be saved under two names.
    module = f"load_{hashlib.sha256(f'{sha256} {file}'.encode()).hexdigest()[:12]}"
    code = _MODULE.format(spec=spec, file=file, aliases=aliases, strict=not missing)
    return autotrack.Exported(code, {"python_function": {"loader_module": module, "code": "code"}}, module)


def _unknown(spec: dict[str, Any]) -> list[str]:
    if "class" not in spec:
        return ["its class"]
    name = str(spec["class"]).rpartition(".")[2]
    found = [f"{name}({argument})" for argument in spec.get("unknown", [])]
    return found + [text for child in (spec.get("children") or {}).values() for text in _unknown(child)]

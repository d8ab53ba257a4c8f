"""Facts about optimizers, schedulers, modules, loaders and torch itself. Pure: nothing is called, nothing changes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from typing import Any

import autotrack
from autotrack_torch.roots import modules_of, parameters_of

__all__ = ["loader", "model", "norm", "optimizer", "scheduler", "torch_settings"]

_MAX_MODULES = 300
_PLAIN = (bool, int, float, str, type(None))


def _setting(value: Any) -> Any:
    """A setting as a plain value; a tensor's stands for itself where reading it is free."""
    torch = sys.modules["torch"]
    if isinstance(value, torch.Tensor):
        return value.item() if type(value) is torch.Tensor and value.is_cpu and value.numel() == 1 else "<tensor>"
    return value


def _defaults(cls: type) -> dict[str, Any]:
    signature, _ = autotrack.foreign(inspect.signature, cls)
    found = {} if signature is None else signature.parameters
    return {name: parameter.default for name, parameter in found.items() if parameter.default is not parameter.empty}


def optimizer(of: Any, prefix: str = "optimizer") -> tuple[dict[str, Any], list[str]]:
    """Parameters of an optimizer by name, and the names of those that differ from their default."""
    cls = type(of)
    params: dict[str, Any] = {prefix: cls.__name__}
    changed = [prefix]
    defaults = _defaults(cls)
    signature, _ = autotrack.foreign(inspect.signature, cls)
    taken = () if signature is None else signature.parameters
    groups = of.param_groups
    # A scheduler has moved ``lr`` by now: what it began with is beside it.
    first = {key: groups[0].get("initial_lr", value) if key == "lr" else value for key, value in groups[0].items()}
    for name in of.defaults:
        value = _setting(first.get(name, of.defaults[name]))
        params[f"{prefix}.{name}"] = value
        if name in defaults:
            chosen = not autotrack.is_default(value, defaults[name])
        else:  # what is no argument the class sets itself, as AdamW does
            chosen = name in taken or "kwargs" in taken or not taken
        if chosen:
            changed.append(f"{prefix}.{name}")
    for number, group in enumerate(groups[1:], 1):
        for name, value in group.items():
            key = f"{prefix}.groups.{number}.{name}"
            value = group.get("initial_lr", value) if name == "lr" else value
            if name not in ("params", "initial_lr") and not autotrack.is_default(value, first.get(name)):
                params[key] = _setting(value)
                changed.append(key)
    return params, changed


def scheduler(of: Any, prefix: str = "scheduler") -> tuple[dict[str, Any], list[str]]:
    """Settings of a learning-rate scheduler, as far as it keeps them under the names of its arguments."""
    cls = type(of)
    params: dict[str, Any] = {prefix: cls.__name__}
    changed = [prefix]
    defaults = _defaults(cls)
    signature, _ = autotrack.foreign(inspect.signature, cls)
    for name in () if signature is None else signature.parameters:
        value = vars(of).get(name, vars(of).get(f"_{name}", vars(of).get(f"{name}s")))
        if name in ("optimizer", "last_epoch") or value is None:
            continue
        if name == "milestones":  # kept as a Counter
            value = sorted(value)
        if name == "schedulers":
            value = [type(inner).__name__ for inner in value]
        if type(value) not in (*_PLAIN, list, tuple, dict):
            value = getattr(value, "__qualname__", type(value).__name__)
        params[f"{prefix}.{name}"] = value
        if name not in defaults or not autotrack.is_default(value, defaults[name]):
            changed.append(f"{prefix}.{name}")
    return params, changed


def model(root: Any) -> dict[str, Any]:
    """Class, sizes, dtypes, devices and tree of a module."""
    parameters = parameters_of(root).values()
    modules = list(modules_of(root))
    return {
        "class": f"{type(root).__module__}.{type(root).__qualname__}",
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "bytes": sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        "dtype": _distinct(str(parameter.dtype).removeprefix("torch.") for parameter in parameters),
        "device": _distinct(str(parameter.device) for parameter in parameters),
        "modules": {name: type(module).__name__ for name, module in modules[1 : _MAX_MODULES + 1]},
        **({"modules_left_out": len(modules) - 1 - _MAX_MODULES} if len(modules) - 1 > _MAX_MODULES else {}),
    }


def _distinct(texts: Any) -> str:
    return ", ".join(sorted(set(texts)))


def norm(tensors: Iterable[Any]) -> Any:
    """The norm of all of them together, as a tensor; None where there are none that are plain."""
    torch = sys.modules["torch"]
    plain = [
        tensor for tensor in tensors if type(tensor) in (torch.Tensor, torch.nn.Parameter) and not tensor.is_sparse
    ]
    if not plain or len({tensor.device for tensor in plain}) > 1:
        return None
    with torch.no_grad():
        return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(tensor) for tensor in plain]))


def loader(of: Any) -> dict[str, Any]:
    """Settings of a DataLoader and the length of its dataset, where that is known without work."""
    facts: dict[str, Any] = {
        "dataset": type(of.dataset).__name__,
        "batch_size": of.batch_size,
        "num_workers": of.num_workers,
        "drop_last": of.drop_last,
        "sampler": type(of.sampler).__name__ if of.sampler is not None else None,
    }
    length, error = autotrack.foreign(len, of.dataset)
    return facts if error is not None else {**facts, "size": length}


def torch_settings() -> dict[str, Any]:
    """Versions and precision settings of torch; seeds and determinism are among the facts of every run."""
    torch = sys.modules["torch"]
    facts: dict[str, Any] = {
        "version": str(torch.__version__),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
    }
    if torch.version.cuda is not None:
        facts |= {
            "cuda": torch.version.cuda,
            "cudnn": autotrack.foreign(torch.backends.cudnn.version)[0],
            "tf32": torch.backends.cuda.matmul.allow_tf32,
        }
    return facts

"""The state of a module: its tensors under the names of its state dict, and what it takes to build it again.

Nothing of the module is called: ``state_dict`` may be anybody's, and a collective operation.
"""

from __future__ import annotations

import inspect
import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import autotrack
from autotrack_torch.roots import unwrapped

__all__ = ["Snapshot", "snapshot_of"]

_RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
_PLAIN = (bool, int, float, str, type(None))
_HIDDEN = {  # layers whose constructor takes anything
    "torch.nn.modules.linear.Identity": (),
    "torch.nn.modules.rnn.GRU": _RECURRENT,
    "torch.nn.modules.rnn.LSTM": (*_RECURRENT, "proj_size"),
    "torch.nn.modules.rnn.RNN": (*_RECURRENT, "nonlinearity"),
}


class Snapshot:
    """State of a module.

    Attributes:
        tensors: By name; each tensor once. Detached, not copied, unless it says so.
        description: In JSON types: ``spec`` (class, arguments, children of containers), ``aliases`` (names of
            tensors that another name has already), ``missing`` (what of the state is not here, in words).
    """

    def __init__(self, tensors: dict[str, Any], description: dict[str, Any]) -> None:
        self.tensors = tensors
        self.description = description

    @property
    def cls(self) -> str:
        """Full name of the module's class."""
        return str(self.description["spec"]["class"])

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def copied(self, into: Snapshot | None = None) -> Snapshot:
        """The same in memory of its own on the host; that of ``into`` is used where it fits."""
        torch = sys.modules["torch"]
        buffers = {} if into is None else into.tensors
        tensors = {}
        with torch.inference_mode(False), torch.no_grad():
            for name, tensor in self.tensors.items():
                buffer = buffers.get(name)
                if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                    buffer = torch.empty(tensor.shape, dtype=tensor.dtype)
                tensors[name] = buffer.copy_(tensor)
        return Snapshot(tensors, self.description)

    def cloned_on_device(self) -> Snapshot:
        """The same in memory of its own, each tensor where it is; the device does not wait."""
        torch = sys.modules["torch"]
        with torch.inference_mode(False), torch.no_grad():
            return Snapshot({name: tensor.clone() for name, tensor in self.tensors.items()}, self.description)


def snapshot_of(root: Any) -> Snapshot:
    """The state of a module as it is now."""
    root = unwrapped(root)
    tensors: dict[str, Any] = {}
    names: dict[int, str] = {}
    aliases: dict[str, str] = {}
    missing: list[str] = []
    for name, tensor in _state(root, "", missing):
        if id(tensor) in names:
            aliases[name] = names[id(tensor)]
        elif _is_plain(tensor):
            names[id(tensor)] = name
            tensors[name] = tensor.detach()
        else:
            missing.append(f"{name} ({type(tensor).__name__})")
    return Snapshot(tensors, {"spec": _spec(root), "aliases": aliases, "missing": missing})


def _state(module: Any, prefix: str, missing: list[str]) -> Iterator[tuple[str, Any]]:
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield prefix + name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield prefix + name, buffer
    if type(module).get_extra_state is not sys.modules["torch"].nn.Module.get_extra_state:
        missing.append(f"{prefix}_extra_state")
    for name, child in module._modules.items():
        if child is not None:
            yield from _state(child, f"{prefix}{name}.", missing)


def _is_plain(tensor: Any) -> bool:
    """Neither sharded nor lazy nor of an odd layout."""
    torch = sys.modules["torch"]
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor))
        and tensor.layout is torch.strided
        and not tensor.is_quantized
        and tensor.device.type != "meta"
        and not getattr(tensor, "_fsdp_flattened", False)
    )


def _spec(module: Any) -> dict[str, Any]:
    """Class and constructor arguments, as far as they are known from attributes of the same name."""
    cls = type(module)
    spec: dict[str, Any] = {"class": f"{cls.__module__}.{cls.__qualname__}"}
    if cls.__name__ in _CONTAINERS and cls.__module__ == "torch.nn.modules.container":
        return {
            **spec,
            "children": {name: _spec(child) for name, child in module._modules.items() if child is not None},
        }
    arguments, assumed, unknown = _arguments(module)
    spec["arguments"] = arguments
    return {**spec, **({"assumed": assumed} if assumed else {}), **({"unknown": unknown} if unknown else {})}


def _arguments(module: Any) -> tuple[dict[str, Any], list[str], list[str]]:
    """Arguments that are known; those taken to be at their default; those without which it cannot be built."""
    if type(module).__init__ is sys.modules["torch"].nn.Module.__init__:  # Tanh, say: no arguments, whatever it accepts
        return {}, [], []
    hidden = _HIDDEN.get(f"{type(module).__module__}.{type(module).__qualname__}")
    if hidden is not None:
        return {name: vars(module)[name] for name in hidden}, [], []
    signature, _ = autotrack.foreign(inspect.signature, type(module))
    if signature is None:
        return {}, [], ["the signature"]
    arguments: dict[str, Any] = {}
    assumed, unknown = [], []
    kept = {**_plain_dict(vars(module).get("_hparams")), **vars(module)}
    if type(module).__module__.startswith("torch.nn."):  # all of torch's arguments that matter are attributes
        kept |= {name: parameter is not None for name, parameter in module._parameters.items() if name == "bias"}
    for name, parameter in signature.parameters.items():
        if name in ("device", "dtype") or parameter.kind is parameter.VAR_KEYWORD:
            continue
        value = kept.get(name, kept.get(f"_{name}", _plain_dict))
        if _is_json(value):
            arguments[name] = value
        elif parameter.kind is parameter.VAR_POSITIONAL:
            unknown.append(f"*{name}")
        elif parameter.default is parameter.empty:
            unknown.append(name)
        elif not type(module).__module__.startswith("torch.nn."):
            assumed.append(name)
    return arguments, assumed, unknown


def _plain_dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, (dict, OrderedDict)) else {}


def _is_json(value: Any, depth: int = 0) -> bool:
    if type(value) in _PLAIN:
        return True
    if type(value) in (list, tuple) and depth < 5 and len(value) < 100:
        return all(_is_json(item, depth + 1) for item in value)
    return False

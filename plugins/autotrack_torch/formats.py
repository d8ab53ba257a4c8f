"""Modules on disk: a safetensors file with a description of the module in its metadata. Nothing is pickled.

On load only the layers of torch whose exact names are on our list are built by themselves; any other class by
the caller's word. Where a class cannot be imported or built, its state dict is given, and a warning says why.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import autotrack
from autotrack_torch.export import exported
from autotrack_torch.snapshot import Snapshot, snapshot_of
from autotrack_torch.trusted import TRUSTED

if TYPE_CHECKING:
    from autotrack.records import Model

__all__ = ["SafetensorsFormat"]

_SECONDS_PER_BYTE = 1 / 1.5e9  # into fresh memory; the file is written on another thread
_SECONDS_PER_TENSOR = 10e-6
_MAX_HEADER = 16_000_000
_MAX_BYTES = 100_000_000
_MAX_RATIO = 10  # float64 that was kept in eight bits, and some
_MAX_DEPTH = 50
_MAX_TEXT = 500
_KEY = "autotrack"
_logger = logging.getLogger("autotrack")


class SafetensorsFormat:
    """safetensors files of modules."""

    name = "safetensors"
    suffixes = (".safetensors",)

    def can_save(self, model: Any) -> bool:
        """Whether it is a module, or the state of one."""
        if isinstance(model, Snapshot):
            return True
        base = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
        return base is not None and isinstance(model, base)

    def cost(self, model: Any) -> tuple[float, int]:
        """Predicted (seconds, bytes) of copying the state, from sizes alone."""
        state = model if isinstance(model, Snapshot) else snapshot_of(model)
        return state.size * _SECONDS_PER_BYTE + len(state.tensors) * _SECONDS_PER_TENSOR, state.size

    def save(self, model: Any) -> autotrack.Saved:
        """The state as the bytes of a file."""
        state = model if isinstance(model, Snapshot) else snapshot_of(model).copied()
        try:
            import safetensors  # noqa: PLC0415
            import safetensors.torch  # noqa: PLC0415
        except ImportError:
            raise autotrack.ModelError("safetensors is not installed: pip install safetensors") from None
        if not state.tensors:
            raise autotrack.ModelError("it has no tensors that can be saved")
        try:
            data = safetensors.torch.save(state.tensors, {_KEY: json.dumps(state.description)})
        except (RuntimeError, ValueError, TypeError, KeyError) as error:  # a dtype that the format does not have
            raise autotrack.ModelError(f"safetensors cannot keep it ({type(error).__name__}: {error})") from error
        requires = {"torch": str(sys.modules["torch"].__version__), "safetensors": str(safetensors.__version__)}
        return autotrack.Saved(data, ".safetensors", self.name, requires, cls=state.cls)

    def convert(self, data: bytes) -> autotrack.Saved:
        """Nothing has to be turned."""
        raise autotrack.ModelError("safetensors files are what they should be")

    def of_file(self, data: bytes) -> autotrack.Saved:
        """A file that a person gives; one of another tool has no description, and is loaded as a state dict."""
        _tensors(data)
        spec = _description(data).get("spec")
        cls = str(spec.get("class", "")) if isinstance(spec, dict) else ""
        requires = {name: importlib.metadata.version(name) for name in ("torch", "safetensors")}
        return autotrack.Saved(data, ".safetensors", self.name, requires, cls=cls)

    def untrusted(self, data: bytes) -> list[str]:
        """Classes that would have to be imported and built, and are not on our list."""
        named, _ = autotrack.foreign(_classes, _description(data).get("spec"))
        return sorted(name for name in (named or set()) - TRUSTED if _can_be_found(name))

    def load(self, data: bytes, trusted: list[str]) -> Any:
        """The module, or its state dict where it cannot be built."""
        tensors = _tensors(data)
        torch = sys.modules["torch"]
        description = _description(data)
        aliases = description.get("aliases", {})
        tensors |= {alias: tensors[name] for alias, name in aliases.items() if name in tensors}
        spec = description.get("spec")
        if spec is None:  # another tool's file
            return tensors
        module = None
        with torch.random.fork_rng(devices=[]):
            _, error = autotrack.foreign(_refuse_bomb, spec, data)
            if error is None:
                module, error = autotrack.foreign(_build, spec, TRUSTED | set(trusted))
        if error is None and module is not None:
            _, error = autotrack.foreign(_fill, module, tensors, description.get("missing", []), aliases)
        if error is not None:
            _logger.warning("the model's state dict is given, not the module: %s", str(error)[:_MAX_TEXT])
            return tensors
        if description.get("missing"):
            _logger.warning("the file does not have all of the model's state: %s", ", ".join(description["missing"]))
        assumed, _ = autotrack.foreign(_assumed, spec)
        if assumed:
            _logger.warning("not recorded, taken to be at their default: %s", ", ".join(assumed))
        return module

    def export(self, data: bytes, file: str) -> autotrack.Exported:
        """The same file, with a loader that builds the module, or gives its state where that cannot be."""
        description = _description(data)
        named, _ = autotrack.foreign(_classes, description.get("spec"))
        absent = sorted(name for name in (named or set()) - TRUSTED if not _can_be_found(name))
        _, error = autotrack.foreign(_refuse_bomb, description.get("spec"), data)
        why = f"{', '.join(absent)} cannot be imported" if absent else "" if error is None else str(error)[:_MAX_TEXT]
        return exported(hashlib.sha256(data).hexdigest(), file, description, why)

    def describe(self, record: Model, file: BinaryIO) -> autotrack.Exported | None:
        """As ``export``, by the beginning of the file; None where it would build a class that is not on our list."""
        length = file.read(8)
        if int.from_bytes(length, "little") > _MAX_HEADER:
            return None
        description = _description(length + file.read(int.from_bytes(length, "little")))
        named, error = autotrack.foreign(_classes, description.get("spec"))
        if error is not None or not TRUSTED.issuperset(named or ()):
            return None
        return autotrack.foreign(exported, record.sha256, PurePosixPath(record.path).name, description, "")[0]


def _tensors(data: bytes) -> dict[str, Any]:
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError:
        raise autotrack.ModelError("safetensors or torch is not installed: pip install safetensors torch") from None
    tensors: dict[str, Any] | None
    tensors, error = autotrack.foreign(safetensors.load, data)
    if tensors is None:
        raise autotrack.ModelError(f"this is no file of safetensors ({error})") from error
    return tensors


def _description(data: bytes) -> dict[str, Any]:
    """What we wrote into the metadata; empty where it is not there."""
    try:
        found = json.loads(_header(data)["__metadata__"][_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    aliases, missing = found.get("aliases"), found.get("missing")
    aliases = aliases if isinstance(aliases, dict) else {}
    found["aliases"] = {alias: name for alias, name in aliases.items() if isinstance(name, str)}
    found["missing"] = [str(name) for name in missing] if isinstance(missing, list) else []
    return found


def _header(data: bytes) -> Any:
    """Tensors by name, and the metadata. ValueError, RecursionError: there is none."""
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _classes(spec: Any) -> set[str]:
    if not isinstance(spec, dict):
        return set()
    found = {str(spec.get("class", ""))}
    for child in dict(spec.get("children") or {}).values():
        found |= _classes(child)
    return found - {""}


def _assumed(spec: Any) -> list[str]:
    children = dict(spec.get("children") or {}).values()
    name = str(spec["class"]).rpartition(".")[2]
    return [f"{name}({argument})" for argument in spec.get("assumed", [])] + [
        text for child in children for text in _assumed(child)
    ]


def _can_be_found(name: str) -> bool:
    """Whether a class might be imported here, found out without importing anything."""
    module, _, attribute = name.rpartition(".")
    if module in sys.modules:
        return hasattr(sys.modules[module], attribute)
    spec, _ = autotrack.foreign(importlib.util.find_spec, module.partition(".")[0])
    return spec is not None and bool(module)


def _refuse_bomb(spec: Any, data: bytes) -> None:
    """Raise ModelError where layers would be far larger than what the file has for them: a file is not believed.

    Layers of torch alone are measured, and without memory; a class of the user's is built once and not looked at.
    """
    torch = importlib.import_module("torch")
    left, tensors = _MAX_BYTES + _MAX_RATIO * len(data), len(_header(data))
    waiting = [(spec, 0)]
    while waiting:
        one, depth = waiting.pop()
        if not isinstance(one, dict) or one.get("class") not in TRUSTED:
            continue
        if depth > _MAX_DEPTH:
            raise autotrack.ModelError(f"its description has containers in containers, {_MAX_DEPTH} times")
        waiting += [(child, depth + 1) for child in dict(one.get("children") or {}).values()]
        arguments = one.get("arguments", {})
        layers = max((value for key, value in arguments.items() if "num" in key and "layers" in key), default=0)
        if layers > tensors:
            raise autotrack.ModelError(f"the file has {tensors} tensors, and its description asks for {layers} layers")
        if "children" not in one:
            with torch.device("meta"):
                layer = _build(one, TRUSTED)
            left -= sum(part.numel() * part.element_size() for part in (*layer.parameters(), *layer.buffers()))
            if left < 0:
                raise autotrack.ModelError(
                    f"its description asks for more than {_MAX_BYTES / 1e9:.3g} GB of layers, a {one['class']} among "
                    f"them, and the file has {len(data)} bytes"
                )


def _build(spec: Any, allowed: frozenset[str] | set[str]) -> Any:
    name = spec["class"]
    if name not in allowed:
        raise autotrack.ModelError(f"the class {name} cannot be imported here")
    if spec.get("unknown"):
        raise autotrack.ModelError(f"what {name} was made with is not known: {', '.join(spec['unknown'])}")
    module, _, attribute = name.rpartition(".")
    cls = getattr(importlib.import_module(module), attribute)
    if not isinstance(cls, type) or not issubclass(cls, sys.modules["torch"].nn.Module):
        raise autotrack.ModelError(f"{name} is no module class")
    if "children" in spec:
        children = {key: _build(child, allowed) for key, child in spec["children"].items()}
        container = cls()
        for key, child in children.items():
            container.add_module(key, child)
        return container
    return cls(**spec.get("arguments", {}))


def _fill(module: Any, tensors: dict[str, Any], missing: list[str], aliases: dict[str, str]) -> None:
    module.load_state_dict(tensors, strict=not missing)
    for name, parameter in module.named_parameters():
        if name in tensors and parameter.dtype != tensors[name].dtype:  # trained in bfloat16, say
            parameter.data = tensors[name].clone()
    for alias, name in aliases.items():  # what a constructor does not tie
        (owner, _, leaf), (other, _, first) = alias.rpartition("."), name.rpartition(".")
        holder, source = module.get_submodule(owner), module.get_submodule(other)
        if leaf in holder._parameters or leaf in holder._buffers:
            setattr(holder, leaf, getattr(source, first))

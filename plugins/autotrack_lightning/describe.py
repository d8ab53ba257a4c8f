"""What a fit was begun with: hyperparameters, settings of the Trainer, optimizers, loaders, the module."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import autotrack

__all__ = ["facts", "own_loggers", "params", "rates"]

_MAX_MODULES = 300
_SETTINGS = {
    "max_epochs": None,  "max_steps": -1, "accumulate_grad_batches": 1, "gradient_clip_val": None,
    "gradient_clip_algorithm": None, "num_nodes": 1, "limit_train_batches": 1.0, "limit_val_batches": 1.0,
    "overfit_batches": 0.0, "val_check_interval": 1.0, "check_val_every_n_epoch": 1, "barebones": False,
}  # fmt: skip
"""Attributes of a Trainer, with what they are where nobody asked for anything."""

Params = tuple[dict[str, Any], list[str]]


def own_loggers(trainer: Any) -> list[Any]:
    """Loggers of ours that somebody gave to the Trainer."""
    from autotrack_lightning.logger import LoggerMethods  # noqa: PLC0415  it knows the record, which knows us

    return [one for one in trainer.loggers if isinstance(one, LoggerMethods)]


def params(trainer: Any, module: Any) -> Params:
    """Parameters by name, and the names of those that somebody chose."""
    found: dict[str, Any] = {}
    changed: list[str] = []
    for values, chosen in (_hparams(trainer, module), _settings(trainer), _optimizers(trainer), _stopping(trainer)):
        found |= values
        changed += chosen
    return found, changed


def _hparams(trainer: Any, module: Any) -> Params:
    """What ``save_hyperparameters`` kept, unless it was told to keep it from loggers."""
    if not getattr(trainer, "enable_autolog_hparams", True):
        return {}, []
    found: dict[str, Any] = {}
    for prefix, owner in (("", module), ("datamodule.", trainer.datamodule)):
        if owner is None or not getattr(owner, "_log_hyperparams", False):
            continue
        for name, value in dict(owner.hparams_initial).items():
            if name == "_class_path":  # LightningCLI's own
                continue
            key = str(name) if not prefix or name not in found else f"{prefix}{name}"
            found[key] = _plain(value)
    return found, list(found)


def _plain(value: Any) -> Any:
    if isinstance(value, argparse.Namespace):
        return {name: _plain(one) for name, one in vars(value).items()}
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _settings(trainer: Any) -> Params:
    found = {f"trainer.{name}": getattr(trainer, name, default) for name, default in _SETTINGS.items()}
    changed = [f"trainer.{name}" for name, default in _SETTINGS.items() if not _same(found[f"trainer.{name}"], default)]
    found["trainer.precision"] = str(trainer.precision)
    found["trainer.strategy"] = type(trainer.strategy).__name__
    found["trainer.accelerator"] = type(trainer.accelerator).__name__
    found["trainer.devices"] = trainer.num_devices
    if found["trainer.precision"] != "32-true":
        changed.append("trainer.precision")
    if trainer.world_size > 1:
        changed += ["trainer.strategy", "trainer.devices"]
    return found, changed


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (int, float)) and value == default)


def _optimizers(trainer: Any) -> Params:
    found: dict[str, Any] = {}
    changed: list[str] = []
    for number, optimizer in enumerate(trainer.optimizers):
        optimizer = getattr(optimizer, "optimizer", optimizer)
        prefix = "optimizer" if number == 0 else f"optimizer{number + 1}"
        _optimizer(optimizer, prefix, found, changed)
    for number, config in enumerate(trainer.lr_scheduler_configs):
        prefix = "scheduler" if number == 0 else f"scheduler{number + 1}"
        found[prefix] = type(config.scheduler).__name__
        found[f"{prefix}.interval"], found[f"{prefix}.frequency"] = config.interval, config.frequency
        changed.append(prefix)
        for name in _arguments(type(config.scheduler)):
            value = vars(config.scheduler).get(name)
            if name not in ("optimizer", "last_epoch") and type(value) in (bool, int, float, str, list, tuple):
                found[f"{prefix}.{name}"] = value
                changed.append(f"{prefix}.{name}")
    return found, changed


def _optimizer(optimizer: Any, prefix: str, found: dict[str, Any], changed: list[str]) -> None:
    found[prefix] = type(optimizer).__name__
    changed.append(prefix)
    defaults = _arguments(type(optimizer))
    first = optimizer.param_groups[0]
    for name in optimizer.defaults:
        value = _setting(first.get("initial_lr", first.get(name)) if name == "lr" else first.get(name))
        found[f"{prefix}.{name}"] = value
        if name in defaults:
            chosen = not autotrack.is_default(value, defaults[name])
        else:  # what is no argument the class sets itself, as AdamW does
            chosen = "kwargs" in defaults or not defaults
        if chosen:
            changed.append(f"{prefix}.{name}")


def _setting(value: Any) -> Any:
    if isinstance(value, sys.modules["torch"].Tensor):
        return value.item() if value.is_cpu and value.numel() == 1 else "<tensor>"
    return value


def _arguments(cls: type) -> dict[str, Any]:
    signature, _ = autotrack.foreign(inspect.signature, cls)
    return {} if signature is None else {name: one.default for name, one in signature.parameters.items()}


def _stopping(trainer: Any) -> Params:
    found: dict[str, Any] = {}
    for callback in trainer.early_stopping_callbacks[:1]:
        found = {f"early_stopping.{name}": getattr(callback, name) for name in ("monitor", "mode", "patience")}
        found["early_stopping.min_delta"] = abs(callback.min_delta)  # it turns the sign with the mode
    return found, list(found)


def facts(trainer: Any, module: Any) -> dict[str, Any]:
    """Sections of facts, in JSON types."""
    package = next(name for name in _tops(trainer) if name in ("lightning", "pytorch_lightning"))
    loaders = {
        **_loaders("train", trainer.train_dataloader),
        **_loaders("val", trainer.val_dataloaders),
    }
    found: dict[str, Any] = {
        "lightning": {"package": package, "version": str(sys.modules[package].__version__)},
        "model": _model(module),
        **({"loaders": loaders} if loaders else {}),
    }
    if trainer.datamodule is not None:
        found["lightning"]["datamodule"] = type(trainer.datamodule).__name__
    return found


def _tops(thing: Any) -> list[str]:
    return [cls.__module__.partition(".")[0] for cls in type(thing).__mro__]


def _model(module: Any) -> dict[str, Any]:
    parameters = list({id(one): one for one in _parameters(module)}.values())
    known = [one for one in parameters if type(one).__name__ != "UninitializedParameter"]
    modules = list(_modules(module, ""))
    return {
        "class": f"{type(module).__module__}.{type(module).__qualname__}",
        "parameters": sum(one.numel() for one in known),
        "trainable": sum(one.numel() for one in known if one.requires_grad),
        "bytes": sum(one.numel() * one.element_size() for one in known),
        "dtype": ", ".join(sorted({str(one.dtype).removeprefix("torch.") for one in parameters})),
        "device": ", ".join(sorted({str(one.device) for one in parameters})),
        "modules": dict(modules[:_MAX_MODULES]),
        **({"modules_left_out": len(modules) - _MAX_MODULES} if len(modules) > _MAX_MODULES else {}),
    }


def _parameters(module: Any) -> Iterator[Any]:
    """Of a module and those in it; ``parameters()`` may be anybody's."""
    yield from (one for one in module._parameters.values() if one is not None)
    for child in module._modules.values():
        if child is not None:
            yield from _parameters(child)


def _modules(module: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for name, child in module._modules.items():
        if child is not None:
            yield prefix + name, type(child).__name__
            yield from _modules(child, f"{prefix}{name}.")


def _loaders(name: str, given: Any) -> dict[str, Any]:
    """Settings of the loaders that were given, one or a collection of them."""
    if given is None:
        return {}
    several: Iterable[tuple[str, Any]] = [(name, given)]
    if isinstance(given, dict):
        several = [(f"{name}.{key}", one) for key, one in given.items()]
    elif isinstance(given, (list, tuple)) and given:
        several = [(name if number == 0 else f"{name}{number + 1}", one) for number, one in enumerate(given)]
    return {key: _loader(one) for key, one in several}


def _loader(loader: Any) -> dict[str, Any]:
    if not hasattr(loader, "dataset"):
        return {"class": type(loader).__name__}
    found: dict[str, Any] = {
        "dataset": type(loader.dataset).__name__,
        **{name: getattr(loader, name, None) for name in ("batch_size", "num_workers", "drop_last")},
        "sampler": type(getattr(loader, "sampler", None)).__name__,
    }
    length, error = autotrack.foreign(len, loader.dataset)
    return found if error is not None else {**found, "size": length}


def rates(trainer: Any) -> list[tuple[str, float]]:
    """Learning rates by name of the metric: ``lr``, of further groups ``lr/group1``, and so on."""
    found = []
    for number, optimizer in enumerate(trainer.optimizers):
        for group, settings in enumerate(optimizer.param_groups):
            rate = settings.get("lr")
            if type(rate) is float or isinstance(rate, int):
                name = f"lr/optimizer{number + 1}" if number else "lr"
                found.append((f"{name}/group{group}" if group else name, float(rate)))
    return found

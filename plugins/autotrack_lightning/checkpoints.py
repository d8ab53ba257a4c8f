"""Checkpoints and early stopping: what came of them, and which weights are kept as models."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import autotrack

__all__ = ["describe_checkpoints", "keep_models"]


def describe_checkpoints(trainer: Any, run: autotrack.Run) -> None:
    """Record where checkpoints lie, and what early stopping did."""
    found = [_checkpoint(one) for one in trainer.checkpoint_callbacks if hasattr(one, "best_model_path")]
    facts: dict[str, Any] = {}
    if any(found):
        facts["checkpoints"] = found[0] if len(found) == 1 else {str(number): one for number, one in enumerate(found)}
    stopping = [
        {
            "monitor": one.monitor,
            "stopped_epoch": one.stopped_epoch or None,
            "best_score": _number(one.best_score),
            "wait_count": one.wait_count,
        }
        for one in trainer.early_stopping_callbacks
    ]
    if stopping:
        facts["early_stopping"] = stopping[0] if len(stopping) == 1 else dict(enumerate(stopping))
    facts["training"] = {"steps": trainer.global_step, "epochs": trainer.current_epoch}
    run.capture(facts=autotrack.to_json(facts))


def _checkpoint(callback: Any) -> dict[str, Any]:
    facts = {
        "best": callback.best_model_path,
        "last": callback.last_model_path,
        "monitor": callback.monitor,
        "score": _number(callback.best_model_score),
    }
    return {name: value for name, value in facts.items() if value not in ("", None)}


def _number(value: Any) -> float | None:
    number, error = autotrack.foreign(float, value)
    return None if error is not None or number is None else number


def keep_models(trainer: Any, module: Any, run: autotrack.Run, duration: float, signature: Mapping[str, Any]) -> None:
    """Keep the weights as they are now as ``model``, the best ones as ``model-best``, and the checkpoint files.

    Args:
        trainer: The Trainer.
        module: What it trained.
        run: The run.
        duration: Seconds that the fit took.
        signature: What went into the module.
    """
    run.capture_model(module, "model", duration, signature=signature)
    names: dict[Path, str] = {}
    for callback in trainer.checkpoint_callbacks:
        best = getattr(callback, "best_model_path", "")
        if best and getattr(callback, "monitor", None) and "model-best" not in names.values():
            names[Path(best)] = "model-best"
            _keep_best(module, Path(best), run, duration, signature)
        for path in (best, getattr(callback, "last_model_path", "")):
            if path:
                names.setdefault(Path(path), "")
    for path in names:
        _keep_file(path, run, duration)


def _keep_best(module: Any, path: Path, run: autotrack.Run, duration: float, signature: Mapping[str, Any]) -> None:
    """The best weights, from their file: nothing of the user's is called for it."""
    if not path.is_file() or run.refuses_model(module, duration):
        return
    torch = sys.modules["torch"]
    found, error = autotrack.foreign(_load, torch, path)
    state = found.get("state_dict") if isinstance(found, dict) else None
    if error is not None or not isinstance(state, dict):
        run.note(f"model 'model-best' was not saved: {path.name} cannot be read without unpickling", "warning")
        return
    run.capture_model(_with_state(module, state, "", {}), "model-best", math.inf, signature=signature)


def _load(torch: Any, path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _with_state(module: Any, state: dict[str, Any], prefix: str, known: dict[int, Any]) -> Any:
    """A stand-in for a module that has other tensors; the module itself is left as it is, and nothing is called."""
    other = object.__new__(type(module))
    other.__dict__.update(module.__dict__)
    for kind in ("_parameters", "_buffers"):
        held = {}
        for name, tensor in module.__dict__[kind].items():
            if tensor is not None and prefix + name in state:
                if id(tensor) not in known:
                    new = state[prefix + name]
                    known[id(tensor)] = sys.modules["torch"].nn.Parameter(new, False) if kind == "_parameters" else new
                tensor = known[id(tensor)]
            held[name] = tensor
        other.__dict__[kind] = held
    other.__dict__["_modules"] = {
        name: None if child is None else _with_state(child, state, f"{prefix}{name}.", known)
        for name, child in module.__dict__["_modules"].items()
    }
    return other


def _keep_file(path: Path, run: autotrack.Run, duration: float) -> None:
    """A checkpoint as an artifact; what the budget of models does not allow stays where it is, and the run says so."""
    if not path.is_file() or autotrack.current_settings().models == "never":
        return
    why_not = run.capture_checkpoint(path, f"checkpoints/{path.name}", duration)
    if why_not:
        run.note(
            f"checkpoint {path} was not copied into the run, it stays where it is: {why_not}. "
            f"To copy it: autotrack.log_artifact({str(path)!r})"
        )

"""Which modules an optimizer trains: those that handed out its parameters, else any that live.

Modules are held weakly, and nothing of theirs is called.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

__all__ = ["Roots", "modules_of", "parameters_of", "unwrapped"]

_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "OptimizedModule": "_orig_mod",
}


def unwrapped(module: Any) -> Any:
    """The user's module inside of DDP, FSDP, ``torch.compile``."""
    while (name := _WRAPPERS.get(type(module).__name__)) and module._modules.get(name) is not None:
        module = module._modules[name]
    return module


def modules_of(root: Any) -> Iterator[tuple[str, Any]]:
    """(name, module) of a module and all below it, each once."""
    seen = {id(root)}
    waiting = deque([("", root)])
    while waiting:
        name, module = waiting.popleft()
        yield name, module
        for key, child in module._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                waiting.append((f"{name}.{key}" if name else key, child))


def parameters_of(root: Any) -> dict[int, Any]:
    """Parameters of a module and all below it, by id."""
    found = {}
    for _, module in modules_of(root):
        for parameter in module._parameters.values():
            if parameter is not None:
                found[id(parameter)] = parameter
    return found


class Roots:
    """Remembers the modules whose parameters were asked for of late."""

    def __init__(self) -> None:
        self._recent: deque[weakref.ref[Any]] = deque(maxlen=32)

    def asked(self, module: Any) -> None:
        """Somebody asked for the parameters of a module."""
        if not self._recent or self._recent[-1]() is not module:
            self._recent.append(weakref.ref(module))

    def of(self, wanted: set[int]) -> list[Any]:
        """The modules that hold the parameters with these ids: one that has them all, else as few as have them."""
        recent = {id(module): module for reference in self._recent if (module := reference()) is not None}
        chosen, left = _cover(wanted, list(recent.values()))
        if left:
            everywhere, still_left = _cover(wanted, _all_roots())
            if len(still_left) < len(left):
                chosen = everywhere
        return list({id(module): module for module in map(unwrapped, chosen)}.values())


def _cover(wanted: set[int], candidates: list[Any]) -> tuple[list[Any], set[int]]:
    """Modules that together have all ids, and the ids that none has."""
    owned = [(module, parameters_of(module)) for module in candidates]
    left = set(wanted)
    chosen = []
    while left:
        # the most of what is left; of several the smallest
        module, parameters = max(
            owned, key=lambda pair: (len(left & pair[1].keys()), -len(pair[1])), default=(None, {})
        )
        if not left & parameters.keys():
            break
        chosen.append(_with_what_is_frozen(module, parameters, owned))
        left -= parameters.keys()
    return chosen, left


def _with_what_is_frozen(module: Any, parameters: dict[int, Any], owned: list[tuple[Any, dict[int, Any]]]) -> Any:
    """The larger module that it is the trained part of: everything else in that one is frozen."""
    best, size = module, len(parameters)
    for other, others in owned:
        rest = others.keys() - parameters.keys()
        if len(others) > size and parameters.keys() <= others.keys() and not any(others[p].requires_grad for p in rest):
            best, size = other, len(others)
    return best


def _all_roots() -> list[Any]:
    """Every living module that is in no other. ``isinstance`` would run foreign code; classes are asked."""
    base = sys.modules["torch"].nn.Module
    kinds, waiting = {base}, [base]
    while waiting:
        for kind in type.__subclasses__(waiting.pop()):
            if kind not in kinds:
                kinds.add(kind)
                waiting.append(kind)
    modules = [thing for thing in gc.get_objects() if type(thing) in kinds and "_modules" in thing.__dict__]
    inner = {id(child) for module in modules for child in module._modules.values()}
    return [module for module in modules if id(module) not in inner]

"""What the user calls an object: the variable, attribute or key that holds it in the frames around a call."""

from __future__ import annotations

import re
import sys
import sysconfig
from types import FrameType, ModuleType
from typing import Any

__all__ = ["call_site", "loader_name", "name_of", "prefix_of", "users_modules"]

_PLACES = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
_FRAMES = 12
_SUFFIX = re.compile(r"[_\-. ]?(data)?[_\-. ]?(loader|dataloader|dl|iter|iterator|batches)s?\d*$", re.IGNORECASE)
_GENERIC = frozenset({"", "data", "loader", "dataloader", "dl", "batches", "iterable", "iterator", "dataset", "it"})
_users: dict[str, bool] = {}  # by file name, whether it is the user's


def users_modules() -> list[ModuleType]:
    """The program, and the modules that it imported which are not installed."""
    found = [module for name, module in list(sys.modules.items()) if name == "__main__" or _is_file_of_users(module)]
    return [module for module in found if isinstance(module, ModuleType)]


def _is_file_of_users(module: Any) -> bool:
    file = vars(module).get("__file__") if type(module) is ModuleType else None
    return type(file) is str and _is_users(file)


def _is_users(file: str) -> bool:
    known = _users.get(file)
    if known is None:
        ours = "autotrack" in file and ("autotrack_torch" in file or "/autotrack/" in file or file[:1] == "<")
        installed = file.startswith((*_PLACES, "<frozen")) or "site-packages" in file or "dist-packages" in file
        known = _users[file] = not ours and not installed
    return known


def _user_frames(depth: int) -> list[FrameType]:
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and len(frames) < _FRAMES:
        if _is_users(frame.f_code.co_filename):
            frames.append(frame)
        frame = frame.f_back
    return frames


def call_site() -> str:
    """``file:line`` of the user's innermost line."""
    for frame in _user_frames(2):
        return f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return ""


def loader_name(loader: Any) -> str:
    """The telling name that holds ``loader``, from the innermost frame outwards, or empty."""
    for frame in _user_frames(2):
        for name in _held_as(frame.f_locals, loader):
            if prefix_of(name):
                return name
        if frame.f_locals is not frame.f_globals:
            for name, value in list(frame.f_globals.items()):
                if value is loader and prefix_of(name):
                    return name
    return ""


def name_of(thing: Any) -> str:
    """The name that holds ``thing`` in the innermost of the user's frames that has one, or empty."""
    for frame in _user_frames(2):
        held = _held_as(frame.f_locals, thing)
        if held:
            return str(held[0])
    return ""


def _held_as(names: Any, wanted: Any) -> list[str]:
    """Names under which a frame holds it: variables, keys of dictionaries, attributes of ``self``."""
    found = []
    for name, value in list(names.items()):
        if value is wanted:
            found.append(name)
        elif type(value) is dict:
            found += [key for key, item in list(value.items())[:50] if item is wanted and type(key) is str]
        elif name == "self":
            found += [key for key, item in list(getattr(value, "__dict__", {}).items()) if item is wanted]
    return found


def prefix_of(name: str) -> str:
    """``val_loader`` → ``val``, ``testloader`` → ``test``, ``dataloaders["dev"]`` → ``dev``; empty: says nothing."""
    stem = _SUFFIX.sub("", name.lower()).strip("_")
    return "" if stem in _GENERIC else stem

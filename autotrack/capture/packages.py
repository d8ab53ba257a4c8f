"""Installed distributions, as ``pip freeze`` would list them."""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any

__all__ = ["installed_packages", "requirement"]


def installed_packages() -> dict[str, str]:
    """Version by distribution name; an editable or direct install has its origin after an ``@``."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name not in found:  # the first on the path is the one that is imported
            found[name] = distribution.version + _origin(distribution)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _origin(distribution: importlib.metadata.Distribution) -> str:
    text = distribution.read_text("direct_url.json")
    if not text:
        return ""
    try:
        direct: dict[str, Any] = json.loads(text)
    except ValueError:
        return ""
    commit = direct.get("vcs_info", {}).get("commit_id", "")
    editable = "editable " if direct.get("dir_info", {}).get("editable") else ""
    return f" @ {editable}{direct.get('url', '')}" + (f"@{commit}" if commit else "")


def requirement(name: str, version: str) -> str:
    """One line of a requirements.txt that pip accepts: a direct install is a comment, its origin may be private."""
    number, _, origin = version.partition(" @ ")
    return f"# {name}=={number} was installed from {origin}" if origin else f"{name}=={number.partition('+')[0]}"

"""Installed distributions, as ``pip freeze`` would list them."""

from __future__ import annotations

import importlib.metadata
import json
import re
from typing import Any

__all__ = ["installed_packages"]


def installed_packages() -> dict[str, str]:
    """Version by distribution name; an editable or direct install has its origin after an ``@``."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        name, version = _name_and_version(distribution)
        same = re.sub(r"[-_.]+", "-", name).lower()
        if name and same not in seen:  # the first on the path is the one that is imported
            seen.add(same)
            found[name] = version + _origin(distribution)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """From the head of METADATA: parsing it whole, with the long text below, takes ten times as long."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    head = text[: text.find("\n\n")] if "\n\n" in text else text
    fields = dict(
        line.split(": ", 1) for line in reversed(head.splitlines()) if line.startswith(("Name: ", "Version: "))
    )
    return fields.get("Name", "").strip(), fields.get("Version", "").strip()


def _origin(distribution: importlib.metadata.Distribution) -> str:
    text = distribution.read_text("direct_url.json")
    if not text:
        return ""
    try:
        direct: dict[str, Any] = json.loads(text)
        commit = direct.get("vcs_info", {}).get("commit_id", "")
        editable = "editable " if direct.get("dir_info", {}).get("editable") else ""
        return f" @ {editable}{direct.get('url', '')}" + (f"@{commit}" if commit else "")
    except (ValueError, AttributeError):  # not what an installer writes
        return ""

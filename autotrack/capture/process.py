"""Facts about this process, the same for all its runs: Python, platform, user, host, entry script, git."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["git_facts", "process_facts"]

GIT_TIMEOUT = 5.0
"""Seconds that one git command may take."""


def process_facts(folder: Path) -> dict[str, Any]:
    """Sections ``environment`` and, inside a work tree, ``git``; for a process working in ``folder``."""
    main = sys.modules.get("__main__")
    facts: dict[str, Any] = {
        "environment": {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "host": platform.node(),
            "user": _user(),
            "script": getattr(main, "__file__", None) or "",
            "folder": str(folder),
            "cpus": os.cpu_count(),
        }
    }
    git = git_facts(folder)
    return {**facts, "git": git} if git else facts


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in a container
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def git_facts(folder: Path) -> dict[str, Any]:
    """``commit`` and ``dirty`` of the work tree that ``folder`` is in; empty outside one or without git."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    if not top:
        return {}
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=all")
    return {"root": top, "commit": commit or None, "dirty": None if status is None else bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command that runs nothing that the repository configures; None where it fails."""
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat"]
    try:
        done = subprocess.run(
            ["git", *safe, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None

"""Facts about this process, the same for all its runs: Python, platform, user, host, entry script, git."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["entry_script", "git_facts", "process_facts"]

GIT_TIMEOUT = 5.0
"""Seconds that one git command may take."""


def entry_script() -> str:
    """File of the script that runs; empty without one. To be asked early: Python takes the name away at the end."""
    return getattr(sys.modules.get("__main__"), "__file__", None) or ""


def process_facts(folder: Path, script: str) -> dict[str, Any]:
    """About a process that works in ``folder`` and was started as ``script``."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "host": platform.node(),
        "user": _user(),
        "script": script,
        "folder": str(folder),
        "cpus": os.cpu_count(),
    }


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
    program = shutil.which("git")  # looking it up itself, subprocess would touch the warnings filters
    if program is None:
        return None
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.pager=cat"]
    try:
        done = subprocess.run(
            [program, *safe, *arguments],
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

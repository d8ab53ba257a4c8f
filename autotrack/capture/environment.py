"""This process in its environment: Python, platform, user, host, command, variables on the allow-list."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autotrack.capture.redact import Redactor

__all__ = ["ALLOWED", "allowed_variables", "describe_environment"]

ALLOWED = (
    "CONDA_DEFAULT_ENV",
    "CUDA_VISIBLE_DEVICES",
    "HOSTNAME",
    "LANG",
    "LOCAL_RANK",
    "NCCL_DEBUG",
    "RANK",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_PARTITION",
    "SLURM_NODELIST",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "TZ",
    "VIRTUAL_ENV",
    "WORLD_SIZE",
)
"""Environment variables that are recorded; no other is looked at."""


def describe_environment(folder: Path, script: str, command: Sequence[str], redactor: Redactor) -> dict[str, Any]:
    """The section ``environment``, for ``script`` run in ``folder`` by ``command``."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": _platform(),
        "host": platform.node(),
        "user": _user(),
        "script": redactor.text(script),
        "command": redactor.argv(command),
        "folder": redactor.text(str(folder)),
        "variables": allowed_variables(os.environ, redactor),
    }


def _platform() -> str:
    """As ``platform.platform()``, which starts a process for it, and that touches the warnings filters."""
    libc = "".join(platform.libc_ver())
    parts = [platform.system(), platform.release(), platform.machine(), f"with-{libc}" if libc else ""]
    return "-".join(part for part in parts if part)


def allowed_variables(environment: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    """Variables on the allow-list, redacted."""
    return redactor.mapping({name: environment[name] for name in ALLOWED if name in environment})


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in a container
        return str(os.getuid()) if hasattr(os, "getuid") else ""

"""The machine: operating system, processors, memory, GPUs with their drivers. Nothing is imported for it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["describe_hardware"]

_GPU_TIMEOUT = 5.0


def describe_hardware() -> dict[str, Any]:
    """CPU name and count, memory in bytes, GPUs."""
    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "memory": _memory(),
    }
    if hasattr(os, "sched_getaffinity"):
        facts["cpus_usable"] = len(os.sched_getaffinity(0))
    gpus = _gpus()
    return {**facts, "gpus": gpus} if gpus else facts


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()  # platform.processor() starts a process, and that touches the warnings filters


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> list[dict[str, Any]]:
    """NVIDIA's GPUs as the driver's own tool lists them: importing a framework for that would start CUDA."""
    tool = shutil.which("nvidia-smi")
    if tool is None or not Path(tool).is_absolute():  # never one that lies in the working folder
        return []
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            query,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GPU_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    rows = [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines()]
    return [{"name": row[0], "memory_mib": row[1], "driver": row[2]} for row in rows if len(row) == 3]

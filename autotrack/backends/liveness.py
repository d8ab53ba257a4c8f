"""Whether the process that writes a run is still there. What is special to POSIX and Linux stands here."""

from __future__ import annotations

import functools
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

__all__ = ["HEARTBEAT", "LOST_AFTER", "identity", "is_alive"]

HEARTBEAT = 15.0
"""Seconds between two touches of a run's ``alive`` file."""

LOST_AFTER = 4 * HEARTBEAT
"""Age of ``alive``, in seconds by the file system's own clock, after which a process elsewhere counts as lost."""

_LONGEST = 4096  # bytes of an alive file


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")  # a process may be called anything
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot (field 22 of its stat), or empty.

    Empty also for one that has ended and that nobody has asked for: in a container that may go on for ever.
    """
    _, _, rest = _read(f"/proc/{pid}/stat").rpartition(")")
    words = rest.split()
    return words[19] if len(words) > 19 and words[0] not in ("Z", "X") else ""


@functools.cache
def _host() -> dict[str, str]:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return {
        "host": socket.gethostname(),
        "boot": _read("/proc/sys/kernel/random/boot_id").strip(),
        "namespace": namespace,
    }


def identity() -> dict[str, Any]:
    """What another process needs to tell whether this one still runs."""
    return _identity(os.getpid())


@functools.lru_cache(maxsize=1)
def _identity(pid: int) -> dict[str, Any]:
    return {**_host(), "pid": pid, "started": _started(pid)}


def is_alive(alive: Path) -> tuple[bool | None, bool]:
    """(whether the process behind an ``alive`` file still works, whether it ran on this host).

    On the same host since the same boot the process table says; elsewhere the age of the file, compared
    with the time that the same file system gives a probe file. None where neither can be told.
    """
    try:
        fd = os.open(alive, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            writer = json.loads(os.read(fd, _LONGEST))
            touched = os.fstat(fd).st_mtime
        finally:
            os.close(fd)
    except (OSError, ValueError, RecursionError):
        return None, False
    here = isinstance(writer, dict) and all(writer.get(key) == value for key, value in _host().items())
    if here and isinstance(writer.get("pid"), int):
        return _runs(writer["pid"], str(writer.get("started", ""))), True
    now = _file_system_time(alive.parent)
    return (None if now is None else now - touched < LOST_AFTER), False


def _runs(pid: int, started: str) -> bool:
    if started:
        return _started(pid) == started
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # the latter: no pid at all
        return False
    except PermissionError:
        return True
    return True


def _file_system_time(folder: Path) -> float | None:
    """Now, by the clock that stamps files in this folder; our own where the folder is read-only."""
    probe = folder / f".probe-{os.urandom(4).hex()}"
    try:
        probe.touch(mode=0o600, exist_ok=False)
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()
    except OSError:
        return time.time()

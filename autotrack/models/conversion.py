"""Turning quickly saved pickles into a safe format, in a helper process, off the training's way.

One helper a process, started with the first job: in a session of its own (Ctrl-C is not for it), nice
10, stdin a pipe of jobs, stdout and stderr on the null device, recording off. It ends when the pipe is
closed and the jobs are done, also when the training was killed. It opens only files whose sha256 this
process gave it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from autotrack import guard
from autotrack.backends.base import RunWriter
from autotrack.backends.housekeeping import housekeeper
from autotrack.records import Model

if TYPE_CHECKING:
    import subprocess

__all__ = ["close", "convert_later", "under_way"]

_lock = threading.Lock()
_jobs: list[dict[str, str]] = []
_given: set[str] = set()  # sha256 of every model of this process that was to be turned
_helper: subprocess.Popen[bytes] | None = None
_owner = os.getpid()


def convert_later(writer: RunWriter, model: Model, to: str) -> None:
    """Have a model that was just saved turned into format ``to``; nothing happens in a store without folders."""
    folder = getattr(writer, "folder", None)
    if not isinstance(folder, Path):
        return
    job = {"folder": str(folder), "run": writer.run_id, "child": model.c, "name": model.name, "cls": model.cls}
    with _lock:
        _forget_after_fork()
        _given.add(model.sha256)
        _jobs.append({**job, "path": model.path, "sha256": model.sha256, "to": to})
    housekeeper.submit(_send)


def under_way(sha256: str) -> bool:
    """Whether a model that this process saved may still be turned into its safe form."""
    at_work = _helper is not None and os.getpid() == _owner and _helper.poll() is None
    return sha256 in _given and (bool(_jobs) or at_work)


def close(timeout: float = 2.0) -> None:
    """At exit: hand over what is left, and let the helper finish by itself."""
    global _helper
    housekeeper.wait_idle(timeout)
    helper, _helper = _helper, None
    if helper is not None and helper.stdin is not None and os.getpid() == _owner:
        with contextlib.suppress(OSError):  # it has died; its jobs stay pickles
            helper.stdin.close()
        helper.returncode = 0  # it outlives us on purpose: no ResourceWarning


def _forget_after_fork() -> None:
    global _helper, _owner
    if os.getpid() != _owner:
        _owner, _helper = os.getpid(), None
        _jobs.clear()
        _given.clear()


def _send() -> None:
    global _helper
    with _lock:
        jobs = list(_jobs)
    if not jobs:
        return
    with guard.protect("the helper process"):  # housekeeping goes on without it, and the models stay pickles
        if _helper is None or _helper.poll() is not None:
            _helper = _start()
        if _helper.stdin is not None:
            _write(_helper.stdin, b"".join(json.dumps(job).encode() + b"\n" for job in jobs))
    with _lock:  # not before the helper has them: ``under_way`` is asked meanwhile
        del _jobs[: len(jobs)]


def _write(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it died: the models stay pickles, and are marked so
        pipe.write(data)
        pipe.flush()


def _start() -> subprocess.Popen[bytes]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    import subprocess  # noqa: PLC0415  only where a model is saved

    return subprocess.Popen(
        [sys.executable, "-P", "-m", "autotrack.helper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, **threads, "AUTOTRACK_MODE": "off", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )

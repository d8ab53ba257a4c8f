"""Turning quickly saved pickles into a safe format, in a helper process, off the training's way.

One helper a process, started with the first job: in a session of its own (Ctrl-C is not for it), nice
10, stdout and stderr on the null device, recording off. Jobs are lines of an unnamed temporary file, so
that nobody waits for a helper that is slow; stdin is a pipe that says when to look, and its end says that
no more will come: the helper ends when the jobs are done, also when the training was killed. It opens
only files whose sha256 this process gave it. Of a helper that died the job it was at stays a pickle, with
a record that says so, and another helper goes on with the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from autotrack import guard
from autotrack.backends.base import RunWriter
from autotrack.backends.housekeeping import housekeeper
from autotrack.interpreter import can_start_python
from autotrack.records import Model

if TYPE_CHECKING:
    import subprocess

__all__ = ["DONE_BYTES", "close", "convert_later", "under_way"]

DONE_BYTES = 16
"""Head of the file of jobs, where the helper counts those that it is through with."""


class _Job(NamedTuple):
    """One model to turn, and what it takes to say that nobody will."""

    writer: RunWriter
    model: Model
    order: dict[str, Any]


_lock = threading.RLock()
_jobs: list[_Job] = []  # not handed over yet
_handed: dict[int, _Job] = {}  # handed to the helper and not known to be done, by their line in the file
_given: set[str] = set()  # sha256 of every model of this process that was to be turned
_helper: subprocess.Popen[bytes] | None = None
_file: IO[bytes] | None = None
_end = DONE_BYTES  # of the file
_owner = os.getpid()


def convert_later(writer: RunWriter, model: Model, to: str) -> None:
    """Have a model that was just saved turned into format ``to``; nothing happens in a store without folders."""
    folder = getattr(writer, "folder", None)
    if not isinstance(folder, Path):
        return
    order = {
        "folder": str(folder.absolute()), "run": writer.run_id, "child": model.c, "name": model.name,
        "cls": model.cls, "requires": model.requires, "signature": model.signature, "path": model.path,
        "sha256": model.sha256, "to": to,
    }  # fmt: skip
    if not can_start_python():
        _stay(_Job(writer, model, order), f"there is no Python here that could turn it into {to}")
        return
    with _lock:
        _forget_after_fork()
        _given.add(model.sha256)
        _jobs.append(_Job(writer, model, order))
    housekeeper.submit(_send)


def under_way(sha256: str) -> bool:
    """Whether a model that this process saved may still be turned into its safe form."""
    helper = _helper  # another thread may be closing
    at_work = helper is not None and os.getpid() == _owner and helper.poll() is None
    return sha256 in _given and (bool(_jobs) or at_work)


def close(timeout: float = 2.0) -> None:
    """At exit: hand over what is left, and let the helper finish by itself."""
    global _helper, _file
    housekeeper.wait_idle(timeout)
    if os.getpid() != _owner:
        return
    if _helper is not None and _helper.poll() is not None:
        _send()
    helper, _helper = _helper, None
    file, _file = _file, None
    _let_go(helper)
    if file is not None:
        file.close()
    _handed.clear()


def _let_go(helper: subprocess.Popen[bytes] | None) -> None:
    """The helper ends when it has done what it was given."""
    if helper is not None and helper.stdin is not None:
        with contextlib.suppress(OSError):  # it has died; its jobs stay pickles
            helper.stdin.close()
        helper.returncode = 0  # it outlives us on purpose: no ResourceWarning


def _forget_after_fork() -> None:
    global _helper, _file, _owner
    if os.getpid() != _owner:
        _owner, _helper, _file = os.getpid(), None, None
        _jobs.clear()
        _handed.clear()
        _given.clear()


def _send() -> None:
    """Hand over what waits. Housekeeping goes on without the helper, and then the models stay pickles."""
    with _lock:
        jobs = list(_jobs)
    with guard.protect("the helper process"):
        if _helper is not None and _helper.poll() is not None:
            jobs = _bury() + jobs
        if jobs:
            _hand_over(jobs)
    with _lock:  # not before the helper has them: ``under_way`` is asked meanwhile
        given = {id(job) for job in jobs}
        _jobs[:] = [job for job in _jobs if id(job) not in given]


def _hand_over(jobs: list[_Job]) -> None:
    global _helper, _end
    if _helper is None or _file is None:
        _handed.clear()
        _let_go(_helper)
        _helper = _start()
    assert _file is not None
    assert _helper.stdin is not None
    done = _done()
    for number in [number for number in _handed if number < done]:
        del _handed[number]
    first = max(_handed, default=done - 1) + 1
    _handed.update(enumerate(jobs, first))
    data = b"".join(json.dumps(job.order).encode() + b"\n" for job in jobs)
    _end += os.pwrite(_file.fileno(), data, _end)
    with contextlib.suppress(BrokenPipeError, BlockingIOError):  # it died; or it has been told often enough
        os.write(_helper.stdin.fileno(), b"\n")


def _done() -> int:
    """How many jobs the helper is through with."""
    return int(os.pread(_file.fileno(), DONE_BYTES, 0) or b"0") if _file is not None else 0


def _bury() -> list[_Job]:
    """The helper died: the job that it was at stays a pickle and says so; those after it are returned."""
    global _helper
    assert _helper is not None
    how = _helper.returncode
    if _helper.stdin is not None:
        _helper.stdin.close()
    _helper = None
    done = _done()
    left = [job for number, job in sorted(_handed.items()) if number >= done]
    _handed.clear()
    for job in left[:1]:
        _stay(job, f"the helper process died while it turned it into {job.order['to']} (exit status {how})")
    return left[1:]


def _stay(job: _Job, why: str) -> None:
    """Say that a model stays as it is."""
    job.model.becomes = ""
    job.model.stays = why
    job.writer.write([job.model])


def _start() -> subprocess.Popen[bytes]:
    global _file, _end
    import subprocess  # noqa: PLC0415  only where a model is saved
    import tempfile  # noqa: PLC0415

    if _file is not None:
        _file.close()
    _file, _end = tempfile.TemporaryFile(buffering=0), DONE_BYTES  # noqa: SIM115  lives as long as the helper
    os.pwrite(_file.fileno(), b"0".rjust(DONE_BYTES), 0)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join(p for p in sys.path if p)
    helper = subprocess.Popen(
        [sys.executable, "-P", "-m", "autotrack.helper", str(_file.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        pass_fds=[_file.fileno()],
        start_new_session=True,
        env={**os.environ, **threads, "AUTOTRACK_MODE": "off", "PYTHONPATH": path},
    )
    assert helper.stdin is not None
    os.set_blocking(helper.stdin.fileno(), False)
    return helper

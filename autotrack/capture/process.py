"""The process that captures: an interpreter of its own, so that nothing of it takes turns with the training.

It is told what to do on stdin, and answers with lines of JSON, a section each. Where none can be started, or
it fails, the sections that are missing are captured here, on the thread that asks.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from autotrack.interpreter import can_start_python

__all__ = ["TIME_LIMIT", "Order", "capture", "readable", "stop"]

TIME_LIMIT = 20.0
"""Seconds that the process may take; git and the driver's tool have their own limits within it."""

_START = "import json, sys; order = json.load(sys.stdin); sys.path[:] = order.pop('path'); "
_RUN = "from autotrack.capture.collect import main; main(order)"

_running: set[subprocess.Popen[bytes]] = set()
_stopped = threading.Event()


class Order(NamedTuple):
    """What to look at.

    Attributes:
        folder: Where the process was when it began to record.
        script: Its entry script, or empty.
        command: Its command line.
        source: Path of the script whose text is kept, or empty.
        patterns: The user's own patterns of secrets.
    """

    folder: str
    script: str
    command: list[str]
    source: str
    patterns: list[str]


def capture(order: Order, found: Callable[[str, Any], None]) -> Iterator[tuple[int, float]]:
    """Call ``found`` as ``collect`` does, with what another process collects.

    Gives each descriptor that has to be waited for, and for how many seconds; nothing in here waits for the process.
    """
    missing = {"environment", "packages", "hardware", "git", "code"}
    whole = False
    if can_start_python():
        with suppress(OSError, ValueError), _started(order) as answers:  # no more processes; or it died within a line
            deadline, rest = time.monotonic() + TIME_LIMIT, b""
            while not whole and (left := deadline - time.monotonic()) > 0:
                yield answers, left
                if not readable(answers, 0):
                    continue
                block = os.read(answers, 1 << 16)
                if not block:
                    break
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    section, facts = json.loads(line)
                    whole = section == "end"
                    if not whole:
                        missing -= {section} - {"git"}  # which comes twice
                        found(section, facts)
    if not whole and not _stopped.is_set():
        from autotrack.capture.collect import collect  # noqa: PLC0415  seldom needed here

        collect(order, lambda section, facts: found(section, facts) if section in missing else None)


@contextmanager
def _started(order: Order) -> Iterator[int]:
    """The process at work; gives the descriptor that it answers on."""
    owner = os.getpid()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START + _RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "AUTOTRACK_STRICT": "1"},  # what fails there is tried again here, and told
    )
    assert process.stdin is not None
    assert process.stdout is not None
    _running.add(process)
    try:
        path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  as it is, symbolic links and all
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps({**order._asdict(), "path": path}).encode())
        yield process.stdout.fileno()
    finally:
        if os.getpid() == owner:  # else this is a forked child, and it is not the child's
            _end(process)


def readable(fd: int, timeout: float) -> bool:
    """Whether there is something to read, or the end of it, within ``timeout`` seconds; also above 1,024 open files."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0, int(timeout * 1000))))


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.close()
    with suppress(OSError):
        process.terminate()  # it has said all, or its time is up
    process.wait()
    _running.discard(process)


def _forget() -> None:
    """In a forked child: what the parent started is the parent's to end."""
    for process in _running:
        process.returncode = 0
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    _running.clear()


os.register_at_fork(after_in_child=_forget)


def stop() -> None:
    """At exit, when there is no more time: nothing is left behind, and nothing is started."""
    from autotrack.capture import git  # noqa: PLC0415  seldom needed here

    _stopped.set()
    git.stop()
    for process in list(_running):
        with suppress(OSError):
            process.terminate()

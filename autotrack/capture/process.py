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
from contextlib import suppress
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


def capture(order: Order, found: Callable[[str, Any], None]) -> None:
    """Call ``found`` as ``collect`` does, with what another process collects."""
    missing = {"environment", "packages", "hardware", "git", "code"}
    whole = False
    if can_start_python():
        with suppress(OSError, ValueError):  # no more processes allowed; or it died in the middle of a line
            for section, facts in _answers(order):
                whole = section == "end"
                if not whole:
                    missing -= {section} - {"git"}  # which comes twice
                    found(section, facts)
    if not whole and not _stopped.is_set():
        from autotrack.capture.collect import collect  # noqa: PLC0415  seldom needed here

        collect(order, lambda section, facts: found(section, facts) if section in missing else None)


def _answers(order: Order) -> Iterator[tuple[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START + _RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "AUTOTRACK_STRICT": "1"},  # what fails there is tried again here, and told
    )
    assert process.stdin is not None
    _running.add(process)
    try:
        path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  as it is, symbolic links and all
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps({**order._asdict(), "path": path}).encode())
        for line in _lines(process):
            yield tuple(json.loads(line))
    finally:
        _end(process)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Whole lines as they come, until the output ends or time is up."""
    assert process.stdout is not None
    deadline, rest = time.monotonic() + TIME_LIMIT, b""
    fd = process.stdout.fileno()
    while readable(fd, deadline - time.monotonic()):
        block = os.read(fd, 1 << 16)
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


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


def stop() -> None:
    """At exit, when there is no more time: nothing is left behind, and nothing is started."""
    from autotrack.capture import git  # noqa: PLC0415  seldom needed here

    _stopped.set()
    git.stop()
    for process in list(_running):
        with suppress(OSError):
            process.terminate()

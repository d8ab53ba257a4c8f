"""The forwarder's process: ``python -m autotrack.forward_session ROOT URI SESSION RUN MORE DONE``.

It copies the runs of one session while it goes on, and leaves when all is there. ``autotrack.forwarder`` starts it.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from autotrack import plugins
from autotrack.capture.process import readable
from autotrack.errors import AutotrackError
from autotrack.forward import Forwarder, sync
from autotrack.forwarder import ALL_THERE, log_of

__all__ = ["main"]

CONVERSION_WAIT = 60.0
"""Seconds after the end of the training for which models are waited for that get their safe form."""

GIVE_UP = 3600.0
"""Seconds after the end of the training for which a server that cannot be reached is tried again."""

LAST_MOMENT = 5.0
"""Seconds that SIGTERM leaves."""


class _Session:
    """What the forwarder knows of the training that it works for."""

    def __init__(self, root: Path, more: int, done: int) -> None:
        self.terminated = False
        self._root = root
        self._more = more
        self._done = done
        self._ended = 0.0  # by the monotonic clock; 0: it goes on
        self.forwarder: Forwarder | None = None

    def wait(self, seconds: float) -> None:
        """Until so many seconds are over, or the training is."""
        until = time.monotonic() + seconds
        while True:
            left = min(0.5, max(0.0, until - time.monotonic()))  # SIGTERM does not wait for the rest
            if self._ended:
                time.sleep(left)
            elif readable(self._more, left):
                self._ended = time.monotonic()
                return
            if self.terminated or time.monotonic() >= until:
                return

    def over(self, all_there: bool) -> bool:
        """Whether the work is done, or cannot be."""
        assert self.forwarder is not None
        if self.terminated or not self._root.is_dir():
            return True
        progress = self.forwarder.progress
        if not self._ended:
            self.wait(0.0)
            return False
        late = time.monotonic() - self._ended
        if not all_there or progress.open:
            return late > GIVE_UP
        if self._done >= 0:
            with suppress(OSError):  # it did not wait for us
                os.write(self._done, ALL_THERE)
            self._done = -1
        return not progress.converting or late > CONVERSION_WAIT


def main() -> None:
    """Be the forwarder of one session."""
    root, uri, session, since, more, done = sys.argv[1:]
    os.nice(10)
    log = log_of(Path(root), uri, session)
    log.parent.mkdir(mode=0o700, exist_ok=True)
    state = _Session(Path(root) / "runs", int(more), int(done))

    def terminate(*_: object) -> None:
        state.terminated = True
        signal.setitimer(signal.ITIMER_REAL, LAST_MOMENT)  # and then SIGALRM ends it

    signal.signal(signal.SIGTERM, terminate)

    def tell(text: str) -> None:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n")

    def tell_failure(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        tell("failed:\n" + "".join(traceback.format_exception(error)))

    sys.excepthook = tell_failure  # stderr is the null device

    try:
        remote = plugins.remote(uri)
        state.forwarder = Forwarder(Path(root), remote, lambda begin: begin.session == session, since)
        sync(state.forwarder, patience=math.inf, watch=True, tell=tell, stop=state.over, wait=state.wait)
    except AutotrackError as error:
        tell(f"given up: {error}")
        sys.exit(1)
    for problem in state.forwarder.progress.problems:
        tell(f"not taken: {problem}")


if __name__ == "__main__":
    main()

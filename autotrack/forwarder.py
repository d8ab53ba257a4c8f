"""The forwarder: a process that copies the runs of a session to a server while, and after, they are trained.

One a session, started with its first run: in a session of its own (Ctrl-C is not for it, and it outlives us), with
the null device for all streams, a log of its own, nice 10, and recording off. Of what it needs only the address is
on its command line; credentials are in the environment that it inherits. Two pipes tie it to the training: the end
of one says that no more will come, also when the training was killed; on the other it says that all is there.
"""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from autotrack import guard
from autotrack.backends.housekeeping import housekeeper
from autotrack.interpreter import can_start_python

if TYPE_CHECKING:
    import subprocess

__all__ = ["ALL_THERE", "ForwarderProcess", "log_of"]

ALL_THERE = b"1"
"""What the forwarder says when the server has all that was recorded."""


def log_of(root: Path, uri: str, session: str) -> Path:
    """Where the forwarder of a session to a server writes what goes wrong; gone when all went well."""
    return root / "log" / f"forward-{session}-{zlib.crc32(uri.encode()):08x}.log"


class ForwarderProcess:
    """Starts the forwarder, and waits for it at exit.

    Args:
        root: The file store.
        uri: The server.
    """

    def __init__(self, root: Path, uri: str) -> None:
        self.uri = uri
        self._root = root
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._asked = False
        self._session = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._more = self._done = -1  # our ends of the pipes

    def start(self, session: str, run_id: str) -> None:
        """Start it, soon, off the training's way; ``run_id`` is the first run that it is for. Once a process."""
        if os.getpid() != self._owner:
            self._reset()  # a forked child: its own runs; the parent's forwarder is the parent's
        if not self._asked:
            self._asked, self._session = True, session
            housekeeper.submit(lambda: self._start(run_id))

    def _start(self, run_id: str) -> None:
        with guard.protect("starting the forwarder"):
            import subprocess  # noqa: PLC0415  on the housekeeping thread, not at enable()

            if not can_start_python():
                raise RuntimeError("sys.executable is no Python; `autotrack sync` copies the runs")
            their_more, self._more = os.pipe()
            self._done, their_done = os.pipe()
            command = [str(self._root.absolute()), self.uri, self._session, run_id, str(their_more), str(their_done)]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "autotrack.forward_session", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[their_more, their_done],
                    start_new_session=True,
                    env={**os.environ, "AUTOTRACK_MODE": "off", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            finally:
                os.close(their_more)
                os.close(their_done)

    def finish(self) -> None:
        """At exit: tell it that no more will come."""
        if os.getpid() == self._owner and self._asked:
            housekeeper.wait_idle(2.0)  # it may not even be started
            if self._process is not None:
                os.close(self._more)

    def close(self, wait: float) -> None:
        """After ``finish``: wait up to ``wait`` seconds until all is there; where it is not, say where it is."""
        process, self._process = self._process, None
        if os.getpid() != self._owner or process is None:
            return
        heard = self._wait(wait)
        said = os.read(self._done, 1) if heard else b""
        os.close(self._done)
        process.poll()
        process.returncode = 0  # it outlives us on purpose: no ResourceWarning
        if said != ALL_THERE:
            guard.tell(
                f"not all runs of this process are on {self.uri} yet: "
                + ("copying them failed" if heard else "a process of its own goes on copying them")
                + f" (see {log_of(self._root, self.uri, self._session)}). Nothing is lost: all is in {self._root}, and "
                f"`autotrack sync --store {self._root} --to {self.uri}` copies what is missing."
            )

    def _wait(self, seconds: float) -> bool:
        from autotrack.capture.process import readable  # noqa: PLC0415  what starts processes is not for enable()

        try:
            return readable(self._done, seconds)
        except KeyboardInterrupt:  # the user will not wait
            return False

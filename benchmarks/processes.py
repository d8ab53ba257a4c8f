"""The process of a case: it waits, takes a turn when asked, and answers with what it measured."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

__all__ = ["CaseProcess", "environment", "serve"]

TURN_TIMEOUT = 120.0
"""Seconds that one turn may take, its process's start included."""

CLOSE_TIMEOUT = 60.0
"""Seconds that a process may take to end: some trackers finish their work there."""


def environment(home: Path) -> dict[str, str]:
    """The environment of a case: no settings of this machine, nothing sent anywhere, all files below ``home``."""
    prefixes = ("AUTOTRACK_", "MLFLOW_", "WANDB_", "TRACKIO_")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(prefixes)},
        # One thread: where BLAS spins on all cores, any process beside it makes fits of one millisecond last ten.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local"),
        "DO_NOT_TRACK": "true",
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        "TRACKIO_DIR": str(home / "trackio"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_MODE": "offline",
    }


class CaseProcess:
    """``program`` measuring one of its cases, in a folder of its own below ``parent``."""

    def __init__(self, program: Path, case: str, parent: Path) -> None:
        self._case = f"{program.name}, case {case!r}"
        folder = Path(tempfile.mkdtemp(dir=parent))
        home = Path(tempfile.mkdtemp(dir=parent))
        self._errors = home / "stderr"
        self._answers, answers = os.pipe()
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(program), "--serve", case, str(answers)],
                cwd=folder,
                env=environment(home),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[answers],
            )
        os.close(answers)

    def turn(self) -> Any:
        """What the case measures in its next turn.

        Raises:
            RuntimeError: It failed, or took too long; the message holds the end of its stderr.
        """
        assert self._process.stdin is not None
        answer = b""
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
            while not answer.endswith(b"\n"):
                ready, _, _ = select.select([self._answers], [], [], TURN_TIMEOUT)
                block = os.read(self._answers, 1 << 20) if ready else b""
                if not block:
                    raise self._failure("failed" if ready else "took too long")
                answer += block
        except BrokenPipeError:
            raise self._failure("failed") from None
        return json.loads(answer)

    def close(self) -> None:
        """Let it end, as a script ends.

        Raises:
            RuntimeError: It failed at that.
        """
        if self._end(CLOSE_TIMEOUT) != 0:
            raise self._failure("failed at its end")

    def _end(self, wait: float) -> int:
        """Its exit status; after so many seconds it is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            return self._process.wait(wait)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            if self._answers >= 0:
                os.close(self._answers)
                self._answers = -1

    def _failure(self, what: str) -> RuntimeError:
        self._end(5.0)
        return RuntimeError(f"{self._case} {what}:\n{self._errors.read_text(errors='replace')[-4000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()


def serve(turns: Iterator[Any], answers: int) -> None:
    """In the process of a case: take a turn for each line that comes on stdin."""
    os.set_inheritable(answers, False)  # what a tracker starts shall not hold our pipes open
    with os.fdopen(os.dup(0)) as questions, os.fdopen(answers, "w") as answer:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        while questions.readline():
            answer.write(json.dumps(next(turns)) + "\n")
            answer.flush()
    if hasattr(turns, "close"):
        turns.close()

"""All that the runs of a process have in common, section by section, with its secrets taken out."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autotrack import guard
from autotrack.capture import git
from autotrack.capture.environment import describe_environment
from autotrack.capture.hardware import describe_hardware
from autotrack.capture.packages import installed_packages
from autotrack.capture.process import Order
from autotrack.capture.redact import Redactor
from autotrack.capture.source import script_source

__all__ = ["collect", "main"]


def collect(order: Order, found: Callable[[str, Any], None]) -> None:
    """Call ``found`` with the name of each section and its facts, as soon as they are known.

    ``git`` may come twice, the second time whole. The section ``code`` holds text by file name: the script, and
    ``changes.patch``, all that differs from the commit.
    """
    redactor = Redactor(order.patterns)
    folder = Path(order.folder)
    with guard.protect("capturing the environment"):
        found("environment", describe_environment(folder, order.script, order.command, redactor))
    with guard.protect("listing packages"):
        found("packages", _clean(redactor, installed_packages()))
    code: dict[str, str] = {}
    with guard.protect("reading the script"):
        source = script_source(order.source)
        if source is not None:
            code[redactor.text(source[0])] = redactor.text(source[1])
    with guard.protect("describing the machine"):  # asks a driver, which may be slow
        found("hardware", describe_hardware())
    with guard.protect("asking git"):  # slowest in a large work tree
        state = git.git_state(folder, lambda known: found("git", _clean(redactor, known)))
        if state is not None:
            found("git", _clean(redactor, state.facts))
            if state.patch:
                code["changes.patch"] = redactor.text(state.patch)
    found("code", code)


def _clean(redactor: Redactor, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(redactor, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(redactor, item) for item in value]
    return redactor.text(value) if isinstance(value, str) else value


def main(order: dict[str, Any]) -> None:
    """In the process that captures: answer an order on stdout."""
    signal.signal(signal.SIGTERM, _leave)

    def found(section: str, facts: Any) -> None:
        os.write(1, json.dumps([section, facts]).encode() + b"\n")

    collect(Order(**order), found)
    found("end", None)


def _leave(number: int, frame: object) -> None:
    git.stop()
    os._exit(1)

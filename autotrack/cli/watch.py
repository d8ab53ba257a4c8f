"""``autotrack watch``."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

import autotrack
from autotrack.cli.options import as_json, emit, json_option, print_table, store_option
from autotrack.cli.screens import curve_keys, list_screen, run_screen
from autotrack.reader import RunRecord

__all__ = ["Watch", "watch"]

_EVERY = 1.0  # seconds between two looks at the store
_MOST = 200  # runs in the list
_ONCE = 60  # lines where there is no terminal
_KEYS = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\r": "open", b"\n": "open", b"\x1b[C": "open", b"\x1bOC": "open", b"l": "open",
    b"\x1b": "back", b"\x7f": "back", b"\x1b[D": "back", b"\x1bOD": "back", b"h": "back",
    b"q": "leave", b"\x04": "leave",
}  # fmt: skip
_KEY = re.compile(rb"\x1b[O\[][A-Z]|.", re.DOTALL)


@dataclass
class Watch:
    """What is looked at. ``opened`` is the id of the run that fills the screen, ``chosen`` that of the marked line."""

    filter: str | None = None
    experiment: str | None = None
    store: str | None = None
    opened: str = ""
    chosen: str = ""
    offset: int = 0

    def look(self) -> None:
        """Read the store anew."""
        self._run: RunRecord | None = None
        self._runs: list[RunRecord] = []
        if self.opened:
            self._run = autotrack.get_run(self.opened, store=self.store)
        else:
            self._runs = list(autotrack.runs(self.filter, self.experiment, limit=_MOST, store=self.store))

    def screen(self, width: int, height: int) -> RenderableType:
        """What there is to see in so many columns and lines."""
        if self._run is not None:
            return run_screen(self._run, self.offset, width, height)
        return list_screen(self._runs, self._at(), width, height)

    def _at(self) -> int:
        """Line of the chosen run; the first one where it is gone."""
        return next((index for index, run in enumerate(self._runs) if run.id == self.chosen), 0)

    def press(self, key: str) -> bool:
        """A key was pressed; False where it says to leave."""
        if key in ("up", "down"):
            self._move(-1 if key == "up" else 1)
        elif key == "open" and self._run is None and self._runs:
            self.opened = self.chosen = self._runs[self._at()].id
            self.offset = 0
            self.look()
        elif key == "back" and self._run is not None:
            self.chosen, self.opened = self._run.id, ""
            self.look()
        return key != "leave"

    def _move(self, by: int) -> None:
        if self._run is not None:
            self.offset = max(0, min(self.offset + by, len(curve_keys(self._run)) - 1))
        elif self._runs:
            self.chosen = self._runs[max(0, min(self._at() + by, len(self._runs) - 1))].id


@click.command()
@click.argument("run", required=False)
@click.option("--filter", "-f", metavar="FILTER", help="Only runs that meet this.")
@click.option("--experiment", "-e", help="Only runs of this experiment.")
@store_option
@json_option
def watch(run: str | None, filter: str | None, experiment: str | None, store: str | None, to_json: bool) -> None:  # noqa: A002
    """Watch runs while they go on: the list and its curves, or RUN alone.

    Arrows or j and k move, Enter opens a run, Esc goes back, q leaves. Without a terminal it is shown once.
    """
    watched = Watch(filter, experiment, store, opened=autotrack.get_run(run, store=store).id if run else "")
    watched.look()
    screen = Console(highlight=False)
    if to_json:
        emit(as_json(watched._run) if watched._run is not None else [as_json(one) for one in watched._runs])
    elif sys.stdin.isatty() and screen.is_terminal:
        with (
            _keys_at_once(sys.stdin.fileno()),
            suppress(KeyboardInterrupt),
            Live(console=screen, screen=True, auto_refresh=False) as live,
        ):
            _loop(watched, screen, live)
    else:
        print_table(lambda width: watched.screen(min(width, 160), _ONCE))


def _loop(watched: Watch, screen: Console, live: Live) -> None:
    due = 0.0
    while True:
        if time.monotonic() >= due:
            due = time.monotonic() + _EVERY
            try:
                watched.look()
            except autotrack.RunNotFound:  # removed while one looks at it
                watched.opened = ""
                watched.look()
        width, height = screen.size
        live.update(_framed(watched.screen(width, height - 1), width), refresh=True)
        if not all(watched.press(key) for key in _next_keys(sys.stdin.fileno(), due - time.monotonic())):
            return


def _framed(content: RenderableType, width: int) -> RenderableType:
    help_line = Text("↑↓ move  ⏎ open  Esc back  q leave"[:width], style="dim")
    return Group(content, help_line)


def _next_keys(fd: int, wait: float) -> list[str]:
    """What the keys mean that come in so many seconds; none for those that mean nothing."""
    ready, _, _ = select.select([fd], [], [], max(0.0, wait))
    if not ready:
        return []
    typed = os.read(fd, 256)
    return [_KEYS[key] for key in _KEY.findall(typed) if key in _KEYS] if typed else ["leave"]


@contextmanager
def _keys_at_once(fd: int) -> Iterator[None]:
    """Keys come as they are pressed, and are not shown; afterwards the terminal is as it was."""
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

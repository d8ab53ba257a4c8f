"""ls and watch on a terminal of a given size, as an emulator shows it: nothing wraps, nothing is left over."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import autotrack

pyte = pytest.importorskip("pyte")

SIZES = pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if key not in ("NO_COLOR", "CI", "FORCE_COLOR", "COLUMNS", "LINES", "AUTOTRACK_STORE")
}


@pytest.fixture
def store(tracked: Path) -> Path:
    """More runs than lines, with long names, many params and metrics, and curves."""
    for number in range(60):
        with autotrack.start_run(f"HistGradientBoostingClassifier-{number:02d}", tags={"team": "vision"}) as run:
            run.capture(params={f"param{index}": index + number for index in range(6)}, changed=["param0", "param1"])
            for step in range(20 if number == 59 else 2):
                run.log_metrics({"loss": 1 / (step + 1), "accuracy": step / 20, "f1 of the test set": 0.5}, step=step)
    return tracked


class Terminal:
    """A program on a terminal, and what the terminal shows."""

    def __init__(self, process: "subprocess.Popen[bytes]", main: int, width: int, height: int) -> None:
        self.process = process
        self._main = main
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(height, width)
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def wait(self, what: str, shows: Callable[[list[str]], bool]) -> None:
        """Until the screen shows it."""
        deadline = time.monotonic() + 120
        while not shows(self.lines):
            ready, _, _ = select.select([self._main], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{what} is not shown:\n" + "\n".join(self.lines)
            self._stream.feed(os.read(self._main, 65536))

    def end(self) -> None:
        """Until the program has ended."""
        try:
            while data := os.read(self._main, 65536):
                self._stream.feed(data)
        except OSError:  # Linux: the other side was closed
            pass
        assert self.process.wait(60) == 0

    def colours(self) -> set[str]:
        """Of all that is shown."""
        cells = [self.screen.buffer[line][column] for line in range(self.screen.lines) for column in range(40)]
        return {cell.fg for cell in cells if cell.data.strip()}


def framed(lines: list[str]) -> bool:
    """Whether all of watch is on the screen: what the keys do stands below everything."""
    return any(line.endswith("q leave") for line in lines)


def opened(lines: list[str]) -> bool:
    """Whether one run fills the screen: what was there before is written over piece by piece."""
    curve = any(line.startswith("loss  0.05  (0.05 to 1)  20 points") for line in lines)
    return (
        lines[0].startswith("HistGradient") and curve and framed(lines) and "run " not in [line[:4] for line in lines]
    )


@contextmanager
def terminal(*arguments: str, cwd: Path, width: int, height: int, **env: str) -> Iterator[Terminal]:
    main, other = pty.openpty()
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "autotrack", *arguments],
        cwd=cwd, stdin=other, stdout=other, stderr=other, start_new_session=True,
        env={**ENVIRONMENT, "TERM": "xterm-256color", **env},
    )  # fmt: skip
    os.close(other)
    try:
        yield Terminal(process, main, width, height)
    finally:
        process.kill()
        process.wait(60)
        os.close(main)


@SIZES
def test_a_list_fills_its_terminal_and_no_line_wraps(store: Path, width: int, height: int):
    with terminal("ls", "-n", "10", cwd=store.parent, width=width, height=height) as shown:
        shown.end()
        header, *rows = [line for line in shown.lines if line]
    assert [row.split()[0][-2:] for row in rows] == [str(number) for number in range(59, 49, -1)]
    assert header.split()[:2] == ["run", "status"]
    assert {"accuracy", "param0"} <= set(header.split())
    assert ("took" in header.split()) == (width == 200)  # what matters least is left out where there is no room
    assert max(map(len, [header, *rows])) <= width
    assert "green" in shown.colours()


def test_a_list_without_colour(store: Path):
    with terminal("ls", "-n", "3", cwd=store.parent, width=80, height=24, NO_COLOR="1") as shown:
        shown.end()
    assert len([line for line in shown.lines if line]) == 4
    assert shown.colours() == {"default"}


def test_a_list_that_is_piped_is_not_cut(store: Path):
    done = subprocess.run(
        [sys.executable, "-m", "autotrack", "ls", "-n", "3"], cwd=store.parent, env=ENVIRONMENT, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    assert len(done.stdout.splitlines()) == 4


@SIZES
def test_watch_fills_its_terminal(store: Path, width: int, height: int):
    with terminal("watch", cwd=store.parent, width=width, height=height) as shown:
        shown.wait("the list", framed)  # the first time it comes from above
        assert shown.lines[0].split()[:2] == ["run", "status"]
        assert shown.lines[1].split()[0].endswith("-59")
        assert shown.screen.buffer[1][0].reverse  # the chosen line
        assert any("\u2801" <= char <= "\u28ff" for line in shown.lines for char in line)  # a curve
        shown.press("\r")
        shown.wait("the run, and nothing of the list", opened)
        shown.press("\x1b")
        shown.wait("the list", lambda lines: lines[0].startswith("run ") and framed(lines))
        shown.press("q")
        shown.end()


def test_watch_follows_the_size_of_its_terminal(store: Path):
    with terminal("watch", cwd=store.parent, width=200, height=50) as shown:
        shown.wait("the wide list", lambda lines: framed(lines) and "took" in lines[0])
        shown.resize(80, 24)
        shown.wait(
            "the narrow list",
            lambda lines: framed(lines) and lines[0].startswith("run ") and "took" not in lines[0],
        )
        shown.press("q")
        shown.end()


def test_watch_without_colour(store: Path):
    with terminal("watch", cwd=store.parent, width=80, height=24, NO_COLOR="1") as shown:
        shown.wait("the list", framed)
        assert shown.colours() == {"default"}
        shown.press("q")
        shown.end()

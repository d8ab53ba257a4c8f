"""watch: what it shows, its keys on a real terminal, and curves."""

import math
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

import autotrack
from autotrack.cli.watch import Watch
from autotrack.curves import curve
from tests.test_cli import call, process, strict_json


@pytest.fixture
def store(tracked: Path) -> Path:
    """Two runs with two curves each."""
    for name in ("first", "second"):
        with autotrack.start_run(name) as run:
            for step in range(50):
                run.log_metrics({"loss": 1 / (step + 1), "other": float(step)}, step=step)
            run.log_metrics({"accuracy": 0.9})
    return tracked


def shown(watched: Watch, width: int = 80, height: int = 24) -> list[str]:
    screen = Console(width=width, height=height, color_system=None, force_terminal=False, highlight=False)
    with screen.capture() as capture:
        screen.print(watched.screen(width, height))
    return capture.get().splitlines()


def looking(**arguments) -> Watch:
    watched = Watch(**arguments)
    watched.look()
    return watched


def dotted(lines: list[str]) -> bool:
    return any("\u2801" <= char <= "\u28ff" for line in lines for char in line)


# ---- what is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 10), (20, 5)])
def test_a_screen_is_no_larger_than_the_terminal(store: Path, width: int, height: int):
    for watched in (looking(), looking(opened=autotrack.get_run("first").id)):
        lines = shown(watched, width, height)
        assert len(lines) <= max(height, 8)
        assert max(map(len, lines)) <= width


def test_the_list_and_the_curves_of_the_chosen_run(store: Path):
    watched = looking()
    lines = shown(watched)
    assert [line.split()[0] for line in lines[:3]] == ["run", "second", "first"]
    assert any(line.startswith("loss  0.02  (0.02 to 1)  50 points") for line in lines)
    assert dotted(lines)


def test_keys(store: Path):
    watched = looking()
    first, second = autotrack.get_run("first").id, autotrack.get_run("second").id
    assert watched.press("down")
    assert watched.chosen == first
    assert watched.press("down")  # no further than the last
    assert watched.press("open")
    assert watched.opened == first
    assert first in "".join(shown(watched, 120))
    assert watched.press("down")
    assert watched.offset == 1
    assert watched.press("back")
    assert (watched.opened, watched.chosen) == ("", first)
    assert watched.press("up")
    assert watched.press("up")
    assert watched.chosen == second
    assert not watched.press("leave")


def test_a_live_run_grows_and_the_mark_stays_on_its_run(store: Path):
    watched = looking()
    watched.press("down")
    with autotrack.start_run("third") as run:
        run.log_metrics({"loss": 0.5})
        watched.look()
        assert watched._at() == 2  # first is chosen still, one line below
        watched.press("up")
        watched.press("up")
        assert "no metrics" not in "".join(shown(watched))
        watched.press("open")
        run.log_metrics({"loss": 0.25})
        watched.look()
        assert any(line.startswith("loss  0.25") and "2 points" in line for line in shown(watched))


def test_nothing_yet(tracked: Path):
    assert shown(looking()) == ["No runs yet. They show here as soon as there are some."]
    watched = looking()
    for key in ("up", "down", "open", "back"):
        assert watched.press(key)
    with autotrack.start_run("bare"):
        pass
    watched.look()
    assert "no metrics yet" in shown(watched)[-1]


def test_without_a_terminal_it_is_shown_once(store: Path):
    done = process("watch", cwd=store.parent)
    assert done.returncode == 0
    assert "second" in done.stdout
    assert dotted(done.stdout.splitlines())
    assert "\x1b" not in done.stdout
    one = process("watch", "first", cwd=store.parent)
    assert one.stdout.startswith("first  finished")
    assert strict_json(call("watch", "first", "--json", store=store).stdout)["name"] == "first"
    assert [run["name"] for run in strict_json(call("watch", "--json", store=store).stdout)] == ["second", "first"]
    assert [
        run["name"] for run in strict_json(call("watch", "-f", "name = 'first'", "--json", store=store).stdout)
    ] == ["first"]


def test_hostile_names(tracked: Path):
    hostile = "\x1b[2J\u202e[bold]"
    with autotrack.start_run("a" + hostile, experiment=hostile) as run:
        run.log_metrics({hostile: 1.0})
        run.log_metrics({hostile: 2.0})
        run.log_params({hostile: hostile})
    for opened in ("", run.id):
        text = "\n".join(shown(looking(opened=opened), 200))
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[bold]" in text


# ---- on a terminal --------------------------------------------------------------------------------------------------


class Terminal:
    """The other end of a terminal."""

    def __init__(self, main: int, process: subprocess.Popen[bytes]) -> None:
        self.main = main
        self.process = process
        self.seen = b""

    def press(self, keys: str) -> None:
        os.write(self.main, keys.encode())

    def wait_for(self, text: str) -> None:
        """Until this text is shown, after all that was waited for before."""
        deadline = time.monotonic() + 60
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.main], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} never came: {self.seen[-2000:]!r}"
            self.seen += os.read(self.main, 65536)
        self.seen = self.seen.partition(text.encode())[2]


@contextmanager
def watching(*arguments: str, cwd: Path, **env: str) -> Iterator[Terminal]:
    main, other = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "autotrack", "watch", *arguments],
        cwd=cwd, stdin=other, stdout=other, stderr=other,
        env={**variables, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", **env},
    )  # fmt: skip
    os.close(other)
    try:
        yield Terminal(main, process)
    finally:
        process.kill()
        process.wait(60)
        os.close(main)


def test_keys_on_a_terminal(store: Path):
    first = autotrack.get_run("first").id
    with watching(cwd=store.parent) as terminal:
        terminal.wait_for("q leave")
        terminal.press("j\r")  # both at once
        terminal.wait_for(first)
        terminal.press("\x1b")
        terminal.wait_for("second")
        terminal.press("\x1b[A\x1b[B\r")
        terminal.wait_for(first)
        terminal.press("q")
        terminal.wait_for("\x1b[?1049l")  # the screen that was there before is back
        assert terminal.process.wait(60) == 0


def test_ctrl_c_leaves_and_gives_the_terminal_back(store: Path):
    with watching("first", cwd=store.parent) as terminal:
        terminal.wait_for("q leave")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("\x1b[?1049l")
        assert terminal.process.wait(60) == 0


def test_no_color(store: Path):
    with watching(cwd=store.parent, NO_COLOR="1") as terminal:
        terminal.wait_for("second")
        terminal.press("q")
        terminal.wait_for("\x1b[?1049l")
        assert b"\x1b[32m" not in terminal.seen


# ---- curves --------------------------------------------------------------------------------------------------------


def heights(lines: list[str]) -> list[int]:
    """Of each column of characters, the line of its first dot from the top."""
    return [next((row for row, line in enumerate(lines) if line[at] != "\u2800"), -1) for at in range(len(lines[0]))]


def test_a_curve_goes_where_its_values_go():
    assert heights(curve([float(value) for value in range(100)], 10, 5)) == sorted(
        heights(curve([float(value) for value in range(100)], 10, 5)), reverse=True
    )
    falling = heights(curve([-float(value) for value in range(100)], 10, 5))
    assert falling == sorted(falling)
    assert (falling[0], falling[-1]) == (0, 4)
    assert len(set(heights(curve([3.0] * 100, 10, 5)))) == 1


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [math.nan], [math.inf], [-math.inf, math.inf], [1.7e308, -1.7e308], [math.nan, 1.0, math.inf] * 500],
    ids=range(7),
)
def test_odd_values_make_a_curve(values: list[float]):
    for width, height in ((1, 1), (10, 4), (300, 2)):
        lines = curve(values, width, height)
        assert [len(line) for line in lines] == [width] * height
        assert all(0x2800 <= ord(char) <= 0x28FF for line in lines for char in line)


def test_a_single_extreme_is_seen_among_many():
    values = [0.0] * 10_000
    values[5_000] = 1.0
    assert curve(values, 20, 4)[0].strip("\u2800") != ""


def test_nan_leaves_a_gap():
    line = curve([1.0] * 50 + [math.nan] * 50 + [1.0] * 50, 30, 1)[0]
    assert "\u2800" * 8 in line
    assert line[0] != "\u2800"
    assert line[-1] != "\u2800"

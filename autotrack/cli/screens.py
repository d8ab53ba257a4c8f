"""What ``autotrack watch`` shows: a list of runs, and the curves of one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from autotrack.columns import usual_metrics
from autotrack.curves import curve
from autotrack.display import ago, number, printable, runs_table, seconds, short_name
from autotrack.reader import RunRecord

__all__ = ["curve_keys", "list_screen", "run_screen"]

_LABEL = 10
_PANEL = 6  # lines of a curve with its title
_STYLES = {"finished": "green", "running": "cyan", "idle": "cyan", "failed": "red", "interrupted": "yellow"}
_HEADER = 3  # lines of the table that are no runs, and of what is below it


def curve_keys(run: RunRecord) -> list[str]:
    """Metrics of a run, those worth a curve first."""
    first = usual_metrics([run])
    return sorted(
        run.metrics,
        key=lambda key: (run.summaries[key].count < 2, first.index(key) if key in first else len(first), key),
    )


def list_screen(runs: Sequence[RunRecord], chosen: int, width: int, height: int) -> RenderableType:
    """The newest runs, and below them the curves of the chosen one."""
    if not runs:
        return Text("No runs yet. They show here as soon as there are some.")
    rows = max(3, min(len(runs), height // 2 - _HEADER))
    first = max(0, min(chosen - rows // 2, len(runs) - rows))
    shown = runs[first : first + rows]
    table = runs_table(shown, width)
    table.rows[chosen - first].style = "reverse"
    room = height - len(shown) - _HEADER
    return Group(table, Text(""), *_curves(runs[chosen], 0, width, room))


def run_screen(run: RunRecord, offset: int, width: int, height: int) -> RenderableType:
    """One run: how it stands, and its curves from the ``offset``-th metric on."""
    about = Text(short_name(run.name, 60), style="bold")
    about.append(f"  {printable(run.status, 12)}", style=_STYLES.get(run.status, ""))
    took = ago(run.start) if run.duration is None else f"took {seconds(run.duration)}"
    about.append(f"  {took}  {printable(run.experiment, 40)}  {run.id}", style="not bold")
    about.truncate(width, overflow="ellipsis")
    params = ", ".join(f"{key}={run.params[key]}" for key in run.changed if key in run.params)
    said = Text(printable(params, width), style="dim")
    return Group(about, said, Text(""), *_curves(run, offset, width, height - 4))


def _curves(run: RunRecord, offset: int, width: int, height: int) -> list[Text]:
    keys = curve_keys(run)[offset:]
    lines: list[Text] = []
    for key in keys:
        single = run.summaries[key].count < 2
        if len(lines) + (1 if single else _PANEL) > height:
            break
        lines += [Text(_title(run, key, width))] if single else _panel(run, key, width)
    if not keys:
        lines.append(Text("no metrics yet", style="dim"))
    return lines


def _title(run: RunRecord, key: str, width: int) -> str:
    seen = run.summaries[key]
    reach = "" if seen.count < 2 or math.isnan(seen.min) else f"  ({number(seen.min)} to {number(seen.max)})"
    points = f"  {seen.count:,} points" if seen.count > 1 else ""
    return printable(f"{printable(key, max(10, width - 50))}  {number(seen.last)}{reach}{points}", width)


def _panel(run: RunRecord, key: str, width: int) -> list[Text]:
    room = max(4, width - _LABEL - 2)
    height = _PANEL - 2
    points = run.history(key, buckets=2 * room)
    finite = [value for value in points.value if math.isfinite(value)]
    labels = [""] * height
    if finite:
        labels[0], labels[-1] = number(max(finite)), number(min(finite))
    lines = [Text(_title(run, key, width), style="bold")]
    for label, dots in zip(labels, curve(points.value, room, height), strict=True):
        lines.append(Text(f"{label:>{_LABEL}} ", style="dim").append(dots, style="cyan not dim"))
    return [*lines, Text("")]

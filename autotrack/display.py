"""Runs as people see them: tables for the terminal and for notebooks. Names in a store are hostile until escaped."""

from __future__ import annotations

import html
import io
import math
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autotrack.reader import RunRecord

__all__ = ["ago", "printable", "run_html", "runs_html", "runs_table", "runs_text", "seconds", "show_text"]

_COLUMNS = 3
_ROWS = 60
_WORDS = ("error", "traceback", "notes")  # sections that are read as sentences, and so never cut to the screen
_STATUS = {"finished": "green", "running": "cyan", "idle": "cyan", "failed": "red", "interrupted": "yellow"}


def printable(text: object, width: int = 200) -> str:
    """Text without anything that a terminal would obey: control and direction characters are written out."""
    shown = "".join(
        char if char.isprintable() else f"\\u{ord(char):04x}" if ord(char) > 255 else f"\\x{ord(char):02x}"
        for char in str(text)[: width + 1]
    )
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def number(value: float) -> str:
    """A metric for a table: four significant digits."""
    return f"{value:.4g}" if not math.isfinite(value) or value != int(value) or abs(value) >= 1e6 else str(int(value))


def seconds(duration: float | None) -> str:
    """A duration in words a person reads at once."""
    if duration is None:
        return ""
    if duration < 1:
        return f"{duration * 1e3:.0f} ms"
    if duration < 100:
        return f"{duration:.1f} s"
    minutes, rest = divmod(int(duration), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def ago(start: float) -> str:
    """When something began, seen from now."""
    if math.isnan(start):
        return ""
    past = time.time() - start
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if past >= size:
            return f"{int(past // size)} {unit} ago"
    return "now"


_HOW = ("n_iter", "lr", "time")


def _metrics(runs: Iterable[RunRecord]) -> list[str]:
    """Names of the metrics worth a column: those that most runs have; what says how it was done after all others."""
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.metrics.keys())
    for key in [key for key in counts if key.endswith("_time")]:  # nearly what the column "took" says
        del counts[key]
    # How long a solver took or what its steps were is what is asked for last, and nearly every run has it.
    return sorted(counts, key=lambda key: (key.partition("/")[0] in _HOW, -counts[key], key))[:_COLUMNS]


def _params(runs: Sequence[RunRecord]) -> list[str]:
    """Names of the params worth a column: not all default; those that tell the runs apart come first."""
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(run.changed)
    same = {key: len({repr(run.params[key]) for run in runs if key in run.params}) < 2 for key in counts}
    return sorted(counts, key=lambda key: (same[key], -counts[key], key))[:_COLUMNS]


def _columns(runs: Sequence[RunRecord], width: int | None) -> list[list[str]]:
    """Columns of the list of runs, each with its header first; the last ones are left out where ``width`` is short."""
    columns = [
        ["run", *(printable(run.name, 40) for run in runs)],
        ["status", *(printable(run.status, 12) for run in runs)],
        ["started", *(ago(run.start) for run in runs)],
        ["took", *(seconds(run.duration) for run in runs)],
    ]
    if any(run.child_count for run in runs):
        columns.append(["children", *(f"{run.child_count:,}" if run.child_count else "" for run in runs)])
    for key in _metrics(runs):
        columns.append([key, *(number(run.metrics[key]) if key in run.metrics else "" for run in runs)])
    for key in _params(runs):
        columns.append([key, *(printable(run.params[key], 24) if key in run.params else "" for run in runs)])
    for column in columns:
        column[0] = printable(column[0], 30)
    while width is not None and len(columns) > 2 and sum(max(map(cell_len, column)) + 2 for column in columns) > width:
        columns.pop()
    return columns


def runs_table(runs: Sequence[RunRecord], width: int) -> Table:
    """The list of runs for a terminal of ``width`` columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = _columns(runs, width)
    for index, column in enumerate(columns):
        table.add_column(Text(column[0]), justify="right" if index > 2 else "left", no_wrap=True, overflow="ellipsis")
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(
            *[Text(cell, style=_STATUS.get(cell, "") if index == 1 else "") for index, cell in enumerate(row)]
        )
    return table


def runs_text(runs: Sequence[RunRecord]) -> str:
    """The list of runs as plain text."""
    if not runs:
        return "no runs yet"
    shown = runs[:_ROWS]
    width = shutil.get_terminal_size((120, 24)).columns
    page = io.StringIO()
    # In a notebook rich would show the table itself, beside the one that is asked for.
    screen = Console(
        file=page, width=width, color_system=None, force_terminal=False, force_jupyter=False, highlight=False
    )
    screen.print(runs_table(shown, width))
    more = "" if len(shown) == len(runs) else f"\n… and {len(runs) - len(shown)} more"
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + more


def _html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def runs_html(runs: Sequence[RunRecord]) -> str:
    """The list of runs for a notebook: a static table, everything escaped."""
    if not runs:
        return "<p>no runs yet</p>"
    header, *rows = zip(*_columns(runs[:_ROWS], None), strict=True)
    more = f"<p>… and {len(runs) - _ROWS} more</p>" if len(runs) > _ROWS else ""
    return _html_table(header, rows) + more


def _sections(run: RunRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """All about one run, as titled lists of name and text."""
    about = [("id", run.id), ("status", run.status), ("experiment", run.experiment), ("started", _clock(run.start))]
    if run.duration is not None:
        about.append(("took", seconds(run.duration)))
    if run.parent:
        about.append(("parent", run.parent))
    marks = set(run.changed)
    models = [
        (
            name,
            f"{model.format}, {model.size:,} bytes, {model.cls}"
            + (f"; stays so: {model.stays}" if model.stays else ""),
        )
        for name, model in run.models.items()
    ]
    found = [
        ("", about),
        ("error", [(run.error.type, run.error.message)] if run.error else []),
        ("traceback", [("", line) for line in run.error.traceback.splitlines()[-20:]] if run.error else []),
        ("metrics", [(key, _metric(run, key)) for key in sorted(run.metrics)]),
        ("params (* differs from its default)", [("* " * (k in marks) + k, str(v)) for k, v in run.params.items()]),
        ("tags", list(run.tags.items())),
        ("models", models),
        ("artifacts", [(name, f"{artifact.size:,} bytes") for name, artifact in run.artifacts.items()]),
        *((section, _facts(section, run.facts[section])) for section in sorted(run.facts, key=_place)),
        ("children", _children(run)),
        ("notes", list(run.notes) + [("damage", problem) for problem in run.problems]),
    ]
    return [(title, lines) for title, lines in found if lines]


def _children(run: RunRecord) -> list[tuple[str, str]]:
    keys = _metrics(run.children)
    lines = []
    for child in run.children[:_ROWS]:
        values = [f"{key} {number(child.metrics[key])}" for key in keys if key in child.metrics]
        lines.append((child.name, "  ".join([child.status, *values, child.id])))
    return lines + [("…", f"and {len(run.children) - _ROWS:,} more")] * (len(run.children) > _ROWS)


def _metric(run: RunRecord, key: str) -> str:
    seen = run.summaries[key]
    text = repr(run.metrics[key])
    if seen.count == 1:
        return text
    reach = "all NaN" if math.isnan(seen.min) else f"{number(seen.min)} to {number(seen.max)}"
    return f"{text}  (last of {seen.count:,}; {reach})"


_ORDER = ("estimator", "data", "lineage", "fitted", "git", "environment", "hardware", "random", "packages")


def _place(section: str) -> tuple[int, str]:
    """What was trained comes before the world that it was trained in."""
    return _ORDER.index(section) if section in _ORDER else 0, section


def _facts(section: str, content: Any) -> list[tuple[str, str]]:
    if section == "packages" and isinstance(content, dict):
        return [("installed", f"{len(content)} packages; `autotrack show --json` names them")]
    return _flat(content)


def _flat(content: Any, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(content, dict):
        return [(prefix, str(content))]
    return [line for key, value in content.items() for line in _flat(value, f"{prefix}.{key}" if prefix else str(key))]


def _clock(start: float) -> str:
    if math.isnan(start):
        return "unknown"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(start))} ({ago(start)})"


def show_text(run: RunRecord, width: int = 120) -> Text:
    """All about one run for the terminal."""
    text = Text(printable(run.name), style="bold")
    for title, lines in _sections(run):
        text.append(f"\n\n{printable(title)}" if title else "", style="bold not dim")
        room = min(40, max(len(printable(name)) for name, _ in lines))
        for name, value in lines:
            text.append(f"\n  {printable(name):<{room}}  ", style="not bold")
            text.append(printable(value, 4_000 if title in _WORDS else max(20, width - room - 4)), style="not bold")
    return text


def run_html(run: RunRecord) -> str:
    """All about one run for a notebook."""
    parts = [f"<h4>{html.escape(printable(run.name))}</h4>"]
    for title, lines in _sections(run):
        rows = [(printable(name), printable(value, 4_000 if title in _WORDS else 200)) for name, value in lines]
        parts.append((f"<h5>{html.escape(printable(title))}</h5>" if title else "") + _html_table(("", ""), rows))
    return "".join(parts)

"""Runs as people see them: tables for the terminal and for notebooks. Names in a store are hostile until escaped."""

from __future__ import annotations

import html
import io
import math
import shutil
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autotrack.columns import Column, usual_columns, usual_metrics
from autotrack.reader import RunRecord
from autotrack.texts import ago, number, printable, seconds, short_name

__all__ = [
    "ago",
    "flat",
    "number",
    "printable",
    "run_html",
    "runs_html",
    "runs_table",
    "runs_text",
    "seconds",
    "short_name",
    "show_text",
]

_ROWS = 60
_WORDS = ("error", "traceback", "notes")  # sections that are read as sentences, and so never cut to the screen
_STATUS = {"finished": "green", "running": "cyan", "idle": "cyan", "failed": "red", "interrupted": "yellow"}


def runs_table(runs: Sequence[RunRecord], width: int, columns: Sequence[Column] | None = None) -> Table:
    """The list of runs for a terminal of ``width`` columns; with these columns, else with those that matter most."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = usual_columns(runs, width) if columns is None else columns
    for column in shown:
        table.add_column(
            Text(column.name), justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis"
        )
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(
            *[
                Text(cell, style=_STATUS.get(cell, "") if column.name == "status" else "")
                for column, cell in zip(shown, row, strict=True)
            ]
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
    columns = usual_columns(runs[:_ROWS], None)
    header = [column.name for column in columns]
    rows = zip(*(column.cells for column in columns), strict=True)
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
            + (f"; stays so: {model.stays}" if model.stays else "")
            + (f"; deleted {model.gone}" if model.gone else ""),
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
    keys = usual_metrics(run.children)
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
    return flat(content)


def flat(content: Any, prefix: str = "") -> list[tuple[str, str]]:
    """The leaves of nested mappings, by dotted path."""
    if not isinstance(content, dict):
        return [(prefix, str(content))]
    return [line for key, value in content.items() for line in flat(value, f"{prefix}.{key}" if prefix else str(key))]


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

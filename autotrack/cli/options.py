"""Options that several commands share, and runs as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec
from rich.console import Console, RenderableType

from autotrack import values
from autotrack.reader import RunRecord

__all__ = ["as_json", "emit", "json_option", "parent_option", "print_table", "screen_width", "store_option"]

store_option = click.option("--store", metavar="DIR", help="The store to read. Default: the one found from here.")
parent_option = click.option(
    "--parent", "-p", metavar="RUN", help="The child runs of this run, in place of runs that have no parent."
)
json_option = click.option("--json", "to_json", is_flag=True, help="Print JSON for programs.")


def as_json(run: RunRecord) -> dict[str, Any]:
    """All about a run in JSON types; NaN and infinities as in the journal."""
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run) if field.name[0] != "_"}
    for name in ("artifacts", "models"):
        fields[name] = {key: _file(item) for key, item in fields[name].items()}
    fields["children"] = [as_json(child) for child in run.children]
    fields["error"] = msgspec.to_builtins(run.error)
    fields["start"] = None if math.isnan(run.start) else run.start
    kept = ("artifacts", "models", "children", "error", "start")
    return {key: value if key in kept else _whole(value) for key, value in fields.items()}


def _whole(value: Any) -> Any:
    """JSON types; ``to_json`` leaves things out of very long mappings, and a run may have many metrics."""
    if isinstance(value, dict):
        return {key: values.to_json(item) for key, item in value.items()}
    return [values.to_json(item) for item in value] if isinstance(value, list) else values.to_json(value)


def _file(record: msgspec.Struct) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(record).items() if key not in ("t", "c")}


def emit(content: Any) -> None:
    """Print JSON on stdout."""
    click.echo(json.dumps(content, indent=2))


def screen_width() -> int | None:
    """Columns that a table may have: the terminal's (None: rich finds out); where there is none, all that it needs."""
    return None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 10_000


def print_table(make: Callable[[int], RenderableType]) -> None:
    """Print what ``make`` makes for so many columns; without blanks at the ends of lines where it is piped."""
    screen = Console(highlight=False, width=screen_width())
    if screen.is_terminal:
        screen.print(make(screen.width))
        return
    with screen.capture() as page:
        screen.print(make(screen.width))
    click.echo("\n".join(line.rstrip() for line in page.get().splitlines()))

"""``autotrack diff``."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

import autotrack
from autotrack import values
from autotrack.cli.options import emit, json_option, print_table, store_option
from autotrack.comparison import MISSING, Difference, compare_runs
from autotrack.display import printable, short_name
from autotrack.reader import RunRecord

__all__ = ["diff"]

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("one")
@click.argument("other", default="@last")
@store_option
@json_option
def diff(one: str, other: str, store: str | None, to_json: bool) -> None:
    """Show in what two runs differ: params, metrics, tags, data, packages, git, code. OTHER is @last by default."""
    left, right = (autotrack.get_run(ref, store=store) for ref in (one, other))
    found = compare_runs(left, right)
    if to_json:
        emit(
            {
                "runs": [left.id, right.id],
                "sections": {
                    section: {key: _as_json(pair) for key, pair in pairs.items()}
                    for section, pairs in found.sections.items()
                },
                "code": found.code,
            }
        )
    elif found:
        if found.sections:
            print_table(lambda width: _table(width, left, right, found))
        _print_code(found)
    else:
        click.echo("They differ in nothing that was recorded but their times.", err=True)


def _table(width: int, left: RunRecord, right: RunRecord, found: Difference) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    room = max(10, (min(width, 200) - 24) // 2)
    for run in (left, right):
        table.add_column(Text(short_name(run.name, 40)), max_width=room, overflow="fold")
    for section, pairs in found.sections.items():
        table.add_row(Text(printable(section), style="bold"))
        for key, pair in pairs.items():
            table.add_row(Text("  " + printable(key, 60)), *(_cell(value) for value in pair))
    return table


def _print_code(found: Difference) -> None:
    screen = Console(highlight=False)
    for text in found.code.values():
        screen.print()
        for line in text.splitlines():
            screen.print(Text(printable(line, 2000), style=_STYLES.get(line[:1], "")), soft_wrap=True)


def _as_json(pair: tuple[Any, Any]) -> dict[str, Any]:
    return {
        name: values.to_json(value) for name, value in zip(("one", "other"), pair, strict=True) if value is not MISSING
    }


def _cell(value: Any) -> Text:
    return Text("-", style="dim") if value is MISSING else Text(printable(value, 400))

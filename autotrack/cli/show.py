"""``autotrack show``."""

from __future__ import annotations

import click
from rich.console import Console

import autotrack
from autotrack.cli.options import as_json, emit, json_option, store_option
from autotrack.display import show_text

__all__ = ["show"]


@click.command()
@click.argument("run", default="@last")
@store_option
@json_option
def show(run: str, store: str | None, to_json: bool) -> None:
    """Show all about one run.

    RUN is an id or the beginning of one, a name, @last (the default), @max:METRIC or @min:METRIC.
    """
    record = autotrack.get_run(run, store=store)
    if to_json:
        emit(as_json(record))
        return
    screen = Console(highlight=False)
    screen.print(show_text(record, screen.width), soft_wrap=True)

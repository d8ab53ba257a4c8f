"""``autotrack ls``."""

from __future__ import annotations

import click
from rich.console import Console

import autotrack
from autotrack.cli.options import as_json, emit, json_option, store_option
from autotrack.display import runs_table

__all__ = ["ls"]


@click.command()
@click.option("--experiment", "-e", help="Only runs of this experiment.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=30, show_default=True, help="At most so many.")
@store_option
@json_option
def ls(experiment: str | None, limit: int, store: str | None, to_json: bool) -> None:
    """List the recorded runs, newest first."""
    runs = autotrack.runs(experiment, limit, store=store)
    if to_json:
        emit([as_json(run) for run in runs])
    elif runs:
        screen = Console(highlight=False)
        screen.print(runs_table(runs, screen.width))
    else:
        click.echo("No runs here yet. Train something after `autotrack.enable()`, or try `autotrack demo`.", err=True)
